package schema

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrNotDecodable is returned by Decode for what is not a message of the events or integrations stream: not one JSON object, or
// without an attribute that every such message has. A message of the quarantine stream holds raw bytes and is not for Decode.
var ErrNotDecodable = errors.New("not a CloudEvent of mewsbridge")

// What begins the attributes of every message.
const (
	typePrefix        = "com.mews."
	eventSource       = "/mews/enterprises/"
	integrationSource = "/mews/integrations/"
)

// Decoded is one message of the events or integrations stream. It can be printed: what may be a credential or personal data
// is shown as a placeholder.
type Decoded struct {
	// ID is the same for every copy of one event that comes of retries: "<delivery id>-<index>", the index counting from 0
	// within the webhook. It is also the header Nats-Msg-Id. An event that Mews reports twice has two ids.
	ID string
	// Type is "com.mews." and the Discriminator or Action.
	Type string
	// Source says for which enterprise and integration the event is, as a path.
	Source string
	// Subject is the Id of the entity or, in an integration event, of the integration; empty when it is missing or is not a
	// subject token. The typed value has it in any case.
	Subject string
	// Time is when the bridge received the attempt that stored the event, in UTC. Mews sends no time of the change itself: it lies
	// 2 to 5 minutes earlier, more when Mews had to retry (Mews, Webhooks FAQ).
	Time time.Time
	// Traceparent is the W3C trace context of the webhook, empty when there is none.
	Traceparent string
	// Value is what happened, by type.
	Value Value
	// Data is the event as Mews sent it, with members that Value does not know.
	Data Raw
}

// Value is what Decode makes of an event's data. Of a General webhook (https://docs.mews.com/connector-api/events/wh-general):
//
//	ServiceOrderUpdated, ResourceUpdated, MessageAdded, ResourceBlockUpdated,
//	CustomerAdded, CustomerUpdated, PaymentUpdated, UnknownEvent
//
// Of an Integration webhook (https://docs.mews.com/connector-api/events/wh-integration):
//
//	IntegrationCreated, IntegrationEnabled, IntegrationDisabled, IntegrationCanceled,
//	IntegrationReinstated, IntegrationDeleted, IntegrationAPIKeyCreated, UnknownIntegration
//
// Mews adds types without notice: a switch over Value needs a default.
type Value interface {
	decoded() // of the types above, which stand in a switch by value, not as pointers
}

// Change returns which entity the event is about, whatever its type; ok is false for an integration event.
func (d Decoded) Change() (c Change, ok bool) {
	v, ok := d.Value.(interface{ change() Change })
	if !ok {
		return Change{}, false
	}
	return v.change(), true
}

// Decode reads the data of a NATS message: of a message in the events or integrations stream. A type that is not documented is
// an UnknownEvent or UnknownIntegration, and no error. A member that is missing or is not what Mews documents leaves its field at
// the zero value; Decoded.Data has it as it came. What is sealed has to be opened before (package schema/seal).
//
// The error wraps ErrNotDecodable and repeats nothing of data. What is returned does not refer to data.
func Decode(data []byte) (Decoded, error) {
	attributes, ok := readObject(data)
	if !ok {
		return Decoded{}, fmt.Errorf("%w: not one JSON object", ErrNotDecodable)
	}
	if attributes.text("specversion") != "1.0" {
		return Decoded{}, fmt.Errorf("%w: specversion is not 1.0", ErrNotDecodable)
	}
	d := Decoded{
		ID:          attributes.text("id"),
		Type:        attributes.text("type"),
		Source:      attributes.text("source"),
		Subject:     attributes.text("subject"),
		Time:        attributes.time("time"),
		Traceparent: attributes.text("traceparent"),
		Data:        newRaw(attributes["data"]),
	}
	name, ours := strings.CutPrefix(d.Type, typePrefix)
	if d.ID == "" || !ours || d.Time.IsZero() {
		return Decoded{}, fmt.Errorf("%w: id, type or time is missing or not as mewsbridge writes it", ErrNotDecodable)
	}
	members, ok := readObject(attributes["data"])
	if !ok {
		return Decoded{}, fmt.Errorf("%w: data is not an object", ErrNotDecodable)
	}
	switch {
	case strings.HasPrefix(d.Source, eventSource):
		d.Value = eventValue(Discriminator(name), members)
	case strings.HasPrefix(d.Source, integrationSource):
		d.Value = integrationValue(Action(name), members.object("Data"))
	default:
		return Decoded{}, fmt.Errorf("%w: source is neither of an enterprise nor of an integration", ErrNotDecodable)
	}
	return d, nil
}

