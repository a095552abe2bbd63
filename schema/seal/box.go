package seal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nkeys"
)

// The names of the members that hold a box.
const (
	Member     = "Sealed"     // in an object: some of its members
	BodyMember = "SealedBody" // alone in a payload: the payload that it replaces
)

// ErrNotSealed is returned when a value that is named like a box has not its form, or its box was changed.
var ErrNotSealed = errors.New("the sealed value is damaged")

// KeyError is returned when no private key at hand opens a box.
type KeyError struct{ Key string } // the public key that the box is sealed to

func (e *KeyError) Error() string {
	return fmt.Sprintf("sealed to %s: the private key of it is needed", e.Key)
}

// GenerateKey makes a key pair: the seed (SX…), which opens and must stay private, and the public key (X…), which seals.
func GenerateKey() (seed []byte, public string, err error) {
	pair, err := nkeys.CreateCurveKeys()
	if err != nil {
		return nil, "", fmt.Errorf("make a curve key: %w", err)
	}
	if seed, err = pair.Seed(); err != nil {
		return nil, "", fmt.Errorf("make a curve key: %w", err)
	}
	if public, err = pair.PublicKey(); err != nil {
		return nil, "", fmt.Errorf("make a curve key: %w", err)
	}
	return seed, public, nil
}

// box returns the text that stands for plain, which only the holder of recipient's private key can read: not even the
// sender, whose key is thrown away.
func box(plain []byte, recipient string) (string, error) {
	pair, err := nkeys.CreateCurveKeys()
	if err != nil {
		return "", err
	}
	defer pair.Wipe()
	sender, err := pair.PublicKey()
	if err != nil {
		return "", err
	}
	sealed, err := pair.Seal(plain, recipient)
	if err != nil {
		return "", err
	}
	return recipient + "." + sender + "." + base64.StdEncoding.EncodeToString(sealed), nil
}

// Recipient returns the public key that text is sealed to; ok is false when text has not the form of a box.
func Recipient(text string) (key string, ok bool) {
	key, _, _, err := parts(text)
	return key, err == nil
}

func parts(text string) (recipient, sender string, sealed []byte, err error) {
	recipient, rest, _ := strings.Cut(text, ".")
	sender, code, found := strings.Cut(rest, ".")
	if !found || !isPublicKey(recipient) || !isPublicKey(sender) {
		return "", "", nil, ErrNotSealed
	}
	if sealed, err = base64.StdEncoding.DecodeString(code); err != nil {
		return "", "", nil, ErrNotSealed
	}
	return recipient, sender, sealed, nil
}

// isPublicKey reports whether text is a public curve key. nkeys alone overlooks what follows it.
func isPublicKey(text string) bool {
	const length = 56
	return len(text) == length && nkeys.IsValidPublicCurveKey(text)
}
