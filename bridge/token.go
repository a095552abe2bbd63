package bridge

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Token is a secret that Mews sends in the query string. Only its digest is kept, so that no log, error or panic can
// show it.
type Token struct {
	digest [sha256.Size]byte
}

// NewToken returns the token for a secret.
func NewToken(secret string) Token { return Token{digest: sha256.Sum256([]byte(secret))} }

// String returns a placeholder.
func (Token) String() string { return "[secret]" }

// GoString returns a placeholder.
func (Token) GoString() string { return "[secret]" }

// Format writes a placeholder for every verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[secret]")) }

// MarshalText returns a placeholder.
func (Token) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// authenticated reports whether the query holds exactly one parameter token, by any case, and it is a live one. Every
// live token is compared, in constant time: the answer's time tells nothing of any.
func authenticated(r *http.Request, live []Token) bool {
	secret, ok := tokenParameter(r.URL.RawQuery)
	digest := sha256.Sum256([]byte(secret))
	match := 0
	for i := range live {
		match |= subtle.ConstantTimeCompare(digest[:], live[i].digest[:])
	}
	return ok && match == 1
}

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
