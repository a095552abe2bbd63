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

// tokenParameter returns the value of the one parameter named token, by any case. It takes what url.ParseQuery takes, which
// would make a map for every webhook.
func tokenParameter(rawQuery string) (secret string, ok bool) {
	found := 0
	for parameter := range strings.SplitSeq(rawQuery, "&") {
		escapedName, escapedValue, _ := strings.Cut(parameter, "=")
		name, err := url.QueryUnescape(escapedName)
		if err != nil || strings.Contains(parameter, ";") {
			return "", false
		}
		value, err := url.QueryUnescape(escapedValue)
		if err != nil {
			return "", false
		}
		if strings.EqualFold(name, "token") {
			found++
			secret = value
		}
	}
	return secret, found == 1 && secret != ""
}
