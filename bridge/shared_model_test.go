package bridge

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
	"pgregory.net/rapid"

	"mewsbridge/schema"
)

// pad is a shared ledger whose next answer the test chooses, and which is read when the test says so.
type pad struct {
	facts map[string]bool
	log   []padFact
	err   error
	after bool // the error comes after the fact was noted
}

type padFact struct {
	key   string
	value []byte
}

func (p *pad) Create(_ context.Context, key string, value []byte) (bool, error) {
	if p.err != nil && !p.after {
		return false, p.err
	}
	created := !p.facts[key]
	if created {
		p.facts[key] = true
		p.log = append(p.log, padFact{key, value})
	}
	return created, p.err
}

func (p *pad) Watch(context.Context, func(string, []byte)) {}

// sharer is one of several bridges.
type sharer struct {
	*sharing
	read int // facts of the pad
}

// TestSharedLedgerModel sends messages of the same bytes, one after another and each until it is told or has had three attempts, to bridges
// whose shared ledger fails in every way, and which learn of each other late. A message whose sender was told is stored since it was sent
// first: nobody has taken it for a retry of what came before.
func TestSharedLedgerModel(t *testing.T) {
	const rounds = 10 // of rapid's hundred: they cost little
	for range rounds {
		rapid.Check(t, checkSharedLedger)
	}
}

func checkSharedLedger(rt *rapid.T) {
	uncertain := errors.New("no answer")
	now := start
	shared := &pad{facts: map[string]bool{}}
	bridges := make([]*sharer, rapid.IntRange(1, 3).Draw(rt, "bridges"))
	for i := range bridges {
		bridges[i] = &sharer{sharing: newSharing(shared, newLedger(30*time.Minute, 100), func() time.Time { return now }, zap.NewNop(), newFailureLog())}
	}
	once, cancel := context.WithCancel(context.Background())
	cancel() // each fact is tried until the first error
	fail := func() {
		shared.err = rapid.SampledFrom([]error{nil, nil, uncertain, schema.ErrUnavailable}).Draw(rt, "error")
		shared.after = shared.err == uncertain && rapid.Bool().Draw(rt, "after")
	}
	learn := func(b *sharer, upTo int) {
		for ; b.read < upTo; b.read++ {
			b.see(shared.log[b.read].key, shared.log[b.read].value)
		}
	}
	stored := map[schema.DeliveryID]bool{}
	k := testKey(1)
	for range rapid.IntRange(1, 4).Draw(rt, "messages") {
		var c claim // the last attempt
		sent, storedSince, told, late := 0, false, false, false
		for ; sent < maxAttempts && !told; sent++ {
			b := bridges[rapid.IntRange(0, len(bridges)-1).Draw(rt, "bridge")]
			fail()
			late = late || sent > 0 && !slices.ContainsFunc(b.ledger.open[k], func(e *entry) bool {
				return e.delivery == c.delivery && e.attempts == c.attempts
			})
			c = b.begin(context.Background(), k, now)
			if rapid.Bool().Draw(rt, "stored") {
				storedSince = storedSince || !stored[c.delivery]
				stored[c.delivery], c.stored = true, true
				told = rapid.Bool().Draw(rt, "told")
			}
			b.end(c, told, now)
			now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "minutes")) * time.Minute)
			for _, b := range bridges {
				fail()
				b.noteAll(once)
				learn(b, rapid.IntRange(b.read, len(shared.log)).Draw(rt, "learned"))
			}
		}
		if told && !storedSince {
			rt.Fatal("a new message was taken for the retry of one that is stored, and its sender was told 202")
		}
		shared.err = nil // what could not be found out is settled before the next message; not all have to know
		for _, b := range bridges {
			b.noteAll(once)
		}
		if late { // a bridge that learned too late took a retry for a new message: what it was to repeat stays open until its window ends
			now = now.Add(31 * time.Minute)
		}
	}
}
