package publisher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// deaf is a committer whose server takes every message and answers only when the test says so.
type deaf struct {
	*committer
	mu   sync.Mutex
	sent []*nats.Msg
}

func newDeaf(t *testing.T, change func(*Config)) *deaf {
	t.Helper()
	cfg := Config{}.withDefaults()
	if change != nil {
		change(&cfg)
	}
	d := &deaf{}
	d.committer = newCommitter("MEWS_EVENTS", newSender(d.take, "inbox.", "batch-"), cfg, zap.NewNop())
	stop := make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() { d.run(stop) })
	t.Cleanup(func() { close(stop); loop.Wait() })
	return d
}

func (d *deaf) take(m *nats.Msg) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	header := nats.Header{}
	for name, values := range m.Header {
		header[name] = append([]string(nil), values...)
	}
	d.sent = append(d.sent, &nats.Msg{Subject: m.Subject, Reply: m.Reply, Header: header})
	return nil
}

// taken waits until n messages have been sent in all.
func (d *deaf) taken(t *testing.T, n int) []*nats.Msg {
	t.Helper()
	var sent []*nats.Msg
	natstest.Eventually(t, fmt.Sprintf("%d messages to be sent", n), func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		sent = d.sent
		return len(sent) >= n
	})
	return sent
}

// answer gives the reply to m that a server would.
func (d *deaf) answer(t *testing.T, m *nats.Msg, data string) {
	t.Helper()
	id, index, count, ok := parseReply(strings.TrimPrefix(m.Reply, "inbox."))
	if !ok {
		t.Fatalf("reply %q cannot be read", m.Reply)
	}
	v, err := readAck(&nats.Msg{Data: []byte(data)}, d.stream, count)
	d.finish(id, index, v, err)
}

// nobody gives the reply to m that a server gives when nobody listens on its subject.
func (d *deaf) nobody(t *testing.T, m *nats.Msg) {
	t.Helper()
	id, index, count, ok := parseReply(strings.TrimPrefix(m.Reply, "inbox."))
	if !ok {
		t.Fatalf("reply %q cannot be read", m.Reply)
	}
	v, err := readAck(&nats.Msg{Header: nats.Header{"Status": {"503"}}}, d.stream, count)
	d.finish(id, index, v, err)
}

func messages(delivery string, n int) []schema.Message {
	msgs := make([]schema.Message, n)
	for i := range msgs {
		msgs[i] = schema.Message{Subject: "mews.events.New.hotel.n1", ID: fmt.Sprintf("%s-%d", delivery, i), Data: []byte("{}")}
	}
	return msgs
}

func TestFullQueueAnswersAtOnce(t *testing.T) {
	d := newDeaf(t, func(c *Config) { c.QueueEvents = 10 })
	ctx, giveUp := context.WithCancel(context.Background())
	var waiting sync.WaitGroup
	waiting.Go(func() { _ = d.publish(ctx, messages("flying", minWindow)) })
	d.taken(t, minWindow) // the window is full: what follows is queued
	for i := range 5 {
		waiting.Go(func() { _ = d.publish(ctx, messages(fmt.Sprint("queued", i), 2)) })
	}
	natstest.Eventually(t, "10 queued events", func() bool {
		d.committer.mu.Lock()
		defer d.committer.mu.Unlock()
		return d.queuedEvents == 10
	})
	if err := d.publish(ctx, messages("more", 1)); !errors.Is(err, schema.ErrOverloaded) {
		t.Errorf("error is %v, want ErrOverloaded", err)
	}
	if err := d.admit(within(t, time.Minute)); !errors.Is(err, schema.ErrOverloaded) {
		t.Errorf("admitted with %v, want ErrOverloaded", err)
	}
	giveUp()
	waiting.Wait()
	if err := d.admit(within(t, time.Minute)); err != nil {
		t.Errorf("an empty queue admits nothing: %v", err)
	}
	if d.queuedEvents != 0 || d.queuedBytes != 0 || d.flightEvents != 0 || d.flightBytes != 0 || len(d.flights) != 0 {
		t.Errorf("after all have given up: %d events and %d bytes queued, %d and %d under way",
			d.queuedEvents, d.queuedBytes, d.flightEvents, d.flightBytes)
	}
}

