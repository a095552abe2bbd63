package main

import (
	"encoding/json"
	"maps"
	"slices"

	"mewsbridge/schema"
)

// node is a JSON Schema, or a part of one. Only keywords are used that draft-07 has too: AsyncAPI's Schema Object is
// based on that.
type node map[string]any

// document returns s as the document of that name.
func (s node) document(name string) node {
	d := maps.Clone(s)
	d["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	d["$id"] = "urn:mewsbridge:schema:v1:" + name
	return d
}

const tokenPattern = `[A-Za-z0-9_-]{1,128}`

const mewsSource = " (Mews Connector API, "

// The texts that several schemas share.
const (
	enterpriseText  = "Id of the enterprise, a hotel or a chain of them."
	integrationText = "Id of the integration: the connection between the enterprise and the partner's app."
	entityText      = "Id of the entity that changed. Fetch its state from the Connector API."
	entitiesText    = "Latest state of the entities, by kind. Deprecated by Mews in 2022; do not count on it."
)

// eventTexts say what an event of that type means, and how the entity is fetched.
var eventTexts = map[schema.Discriminator]string{
	schema.DiscriminatorServiceOrderUpdated:  "A reservation or another service order was created or changed. Fetch it with reservations/getAll/2023-06-06.",
	schema.DiscriminatorResourceUpdated:      "A resource, such as a room, was created or changed. Fetch it with resources/getAll.",
	schema.DiscriminatorMessageAdded:         "A message was added to a thread. Fetch it with messages/getAll.",
	schema.DiscriminatorResourceBlockUpdated: "A block of a resource was created or changed. Fetch it with resourceBlocks/getAll.",
	schema.DiscriminatorCustomerAdded:        "A customer was created. CustomerUpdated for the same Id comes too. Fetch them once, with customers/getAll.",
	schema.DiscriminatorCustomerUpdated:      "A customer was created or changed. Fetch them with customers/getAll.",
	schema.DiscriminatorPaymentUpdated:       "A payment was created or changed. Fetch it with payments/getAll.",
}

var actionTexts = map[schema.Action]string{
	schema.ActionIntegrationCreated:       "An enterprise was connected to the partner's app. The event carries the access token.",
	schema.ActionIntegrationEnabled:       "The integration was enabled.",
	schema.ActionIntegrationDisabled:      "The integration was disabled.",
	schema.ActionIntegrationCanceled:      "The integration was canceled.",
	schema.ActionIntegrationReinstated:    "A canceled integration was reinstated.",
	schema.ActionIntegrationDeleted:       "The integration was deleted.",
	schema.ActionIntegrationAPIKeyCreated: "The integration's access token was made anew. The event carries it.",
}

// schemas returns every schema by name.
func schemas(s *samples) map[string]node {
	all := map[string]node{
		"general-webhook":     generalWebhook().with("examples", []json.RawMessage{json.RawMessage(s.general)}),
		"integration-webhook": integrationWebhook().with("examples", []json.RawMessage{json.RawMessage(s.integration)}),
		"event":               anyEvent().with("examples", s.payloads("event")),
		"integration-event":   anyIntegrationEvent().with("examples", s.payloads("integration-event")),
		"headers":             headers().with("examples", []any{s.messages[string(schema.DiscriminatorServiceOrderUpdated)].headers}),
		"quarantine-headers":  quarantineHeaders().with("examples", []any{s.messages["quarantine"].headers}),
	}
	for _, d := range schema.KnownDiscriminators() {
		all[string(d)] = event(d).with("examples", s.payloads(string(d)))
	}
	for _, a := range schema.KnownActions() {
		all[string(a)] = integrationEvent(a).with("examples", s.payloads(string(a)))
	}
	return all
}

func (s *samples) payloads(name string) []json.RawMessage {
	return []json.RawMessage{s.messages[name].payload}
}

func (s node) with(keyword string, value any) node {
	s[keyword] = value
	return s
}

// generalWebhook is what Mews documents; it says more than the bridge asks for.
func generalWebhook() node {
	event := object("One event.", node{
		"Discriminator": known(schema.KnownDiscriminators(), "Type of the event. Mews adds types without notice."),
		"Value":         object("What the event is about.", node{"Id": uuid(entityText)}, "Id"),
	}, "Discriminator", "Value")
	return object("What Mews sends to a webhook URL when something changed in an enterprise"+mewsSource+"General Webhooks).", node{
		"EnterpriseId":  uuid(enterpriseText),
		"IntegrationId": uuid(integrationText),
		"Events":        node{"type": "array", "items": event, "description": "What happened at one time, in the order of hundreds of events at most."},
		"Entities":      node{"type": "object", "deprecated": true, "description": entitiesText},
	}, "EnterpriseId", "IntegrationId", "Events").with("title", "General webhook")
}

func integrationWebhook() node {
	w := object("What Mews sends to a webhook URL when an integration changed"+mewsSource+"Integration Webhooks). One event each.", node{
		"Action": known(schema.KnownActions(), "Type of the event."),
		"Data":   object("What the event is about.", node{"Integration": integration()}, "Integration"),
	}, "Action", "Data").with("title", "Integration webhook")
	var cases []node
	for _, a := range schema.KnownActions() {
		if members := actionMembers(a); len(members) > 0 {
			cases = append(cases, node{
				"if":   node{"properties": node{"Action": node{"const": a}}},
				"then": node{"properties": node{"Data": node{"properties": members, "required": required(members, "Service")}}},
			})
		}
	}
	return w.with("allOf", cases)
}

// actionMembers returns the members that Data of an action has besides Integration.
func actionMembers(a schema.Action) node {
	switch a {
	case schema.ActionIntegrationCreated:
		return node{
			"Enterprise":  named("The enterprise: a hotel or a chain of them."),
			"Service":     orNull(named("The service that the integration is for; none when it is for all.")),
			"Requestor":   orNull(object("The person who asked for the integration. Personal data.", node{"Name": text("Name of the person."), "Email": text("Address of the person.")}, "Name", "Email")),
			"AccessToken": text("Access token for the Connector API. A live credential of the enterprise."),
			"CreatedUtc":  instant("When the integration was created, UTC."),
			"IsEnabled":   node{"type": "boolean", "description": "Whether the integration is enabled."},
		}
	case schema.ActionIntegrationDeleted:
		return node{"DeletedUtc": instant("When the integration was deleted, UTC.")}
	case schema.ActionIntegrationAPIKeyCreated:
		return node{"ApiKey": text("Access token for the Connector API. A live credential of the enterprise.")}
	}
	return node{}
}

// isSealable knows the members that the bridge can seal.
func isSealable(member string) bool {
	return member == "AccessToken" || member == "ApiKey" || member == "Requestor"
}

// event is a General event of a documented type, from a webhook as Mews documents it.
func event(d schema.Discriminator) node {
	data := object("The event as Mews sent it, with the webhook's other members in front.", node{
		"EnterpriseId":  uuid(enterpriseText),
		"IntegrationId": uuid(integrationText),
		"Discriminator": constant(d, "Type of the event."),
		"Value":         object("What the event is about.", node{"Id": uuid(entityText)}, "Id"),
		"Entity":        node{"type": "object", "deprecated": true, "description": "Latest state of the entity, where the webhook had it among its Entities. Mews deprecated these in 2022."},
	}, "EnterpriseId", "IntegrationId", "Discriminator", "Value")
	return cloudEvent(eventTexts[d]+" "+departs, constant("com.mews."+d, ""), eventSource(), entitySubject(), data).with("title", d)
}

// departs says what the schemas of single types do not hold.
const departs = "A webhook that departs from Mews's documentation is published all the same: such a message is valid against the schema of any type, and perhaps not against this one."

// anyEvent holds for every message of the events stream.
func anyEvent() node {
	data := object("The event as Mews sent it, with the webhook's other members in front. What is not required may be missing, null or of another type where Mews departs from its documentation.", node{
		"EnterpriseId":  node{"description": enterpriseText},
		"IntegrationId": node{"description": integrationText},
		"Discriminator": known(schema.KnownDiscriminators(), "Type of the event. Mews adds types without notice."),
		"Value":         node{"description": "What the event is about: an object with the Id of the entity."},
		"Entity":        node{"deprecated": true, "description": "Latest state of the entity, where the webhook had it among its Entities. Mews deprecated these in 2022."},
	}, "Discriminator")
	return cloudEvent("An event of a General webhook, of any type.", typeOf(schema.KnownDiscriminators()), eventSource(), entitySubject(), data).with("title", "Event")
}

func integrationEvent(a schema.Action) node {
	members := node{"Integration": integration()}
	var needed []string
	sealable := ""
	for name, member := range actionMembers(a) {
		members[name] = member
		switch {
		case name == "AccessToken" || name == "ApiKey":
			sealable = name
		case name != "Service" && !isSealable(name):
			needed = append(needed, name)
		}
	}
	slices.Sort(needed)
	inner := object("What the event is about.", members, append(needed, "Integration")...)
	if sealable != "" {
		members["Sealed"] = text("Stands for AccessToken, ApiKey and Requestor where the bridge seals them.")
		inner["anyOf"] = []node{{"required": []string{sealable}}, {"required": []string{"Sealed"}}}
	}
	data := object("The webhook's body as Mews sent it.", node{"Action": constant(a, "Type of the event."), "Data": inner}, "Action", "Data")
	return cloudEvent(actionTexts[a]+" "+departs, constant("com.mews."+a, ""), integrationSource(), integrationSubject(), data).with("title", a)
}

// anyIntegrationEvent holds for every message of the integrations stream.
func anyIntegrationEvent() node {
	data := object("The webhook's body as Mews sent it. It may hold credentials and personal data.", node{
		"Action": known(schema.KnownActions(), "Type of the event."),
		"Data":   node{"description": "What the event is about: an object with an Integration, which has an Id and a Name."},
	}, "Action")
	return cloudEvent("An event of an Integration webhook, of any type.", typeOf(schema.KnownActions()), integrationSource(), integrationSubject(), data).with("title", "Integration event")
}

// cloudEvent is a CloudEvent 1.0 in structured mode.
func cloudEvent(description string, kind, source, subject, data node) node {
	return object(description, node{
		"specversion":     constant("1.0", "Version of CloudEvents."),
		"id":              pattern(`^[A-Za-z0-9_-]+-[0-9]+$`, "\"<delivery id>-<index in the webhook>\". The same for each copy of one event that comes of retries, and also the header Nats-Msg-Id."),
		"source":          source,
		"type":            kind.with("description", "\"com.mews.\" and the type as Mews names it."),
		"subject":         subject,
		"time":            instant("When the bridge received the webhook, UTC. The change itself is earlier: Mews sends no time of it."),
		"datacontenttype": constant("application/json", "Content type of data."),
		"traceparent":     pattern(tracePattern, "W3C trace context, where there is a trace."),
		"data":            data,
	}, "specversion", "id", "source", "type", "time", "datacontenttype", "data")
}

const tracePattern = `^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`

func eventSource() node {
	return pattern("^/mews/enterprises/"+tokenPattern+"/integrations/"+tokenPattern+"$", "The enterprise and the integration; _ stands for an Id that is missing or no subject token.")
}

func integrationSource() node {
	return pattern("^/mews/integrations/"+tokenPattern+"$", "The integration; _ stands for an Id that is missing or no subject token.")
}

func entitySubject() node {
	return pattern("^"+tokenPattern+"$", "Id of the entity; absent when it is missing or no subject token.")
}

func integrationSubject() node {
	return pattern("^"+tokenPattern+"$", "Id of the integration; absent when it is missing or no subject token.")
}

// headers are those of a message of the events and integrations streams.
func headers() node {
	return object("NATS headers of a message in the events and integrations streams.", node{
		schema.HeaderMsgID:       pattern(`^[A-Za-z0-9_-]+-[0-9]+$`, "The CloudEvent's id. JetStream drops a second message with it."),
		schema.HeaderContentType: constant(schema.ContentType, "A CloudEvent in structured mode."),
		schema.HeaderTraceparent: pattern(tracePattern, "W3C trace context, where there is a trace."),
	}, schema.HeaderMsgID, schema.HeaderContentType).with("title", "Headers")
}

func quarantineHeaders() node {
	return object("NATS headers of a message in the quarantine stream. Its payload is the raw bytes of one event or of a whole body; where the bridge seals credentials, an object with the one member SealedBody.", node{
		schema.HeaderMsgID:       pattern(`^[A-Za-z0-9_-]+-[0-9]+$`, "\"<delivery id>-<index>\". JetStream drops a second message with it."),
		schema.HeaderReason:      node{"type": "string", "enum": schema.Reasons(), "description": "Why the bytes are here."},
		schema.HeaderOffset:      pattern(`^[0-9]+$`, "Byte offset of the fault within the payload, counted from 0."),
		schema.HeaderEndpoint:    pattern("^"+tokenPattern+"$", "Name of the endpoint that received the webhook."),
		schema.HeaderReceived:    instant("When the bridge received the webhook, UTC."),
		schema.HeaderTraceparent: pattern(tracePattern, "W3C trace context, where there is a trace."),
	}, schema.HeaderMsgID, schema.HeaderReason, schema.HeaderOffset, schema.HeaderEndpoint, schema.HeaderReceived).with("title", "Headers of quarantined bytes")
}

func object(description string, properties node, required ...string) node {
	return node{"type": "object", "description": description, "properties": properties, "required": required}
}

func constant(value any, description string) node {
	return node{"type": "string", "const": value, "description": description}
}

func text(description string) node { return node{"type": "string", "description": description} }

func pattern(expression, description string) node {
	return node{"type": "string", "pattern": expression, "description": description}
}

func uuid(description string) node {
	return node{"type": "string", "format": "uuid", "description": description}
}

func instant(description string) node {
	return node{"type": "string", "format": "date-time", "description": description}
}

func named(description string) node {
	return object(description, node{"Id": uuid("Its Id."), "Name": text("Its name.")}, "Id", "Name")
}

func integration() node {
	return object("The integration: the connection between one enterprise and the partner's app.", node{"Id": uuid("Its Id."), "Name": text("Its name.")}, "Id", "Name")
}

func orNull(s node) node { return s.with("type", []string{"object", "null"}) }

// known is a type as Mews names it, documented or not.
func known[T any](list []T, description string) node {
	return node{"type": "string", "description": description, "anyOf": []node{{"enum": list}, pattern("^"+tokenPattern+"$", "A type that is not documented yet.")}}
}

// typeOf is the attribute type of an event of any type.
func typeOf[T ~string](list []T) node {
	names := make([]string, len(list))
	for i, name := range list {
		names[i] = "com.mews." + string(name)
	}
	return node{"type": "string", "anyOf": []node{{"enum": names}, pattern(`^com\.mews\.`+tokenPattern+"$", "A type that is not documented yet.")}}
}

// required returns the names of the members but the optional one.
func required(members node, optional string) []string {
	var names []string
	for name := range members {
		if name != optional {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
