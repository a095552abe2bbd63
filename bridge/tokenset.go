package bridge

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// TokenSet is the tokens that are accepted at an endpoint. It can be replaced while webhooks arrive. Its methods may be called
// concurrently.
type TokenSet struct {
	live    atomic.Pointer[[]*liveToken]
	replace sync.Mutex // held by Replace, so that no two lose each other's last uses
}

// liveToken is a token and when it was last sent, in nanoseconds of Unix time; 0 is never.
type liveToken struct {
	Token
	lastUsed atomic.Int64
}

// NewTokenSet returns a set of tokens, or an error as Replace does.
func NewTokenSet(tokens ...Token) (*TokenSet, error) {
	s := &TokenSet{}
	s.live.Store(&[]*liveToken{})
	return s, s.Replace(tokens...)
}

// Replace puts tokens in place of those of the set, all at once: each request sees the old ones or the new ones. A token that
// stays, by name and secret, keeps its last use. There must be a token, no two of one name and none twice; otherwise the
// set stays as it is, and the error names the tokens at fault.
func (s *TokenSet) Replace(tokens ...Token) error {
	if err := validateTokens(tokens); err != nil {
		return err
	}
	s.replace.Lock()
	defer s.replace.Unlock()
	before := map[Token]*liveToken{}
	for _, t := range *s.live.Load() {
		before[t.Token] = t
	}
	live := make([]*liveToken, len(tokens))
	for i, t := range tokens {
		live[i] = before[t]
		if live[i] == nil {
			live[i] = &liveToken{Token: t}
		}
	}
	s.live.Store(&live)
	return nil
}

func validateTokens(tokens []Token) error {
	if len(tokens) == 0 {
		return errors.New("no token is given")
	}
	names, digests := map[string]bool{}, map[[sha256.Size]byte]string{}
	for _, t := range tokens {
		if names[t.name] {
			return fmt.Errorf("two tokens have the name %q", t.name)
		}
		names[t.name] = true
		if other, twice := digests[t.digest]; twice {
			return fmt.Errorf("the tokens %q and %q are the same", other, t.name)
		}
		digests[t.digest] = t.name
	}
	return nil
}

// authenticate reports whether the query holds exactly one parameter token, by any case, and it is in the set, and notes the use.
// Every token is compared, in constant time: the answer's time tells nothing of any.
func (s *TokenSet) authenticate(r *http.Request, now time.Time) bool {
	secret, ok := tokenParameter(r.URL.RawQuery)
	digest := sha256.Sum256([]byte(secret))
	live := *s.live.Load()
	matched := -1
	for i, t := range live {
		matched = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(digest[:], t.digest[:]), i, matched)
	}
	if !ok || matched < 0 {
		return false
	}
	live[matched].lastUsed.Store(now.UnixNano())
	return true
}

// TokenUse says when a token was last sent with a request, whatever became of that. Last is zero when it was not since the bridge
// started or the token was added.
type TokenUse struct {
	Endpoint, Token string // names
	Last            time.Time
}

// TokenUses returns the last use of every live token of every endpoint, in the order in which they are configured: what
// mewsbridge_token_last_used_timestamp_seconds shows. It may be called at any time.
func (b *Bridge) TokenUses() []TokenUse {
	var uses []TokenUse
	for _, e := range b.cfg.Endpoints {
		for _, t := range *e.Tokens.live.Load() {
			use := TokenUse{Endpoint: e.Name, Token: t.name}
			if nanos := t.lastUsed.Load(); nanos != 0 {
				use.Last = time.Unix(0, nanos)
			}
			uses = append(uses, use)
		}
	}
	return uses
}