// TestNobodyThere has a leader come at the last moment, and none come at all: how often a webhook is sent is bounded.
func TestNobodyThere(t *testing.T) {
	for name, comes := range map[string]bool{"a leader comes": true, "none comes": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDeaf(t, nil)
			ctx, giveUp := context.WithTimeout(context.Background(), time.Minute)
			var waiting sync.WaitGroup
			defer waiting.Wait()
			defer giveUp()
			answered := make(chan error, 1)
			waiting.Go(func() { answered <- d.publish(ctx, messages("d", 1)) })
			for i := range maxNobodyThere - 1 {
				d.nobody(t, d.taken(t, i+1)[i])
			}
			last := d.taken(t, maxNobodyThere)[maxNobodyThere-1]
			if comes {
				d.answer(t, last, `{"stream":"MEWS_EVENTS","seq":1}`)
				if err := <-answered; err != nil {
					t.Errorf("with a leader at last: %v", err)
				}
				return
			}
			d.nobody(t, last)
			if err := <-answered; !errors.Is(err, schema.ErrStreamMissing) {
				t.Errorf("without a leader: %v, want ErrStreamMissing", err)
			}
			if sent := len(d.taken(t, maxNobodyThere)); sent != maxNobodyThere {
				t.Errorf("it was sent %d times, want %d", sent, maxNobodyThere)
			}
		})
	}
}

func TestADeadlineThatCannotBeMetAnswersAtOnce(t *testing.T) {
	d := newDeaf(t, nil)
	ctx, giveUp := context.WithTimeout(context.Background(), time.Minute)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer giveUp()
	waiting.Go(func() { _ = d.publish(ctx, messages("flying", minWindow)) })
	d.taken(t, minWindow)
	waiting.Go(func() { _ = d.publish(ctx, messages("first", 1)) })
	natstest.Eventually(t, "the first webhook in the queue", func() bool {
		d.committer.mu.Lock()
		defer d.committer.mu.Unlock()
		return d.fresh.peek() != nil
	})
	d.committer.mu.Lock()
	d.chooser.observe(pipelined, minWindow+2, 1, time.Second, 0, false) // one event a second
	d.committer.mu.Unlock()
	if err := d.admit(within(t, time.Minute)); err != nil {
		t.Errorf("before the first has waited: %v", err)
	}
	d.committer.mu.Lock()
	d.fresh.peek().arrived = time.Now().Add(-time.Minute)
	d.committer.mu.Unlock()
	if err := d.publish(ctx, messages("late", 1)); !errors.Is(err, schema.ErrOverloaded) {
		t.Errorf("error is %v, want ErrOverloaded", err)
	}
	if err := d.admit(within(t, time.Minute)); !errors.Is(err, schema.ErrOverloaded) {
		t.Errorf("admitted with %v, want ErrOverloaded", err)
	}
	if err := d.admit(within(t, time.Hour)); err != nil {
		t.Errorf("with an hour to go: %v", err)
	}
}

