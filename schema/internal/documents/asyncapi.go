package main

import (
	"encoding/json"
	"maps"

	"mewsbridge/schema"
)

// asyncAPI describes what the bridge receives and what it sends (AsyncAPI 3.0.0).
func asyncAPI(all map[string]node, s *samples) node {
	components := node{}
	for name, sch := range all {
		components[name] = sch
	}
	components["other-event"] = other(all["event"], schema.KnownDiscriminators(), "Other event", "An event of a General webhook whose type is not documented yet.")
	components["other-integration-event"] = other(all["integration-event"], schema.KnownActions(), "Other integration event", "An event of an Integration webhook whose type is not documented yet.")
	return node{
		"asyncapi": "3.0.0",
		"id":       "urn:mewsbridge:asyncapi:v1",
		"info": node{
			"title":   "mewsbridge",
			"version": "1.0.0",
			"description": "All channels, messages and headers, as AsyncAPI 3.0. mewsbridge takes the webhooks of Mews and stores their single events in NATS JetStream: MEWS_EVENTS, MEWS_INTEGRATIONS and MEWS_QUARANTINE. " +
				"Read them with JetStream consumers; each message may come more than once. The prefix mews, in upper case in the streams' names, is a setting.",
		},
		"defaultContentType": "application/json",
		"servers": node{
			"webhooks": server("http", "localhost:8080", "Where Mews posts to. Behind something that ends TLS."),
			"nats":     server("nats", "127.0.0.1:4222", "The embedded server, or any of the cluster that nats.url names."),
		},
		"channels":   channels(s),
		"operations": operations(),
		"components": node{"schemas": components},
	}
}

// other is the schema of any type, without the documented ones: AsyncAPI wants each message to be of one kind only.
func other[T ~string](anyType node, list []T, title, description string) node {
	documented := make([]string, len(list))
	for i, name := range list {
		documented[i] = "com.mews." + string(name)
	}
	sch := maps.Clone(anyType)
	sch["title"], sch["description"] = title, description
	sch["allOf"] = []node{{"properties": node{"type": node{"not": node{"enum": documented}}}}}
	return sch
}

func server(protocol, host, description string) node {
	return node{
		"host": "{host}", "protocol": protocol, "description": description,
		"variables": node{"host": node{"default": host, "description": "Host and port."}},
	}
}

