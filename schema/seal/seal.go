package seal

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mewsbridge/schema"
)

// Sealer seals messages to one public key. It may be used concurrently.
type Sealer struct{ key string }

// NewSealer returns a Sealer to a public curve key (X…). The error does not repeat what was given: it may be a seed.
func NewSealer(publicKey string) (*Sealer, error) {
	switch {
	case isPublicKey(publicKey):
		return &Sealer{publicKey}, nil
	case strings.HasPrefix(publicKey, "SX"):
		return nil, errors.New("this is a seed, which is private: give the public curve key (X…) of it, and think of the seed as known")
	default:
		return nil, errors.New("not a public curve key of NATS nkeys (X and 55 more characters)")
	}
}

// Key returns the public key.
func (s *Sealer) Key() string { return s.key }

// Messages returns msgs with every integration event and everything in quarantine sealed; the others are the same
// messages. What it is given is not changed. When it fails, nothing may be published in the clear instead.
func (s *Sealer) Messages(msgs []schema.Message) ([]schema.Message, error) {
	if !slices.ContainsFunc(msgs, concerned) {
		return msgs, nil
	}
	sealed := slices.Clone(msgs)
	for i := range sealed {
		m := &sealed[i]
		var err error
		switch m.Kind {
		case schema.KindIntegration:
			m.Data, err = s.event(m.Data)
		case schema.KindQuarantine:
			m.Data, err = s.body(m.Data)
		}
		if err != nil {
			return nil, fmt.Errorf("seal %s: %w", m.ID, err)
		}
	}
	return sealed, nil
}

func concerned(m schema.Message) bool { return m.Kind != schema.KindEvent }

// maxGrowth is what sealing adds at most besides a third of the size: maxBoxes of keys, names and ends.
const (
	maxGrowth = 4096
	maxBoxes  = 16
)

// MaxSize returns how large a message of n bytes can be once it is sealed.
func MaxSize(n int64) int64 { return n + n/3 + maxGrowth }

// MaxPlain returns how large a message can be that fits in n bytes once it is sealed, 0 when none does.
func MaxPlain(n int64) int64 { return max(0, (n-maxGrowth)/4*3) }

// event seals the credentials in the data of a CloudEvent. Data with so many that their boxes would outgrow MaxSize is
// one box.
func (s *Sealer) event(src []byte) ([]byte, error) {
	start, end, err := dataOf(src)
	if err != nil {
		return nil, err
	}
	data, err := s.members(src[start:end])
	if errors.Is(err, errTooManyBoxes) {
		data, err = s.envelope(Member, src[start:end])
	}
	if err != nil {
		return nil, err
	}
	return slices.Concat(src[:start], data, src[end:]), nil
}

// members seals the credentials in src, each object's in one box.
func (s *Sealer) members(src []byte) ([]byte, error) {
	boxes := 0
	return rewrite(src, secret, func(members []byte) ([]byte, error) {
		if boxes++; boxes > maxBoxes {
			return nil, errTooManyBoxes
		}
		return s.member(Member, members)
	})
}

var errTooManyBoxes = errors.New("too many objects to seal one by one")

func (s *Sealer) body(payload []byte) ([]byte, error) { return s.envelope(BodyMember, payload) }

// envelope returns an object whose only member is a box of plain.
func (s *Sealer) envelope(name string, plain []byte) ([]byte, error) {
	member, err := s.member(name, plain)
	if err != nil {
		return nil, err
	}
	return slices.Concat([]byte("{"), member, []byte("}")), nil
}

func (s *Sealer) member(name string, plain []byte) ([]byte, error) {
	text, err := box(plain, s.key)
	if err != nil {
		return nil, err
	}
	// Neither name nor text holds anything that JSON escapes.
	return []byte(strconv.Quote(name) + `:"` + text + `"`), nil
}

// secret reports whether the member of that name is sealed. What Mews calls Sealed itself is sealed too, so that
// every member of that name in a stored message is ours.
func secret(name string) bool {
	return strings.EqualFold(name, "AccessToken") || strings.EqualFold(name, "ApiKey") || strings.EqualFold(name, "Requestor") || name == Member
}
