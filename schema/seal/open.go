package seal

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nkeys"
)

// Opener opens what was sealed to the public keys of its seeds. It may be used concurrently.
type Opener struct{ pairs map[string]nkeys.KeyPair }

// NewOpener returns an Opener with the private curve keys (seeds, SX…): several while a key is being replaced. The error does not repeat them.
func NewOpener(seeds ...[]byte) (*Opener, error) {
	if len(seeds) == 0 {
		return nil, errors.New("no private curve key given")
	}
	o := &Opener{pairs: make(map[string]nkeys.KeyPair, len(seeds))}
	for i, seed := range seeds {
		pair, err := nkeys.FromCurveSeed(seed)
		if err != nil {
			return nil, fmt.Errorf("key %d is not a private curve key of NATS nkeys (SX and 56 more characters)", i+1)
		}
		public, err := pair.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		o.pairs[public] = pair
	}
	return o, nil
}

// Open returns the payload of a message as it was before it was sealed, or data itself when nothing in it is sealed; the members of an object that
// were sealed are now its last. The error is a *KeyError when another key is needed, wraps ErrNotSealed when a box is damaged, and else says
// that data is not JSON. No error repeats data.
func (o *Opener) Open(data []byte) ([]byte, error) {
	if text, ok := bodyBox(data); ok {
		return o.open(text)
	}
	if !bytes.Contains(data, []byte(Member)) {
		return data, nil
	}
	return rewrite(data, func(name string) bool { return name == Member }, func(member []byte) ([]byte, error) {
		text, ok := stringOf(member)
		if !ok {
			return nil, ErrNotSealed
		}
		members, err := o.open(text)
		if err != nil {
			return nil, err
		}
		members = bytes.TrimSpace(members)
		if value := jsontext.Value(members); len(members) < 2 || value.Kind() != jsontext.KindBeginObject || !value.IsValid(tolerant...) {
			return nil, ErrNotSealed
		}
		return bytes.TrimSpace(members[1 : len(members)-1]), nil
	})
}

// Sealed reports whether payload is a quarantined payload that was sealed whole.
func Sealed(payload []byte) bool {
	_, ok := bodyBox(payload)
	return ok
}

// bodyBox returns the box of a payload that was sealed whole.
func bodyBox(payload []byte) (text string, ok bool) {
	inner, found := bytes.CutPrefix(payload, []byte(`{"`+BodyMember+`":"`))
	if !found {
		return "", false
	}
	inner, found = bytes.CutSuffix(inner, []byte(`"}`))
	if !found {
		return "", false
	}
	_, ok = Recipient(string(inner))
	return string(inner), ok
}

// stringOf returns the value of the only member of an object when it is a string.
func stringOf(object []byte) (string, bool) {
	decoder := jsontext.NewDecoder(bytes.NewReader(object), tolerant...)
	for range 2 { // the bracket and the name
		if _, err := decoder.ReadToken(); err != nil {
			return "", false
		}
	}
	value, err := decoder.ReadToken()
	if err != nil || value.Kind() != jsontext.KindString {
		return "", false
	}
	text := value.String()
	return text, decoder.PeekKind() == jsontext.KindEndObject
}

func (o *Opener) open(text string) ([]byte, error) {
	recipient, sender, sealed, err := parts(text)
	if err != nil {
		return nil, err
	}
	pair := o.pairs[recipient]
	if pair == nil {
		return nil, &KeyError{recipient}
	}
	plain, err := pair.Open(sealed, sender)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotSealed, err)
	}
	return plain, nil
}
