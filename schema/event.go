package schema

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// readEvent reads one element of Events. An element that cannot be understood is an Event with a Reason; an
// error says that r cannot read it.
func readEvent(r *reader, ids *arena) (Event, error) {
	if r.peek() != jsontext.KindBeginObject {
		raw, _, err := r.value()
		return Event{Raw: raw, Reason: ReasonNotObject}, err
	}
	if err := r.bracket(); err != nil {
		return Event{}, err
	}
	start := r.offset() - 1
	e := Event{Reason: ReasonNoDiscriminator}
	for r.peek() != jsontext.KindEndObject {
		if err := readEventMember(r, &e, start, ids); err != nil {
			return Event{}, err
		}
	}
	if err := r.bracket(); err != nil {
		return Event{}, err
	}
	end := r.offset()
	e.Raw = r.src[start:end:end]
	return e, nil
}

func readEventMember(r *reader, e *Event, start int, ids *arena) error {
	name, _, err := r.name()
	if err != nil {
		return err
	}
	e.names |= nameBit(name)
	kind := r.peek()
	switch string(name) {
	case "Value":
		if kind == jsontext.KindBeginObject {
			_, id, err := r.id()
			e.EntityID = ids.add(id)
			return err
		}
	case "Discriminator":
		raw, at, err := r.value()
		if err != nil {
			return err
		}
		e.setDiscriminator(kind, raw, at-start)
		return nil
	case "Entity":
		e.hasEntity = true
	}
	_, _, err = r.value()
	return err
}

func (e *Event) setDiscriminator(kind jsontext.Kind, raw []byte, at int) {
	if kind == jsontext.KindString {
		if d := unquote(raw); IsToken(d) {
			e.Discriminator, e.Reason = discriminatorOf(d), ""
			return
		}
	}
	e.Reason, e.Offset = ReasonInvalidDiscriminator, int64(at)
}

// nameBit maps a member's name to one of 64 bits (FNV-1a), so that two objects without a common bit need no
// comparison of their names.
func nameBit(name []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range name {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return 1 << ((h ^ h>>32) % 64)
}

// arena keeps many small strings in few allocations. Strings stay valid when it grows.
type arena struct{ b strings.Builder }

func (a *arena) add(s []byte) string {
	start := a.b.Len()
	a.b.Write(s)
	return a.b.String()[start:]
}
