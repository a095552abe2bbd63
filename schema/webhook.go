package schema

// Webhook is a body of Mews, parsed. It refers to the bytes of the body, which must not change while the
// Webhook or a Message of it is in use. It is not changed once parsed, so any number of goroutines may use it.
type Webhook struct {
	// Kind is KindEvent for a General webhook, KindIntegration for an Integration webhook, and
	// KindQuarantine when the whole body goes to quarantine.
	Kind Kind

	// EnterpriseID and IntegrationID are what Mews sent, whether or not it is a subject token; empty when
	// it is missing or not a string. IntegrationID of an Integration webhook is Data.Integration.Id.
	EnterpriseID  string
	IntegrationID string

	Events []Event // of a General webhook: the elements of Events, in order
	Action Action  // of an Integration webhook
	Reason Reason  // of a whole body in quarantine
	Offset int64   // of a whole body in quarantine: byte offset of the fault

	body        []byte
	members     []member // the body's own, without the array Events
	shared      []member // of a General webhook: the members that each event gets
	sharedBytes []byte   // shared as it stands in data, each member followed by a comma
	quarantined int      // how many of Messages are quarantined
}

// Event is one element of the Events of a General webhook.
type Event struct {
	Raw           []byte        // the element as Mews sent it: a part of the body
	Discriminator Discriminator // a subject token; empty when the element is quarantined
	EntityID      string        // Value.Id, token or not; empty when it is missing or not a string

	Reason Reason // why the element is quarantined; empty when it is published
	Offset int64  // byte offset of the fault within Raw

	entity    []byte // the entity's object in Entities, when data gets it
	hasEntity bool   // whether the element has a member Entity of its own
	names     uint64 // a bit for the hash of each member's name
	hidden    []int  // which of the shared members the event has itself, ascending
}

// Quarantined reports whether the element goes to quarantine rather than to its stream.
func (e *Event) Quarantined() bool { return e.Reason != "" }

// member is one member of an object.
type member struct {
	name  []byte // without quotes and escapes
	raw   []byte // name, colon and value as they stand
	value []byte
	at    int // offset of value in the body
}

// Published returns how many of Messages go to the streams of events and integrations.
func (w *Webhook) Published() int {
	switch w.Kind {
	case KindEvent:
		return len(w.Events) - w.quarantined
	case KindIntegration:
		return 1
	default:
		return 0
	}
}

// Quarantined returns how many of Messages go to quarantine.
func (w *Webhook) Quarantined() int { return w.quarantined }

// UnknownMembers returns the names of the body's own members that Mews does not document for a webhook of its kind, in order; all of them
// when the kind itself is unknown. They are as Mews sent them and can be any text.
func (w *Webhook) UnknownMembers() []string {
	var unknown []string
	for _, m := range w.members {
		if !w.documents(string(m.name)) {
			unknown = append(unknown, string(m.name))
		}
	}
	return unknown
}

func (w *Webhook) documents(member string) bool {
	switch w.Kind {
	case KindEvent:
		return member == "EnterpriseId" || member == "IntegrationId" || member == "Entities"
	case KindIntegration:
		return member == "Action" || member == "Data"
	default:
		return false
	}
}

// wholeBody returns a webhook that is one quarantined message.
func wholeBody(body []byte, reason Reason, offset int) *Webhook {
	return &Webhook{Kind: KindQuarantine, Reason: reason, Offset: int64(offset), body: body, quarantined: 1}
}
