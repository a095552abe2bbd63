package schema

import (
	"strconv"
	"strings"
	"time"
)

// Messages returns what to publish for the webhook, in the order of its events, each quarantined element in its
// place; the message at index i has the ID "<delivery>-<i>". Delivery, Endpoint and Prefix of the receipt
// must be subject tokens; a Traceparent that is not of the W3C form is left out. The same webhook and
// receipt always give the same messages, so that a retry is known by its ids.
//
// Messages share memory with each other and, when quarantined, with the body: nobody may change their Data.
func (w *Webhook) Messages(r Receipt) []Message {
	r.Traceparent = validTraceparent(r.Traceparent)
	switch w.Kind {
	case KindEvent:
		return w.eventMessages(r)
	case KindIntegration:
		return []Message{w.integrationMessage(r)}
	default:
		return []Message{QuarantineBody(w.body, w.Reason, w.Offset, r)}
	}
}

// QuarantineBody returns the one message for a body that Parse failed on, with the reason and offset of the
// ParseError. Its ID is "<delivery>-0". Its Data is body itself.
func QuarantineBody(body []byte, reason Reason, offset int64, r Receipt) Message {
	r.Traceparent = validTraceparent(r.Traceparent)
	b := newBuilder(r)
	return b.quarantine(0, body, reason, offset)
}

func (w *Webhook) eventMessages(r Receipt) []Message {
	if len(w.Events) == 0 {
		return nil
	}
	b := newBuilder(r)
	enterprise, integration := tokenOr(w.EnterpriseID), tokenOr(w.IntegrationID)
	b.source = `","source":"/mews/enterprises/` + enterprise + "/integrations/" + integration
	b.grow(w, enterprise)
	messages := make([]Message, 0, len(w.Events))
	for i := range w.Events {
		e := &w.Events[i]
		if e.Quarantined() {
			messages = append(messages, b.quarantine(i, e.Raw, e.Reason, e.Offset))
			continue
		}
		entity := tokenOr(e.EntityID)
		m := b.message(KindEvent, i, string(e.Discriminator), enterprise, entity)
		start := len(b.data)
		b.attributes(m.ID, string(e.Discriminator), entity, IsToken(e.EntityID))
		w.appendData(b, e)
		m.Data = b.finish(start)
		messages = append(messages, m)
	}
	return messages
}

// appendData appends the event with the shared members in front of its own. Its own are never none: an event
// that is published has a Discriminator.
func (w *Webhook) appendData(b *builder, e *Event) {
	b.data = append(b.data, '{')
	if len(e.hidden) == 0 {
		b.data = append(b.data, w.sharedBytes...)
	} else {
		hidden := e.hidden
		for i, m := range w.shared {
			if len(hidden) > 0 && hidden[0] == i {
				hidden = hidden[1:]
				continue
			}
			b.data = append(append(b.data, m.raw...), ',')
		}
	}
	if e.entity != nil {
		b.data = append(b.data, `"Entity":`...)
		b.data = append(append(b.data, e.entity...), ',')
	}
	b.data = append(b.data, e.Raw[1:]...)
}

func (w *Webhook) integrationMessage(r Receipt) Message {
	b := newBuilder(r)
	id := tokenOr(w.IntegrationID)
	b.source = `","source":"/mews/integrations/` + id
	b.data = make([]byte, 0, len(w.body)+maxAttributes)
	m := b.message(KindIntegration, 0, string(w.Action), id, "")
	b.attributes(m.ID, string(w.Action), id, IsToken(w.IntegrationID))
	b.data = append(b.data, w.body...)
	m.Data = b.finish(0)
	return m
}

// maxAttributes bounds the bytes of a message around its data, given tokens of the greatest length.
const maxAttributes = 1280

// builder writes the messages of one webhook: all data into one array, all subjects and ids into one string.
type builder struct {
	receipt Receipt
	source  string // the attribute source from the quote before it on, without its closing quote
	time    string
	data    []byte
	words   arena
}

func newBuilder(r Receipt) *builder {
	return &builder{receipt: r, time: r.Received.UTC().Format(time.RFC3339Nano)}
}

