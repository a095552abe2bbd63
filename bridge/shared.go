package bridge

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"mewsbridge/schema"
)

// SharedLedger holds the facts that several bridges know together. A fact is noted once and never changed.
type SharedLedger interface {
	// Create notes value under key and returns true, or false when something is there already: of several bridges that
	// create one key at a time, one is told true. After an error the fact may be noted or not; an error that wraps
	// schema.ErrUnavailable says that nothing was sent. It returns when ctx ends at the latest.
	Create(ctx context.Context, key string, value []byte) (created bool, err error)
	// Watch calls see with every fact, those noted before first and in their order, until ctx ends. A fact may come twice.
	Watch(ctx context.Context, see func(key string, value []byte))
}

// Bounds of what is asked of a shared ledger.
const (
	shareTimeout = 2 * time.Second
	shareAgain   = time.Second     // between attempts to note a fact
	shareDrain   = 3 * time.Second // to note what is left when the bridge stops
	claimTimeout = time.Second     // well within the deadline of the webhook that waits for it
)

// sharing tells other bridges of the open entries of a ledger, and the ledger of theirs. Two kinds of facts are enough: attempt n of a delivery
// failed and was not told; and somebody has taken that over. Whoever takes over an entry that others may know creates the second
// fact first, and has the entry only if it did. A webhook that is stored at its first attempt touches none of this.
type sharing struct {
	shared   SharedLedger // nil: this bridge is alone
	ledger   *ledger
	now      func() time.Time
	log      *zap.Logger
	failures *failureLog

	wake chan struct{} // capacity 1: there is something to note
	mu   sync.Mutex
	todo []fact
}

func newSharing(shared SharedLedger, l *ledger, now func() time.Time, log *zap.Logger, failures *failureLog) *sharing {
	return &sharing{shared: shared, ledger: l, now: now, log: log, failures: failures, wake: make(chan struct{}, 1)}
}

// ledgerSilent is the reason in the log when the shared ledger does not answer.
const ledgerSilent = "ledger-silent"

// fact is something to be noted.
type fact struct {
	key     string
	value   []byte
	expires time.Time
	entry   *entry // whose failed attempt it tells; nil for a takeover
	sent    bool   // it may be there
}

// openFact is the value of an entry's fact.
type openFact struct {
	First  int64 `json:"first"` // when the first attempt began, in nanoseconds of Unix time
	Stored bool  `json:"stored"`
}

const (
	factOpen  = "open"
	factTaken = "taken"
)

func openKey(e *entry) string {
	return fmt.Sprintf("%s.%s.%s.%s.%d", factOpen, e.key.endpoint, hex.EncodeToString(e.key.digest[:]), e.delivery, e.attempts)
}

func takenKey(d schema.DeliveryID, attempts int) string {
	return fmt.Sprintf("%s.%s.%d", factTaken, d, attempts)
}

// begin starts an attempt as the ledger does, but takes over what other bridges may know only when it is the first to. When that cannot
// be found out by claimTimeout or the end of ctx, nothing that is in doubt is taken over by anybody: the attempt gets a new delivery id, under which
// nothing is stored, and keeps the count of attempts. A duplicate costs one fetch, and a delivery in two hands could swallow a message.
func (s *sharing) begin(ctx context.Context, k key, now time.Time) claim {
	var doubt error
	attempts := 1
	for {
		c := s.ledger.begin(k, now)
		if !c.shared { // and without a shared ledger none is
			c.attempts = max(c.attempts, attempts)
			return c
		}
		mine := false
		if doubt == nil {
			mine, doubt = s.take(ctx, c)
			s.say(doubt, k, now)
		}
		switch {
		case doubt != nil:
			attempts = max(attempts, c.attempts)
			s.note(fact{key: takenKey(c.delivery, c.attempts-1), expires: c.first.Add(s.ledger.window)})
		case mine:
			return c
		}
	}
}

// say says in the log that the shared ledger does not answer.
func (s *sharing) say(err error, k key, now time.Time) {
	if err != nil {
		s.log.Log(s.failures.level(ledgerSilent, now), "a retry is stored like a new webhook: the shared ledger does not answer",
			zap.String(logReason, ledgerSilent), zap.String(logEndpoint, k.endpoint), zap.Error(err))
	}
}

