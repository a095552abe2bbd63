package bridge

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"strings"
)

// Token is a secret that Mews sends in the query string, and the name under which people know it. Of the secret only the digest is
// kept, so that no log, error or panic can show it.
type Token struct {
	name   string
	digest [sha256.Size]byte
}

// NewToken returns the token of that name for a secret. The name is public: it appears in metrics and errors.
func NewToken(name, secret string) Token {
	return Token{name: name, digest: sha256.Sum256([]byte(secret))}
}

// String returns a placeholder.
func (Token) String() string { return "[secret]" }

// GoString returns a placeholder.
func (Token) GoString() string { return "[secret]" }

// Format writes a placeholder for every verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[secret]")) }

// MarshalText returns a placeholder.
func (Token) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// tokenParameter returns the value of the one parameter named token, by any case.
func tokenParameter(rawQuery string) (secret string, ok bool) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return "", false
	}
	found := 0
	for name, value := range values {
		if strings.EqualFold(name, "token") {
			found += len(value)
			secret = value[0]
		}
	}
	return secret, found == 1 && secret != ""
}