// grow makes room for all messages of w, so that in the ordinary case nothing is copied.
func (b *builder) grow(w *Webhook, enterprise string) {
	r := &b.receipt
	id := len(r.Delivery) + len("-16384")
	data, words := 0, 0
	fixed := len(attributesText) + id + len(b.source) + len(b.time) + len(r.Traceparent) + len(w.sharedBytes)
	subject := len(r.Prefix) + len(".quarantine.") + len(enterprise) + 2
	for i := range w.Events {
		e := &w.Events[i]
		if e.Quarantined() {
			words += id + subject + len(e.Reason)
			continue
		}
		data += fixed + len(e.Discriminator) + min(len(e.EntityID), MaxToken) + len(e.entity) + len(e.Raw)
		words += id + subject + len(e.Discriminator) + max(1, min(len(e.EntityID), MaxToken))
	}
	b.data = make([]byte, 0, data)
	b.words.b.Grow(words)
}

// attributesText is as long as all that attributes, appendData and finish write besides what varies.
const attributesText = `{"specversion":"1.0","id":"` + `","type":"com.mews.` + `","subject":"` + `","time":"` +
	`","datacontenttype":"application/json` + `","traceparent":"` + `","data":` + `{"Entity":,}`

// attributes appends a CloudEvent up to its data.
func (b *builder) attributes(id, kind, subject string, hasSubject bool) {
	d := append(b.data, `{"specversion":"1.0","id":"`...)
	d = append(d, id...)
	d = append(d, b.source...)
	d = append(d, `","type":"com.mews.`...)
	d = append(d, kind...)
	if hasSubject {
		d = append(d, `","subject":"`...)
		d = append(d, subject...)
	}
	d = append(d, `","time":"`...)
	d = append(d, b.time...)
	d = append(d, `","datacontenttype":"application/json`...)
	if b.receipt.Traceparent != "" {
		d = append(d, `","traceparent":"`...)
		d = append(d, b.receipt.Traceparent...)
	}
	b.data = append(d, `","data":`...)
}

// finish closes the CloudEvent that starts at start and returns its bytes.
func (b *builder) finish(start int) []byte {
	b.data = append(b.data, '}')
	return b.data[start:len(b.data):len(b.data)]
}

// message returns a message without data. Its subject ends in the tokens that are not empty.
func (b *builder) message(kind Kind, index int, tokens ...string) Message {
	return Message{
		Kind:        kind,
		Subject:     b.words.subject(b.receipt.Prefix, kind, tokens),
		ID:          b.words.id(b.receipt.Delivery, index),
		Traceparent: b.receipt.Traceparent,
	}
}

func (b *builder) quarantine(index int, raw []byte, reason Reason, offset int64) Message {
	m := b.message(KindQuarantine, index, string(reason))
	m.Data = raw
	m.Quarantine = &Quarantine{
		Reason:   reason,
		Offset:   offset,
		Endpoint: b.receipt.Endpoint,
		Received: b.receipt.Received.UTC(),
	}
	return m
}

func (a *arena) subject(prefix string, kind Kind, tokens []string) string {
	start := a.b.Len()
	a.b.WriteString(prefix)
	a.b.WriteByte('.')
	a.b.WriteString(kind.String())
	for _, t := range tokens {
		if t != "" {
			a.b.WriteByte('.')
			a.b.WriteString(t)
		}
	}
	return a.b.String()[start:]
}

func (a *arena) id(delivery DeliveryID, index int) string {
	var digits [20]byte
	start := a.b.Len()
	a.b.WriteString(string(delivery))
	a.b.WriteByte('-')
	a.b.Write(strconv.AppendInt(digits[:0], int64(index), 10))
	return a.b.String()[start:]
}

// validTraceparent returns s when it has the W3C form version-traceid-parentid-flags, otherwise "". What a
// client sends as trace context then cannot break the message.
func validTraceparent(s string) string {
	const form = "00-00000000000000000000000000000000-0000000000000000-00"
	if len(s) != len(form) {
		return ""
	}
	for i := range len(s) {
		if dash := form[i] == '-'; dash != (s[i] == '-') || !dash && !strings.Contains("0123456789abcdef", s[i:i+1]) {
			return ""
		}
	}
	return s
}