func (s *sharing) take(ctx context.Context, c claim) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	return s.shared.Create(ctx, takenKey(c.delivery, c.attempts-1), nil)
}

// end finishes an attempt as the ledger does, and has the others told when it stays open.
func (s *sharing) end(c claim, told bool, now time.Time) {
	e := s.ledger.end(c, told, now)
	if e == nil || s.shared == nil {
		return
	}
	value, err := json.Marshal(openFact{First: e.first.UnixNano(), Stored: e.stored})
	if err != nil {
		return // a number and a truth value always marshal
	}
	s.note(fact{key: openKey(e), value: value, expires: e.expires, entry: e})
}

func (s *sharing) note(f fact) {
	s.mu.Lock()
	if len(s.todo) < s.ledger.size {
		s.todo = append(s.todo, f)
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Share tells other bridges of deliveries that wait for their retry, and learns of theirs, until ctx ends; what is left to tell then is told within
// a few seconds. Without Config.Shared it returns at once. It has to end after the last webhook was answered, and before the shared
// ledger is closed.
func (b *Bridge) Share(ctx context.Context) { b.sharing.run(ctx) }

// run watches and notes until ctx ends, and then notes what is left, for a short time.
func (s *sharing) run(ctx context.Context) {
	if s.shared == nil {
		return
	}
	var watching sync.WaitGroup
	watching.Go(func() { s.shared.Watch(ctx, s.see) })
	defer watching.Wait()
	for ctx.Err() == nil {
		s.noteAll(ctx)
		select {
		case <-s.wake:
		case <-ctx.Done():
		}
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), shareDrain)
	defer cancel()
	s.noteAll(drain)
}

// noteAll notes everything there is to note, each fact again and again until it succeeds or ctx ends.
func (s *sharing) noteAll(ctx context.Context) {
	for {
		f, ok := s.next()
		if !ok {
			return
		}
		attempt, cancel := context.WithTimeout(ctx, shareTimeout)
		_, err := s.shared.Create(attempt, f.key, f.value)
		cancel()
		if err == nil {
			s.noted()
			continue
		}
		s.failed(err)
		select {
		case <-time.After(shareAgain):
		case <-ctx.Done():
			return
		}
	}
}

// next returns the oldest fact that is still worth noting. From here on others may know of its entry.
func (s *sharing) next() (fact, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.todo) > 0 {
		f := s.todo[0]
		if f.expires.After(s.now()) && (f.entry == nil || s.ledger.share(f.entry)) {
			return f, true
		}
		s.todo = s.todo[1:]
	}
	s.todo = nil
	return fact{}, false
}

// noted takes out what next returned.
func (s *sharing) noted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.todo = s.todo[1:]
}

// failed takes in that what next returned could not be noted. While nothing of it was ever sent, its entry is this bridge's alone, which goes
// on with it as if there were no other.
func (s *sharing) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.todo[0]
	f.sent = f.sent || !errors.Is(err, schema.ErrUnavailable)
	if f.entry != nil && !f.sent {
		s.ledger.unshare(f.entry)
	}
}

// see takes in a fact of this or another bridge. What cannot be read is not ours.
func (s *sharing) see(key string, value []byte) {
	parts := strings.Split(key, ".")
	attempts, err := strconv.Atoi(parts[len(parts)-1])
	switch {
	case err != nil:
	case parts[0] == factTaken && len(parts) == 3:
		s.ledger.closed(schema.DeliveryID(parts[1]), attempts)
	case parts[0] == factOpen && len(parts) == 5:
		var f openFact
		digest, err := hex.DecodeString(parts[2])
		e := &entry{key: newKey(parts[1], digest), delivery: schema.DeliveryID(parts[3]), attempts: attempts, shared: true, foreign: true}
		if err != nil || json.Unmarshal(value, &f) != nil {
			return
		}
		e.first, e.stored = time.Unix(0, f.First), f.Stored
		s.ledger.learn(e, s.now())
	}
}

func newKey(endpoint string, digest []byte) key {
	k := key{endpoint: endpoint}
	copy(k.digest[:], digest)
	return k
}
