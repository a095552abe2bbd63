package schema

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// Parse reads the body of a webhook. Member names are matched as Mews documents them, by case, after their
// escapes are resolved.
//
//   - An object with an array Events is a General webhook, even when it has an Action too. An element that
//     cannot be understood, or that breaks the rules of UTF-8 or of unique member names, is quarantined by
//     itself.
//   - Otherwise an object with a string Action is an Integration webhook.
//   - Any other JSON, and a webhook beyond MaxEvents or MaxExpansion, is a Webhook of one quarantined message.
//
// The error is a *ParseError, and only when the body is not JSON: when it breaks the grammar, nests too deep,
// or breaks the rules of UTF-8 or of unique names outside the elements of Events.
func Parse(body []byte) (*Webhook, error) {
	r := borrowReader(body)
	defer r.giveBack()
	p := parser{body: body, r: r, members: make([]member, 0, usualMembers)}
	if p.document() != nil {
		// Rare: find out whether the fault stays within elements of Events.
		p = parser{body: body, r: newTolerantReader(body), strict: newReader(nil), names: map[string]struct{}{}}
		if err := p.document(); err != nil {
			return nil, newParseError(err, body)
		}
		if p.fault != nil {
			return nil, p.fault
		}
	}
	return p.webhook(), nil
}

// usualMembers is how many members Mews documents for the body of a General webhook.
const usualMembers = 3

// parser reads one body, once. With strict set, r is tolerant and the parser holds the elements of Events
// and everything around them to the strict rules one by one.
type parser struct {
	body   []byte
	r      *reader
	strict *reader
	names  map[string]struct{} // names of the body's own members; only with strict
	fault  *ParseError         // the first breach outside the elements of Events; only with strict

	members   []member // the body's own, without the array Events
	hasEvents bool
	count     int // elements of Events, of which at most MaxEvents are kept
	events    []Event
	ids       arena
}

// document reads the whole body.
func (p *parser) document() error {
	if p.r.peek() == jsontext.KindBeginObject {
		if err := p.object(); err != nil {
			return err
		}
	} else {
		value, at, err := p.r.value()
		if err != nil {
			return err
		}
		p.check(value, at)
	}
	return p.end()
}

// end makes sure that nothing but white space follows.
func (p *parser) end() error {
	if rest := trimLeftSpace(p.body[p.r.offset():]); len(rest) > 0 {
		return &ParseError{Offset: int64(len(p.body) - len(rest)), Reason: ReasonNotJSON}
	}
	return nil
}

func (p *parser) object() error {
	if err := p.r.bracket(); err != nil {
		return err
	}
	for p.r.peek() != jsontext.KindEndObject {
		if err := p.member(); err != nil {
			return err
		}
	}
	return p.r.bracket()
}

func (p *parser) member() error {
	name, start, err := p.r.name()
	if err != nil {
		return err
	}
	p.checkName(name, start)
	if string(name) == "Events" && p.r.peek() == jsontext.KindBeginArray {
		p.hasEvents = true
		return p.elements()
	}
	value, at, err := p.r.value()
	if err != nil {
		return err
	}
	p.check(value, at)
	end := at + len(value)
	p.members = append(p.members, member{name: name, raw: p.body[start:end:end], value: value, at: at})
	return nil
}

func (p *parser) elements() error {
	if err := p.r.bracket(); err != nil {
		return err
	}
	for p.r.peek() != jsontext.KindEndArray {
		if err := p.element(); err != nil {
			return err
		}
		p.count++
	}
	return p.r.bracket()
}

func (p *parser) element() error {
	if p.count >= MaxEvents { // what remains matters only for the grammar
		_, _, err := p.r.value()
		return err
	}
	if p.strict == nil {
		e, err := readEvent(p.r, &p.ids)
		if err != nil {
			return err
		}
		p.events = append(p.events, e)
		return nil
	}
	raw, _, err := p.r.value()
	if err != nil {
		return err
	}
	p.strict.reset(raw)
	e, err := readEvent(p.strict, &p.ids)
	if err != nil {
		e = Event{Raw: raw}
		e.Reason, e.Offset = strictFault(err)
	}
	p.events = append(p.events, e)
	return nil
}

// checkName holds the name of a member of the body to the strict rules.
func (p *parser) checkName(name []byte, at int) {
	if p.strict == nil || p.fault != nil {
		return
	}
	p.check(p.body[at:p.r.offset()], at)
	if _, seen := p.names[string(name)]; seen && p.fault == nil {
		p.fault = &ParseError{Offset: int64(at), Reason: ReasonDuplicateMember}
	}
	p.names[string(name)] = struct{}{}
}

// check holds a value outside the elements of Events to the strict rules.
func (p *parser) check(value []byte, at int) {
	if p.strict == nil || p.fault != nil {
		return
	}
	p.strict.reset(value)
	if _, _, err := p.strict.value(); err != nil {
		reason, offset := strictFault(err)
		p.fault = &ParseError{Offset: int64(at) + offset, Reason: reason}
	}
}

// find returns the body's member of that name, or nil.
func (p *parser) find(name string) *member {
	for i := range p.members {
		if string(p.members[i].name) == name {
			return &p.members[i]
		}
	}
	return nil
}

// webhook decides what the body is.
func (p *parser) webhook() *Webhook {
	w := p.kind()
	w.members = p.members
	return w
}

func (p *parser) kind() *Webhook {
	if p.hasEvents {
		return p.general()
	}
	if m := p.find("Action"); m != nil && m.value[0] == '"' {
		return p.integration(m)
	}
	return wholeBody(p.body, ReasonUnknownKind, 0)
}

func (p *parser) integration(action *member) *Webhook {
	name := unquoteString(action.value)
	if !IsToken(name) {
		return wholeBody(p.body, ReasonInvalidAction, action.at)
	}
	value := trimSpace(p.body)
	if at, ok := deeperThan(value, maxDepth-1); ok { // data is one level down
		return wholeBody(p.body, ReasonTooDeep, len(p.body)-len(trimLeftSpace(p.body))+at)
	}
	w := &Webhook{Kind: KindIntegration, Action: Action(name), body: value}
	if data := p.find("Data"); data != nil {
		w.IntegrationID = unquoteString(memberOf(memberOf(data.value, "Integration"), "Id"))
	}
	return w
}

func trimLeftSpace(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n") }

func trimSpace(b []byte) []byte { return bytes.Trim(b, " \t\r\n") }

// deeperThan reports whether raw, which has been read as JSON before, nests deeper than limit, and the offset
// of the first bracket that does.
func deeperThan(raw []byte, limit int) (at int, deeper bool) {
	if len(raw) < 2*limit {
		return 0, false
	}
	depth, inString := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return i, true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return 0, false
}
