package seal

import (
	"bytes"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

var errNotJSON = errors.New("the message is not JSON")

// tolerant has names and text of any kind read: it is not for this package to refuse them.
var tolerant = []jsontext.Options{jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)}

// rewriter copies JSON and takes members out of objects on the way. Objects are read once, whatever their depth.
type rewriter struct {
	src     []byte
	dec     *jsontext.Decoder
	out     []byte
	copied  int // bytes of src that are in out or have been left out
	take    func(name string) bool
	replace func(members []byte) ([]byte, error)
}

// rewrite returns src with the members that take picks, unless they are null, gone from their objects, and at the end of each such object
// what replace makes of them: it gets them as an object and returns one or more members without brackets, or none. All other bytes are kept.
func rewrite(src []byte, take func(string) bool, replace func([]byte) ([]byte, error)) ([]byte, error) {
	r := &rewriter{src: src, dec: jsontext.NewDecoder(bytes.NewBuffer(src), tolerant...), take: take, replace: replace}
	if err := r.value(); err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(src[r.offset():])) > 0 {
		return nil, errNotJSON
	}
	if r.copied == 0 {
		return src, nil
	}
	return append(r.out, src[r.copied:]...), nil
}

// offset returns where in src the reading is.
func (r *rewriter) offset() int { return int(r.dec.InputOffset()) }

// copyTo copies src up to end, unless it has gone beyond.
func (r *rewriter) copyTo(end int) {
	if end > r.copied {
		r.out = append(r.out, r.src[r.copied:end]...)
		r.copied = end
	}
}

func (r *rewriter) value() error {
	switch r.dec.PeekKind() {
	case jsontext.KindBeginObject:
		return r.object()
	case jsontext.KindBeginArray:
		return r.array()
	default:
		return r.skip()
	}
}

func (r *rewriter) skip() error {
	if err := r.dec.SkipValue(); err != nil {
		return errNotJSON
	}
	return nil
}

func (r *rewriter) bracket() error {
	if _, err := r.dec.ReadToken(); err != nil {
		return errNotJSON
	}
	return nil
}

func (r *rewriter) array() error {
	if err := r.bracket(); err != nil {
		return err
	}
	for r.dec.PeekKind() != jsontext.KindEndArray {
		if err := r.value(); err != nil {
			return err
		}
	}
	return r.bracket()
}

func (r *rewriter) object() error {
	if err := r.bracket(); err != nil {
		return err
	}
	var taken []byte
	kept := r.offset() // the end of what stays: the bracket, or the last member
	anyKept := false
	for r.dec.PeekKind() != jsontext.KindEndObject {
		name, start, err := r.name()
		if err != nil {
			return err
		}
		if len(taken) > 0 && !anyKept && r.copied < start {
			r.copied = start // without the comma behind what was taken
		}
		if !r.take(name) || r.dec.PeekKind() == jsontext.KindNull {
			if err := r.value(); err != nil {
				return err
			}
			kept, anyKept = r.offset(), true
			continue
		}
		if err := r.skip(); err != nil {
			return err
		}
		r.copyTo(kept)
		taken = append(append(taken, separator(taken)), r.src[start:r.offset()]...)
		r.copied = r.offset()
		kept = r.copied
	}
	if len(taken) > 0 {
		members, err := r.replace(append(taken, '}'))
		if err != nil {
			return err
		}
		r.copyTo(kept)
		if anyKept && len(members) > 0 {
			r.out = append(r.out, ',')
		}
		r.out = append(r.out, members...)
	}
	return r.bracket()
}

// separator returns what stands before the next member that is added to taken.
func separator(taken []byte) byte {
	if len(taken) == 0 {
		return '{'
	}
	return ','
}

// name reads the name of a member and returns it, without quotes and escapes, and where its bytes start.
func (r *rewriter) name() (name string, start int, err error) {
	raw, err := r.dec.ReadValue()
	if err != nil || raw.Kind() != jsontext.KindString {
		return "", 0, errNotJSON
	}
	text, _ := jsontext.AppendUnquote(nil, raw) // it has been read as a string
	return string(text), r.offset() - len(raw), nil
}

// dataOf returns where in src, a CloudEvent, the value of its member data is.
func dataOf(src []byte) (start, end int, err error) {
	r := &rewriter{src: src, dec: jsontext.NewDecoder(bytes.NewBuffer(src), tolerant...)}
	if r.dec.PeekKind() != jsontext.KindBeginObject {
		return 0, 0, errNotJSON
	}
	if err := r.bracket(); err != nil {
		return 0, 0, err
	}
	for r.dec.PeekKind() != jsontext.KindEndObject {
		name, _, err := r.name()
		if err != nil {
			return 0, 0, err
		}
		value, err := r.dec.ReadValue()
		if err != nil {
			return 0, 0, errNotJSON
		}
		if name == "data" {
			end := r.offset()
			return end - len(value), end, nil
		}
	}
	return 0, 0, errors.New("the message has no data")
}
