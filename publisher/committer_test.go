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
	d := newIdleDeaf(change)
	stop := make(chan struct{})
	var loop sync.WaitGroup
	loop.Go(func() { d.run(stop) })
	t.Cleanup(func() { close(stop); loop.Wait() })
	return d
}

// newIdleDeaf is newDeaf without the goroutine that sends.
func newIdleDeaf(change func(*Config)) *deaf {
	cfg := Config{}.withDefaults()
	if change != nil {
		change(&cfg)
	}
	d := &deaf{}
	d.committer = newCommitter("MEWS_EVENTS", newSender(d.take, "inbox.", "batch-"), cfg, zap.NewNop())
	return d
}

// queued waits until n events are in the queue.
func (d *deaf) queued(t *testing.T, n int) {
	t.Helper()
	natstest.Eventually(t, fmt.Sprintf("%d queued events", n), func() bool {
		d.committer.mu.Lock()
		defer d.committer.mu.Unlock()
		return d.queuedEvents == n
	})
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
	d.queued(t, 10)
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
	d.chooser.observe(pipelined, minWindow+2, 1, time.Second, 0, exact) // one event a second
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

// TestAWebhookIsSentByItsCaller has no goroutine that sends for others: what waits stays.
func TestAWebhookIsSentByItsCaller(t *testing.T) {
	const ack = `{"stream":"MEWS_EVENTS","seq":1}`
	d := newIdleDeaf(nil)
	ctx, giveUp := context.WithCancel(context.Background())
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer giveUp()
	begin := func(msgs []schema.Message) <-chan error {
		done := make(chan error, 1)
		waiting.Go(func() { done <- d.publish(ctx, msgs) })
		return done
	}
	lone := begin(messages("lone", 1))
	d.taken(t, 1)
	natstest.Eventually(t, "its caller to have sent it", func() bool {
		d.committer.mu.Lock()
		defer d.committer.mu.Unlock()
		return !d.sending
	})
	neighbour := begin(messages("neighbour", 1))
	sent := d.taken(t, 2)
	window := func(events int) {
		d.committer.mu.Lock()
		defer d.committer.mu.Unlock()
		d.window = events
	}
	window(len(sent))
	held := begin(messages("held", 1)) // the window has no room
	d.queued(t, 1)
	window(minWindow)
	late := begin(messages("late", 1)) // it must not overtake the one that is held
	d.queued(t, 2)
	for _, m := range sent {
		d.answer(t, m, ack)
	}
	if err := errors.Join(<-lone, <-neighbour); err != nil {
		t.Error(err)
	}
	first, _ := d.next(false)
	d.launch(first)
	second, _ := d.next(true)
	d.launch(second)
	for _, m := range d.taken(t, 4)[2:] {
		d.answer(t, m, ack)
	}
	if err := errors.Join(<-held, <-late); err != nil {
		t.Error(err)
	}
	d.next(true)
	begin(messages("pair", 2)) // a write can block between them
	d.queued(t, 2)
	large := newIdleDeaf(nil)
	big := messages("big", 1)
	big[0].Data = make([]byte, maxDirectBytes) // it would be written, which can block
	waiting.Go(func() { _ = large.publish(ctx, big) })
	large.queued(t, 1)
	hasty := newIdleDeaf(nil)
	soon, cancel := context.WithTimeout(ctx, flushTimeout) // a write that blocks would keep it for too long
	defer cancel()
	waiting.Go(func() { _ = hasty.publish(soon, messages("hasty", 1)) })
	hasty.queued(t, 1)
}

// TestAPanicOfACallerIsNotTheOthers has the sending of a webhook panic, which the bridge recovers from.
func TestAPanicOfACallerIsNotTheOthers(t *testing.T) {
	d := newDeaf(t, nil)
	take := d.send.publish
	d.send.publish = func(*nats.Msg) error { panic("in nats.go") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = d.publish(t.Context(), messages("panics", 1))
	}()
	d.send.publish = take
	done := make(chan error, 1)
	go func() { done <- d.publish(t.Context(), messages("next", 1)) }()
	d.answer(t, d.taken(t, 1)[0], `{"stream":"MEWS_EVENTS","seq":1}`)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(d.flights) > 0 || d.flightEvents > 0 || d.flightBytes > 0 {
		t.Errorf("%d flights are left of %d events and %d bytes", len(d.flights), d.flightEvents, d.flightBytes)
	}
}

// TestOneSendsAtATime has the connection block while a caller sends, and another webhook come.
func TestOneSendsAtATime(t *testing.T) {
	d := newDeaf(t, nil)
	blocked, unblock := make(chan struct{}, 1), make(chan struct{})
	take := d.send.publish
	d.send.publish = func(m *nats.Msg) error {
		select {
		case blocked <- struct{}{}: // the first
			<-unblock
		default:
		}
		return take(m)
	}
	results := make(chan error, 2)
	go func() { results <- d.publish(t.Context(), messages("first", 1)) }()
	natstest.Eventually(t, "the first webhook to be sent", func() bool { return len(blocked) == 1 })
	go func() { results <- d.publish(t.Context(), messages("second", 1)) }()
	d.queued(t, 1)
	natstest.Eventually(t, "the second to find that another sends", func() bool { return len(d.wake) == 0 })
	if f, _ := d.next(false); f != nil {
		t.Error("two would send at a time")
	}
	d.queued(t, 1)
	close(unblock)
	for _, m := range d.taken(t, 2) {
		d.answer(t, m, `{"stream":"MEWS_EVENTS","seq":1}`)
		if err := <-results; err != nil {
			t.Error(err)
		}
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

// within returns a context that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
