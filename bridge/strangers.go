package bridge

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// How many wrong tokens an address may send before it counts as a flood, and what is remembered and said of floods.
const (
	wrongTokensBurst     = 20
	wrongTokensPerSecond = 1
	maxStrangers         = 4096 // addresses; beyond, the one that has been quiet longest is forgotten. About 250 bytes each
	floodLogAgain        = 10 * time.Minute
	floodLogEvery        = 10 * time.Second // over all addresses
	floodLogBurst        = 10
)

// strangers counts the wrong tokens of each address. Only a request that was refused comes here, so a right token is never slowed, not even
// from the same address. The answer to a flood is the same 401; but the connection ends with it, and nothing else is
// done for it. Its methods may be called concurrently.
type strangers struct {
	trusted []netip.Prefix
	log     *zap.Logger

	mu      sync.Mutex
	known   *simplelru.LRU[netip.Addr, *stranger]
	logging *rate.Limiter
}

// stranger is an address that has sent wrong tokens.
type stranger struct {
	allowance *rate.Limiter
	floods    int       // wrong tokens beyond the allowance
	logged    time.Time // when that was last said
}

func newStrangers(trusted []netip.Prefix, log *zap.Logger) *strangers {
	known, err := simplelru.NewLRU[netip.Addr, *stranger](maxStrangers, nil)
	if err != nil {
		panic(err) // only of a size that is not positive
	}
	return &strangers{trusted: trusted, log: log, known: known, logging: rate.NewLimiter(rate.Every(floodLogEvery), floodLogBurst)}
}

// refused notes a request that was not authenticated and reports whether it belongs to a flood.
func (s *strangers) refused(r *http.Request, now time.Time) bool {
	address, _ := sourceOf(r, s.trusted) // those that cannot be read count as one
	s.mu.Lock()
	defer s.mu.Unlock()
	from, known := s.known.Get(network(address))
	if !known {
		from = &stranger{allowance: rate.NewLimiter(wrongTokensPerSecond, wrongTokensBurst)}
		s.known.Add(network(address), from)
	}
	if from.allowance.AllowN(now, 1) {
		return false
	}
	from.floods++
	if (from.logged.IsZero() || now.Sub(from.logged) >= floodLogAgain) && s.logging.AllowN(now, 1) {
		s.log.Warn("many wrong tokens from one address: its connections are closed with each answer",
			zap.Stringer("address", address), zap.Int("refused", from.floods))
		from.logged = now
	}
	return true
}

// network returns what stands for an address: one sender has a whole /64 of IPv6.
func network(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	prefix, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return prefix.Addr()
}
