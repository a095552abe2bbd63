package schema

import "github.com/go-json-experiment/json/jsontext"

// general makes the webhook of a body that has an array Events.
func (p *parser) general() *Webhook {
	if p.count > MaxEvents {
		return wholeBody(p.body, ReasonTooManyEvents, 0)
	}
	w := &Webhook{Kind: KindEvent, Events: p.events, body: p.body}
	for i := range w.Events {
		if w.Events[i].Quarantined() {
			w.quarantined++
		}
	}
	entities := p.share(w)
	for _, m := range w.shared {
		// Its place is one level down in the body and two in a message.
		if at, ok := deeperThan(m.value, maxDepth-2); ok {
			return wholeBody(p.body, ReasonTooDeep, m.at+at)
		}
	}
	w.hideShared()
	if entities != nil && p.find("Entity") == nil {
		w.attachEntities(entities)
	}
	if w.expansion() > MaxExpansion {
		return wholeBody(p.body, ReasonTooLarge, 0)
	}
	return w
}

// share sets what the events have in common and returns the value of Entities, which they do not get.
func (p *parser) share(w *Webhook) (entities []byte) {
	size := 0
	w.shared = make([]member, 0, len(p.members))
	for _, m := range p.members {
		switch string(m.name) {
		case "Entities":
			entities = m.value
			continue
		case "EnterpriseId":
			w.EnterpriseID = unquoteString(m.value)
		case "IntegrationId":
			w.IntegrationID = unquoteString(m.value)
		}
		w.shared = append(w.shared, m)
		size += len(m.raw) + 1
	}
	w.sharedBytes = make([]byte, 0, size)
	for _, m := range w.shared {
		w.sharedBytes = append(append(w.sharedBytes, m.raw...), ',')
	}
	return entities
}

// hideShared finds the shared members that an event has itself: there the event's own wins.
func (w *Webhook) hideShared() {
	var bits uint64
	for _, m := range w.shared {
		bits |= nameBit(m.name)
	}
	var index map[string]int
	for i := range w.Events {
		e := &w.Events[i]
		if e.Quarantined() || e.names&bits == 0 {
			continue
		}
		if index == nil {
			index = make(map[string]int, len(w.shared))
			for j, m := range w.shared {
				index[string(m.name)] = j
			}
		}
		e.hidden = hiddenBy(e.Raw, index, len(w.shared))
	}
}

// hiddenBy returns the positions, ascending, of the names in index that the object raw has too.
func hiddenBy(raw []byte, index map[string]int, n int) []int {
	var found []bool
	r := newTolerantReader(raw)
	if r.bracket() != nil {
		return nil
	}
	count := 0
	for r.peek() == jsontext.KindString {
		name, _, err := r.name()
		if err != nil {
			return nil
		}
		if j, ok := index[string(name)]; ok {
			if found == nil {
				found = make([]bool, n)
			}
			found[j] = true
			count++
		}
		if _, _, err := r.value(); err != nil {
			return nil
		}
	}
	hidden := make([]int, 0, count)
	for j := range found {
		if found[j] {
			hidden = append(hidden, j)
		}
	}
	return hidden
}

// attachEntities gives each event that has no Entity of its own the entity with its Id.
func (w *Webhook) attachEntities(entities []byte) {
	wanted := make(map[string][]byte, len(w.Events))
	for i := range w.Events {
		if e := &w.Events[i]; e.wantsEntity() {
			wanted[e.EntityID] = nil
		}
	}
	if len(wanted) == 0 || findEntities(entities, wanted) != nil {
		return
	}
	for i := range w.Events {
		if e := &w.Events[i]; e.wantsEntity() {
			e.entity = wanted[e.EntityID]
		}
	}
}

func (e *Event) wantsEntity() bool { return !e.Quarantined() && !e.hasEntity && e.EntityID != "" }

// findEntities sets, for each Id in wanted, the first object with that Id in any array of the object raw.
func findEntities(raw []byte, wanted map[string][]byte) error {
	r := newTolerantReader(raw)
	if r.peek() != jsontext.KindBeginObject {
		return nil
	}
	if err := r.bracket(); err != nil {
		return err
	}
	for r.peek() != jsontext.KindEndObject {
		if _, _, err := r.name(); err != nil {
			return err
		}
		if err := findInArray(r, wanted); err != nil {
			return err
		}
	}
	return r.bracket()
}

func findInArray(r *reader, wanted map[string][]byte) error {
	if r.peek() != jsontext.KindBeginArray {
		_, _, err := r.value()
		return err
	}
	if err := r.bracket(); err != nil {
		return err
	}
	for r.peek() != jsontext.KindEndArray {
		if r.peek() != jsontext.KindBeginObject {
			if _, _, err := r.value(); err != nil {
				return err
			}
			continue
		}
		raw, id, err := r.id()
		if err != nil {
			return err
		}
		if first, ok := wanted[string(id)]; ok && first == nil {
			wanted[string(id)] = raw
		}
	}
	return r.bracket()
}

// expansion returns an upper bound of the bytes of all messages.
func (w *Webhook) expansion() int64 {
	var n int64
	for i := range w.Events {
		n += int64(MaxMessageOverhead + len(w.Events[i].Raw))
		if !w.Events[i].Quarantined() {
			n += int64(len(w.sharedBytes) + len(w.Events[i].entity))
		}
	}
	return n
}