// eventValue makes the value of a General event of its data.
func eventValue(d Discriminator, data object) Value {
	c := Change{
		EnterpriseID:  data.text("EnterpriseId"),
		IntegrationID: data.text("IntegrationId"),
		ID:            data.object("Value").text("Id"),
		Entity:        newRaw(data["Entity"]),
	}
	switch d {
	case DiscriminatorServiceOrderUpdated:
		return ServiceOrderUpdated{c}
	case DiscriminatorResourceUpdated:
		return ResourceUpdated{c}
	case DiscriminatorMessageAdded:
		return MessageAdded{c}
	case DiscriminatorResourceBlockUpdated:
		return ResourceBlockUpdated{c}
	case DiscriminatorCustomerAdded:
		return CustomerAdded{c}
	case DiscriminatorCustomerUpdated:
		return CustomerUpdated{c}
	case DiscriminatorPaymentUpdated:
		return PaymentUpdated{c}
	default:
		return UnknownEvent{Change: c, Discriminator: d}
	}
}

// integrationValue makes the value of an integration event of the member Data of its data.
func integrationValue(a Action, data object) Value {
	i := Integration{ID: data.object("Integration").text("Id"), Name: data.object("Integration").text("Name")}
	switch a {
	case ActionIntegrationCreated:
		return IntegrationCreated{
			Integration: i,
			Enterprise:  data.named("Enterprise"),
			Service:     data.named("Service"),
			Requestor:   data.requestor("Requestor"),
			AccessToken: NewSecret(data.text("AccessToken")),
			CreatedUTC:  data.time("CreatedUtc"),
			IsEnabled:   string(data["IsEnabled"]) == "true",
		}
	case ActionIntegrationEnabled:
		return IntegrationEnabled{i}
	case ActionIntegrationDisabled:
		return IntegrationDisabled{i}
	case ActionIntegrationCanceled:
		return IntegrationCanceled{i}
	case ActionIntegrationReinstated:
		return IntegrationReinstated{i}
	case ActionIntegrationDeleted:
		return IntegrationDeleted{Integration: i, DeletedUTC: data.time("DeletedUtc")}
	case ActionIntegrationAPIKeyCreated:
		return IntegrationAPIKeyCreated{Integration: i, APIKey: NewSecret(data.text("ApiKey"))}
	default:
		return UnknownIntegration{Integration: i, Action: a}
	}
}

// object is a JSON object: the bytes of each member's value by the member's name, which is matched by case.
type object map[string][]byte

// readObject reads raw, which must be one object and nothing else.
func readObject(raw []byte) (members object, ok bool) {
	r := newReader(raw)
	if r.peek() != jsontext.KindBeginObject || r.bracket() != nil {
		return nil, false
	}
	members = object{}
	for r.peek() != jsontext.KindEndObject {
		name, _, err := r.name()
		if err != nil {
			return nil, false
		}
		value, _, err := r.value()
		if err != nil {
			return nil, false
		}
		members[string(name)] = value
	}
	if r.bracket() != nil || len(trimSpace(raw[r.offset():])) > 0 {
		return nil, false
	}
	return members, true
}

// text returns the string that is the member of that name, otherwise "".
func (o object) text(name string) string { return unquoteString(o[name]) }

// time returns the time that is the member of that name in RFC 3339, otherwise the zero time.
func (o object) time(name string) time.Time {
	t, err := time.Parse(time.RFC3339, o.text(name))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// object returns the object that is the member of that name, otherwise an empty one.
func (o object) object(name string) object {
	members, _ := readObject(o[name])
	return members
}

// named returns the thing that is the member of that name, or nil.
func (o object) named(name string) *Named {
	members, ok := readObject(o[name])
	if !ok {
		return nil
	}
	return &Named{ID: members.text("Id"), Name: members.text("Name")}
}

// requestor returns the person that is the member of that name, or nil.
func (o object) requestor(name string) *Requestor {
	members, ok := readObject(o[name])
	if !ok {
		return nil
	}
	return &Requestor{Name: NewSecret(members.text("Name")), Email: NewSecret(members.text("Email"))}
}