// TestEveryAcknowledgementCounts answers all messages of a webhook but one, that one's neighbour twice.
func TestEveryAcknowledgementCounts(t *testing.T) {
	d := newDeaf(t, nil)
	done := make(chan error, 1)
	go func() { done <- d.publish(t.Context(), messages("d", 3)) }()
	sent := d.taken(t, 3)
	const ack = `{"stream":"MEWS_EVENTS", "seq":7}`
	for _, i := range []int{0, 1, 1, 0} {
		d.answer(t, sent[i], ack)
	}
	select {
	case err := <-done:
		t.Fatalf("published with an acknowledgement missing: %v", err)
	default:
	}
	d.answer(t, sent[2], ack)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestBatchHoldsWholeWebhooks checks the wire form of an atomic batch, and that what a failed batch held is sent again alone.
func TestBatchHoldsWholeWebhooks(t *testing.T) {
	d := newDeaf(t, nil)
	d.allowAtomic(true)
	done := make(chan error, 1)
	go func() { done <- d.publish(t.Context(), messages("d", 5)) }()
	sent := d.taken(t, 5)
	for i, m := range sent {
		last := i == len(sent)-1
		if m.Header.Get(headerBatchSequence) != fmt.Sprint(i+1) || m.Header.Get(headerBatchID) != sent[0].Header.Get(headerBatchID) {
			t.Errorf("message %d has headers %v", i, m.Header)
		}
		if (m.Header.Get(headerBatchCommit) == "1") != last || (m.Reply != "") != last {
			t.Errorf("message %d: commit %q, reply %q", i, m.Header.Get(headerBatchCommit), m.Reply)
		}
	}
	d.answer(t, sent[4], `{"error":{"code":400,"err_code":10201,"description":"duplicate"},"stream":"MEWS_EVENTS","seq":0}`)
	for _, m := range d.taken(t, 10)[5:] {
		if m.Header.Get(headerBatchID) != "" || m.Reply == "" {
			t.Errorf("sent again as %v, want a plain publish", m.Header)
		}
		d.answer(t, m, `{"stream":"MEWS_EVENTS","seq":1,"duplicate":true}`)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestReadAck(t *testing.T) {
	for _, test := range []struct {
		name  string
		data  string
		count int
		want  verdict
		err   error
	}{
		{"plain", `{"stream":"S", "seq":1}`, 0, stored, nil},
		{"duplicate", `{"stream":"S","seq":9,"duplicate":true}`, 0, stored, nil},
		{"with a domain", `{"stream":"S","domain":"hub", "seq":3}`, 0, stored, nil},
		{"another stream", `{"stream":"T","seq":1}`, 0, refused, schema.ErrStreamMissing},
		{"a stream whose name begins alike", `{"stream":"SS","seq":1}`, 0, refused, schema.ErrStreamMissing},
		{"no sequence", `{"stream":"S","seq":0}`, 0, refused, schema.ErrStreamMissing},
		{"not JSON", `+OK`, 0, tryAgain, schema.ErrUnavailable},
		{"empty", ``, 0, tryAgain, schema.ErrUnavailable},
		{"batch", `{"stream":"S","seq":5,"batch":"b","count":5}`, 5, stored, nil},
		{"batch of another size", `{"stream":"S","seq":4,"batch":"b","count":4}`, 5, tryPlain, schema.ErrUnavailable},
		{"batch on a server that knows none", `{"stream":"S","seq":5}`, 5, tryPlain, schema.ErrUnavailable},
		{"gap", `{"error":{"code":400,"err_code":10176},"stream":"S","seq":0}`, 5, tryAgain, schema.ErrUnavailable},
		{"duplicate in a batch", `{"error":{"code":400,"err_code":10201},"stream":"S","seq":0}`, 5, tryAlone, schema.ErrUnavailable},
		{"batches off", `{"error":{"code":400,"err_code":10174},"stream":"S","seq":0}`, 5, tryPlain, schema.ErrUnavailable},
		{"in process", `{"error":{"code":409,"err_code":10158},"stream":"S","seq":0}`, 0, tryAgain, schema.ErrUnavailable},
		{"sealed", `{"error":{"code":400,"err_code":10109},"stream":"S","seq":0}`, 0, refused, schema.ErrRefused},
		{"no space", `{"error":{"code":503,"err_code":10077},"stream":"S","seq":0}`, 0, refused, schema.ErrRefused},
	} {
		got, err := readAck(&nats.Msg{Data: []byte(test.data)}, "S", test.count)
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%s: verdict %d (%v), want %d (%v)", test.name, got, err, test.want, test.err)
		}
	}
	nobody := &nats.Msg{Header: nats.Header{"Status": {"503"}}}
	if got, err := readAck(nobody, "S", 0); got != nobodyThere || !errors.Is(err, schema.ErrStreamMissing) {
		t.Errorf("no responders: verdict %d (%v)", got, err)
	}
}

func TestChooserPrefersWhatWasFaster(t *testing.T) {
	var c chooser
	now := time.Unix(0, 0)
	const load = 100
	if got := c.pick(load, now); got != atomicBatch {
		t.Fatalf("first pick under load is %d", got)
	}
	c.observe(atomicBatch, load, 50_000, time.Second, 0, false)
	now = now.Add(exploreUnseenFor)
	if got := c.pick(load, now); got != pipelined {
		t.Fatal("the other mode is not tried")
	}
	c.observe(pipelined, load, 5_000, time.Second, 0, false)
	now = now.Add(exploreUnseenFor)
	if got := c.pick(load, now); got != atomicBatch {
		t.Error("the slower mode is picked")
	}
	if got := c.pick(1, now); got != pipelined {
		t.Error("a lone event begins as a batch")
	}
	for range 20 { // the server changes: batches become slow
		c.observe(atomicBatch, load, 1_000, time.Second, 0, false)
	}
	if got := c.pick(load, now.Add(2*exploreLast)); got != pipelined {
		t.Error("the mode that became slower is still picked")
	}
}

func TestChooserLooksAgainEverMoreRarely(t *testing.T) {
	var c chooser
	now := time.Unix(0, 0)
	const load = 100
	c.observe(atomicBatch, load, 50_000, time.Second, 0, false)
	c.observe(pipelined, load, 5_000, time.Second, 0, false)
	explored := 0
	for range 600 { // ten minutes
		now = now.Add(time.Second)
		if c.pick(load, now) == pipelined {
			explored++
		}
	}
	if explored < 5 || explored > 20 {
		t.Errorf("explored %d times in ten minutes", explored)
	}
}

// TestChooserForgetsABadStart has batches store little while everything is still cold, and then, looked at again, three times what plain
// publishes do.
func TestChooserForgetsABadStart(t *testing.T) {
	var c chooser
	now := time.Unix(0, 0)
	const load = 100
	c.observe(atomicBatch, load, 500, 200*time.Millisecond, 0, false)
	c.observe(pipelined, load, 1_000, 200*time.Millisecond, 0, false)
	if got := c.pick(load, now); got != pipelined {
		t.Fatalf("picked %d, the slower mode", got)
	}
	if got := c.pick(load, now.Add(exploreClear)); got != atomicBatch {
		t.Fatal("batches are not looked at again")
	}
	for range exploreSamples {
		c.observe(atomicBatch, load, 150, 10*time.Millisecond, 0, false)
	}
	if got := c.pick(load, now.Add(exploreClear)); got != atomicBatch {
		t.Error("the start counts for more than what batches store now")
	}
}

// TestChooserDoubtsASingleCommit has the one batch that was tried take ten times as long as usual.
func TestChooserDoubtsASingleCommit(t *testing.T) {
	var c chooser
	now := time.Unix(0, 0)
	const load, more = 100, 150
	c.observe(atomicBatch, load, 50, 22*time.Millisecond, 0, false)
	for range exploreSamples {
		c.observe(pipelined, load, 125, 20*time.Millisecond, 0, false)
	}
	if got := c.pick(more, now); got != atomicBatch {
		t.Error("batches are not tried under more load")
	}
	if got := c.pick(load, now); got != pipelined {
		t.Errorf("picked %d, the slower mode as far as is known", got)
	}
	if got := c.pick(load, now.Add(exploreFirst)); got != atomicBatch {
		t.Error("batches are not looked at again soon")
	}
}

// TestChooserDoesNotLookForEver has the load pass through classes so fast that no sample is taken under them: each draw of the
// queue would begin another look, and the modes would change all the time.
func TestChooserDoesNotLookForEver(t *testing.T) {
	var c chooser
	const passing, steady, most = 20, 100, 150
	c.observe(atomicBatch, steady, 15_000, time.Second, 0, false)
	c.observe(pipelined, steady, 5_000, time.Second, 0, false)
	c.observe(atomicBatch, passing, 3_000, time.Second, 0, false)
	now := time.Unix(0, 0)
	draws, plain := 0, 0
	for end := now.Add(10 * time.Second); now.Before(end); now = now.Add(10 * time.Millisecond) {
		for _, events := range []int{passing, most, steady} {
			draws++
			if c.pick(events, now) == pipelined {
				plain++
			}
		}
	}
	if plain == 0 || plain > draws/50 {
		t.Errorf("%d of %d draws were plain publishes, which store a third", plain, draws)
	}
}

// TestNothingOvertakesWhatWasRefusedInABatch refuses a batch for a duplicate while the next one is under way and more waits. Under
// constant load there is always more: the refused webhook has to come first, or its time runs out.
func TestNothingOvertakesWhatWasRefusedInABatch(t *testing.T) {
	d := newDeaf(t, nil)
	d.allowAtomic(true)
	d.prefer(atomicBatch)
	const big = max(2*minWindow, worthOverlap) // with this under way the window has no room, and with this waiting a second batch pays
	results := make(chan error, 3)
	begin := func(name string, n int) { go func() { results <- d.publish(t.Context(), messages(name, n)) }() }
	begin("retried", 5)
	first := d.taken(t, 5)[4]
	begin("second", big)
	second := d.taken(t, 5+big)[4+big]
	d.answer(t, first, `{"error":{"code":400,"err_code":10201,"description":"duplicate"},"stream":"MEWS_EVENTS","seq":0}`)
	begin("third", big)
	natstest.Eventually(t, "the third webhook", func() bool {
		d.committer.mu.Lock()
		defer d.committer.mu.Unlock()
		return d.fresh.peek() != nil || d.batches > 1 // waiting, or gone ahead
	})
	d.answer(t, second, fmt.Sprintf(`{"stream":"MEWS_EVENTS","seq":%d,"batch":"b","count":%d}`, big, big))
	sent := d.taken(t, 5+big+5)[5+big:]
	for _, m := range sent[:5] {
		if id := m.Header.Get(schema.HeaderMsgID); !strings.HasPrefix(id, "retried-") || m.Header.Get(headerBatchID) != "" {
			t.Fatalf("%s was sent before the refused webhook", id)
		}
		d.answer(t, m, `{"stream":"MEWS_EVENTS","seq":1,"duplicate":true}`)
	}
	third := d.taken(t, 5+big+5+big)
	d.answer(t, third[len(third)-1], fmt.Sprintf(`{"stream":"MEWS_EVENTS","seq":%d,"batch":"b","count":%d}`, 2*big, big))
	for range 3 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// TestChooserInfersFromItsNeighbours spares a load the mode that is clearly slower where it should do better.
func TestChooserInfersFromItsNeighbours(t *testing.T) {
	now := time.Unix(0, 0)
	const little, load, much = 4, 100, 2000
	for _, test := range []struct {
		name         string
		batch, plain int
		events       int
		want         mode
	}{
		{"batches are slow", 5_000, 50_000, little, pipelined},
		{"batches are fast", 50_000, 5_000, much, atomicBatch},
	} {
		var c chooser
		for range exploreSamples {
			c.observe(atomicBatch, load, test.batch, time.Second, 0, false)
			c.observe(pipelined, load, test.plain, time.Second, 0, false)
		}
		for range 100 {
			if got := c.pick(test.events, now); got != test.want {
				t.Errorf("%s: picked %d", test.name, got)
			}
		}
		if c.expect(test.events, true) != 0 {
			t.Errorf("%s: a time is expected of a load not seen yet", test.name)
		}
		if got := c.pick(test.events, now.Add(2*exploreLast)); got == test.want {
			t.Errorf("%s: the other mode is never tried", test.name)
		}
	}
	var c chooser // nearly alike: nothing follows for the neighbours
	for range exploreSamples {
		c.observe(atomicBatch, load, 50_000, time.Second, 0, false)
		c.observe(pipelined, load, 40_000, time.Second, 0, false)
	}
	c.observe(pipelined, much, 40_000, time.Second, 0, false)
	if got := c.pick(much, now); got != atomicBatch {
		t.Error("batches are not tried under more load")
	}
}

// TestChooserDoesNotWaver has batches taken only when they are clearly faster, and kept while they are faster at all: they cost the server
// more than their rate shows, and each change waits for what is under way.
func TestChooserDoesNotWaver(t *testing.T) {
	var c chooser
	const load = 100
	now := time.Unix(0, 0)
	c.observe(pipelined, load, 50_000, time.Second, 0, false)
	for _, step := range []struct {
		batches int // stored each second, where plain publishes store 50,000
		want    mode
	}{{52_000, pipelined}, {56_000, pipelined}, {65_000, atomicBatch}, {56_000, atomicBatch}, {51_000, pipelined}, {56_000, pipelined}} {
		for range 20 {
			c.observe(atomicBatch, load, step.batches, time.Second, 0, false)
		}
		if got := c.pick(load, now); got != step.want {
			t.Errorf("with %d by batches and 50,000 plain: picked %d, want %d", step.batches, got, step.want)
		}
	}
}

// TestChooserCountsThePauses compares the modes by what they store in a time, pauses included, and expects of a queue, which leaves none, what
// they store when busy.
func TestChooserCountsThePauses(t *testing.T) {
	var c chooser
	const load = 100
	now := time.Unix(0, 0)
	for range 20 {
		c.observe(atomicBatch, load, 80, time.Millisecond, time.Millisecond, false)
		c.observe(pipelined, load, 50, time.Millisecond, 0, false)
	}
	if got := c.pick(load, now); got != pipelined {
		t.Error("batches were taken that store less in a time")
	}
	if got, want := c.expect(80, true), time.Millisecond; got != want {
		t.Errorf("80 events are expected to take %v, want %v", got, want)
	}
}

// TestChooserExpectsTheBetterOfTwoRates takes a first burst of plain acknowledgements for a good rate, and then sees the real one. Until it
// has changed back, no webhook is to be refused for the slower way's time.
func TestChooserExpectsTheBetterOfTwoRates(t *testing.T) {
	var c chooser
	const load = 60_000
	c.observe(atomicBatch, load, 3_000, 100*time.Millisecond, 0, false)
	c.observe(pipelined, load, 500, 10*time.Millisecond, 0, false) // as if 50,000 each second
	c.observe(pipelined, load, 500, 10*time.Millisecond, 0, false)
	c.observe(pipelined, load, 30, 15*time.Millisecond, 0, false)
	if m, sure := c.faster(loadClass(load)); !sure || m != pipelined {
		t.Fatal("the first burst did not make plain publishes the faster way")
	}
	if got, atMost := c.expect(load, true), 2*time.Second; got == 0 || got > atMost {
		t.Errorf("expected %v, at most %v at the rate of batches", got, atMost)
	}
}

// within returns a context that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
