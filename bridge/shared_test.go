package bridge_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"mewsbridge/bridge"
	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// sharingRig is one of several bridges on one NATS that share their ledger.
type sharingRig struct {
	*rig
	fails atomic.Bool // what is stored is not acknowledged
}

// newSharingRig makes a bridge on s. Each has a connection of its own.
func newSharingRig(t *testing.T, s *natstest.Server, change func(*bridge.Config)) *sharingRig {
	t.Helper()
	p, err := publisher.New(publisher.Config{
		URLs: []string{s.ClientURL()}, Prefix: "mews", Replicas: 1, Manage: true, MaxAge: 24 * time.Hour, DuplicateWindow: time.Hour,
	}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	r := &sharingRig{}
	r.rig = newRigOn(t, []*natstest.Server{s}, func(c *bridge.Config) {
		c.Shared = p.Ledger(30 * time.Minute)
		real := c.Endpoints[0].Publisher
		c.Endpoints[0].Publisher = failing{real, &r.fails}
		if change != nil {
			change(c)
		}
	})
	ctx, end := context.WithCancel(context.Background())
	var sharing sync.WaitGroup
	sharing.Go(func() { r.bridge.Share(ctx) })
	t.Cleanup(func() { end(); sharing.Wait() })
	return r
}

// checkRetried has retry be the delivery of first, and what both sent be stored once.
func (r *sharingRig) checkRetried(t *testing.T, first, retry answer) {
	t.Helper()
	if retry.body["delivery"] != first.body["delivery"] {
		t.Errorf("the retry has delivery %v, the attempt had %v", retry.body["delivery"], first.body["delivery"])
	}
	if got := r.subjects(t); len(got) != 1 {
		t.Errorf("stored %v, want it once", got)
	}
}

// failing stores and says that it did not, as long as fails holds.
type failing struct {
	bridge.Publisher
	fails *atomic.Bool
}

func (f failing) Publish(ctx context.Context, msgs []schema.Message) error {
	if err := f.Publisher.Publish(ctx, msgs); err != nil {
		return err
	}
	if f.fails.Load() {
		return schema.ErrNotAcknowledged
	}
	return nil
}

// TestRetryThroughAnotherBridge stores a webhook without answering; the retry comes to the other bridge, and stores nothing twice. The same
// bytes afterwards are new to both.
func TestRetryThroughAnotherBridge(t *testing.T) {
	s := natstest.Start(t)
	a, b := newSharingRig(t, s, nil), newSharingRig(t, s, nil)
	hook := general(event("New", "n1"))
	a.fails.Store(true)
	first := a.post(t, hook)
	checkAnswer(t, "the attempt", first, "not-acknowledged")
	a.fails.Store(false)
	natstest.Eventually(t, "the other bridge to know", func() bool { return b.bridge.OpenDeliveries() == 1 })
	retry := b.post(t, hook)
	checkAnswer(t, "the retry", retry, "")
	a.checkRetried(t, first, retry)
	natstest.Eventually(t, "the first bridge to know that it was taken over", func() bool { return a.bridge.OpenDeliveries() == 0 })
	for name, r := range map[string]*sharingRig{"the first": a, "the other": b} {
		if again := r.post(t, hook); again.status != 202 || again.body["delivery"] == first.body["delivery"] {
			t.Errorf("a later message at %s bridge: %d %v", name, again.status, again.body)
		}
	}
	if got := a.subjects(t); len(got) != 3 {
		t.Errorf("stored %v, want all three messages", got)
	}
}

// TestOneRetryForTwoBridges has both bridges receive the same bytes at a time while one delivery is open: one of the two is the retry,
// the other a new message, and never both the retry.
func TestOneRetryForTwoBridges(t *testing.T) {
	s := natstest.Start(t)
	a, b := newSharingRig(t, s, nil), newSharingRig(t, s, nil)
	const rounds = 20
	for i := range rounds {
		hook := general(event("New", strings.Repeat("n", i+1)))
		a.fails.Store(true)
		first := a.post(t, hook)
		a.fails.Store(false)
		natstest.Eventually(t, "the other bridge to know", func() bool { return b.bridge.OpenDeliveries() == 1 })
		var answers [2]answer
		var posting sync.WaitGroup
		for i, r := range []*sharingRig{a, b} {
			posting.Go(func() { answers[i] = r.post(t, hook) })
		}
		posting.Wait()
		retries := 0
		for _, got := range answers {
			if got.status != http.StatusAccepted {
				t.Fatalf("answer %d %v", got.status, got.body)
			}
			if got.body["delivery"] == first.body["delivery"] {
				retries++
			}
		}
		if retries != 1 {
			t.Fatalf("%d of the two took over the delivery, want one", retries)
		}
		natstest.Eventually(t, "both to know", func() bool { return a.bridge.OpenDeliveries()+b.bridge.OpenDeliveries() == 0 })
	}
	if got := a.subjects(t); len(got) != 2*rounds {
		t.Errorf("%d events are stored, want %d", len(got), 2*rounds)
	}
}

// countingLedger is a shared ledger that counts, and fails when told to.
type countingLedger struct {
	creates atomic.Int64
	fails   atomic.Bool // it may have noted what it was given
	away    atomic.Bool // it has not
}

func (l *countingLedger) Create(context.Context, string, []byte) (bool, error) {
	l.creates.Add(1)
	switch {
	case l.away.Load():
		return false, schema.ErrUnavailable
	case l.fails.Load():
		return false, errors.New("no answer")
	}
	return true, nil
}

func (l *countingLedger) Watch(ctx context.Context, _ func(string, []byte)) { <-ctx.Done() }

func TestWhatIsStoredAtOnceIsNotShared(t *testing.T) {
	l := &countingLedger{}
	r := newSharingRig(t, natstest.Start(t), func(c *bridge.Config) { c.Shared = l })
	for range 10 {
		checkAnswer(t, "a webhook", r.post(t, general(event("New", "n1"))), "")
	}
	if n := l.creates.Load(); n != 0 {
		t.Errorf("the shared ledger was written to %d times", n)
	}
}

// TestSilentLedgerLosesNothing has the shared ledger fail when a retry is to be taken over: the retry is stored as a new message.
func TestSilentLedgerLosesNothing(t *testing.T) {
	l := &countingLedger{}
	r := newSharingRig(t, natstest.Start(t), func(c *bridge.Config) { c.Shared = l })
	hook := general(event("New", "n1"))
	r.fails.Store(true)
	first := r.post(t, hook)
	r.fails.Store(false)
	natstest.Eventually(t, "the entry to be shared", func() bool { return l.creates.Load() == 1 })
	l.fails.Store(true)
	retry := r.post(t, hook)
	checkAnswer(t, "the retry", retry, "")
	if retry.body["delivery"] == first.body["delivery"] {
		t.Error("the retry took over a delivery that another bridge may have")
	}
	l.fails.Store(false)
	before := l.creates.Load()
	natstest.Eventually(t, "the delivery to be closed for others", func() bool { return l.creates.Load() > before })
}

// TestThirdAttemptIsTheLastAlsoWithoutAnAnswer has the shared ledger fail during all three attempts, each of which is stored and not
// told. What comes then is a new message: it must be stored, although the ledger answers again.
func TestThirdAttemptIsTheLastAlsoWithoutAnAnswer(t *testing.T) {
	l := &countingLedger{}
	l.fails.Store(true)
	core, logs := observer.New(zap.WarnLevel)
	r := newSharingRig(t, natstest.Start(t), func(c *bridge.Config) { c.Shared, c.Log = l, zap.New(core) })
	hook := general(event("New", "n1"))
	r.fails.Store(true)
	var last answer
	for attempt := 1; attempt <= 3; attempt++ {
		last = r.post(t, hook)
		checkAnswer(t, "an attempt", last, "not-acknowledged")
		if attempt < 3 {
			before := l.creates.Load()
			natstest.Eventually(t, "the entry to be shared, as far as can be told", func() bool { return l.creates.Load() > before })
		}
	}
	if logs.FilterMessageSnippet("the shared ledger does not answer").Len() == 0 {
		t.Error("the log does not say that the shared ledger does not answer")
	}
	if n := r.bridge.OpenDeliveries(); n != 0 {
		t.Errorf("%d deliveries are open after three attempts", n)
	}
	r.fails.Store(false)
	l.fails.Store(false)
	repeat := r.post(t, hook)
	checkAnswer(t, "a later message of the same bytes", repeat, "")
	if repeat.body["delivery"] == last.body["delivery"] {
		t.Error("a later message of the same bytes has the delivery of the third attempt")
	}
	if got := r.subjects(t); len(got) < 3 { // the first attempt, what was taken for a new message, and the later one
		t.Errorf("stored %d times, want 3 at least", len(got))
	}
}

// TestWithoutNATSTheBridgeIsAlone cannot send anything to the shared ledger: nobody else can know of the delivery, and the retry here
// takes it over.
func TestWithoutNATSTheBridgeIsAlone(t *testing.T) {
	l := &countingLedger{}
	l.away.Store(true)
	r := newSharingRig(t, natstest.Start(t), func(c *bridge.Config) { c.Shared = l })
	hook := general(event("New", "n1"))
	r.fails.Store(true)
	first := r.post(t, hook)
	natstest.Eventually(t, "an attempt to share the entry", func() bool { return l.creates.Load() > 1 })
	r.fails.Store(false)
	retry := r.post(t, hook)
	checkAnswer(t, "the retry", retry, "")
	r.checkRetried(t, first, retry)
}
