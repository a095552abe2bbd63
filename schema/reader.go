package schema

import (
	"bytes"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// reader reads JSON tokens of src. What it returns are slices of src, and offsets are offsets into it.
type reader struct {
	src  []byte
	buf  bytes.Buffer // a bytes.Buffer because jsontext then reads src in place
	dec  jsontext.Decoder
	opts []jsontext.Options
}

func (r *reader) reset(src []byte) {
	r.src = src
	r.buf = *bytes.NewBuffer(src)
	r.dec.Reset(&r.buf, r.opts...)
}

// newReader returns a reader that holds src to valid UTF-8 and unique member names.
func newReader(src []byte) *reader {
	r := &reader{}
	r.reset(src)
	return r
}

// strictReaders keeps the tables of jsontext's decoder, which grow with the first bodies, for the next ones. What they remember of a
// body are names of members.
var strictReaders = sync.Pool{New: func() any { return newReader(nil) }}

// borrowReader is newReader for a reader that goes back with giveBack once nothing is read from it any more.
func borrowReader(src []byte) *reader {
	r := strictReaders.Get().(*reader)
	r.reset(src)
	return r
}

func (r *reader) giveBack() {
	r.reset(nil) // do not keep the body alive
	strictReaders.Put(r)
}

// newTolerantReader returns a reader that holds src to the grammar of JSON only.
func newTolerantReader(src []byte) *reader {
	r := &reader{opts: []jsontext.Options{jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)}}
	r.reset(src)
	return r
}

// peek returns the kind of what comes next; an error there is returned by the read that follows.
func (r *reader) peek() jsontext.Kind { return r.dec.PeekKind() }

// offset returns the offset just behind what was read last.
func (r *reader) offset() int { return int(r.dec.InputOffset()) }

// bracket reads one opening or closing bracket, which the caller has peeked.
func (r *reader) bracket() error {
	_, err := r.dec.ReadToken()
	return err
}

// value reads a whole value, or a member name, and returns its bytes and where they start.
func (r *reader) value() (raw []byte, at int, err error) {
	v, err := r.dec.ReadValue()
	if err != nil {
		return nil, 0, err
	}
	end := r.offset()
	at = end - len(v)
	return r.src[at:end:end], at, nil
}

// name reads a member name and returns it without quotes and escapes, and where its bytes start.
func (r *reader) name() (name []byte, at int, err error) {
	raw, at, err := r.value()
	if err != nil {
		return nil, 0, err
	}
	return unquote(raw), at, nil
}

// id reads an object, whose opening bracket the caller has peeked, and returns its bytes and the string
// that is its member Id, or nil.
func (r *reader) id() (raw, id []byte, err error) {
	if err := r.bracket(); err != nil {
		return nil, nil, err
	}
	start := r.offset() - 1
	for r.peek() != jsontext.KindEndObject {
		name, _, err := r.name()
		if err != nil {
			return nil, nil, err
		}
		kind := r.peek()
		value, _, err := r.value()
		if err != nil {
			return nil, nil, err
		}
		if kind == jsontext.KindString && id == nil && string(name) == "Id" {
			id = unquote(value)
		}
	}
	if err := r.bracket(); err != nil {
		return nil, nil, err
	}
	end := r.offset()
	return r.src[start:end:end], id, nil
}

// unquote returns the content of a JSON string: a part of raw itself when nothing in it is escaped.
func unquote(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	s, _ := jsontext.AppendUnquote(nil, raw) // raw has been read as a string: it cannot fail
	return s
}

// unquoteString returns the content of raw when it is a JSON string, otherwise "".
func unquoteString(raw []byte) string {
	if len(raw) == 0 || raw[0] != '"' {
		return ""
	}
	return string(unquote(raw))
}

// memberOf returns the value of the member of that name in raw, which has been read as JSON before; nil when
// raw is not an object or has no such member.
func memberOf(raw []byte, name string) []byte {
	r := newTolerantReader(raw)
	if r.peek() != jsontext.KindBeginObject || r.bracket() != nil {
		return nil
	}
	for r.peek() == jsontext.KindString {
		n, _, err := r.name()
		if err != nil {
			return nil
		}
		value, _, err := r.value()
		if err != nil {
			return nil
		}
		if string(n) == name {
			return value
		}
	}
	return nil
}