func channels(s *samples) node {
	events, integrations := node{}, node{}
	for _, d := range schema.KnownDiscriminators() {
		events[string(d)] = cloudEventMessage(string(d), eventTexts[d], string(d), s.messages[string(d)])
	}
	events["OtherEvent"] = cloudEventMessage("OtherEvent", "An event of a type that is not documented yet.", "other-event", s.messages["event"])
	for _, a := range schema.KnownActions() {
		integrations[string(a)] = cloudEventMessage(string(a), actionTexts[a], string(a), s.messages[string(a)])
	}
	integrations["OtherIntegrationEvent"] = cloudEventMessage("OtherIntegrationEvent", "An event of a type that is not documented yet.", "other-integration-event", s.messages["integration-event"])
	return node{
		"webhooks": node{
			"address": "{path}", "servers": []node{ref("servers/webhooks")},
			"title":       "Webhooks",
			"description": "POST, with the parameter Token in the query. 202 says that every event is stored; Mews sends everything else again, three attempts in all.",
			"parameters":  node{"path": parameter("Path of the webhook URL, a setting.", "/webhooks/mews")},
			"messages": node{
				"GeneralWebhook":     webhookMessage("GeneralWebhook", "Changes in an enterprise.", "general-webhook", s.general),
				"IntegrationWebhook": webhookMessage("IntegrationWebhook", "A change of an integration.", "integration-webhook", s.integration),
			},
		},
		"events": node{
			"address": "{prefix}.events.{discriminator}.{enterpriseId}.{entityId}", "servers": []node{ref("servers/nats")},
			"title":       "Events",
			"description": "Stream MEWS_EVENTS: events of General webhooks, each a CloudEvent in structured mode. On request the stream MEWS_LATEST holds the newest message of each subject too.",
			"parameters": node{
				"prefix":        parameter("First token of every subject, a setting.", "mews"),
				"discriminator": parameter("Type of the event as Mews names it.", "").with("examples", schema.KnownDiscriminators()).with("location", "$message.payload#/data/Discriminator"),
				"enterpriseId":  parameter("Id of the enterprise; _ when it is missing or no subject token.", "").with("location", "$message.payload#/data/EnterpriseId"),
				"entityId":      parameter("Id of the entity; _ when it is missing or no subject token.", "").with("location", "$message.payload#/data/Value/Id"),
			},
			"messages": events,
		},
		"integrations": node{
			"address": "{prefix}.integrations.{action}.{integrationId}", "servers": []node{ref("servers/nats")},
			"title":       "Integrations",
			"description": "Stream MEWS_INTEGRATIONS: events of Integration webhooks, each a CloudEvent in structured mode. They carry credentials, which the bridge can seal: restrict who may read them.",
			"parameters": node{
				"prefix":        parameter("First token of every subject, a setting.", "mews"),
				"action":        parameter("Type of the event as Mews names it.", "").with("examples", schema.KnownActions()).with("location", "$message.payload#/data/Action"),
				"integrationId": parameter("Id of the integration; _ when it is missing or no subject token.", "").with("location", "$message.payload#/data/Data/Integration/Id"),
			},
			"messages": integrations,
		},
		"quarantine": node{
			"address": "{prefix}.quarantine.{reason}", "servers": []node{ref("servers/nats")},
			"title":       "Quarantine",
			"description": "Stream MEWS_QUARANTINE: what could not be understood. The payload is the raw bytes of one event or of a whole body; where the bridge seals credentials, an object with the one member SealedBody.",
			"parameters": node{
				"prefix": parameter("First token of every subject, a setting.", "mews"),
				"reason": parameter("Why the bytes are here.", "").with("enum", schema.Reasons()).with("location", "$message.header#/"+schema.HeaderReason),
			},
			"messages": node{"Quarantined": quarantineMessage(s.messages["quarantine"])},
		},
	}
}

func operations() node {
	return node{
		"receiveWebhook":     node{"action": "receive", "channel": ref("channels/webhooks"), "summary": "Take a webhook of Mews."},
		"publishEvent":       node{"action": "send", "channel": ref("channels/events"), "summary": "Store one event of a General webhook."},
		"publishIntegration": node{"action": "send", "channel": ref("channels/integrations"), "summary": "Store the event of an Integration webhook."},
		"quarantine":         node{"action": "send", "channel": ref("channels/quarantine"), "summary": "Store what could not be understood."},
	}
}

func webhookMessage(name, summary, payload, example string) node {
	return node{
		"name": name, "title": name, "summary": summary, "contentType": "application/json", "payload": ref("components/schemas/" + payload),
		"examples": []node{{"name": name, "payload": json.RawMessage(example)}},
	}
}

func cloudEventMessage(name, summary, payload string, example sample) node {
	return node{
		"name": name, "title": name, "summary": summary, "contentType": schema.ContentType,
		"headers": ref("components/schemas/headers"), "payload": ref("components/schemas/" + payload),
		"examples": []node{{"name": name, "headers": example.headers, "payload": example.payload}},
	}
}

func quarantineMessage(example sample) node {
	return node{
		"name": "Quarantined", "title": "Quarantined", "summary": "Bytes that could not be understood, with the reason in the headers.",
		"contentType": "application/octet-stream", "headers": ref("components/schemas/quarantine-headers"),
		"examples": []node{{"name": "Quarantined", "summary": "An event without a Discriminator.", "headers": example.headers, "payload": string(example.payload)}},
	}
}

func ref(path string) node { return node{"$ref": "#/" + path} }

func parameter(description, initial string) node {
	p := node{"description": description}
	if initial != "" {
		p["default"] = initial
	}
	return p
}
