package bridge

import (
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"mewsbridge/schema"
)

// maxAttempts is how often Mews sends a message before it drops it (Mews, Webhooks FAQ).
const maxAttempts = 3

// defaultLedgerSize bounds the open entries; an entry takes about 200 bytes.
const defaultLedgerSize = 100_000

// compactAbove is how many taken-over entries are never worth compacting.
const compactAbove = 64

// key identifies what a sender repeats: the bytes of a body at one endpoint.
type key struct {
	digest   [sha256.Size]byte
	endpoint string
}

// ledger tells a retry from a new message. Mews gives no id and two different messages can be the same bytes, so
// identity comes from what we answered: while a sender was not told 2xx, the delivery stays open, and the next
// identical body that no one else is carrying takes over its delivery id. JetStream then drops what an earlier
// attempt had already stored. Once told, or after three attempts, an identical body is a new message. The window counts from the
// first attempt, so that a duplicate window of the same length still knows what that attempt stored.
//
// It is kept in memory; sharing tells other bridges of it. A process that dies between storing and answering forgets its entries, and the retry
// is stored again. An entry whose retries never reach us stays open for the window, and an identical new message
// within it is taken for the retry.
//
// Its methods may be called concurrently.
type ledger struct {
	window time.Duration
	size   int

	mu    sync.Mutex
	open  map[key][]*entry // oldest first
	order []*entry         // by when they were opened; taken-over entries stay until they are passed
	head  int
	count int
	lost  map[string]*losses           // by endpoint
	known map[schema.DeliveryID]*entry // those in open
}

// entry is a delivery whose sender has not been told 2xx.
type entry struct {
	key      key
	delivery schema.DeliveryID
	attempts int
	first    time.Time // when the first attempt began
	failed   time.Time // when the last attempt ended
	expires  time.Time
	stored   bool // an attempt was stored, but the sender not told
	moved    bool // the sender was sent to another bridge, which may have stored it
	taken    bool
	shared   bool // other bridges may know of it
	foreign  bool // the attempt was another bridge's
}

// claim is one attempt under way.
type claim struct {
	key      key
	delivery schema.DeliveryID
	attempts int // this one included
	first    time.Time
	stored   bool // by this or an earlier attempt
	moved    bool // this attempt's sender was sent to another bridge
	shared   bool // the entry that it took over may be known to other bridges
}

func newLedger(window time.Duration, size int) *ledger {
	return &ledger{window: window, size: size, open: map[key][]*entry{}, lost: map[string]*losses{}, known: map[schema.DeliveryID]*entry{}}
}

// begin starts an attempt: it takes over the oldest open entry of k, or begins a new delivery.
func (l *ledger) begin(k key, now time.Time) claim {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(now)
	for len(l.open[k]) > 0 {
		e := l.open[k][0]
		if e.expires.After(now) {
			l.take(e)
			return claim{key: k, delivery: e.delivery, attempts: e.attempts + 1, first: e.first, stored: e.stored, shared: e.shared}
		}
		l.giveUp(e)
	}
	return claim{key: k, delivery: schema.DeliveryID(rand.Text()), attempts: 1, first: now}
}

// end finishes the attempt and returns the entry that stays open, if any. told says that a 2xx was written to the sender.
func (l *ledger) end(c claim, told bool, now time.Time) *entry {
	if told {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.attempts >= maxAttempts {
		if !c.stored && !c.moved {
			l.lossesOf(c.key.endpoint).attempts++
		}
		return nil
	}
	l.expire(now)
	e := &entry{
		key: c.key, delivery: c.delivery, attempts: c.attempts, stored: c.stored, moved: c.moved,
		first: c.first, failed: now, expires: c.first.Add(l.window),
	}
	l.add(e)
	return e
}

// add opens e, in place of the oldest entry when there are too many.
func (l *ledger) add(e *entry) {
	if l.count >= l.size {
		l.take(l.oldest())
	}
	l.open[e.key] = append(l.open[e.key], e)
	l.order = append(l.order, e)
	l.known[e.delivery] = e
	l.count++
	l.compact()
}

// share says that others may know of e from here on. It reports false when e is closed already: then they need not.
func (l *ledger) share(e *entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.taken {
		return false
	}
	e.shared = true
	return true
}

// unshare undoes share: nobody else can have learned of e.
func (l *ledger) unshare(e *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.shared = false
}

// learn opens the entry of another bridge. One that is known already, with as many attempts, is the ledger's own.
func (l *ledger) learn(e *entry, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(now)
	if e.failed, e.expires = now, e.first.Add(l.window); !e.expires.After(now) {
		return
	}
	if before := l.known[e.delivery]; before != nil {
		if before.attempts >= e.attempts {
			return
		}
		l.take(before)
	}
	l.add(e)
}

// closed says that somebody has taken over the entry of a delivery's attempt.
func (l *ledger) closed(d schema.DeliveryID, attempts int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.known[d]; e != nil && e.attempts <= attempts {
		l.take(e)
	}
}

// move finishes an attempt whose sender was sent to another bridge. What that one answers is not learned here: the next
// identical body may be a further attempt or, when the other bridge stored this one, a new message. The entry keeps the count of
// attempts, for the former, and gets a delivery id under which nothing is stored, for the latter: a new message is never taken for
// something that is in the stream. What this attempt may have stored in part is then stored again.
func (l *ledger) move(c claim, now time.Time) {
	c.delivery, c.stored, c.moved = schema.DeliveryID(rand.Text()), false, true
	l.end(c, false, now)
}

// openEntries returns how many deliveries are open at now.
func (l *ledger) openEntries(now time.Time) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(now)
	return l.count
}

// take closes e, which is open.
func (l *ledger) take(e *entry) {
	e.taken = true
	l.count--
	delete(l.known, e.delivery)
	waiting := l.open[e.key]
	if waiting[0] == e { // almost always; copying the rest each time would make a flood of one body quadratic
		waiting[0] = nil
		waiting = waiting[1:]
	} else if i := slices.Index(waiting, e); i > 0 {
		waiting = slices.Delete(waiting, i, i+1)
	}
	if len(waiting) == 0 {
		delete(l.open, e.key)
		return
	}
	l.open[e.key] = waiting
}

// oldest returns the entry that has been open longest. There is one.
func (l *ledger) oldest() *entry {
	for l.order[l.head].taken {
		l.pass()
	}
	return l.order[l.head]
}

// expire closes the entries whose window has ended. One that is behind an entry with a later end waits for that; begin looks for itself.
func (l *ledger) expire(now time.Time) {
	for l.head < len(l.order) {
		e := l.order[l.head]
		if !e.taken {
			if e.expires.After(now) {
				return
			}
			l.giveUp(e)
		}
		l.pass()
	}
}

// giveUp closes e, whose window has ended.
func (l *ledger) giveUp(e *entry) {
	l.take(e)
	if !e.stored && !e.moved && !e.foreign {
		l.lossesOf(e.key.endpoint).silent++
	}
}

// compact forgets the taken-over entries behind an open one, so that order stays within a small multiple of what is open.
func (l *ledger) compact() {
	if len(l.order)-l.head <= 2*l.count+compactAbove {
		return
	}
	l.order = slices.DeleteFunc(l.order[l.head:], func(e *entry) bool { return e.taken })
	l.order = slices.Clone(l.order)
	l.head = 0
}

// pass forgets the first of order, and gives its memory back from time to time.
func (l *ledger) pass() {
	l.order[l.head] = nil
	l.head++
	if l.head*2 > len(l.order) {
		l.order = append([]*entry(nil), l.order[l.head:]...)
		l.head = 0
	}
}
