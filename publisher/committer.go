package publisher

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"mewsbridge/schema"
)

// Limits of what is under way to one stream.
const (
	maxBatchEvents  = 1000     // the server's own limit (max_batch_size), until it says less
	maxGroupBytes   = 16 << 20 // well under what the server buffers for a stream
	maxBatches      = 2
	maxDirectBytes  = 32 << 10 // nats.go buffers so much before it writes
	worthOverlap    = 200      // events that the server stores in about the time in which it makes and deletes a batch's own files
	retryDelay      = 150 * time.Millisecond
	maxNobodyThere  = 15 // attempts that no stream answers before a webhook fails: 2 s, in which a new leader is usually there
	shedAtRemaining = 0.8
	shedAfterWaited = 0.125 // until the first in the queue has waited so much of it, the rate may be that of a start
)

// committer makes the webhooks of one stream durable. Publish puts each on the queue; one goroutine, run,
// draws from it and sends; acknowledgements come on a goroutine of nats.go and settle what they complete. A webhook of one small message
// that finds none waiting, and no batch wanted or under way, is sent by its caller, which spares it a change of goroutine.
//
// Nothing waits for a timer: when nothing is under way the next webhook goes at once, and what arrives
// while a commit is under way goes together in the next one.
type committer struct {
	stream  string
	send    *sender
	log     *zap.Logger
	now     func() time.Time
	metrics *committerMetrics
	limits  struct {
		events int
		bytes  int64
	}

	wake chan struct{} // capacity 1: something changed for run

	mu       sync.Mutex
	stopping bool
	idle     chan struct{} // closed when stopping and nothing is left

	sending bool  // run or a caller is: one at a time
	fresh   queue // never sent before
	again   queue // to be sent again, oldest due first
	alone   queue // by plain publishes only

	queuedEvents int
	queuedBytes  int64

	flights      map[uint64]*flight
	nextFlight   uint64
	flightEvents int
	flightBytes  int64
	batches      int

	atomic     bool // the stream takes atomic batches
	batchLimit int
	window     int
	chooser    chooser
	mode       mode // of what is under way

	landings uint64  // flights stored so far
	trouble  trouble // what keeps webhooks from being stored

	sampled sample // how the mode in use does
}

func newCommitter(stream string, send *sender, cfg Config, log *zap.Logger) *committer {
	c := &committer{
		stream: stream, send: send, log: log.With(zap.String("stream", stream)), now: time.Now, metrics: newCommitterMetrics(stream),
		wake: make(chan struct{}, 1), idle: make(chan struct{}),
		flights: map[uint64]*flight{}, batchLimit: maxBatchEvents, window: minWindow,
	}
	c.limits.events, c.limits.bytes = cfg.QueueEvents, cfg.QueueBytes
	return c
}

// publish stores msgs, at least one, and returns nil when every one is acknowledged. Else the error wraps one of
// schema.Err…; it returns no later than ctx ends, unless a write to the server blocks its caller for longer than flushTimeout.
func (c *committer) publish(ctx context.Context, msgs []schema.Message) error {
	p := newPending(ctx, msgs)
	p.arrived = c.now()
	f, err := c.enqueue(p)
	if err != nil {
		if errors.Is(err, schema.ErrOverloaded) {
			c.metrics.shed.Inc()
		}
		return err
	}
	defer func() { c.metrics.publishSeconds.Observe(c.now().Sub(p.arrived).Seconds()) }()
	if f != nil {
		c.sendDirect(f, p)
	} else {
		wake(c.wake)
	}
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
		return c.giveUp(p)
	}
}

// enqueue takes p in, or says at once that it cannot be stored in time. When it returns a flight, the caller is to send it.
func (c *committer) enqueue(p *pending) (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return nil, schema.ErrStopping
	}
	if c.overloaded(p.ctx, len(p.msgs), p.bytes) {
		return nil, schema.ErrOverloaded
	}
	direct := c.mayGoDirect(p)
	c.queuedEvents += len(p.msgs)
	c.queuedBytes += p.bytes
	p.landings = c.landings
	c.sampled.load = max(c.sampled.load, c.outstanding())
	if direct {
		if now := c.now(); c.wantedMode(now) == pipelined {
			c.sending = true
			return c.depart(pipelined, []*pending{p}, len(p.msgs), now), nil
		}
	}
	c.fresh.push(p)
	return nil, nil
}

// mayGoDirect reports whether p's caller may send p by a plain publish: the window has room, none that waits is overtaken, nobody else sends, and no
// batch is under way. A caller that sends cannot give up, so p is one message, of a size that nats.go buffers, and there is time enough for
// a write that blocks all the same, because other messages fill the buffer.
func (c *committer) mayGoDirect(p *pending) bool {
	if c.sending || c.queuedEvents > 0 || c.batches > 0 || !c.fits(p) || len(p.msgs) > 1 || p.bytes > maxDirectBytes {
		return false
	}
	deadline, bounded := p.ctx.Deadline()
	return !bounded || deadline.Sub(p.arrived) > flushTimeout
}

// sendDirect sends p on its caller's goroutine, lets others send, and wakes run when more has come meanwhile.
func (c *committer) sendDirect(f *flight, p *pending) {
	returned := false
	defer func() {
		if !returned { // a panic, which ends no more than this webhook
			_ = c.giveUp(p)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sending = false
		c.wakeForQueue()
	}()
	c.launch(f)
	returned = true
}

// wakeForQueue wakes run when it may have something to send.
func (c *committer) wakeForQueue() {
	if c.queuedEvents > 0 {
		wake(c.wake)
	}
}

// admit says at once that a webhook that arrives now could not be stored before ctx ends.
func (c *committer) admit(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.overloaded(ctx, 1, 0) {
		return nil
	}
	c.metrics.shed.Inc()
	return schema.ErrOverloaded
}

// overloaded reports whether the queue has no room for so many events more, or cannot store them before ctx ends. An empty
// queue takes any webhook.
func (c *committer) overloaded(ctx context.Context, events int, bytes int64) bool {
	if c.queuedEvents == 0 {
		return false
	}
	events += c.queuedEvents
	if events > c.limits.events || c.queuedBytes+bytes > c.limits.bytes {
		return true
	}
	deadline, bounded := ctx.Deadline()
	first := c.fresh.peek()
	if !bounded || first == nil {
		return false
	}
	now := c.now()
	within := deadline.Sub(now)
	if now.Sub(first.arrived) < time.Duration(shedAfterWaited*float64(within)) {
		return false
	}
	return c.chooser.expect(events+c.flightEvents, c.atomic) > time.Duration(shedAtRemaining*float64(within))
}

// giveUp takes p out: its caller has stopped waiting. Its neighbours in a batch go on.
func (c *committer) giveUp(p *pending) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case err := <-p.done:
		return err // settled in the same moment
	default:
	}
	p.settled = true
	failure := p.last
	if failure == nil {
		failure = schema.ErrNotAcknowledged
	}
	if errors.Is(p.ctx.Err(), context.DeadlineExceeded) && p.landings == c.landings {
		c.trouble = trouble{failure, c.now(), true} // in all its time nothing was stored, not even for others
	}
	if p.flight == nil {
		c.unqueue(p)
	} else if p.flight.alive--; p.flight.alive == 0 {
		c.land(p.flight)
	}
	wake(c.wake)
	c.finishIfIdle()
	return failure
}

// settle answers p's caller. p is in no queue and in no flight.
func (c *committer) settle(p *pending, err error) {
	if p.settled {
		return
	}
	p.settled = true
	p.done <- err
	if err != nil && !concernsOneMessage(codeOf(err)) {
		c.trouble = trouble{err, c.now(), false}
	}
}

func (c *committer) unqueue(p *pending) {
	c.queuedEvents -= len(p.left())
	c.queuedBytes -= p.bytes
}

// requeue puts p back to be sent again.
func (c *committer) requeue(q *queue, p *pending, front bool) {
	if p.settled {
		return
	}
	c.queuedEvents += len(p.left())
	c.queuedBytes += p.bytes
	if front {
		q.pushFront(p)
	} else {
		q.push(p)
	}
}

// run sends until stop what callers do not.
func (c *committer) run(stop <-chan struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	sent := false
	for {
		f, wait := c.next(sent)
		if sent = f != nil; sent {
			c.launch(f)
			continue
		}
		var due <-chan time.Time
		if wait != noTimer { // almost always there is none, and setting one would cost as much as the rest
			timer.Reset(wait)
			due = timer.C
		}
		select {
		case <-c.wake:
		case <-due:
		case <-stop:
			return
		}
	}
}

// noTimer says that there is nothing to do unless woken.
const noTimer = time.Duration(math.MaxInt64)

// next returns what run is to send, or how long there is nothing to do unless woken. sent says that run has sent what it got last.
func (c *committer) next(sent bool) (*flight, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if sent {
		c.sending = false
	}
	if c.sending {
		return nil, noTimer // the caller that sends wakes run
	}
	f, wait := c.draw(c.now())
	c.sending = f != nil
	return f, wait
}

// draw takes the next flight, or says how long there is nothing to do unless woken.
func (c *committer) draw(now time.Time) (*flight, time.Duration) {
	if p := c.alone.peek(); p != nil {
		// It has been refused once already. Nothing overtakes it: under constant load the window would never have room.
		if !c.fits(p) {
			return nil, noTimer
		}
		c.alone.pop()
		return c.depart(pipelined, []*pending{p}, len(p.left()), now), 0
	}
	q, wait := &c.again, noTimer
	if p := q.peek(); p == nil || p.due.After(now) {
		if p != nil {
			wait = p.due.Sub(now)
		}
		q = &c.fresh
	}
	if q.peek() == nil {
		return nil, wait
	}
	wanted := c.wantedMode(now)
	if len(c.flights) > 0 && wanted != c.mode {
		return nil, wait // the other mode begins when what is under way has landed
	}
	if wanted == atomicBatch {
		if c.batches >= maxBatches || c.batches > 0 && !c.overlapPays() {
			return nil, wait
		}
		group, events := c.group(q, now)
		return c.depart(atomicBatch, group, events, now), 0
	}
	p := q.peek()
	if !c.fits(p) {
		return nil, wait
	}
	q.pop()
	return c.depart(pipelined, []*pending{p}, len(p.left()), now), 0
}

// overlapPays reports whether a second batch is worth its fixed cost, to be staged while the first is committed: as much has to wait as
// is under way.
func (c *committer) overlapPays() bool { return c.queuedEvents >= max(c.flightEvents, worthOverlap) }

func (c *committer) wantedMode(now time.Time) mode {
	if !c.atomic {
		return pipelined
	}
	return c.chooser.pick(c.recentLoad(now), now)
}

// outstanding returns how many events wait or are under way.
func (c *committer) outstanding() int { return c.queuedEvents + c.flightEvents }

// fits reports whether the window has room for p; an empty one has room for any.
func (c *committer) fits(p *pending) bool {
	return c.flightEvents == 0 || c.flightEvents+len(p.left()) <= c.window && c.flightBytes+p.bytes <= maxGroupBytes
}

// group draws whole webhooks from q until a batch is full. A webhook that exceeds a batch alone gets one to itself
// for its next part. Webhooks of different queues are not mixed: a known id would have the whole batch refused.
func (c *committer) group(q *queue, now time.Time) (group []*pending, events int) {
	var size int64
	for {
		p := q.peek()
		if p == nil || p.due.After(now) {
			return group, events
		}
		n := len(p.left())
		if len(group) > 0 && (events+n > c.batchLimit || size+p.bytes > maxGroupBytes) {
			return group, events
		}
		q.pop()
		group, events, size = append(group, p), events+n, size+p.bytes
		if events >= c.batchLimit {
			return group, c.batchLimit
		}
	}
}

// depart makes a flight of group and accounts for it.
func (c *committer) depart(m mode, group []*pending, events int, now time.Time) *flight {
	if len(c.flights) == 0 {
		c.beginFromIdle(m, now)
	}
	c.mode, c.sampled.sent = m, max(c.sampled.sent, c.outstanding())
	c.nextFlight++
	f := &flight{id: c.nextFlight, mode: m, group: group, alive: len(group), events: events}
	for _, p := range group {
		c.unqueue(p)
		p.flight = f
		f.bytes += p.bytes
	}
	if m == atomicBatch {
		f.expect(1)
		c.batches++
	} else {
		f.expect(events)
	}
	c.flights[f.id] = f
	c.flightEvents += f.events
	c.sampled.flying = max(c.sampled.flying, c.flightEvents)
	c.flightBytes += f.bytes
	c.metrics.departed(f, now)
	return f
}

// land takes f out of what is under way. An acknowledgement that comes later finds nothing.
func (c *committer) land(f *flight) {
	if _, flying := c.flights[f.id]; !flying {
		return
	}
	delete(c.flights, f.id)
	c.flightEvents -= f.events
	c.flightBytes -= f.bytes
	if f.mode == atomicBatch {
		c.batches--
	}
}

// launch sends f. It may block while the connection does; the callers of f that do not send are bound by their own contexts.
func (c *committer) launch(f *flight) {
	var err error
	if f.mode == atomicBatch {
		err = c.send.sendBatch(f)
	} else {
		err = c.send.sendPlain(f)
	}
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		// The server has lowered its limit. Nothing of the message was sent, and no other attempt will fare better.
		c.finish(f.id, -1, refused, &refusal{schema.ErrRefused, codeMessageTooLarge, "a message is larger than the server's max_payload"})
	case err != nil:
		c.finish(f.id, -1, tryAgain, &refusal{schema.ErrUnavailable, 0, err.Error()})
	}
}

// finish takes in one answer of JetStream, or a failure to send. index -1 stands for the flight as a whole.
func (c *committer) finish(id uint64, index int, v verdict, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.flights[id]
	if f == nil {
		return // its callers have given up, or it has failed already
	}
	if v == stored {
		if !f.acknowledged(index) {
			return
		}
		c.land(f)
		c.arrive(f)
	} else {
		c.land(f)
		c.fail(f, v, err)
	}
	c.wakeForQueue()
	c.finishIfIdle()
}

// arrive settles the webhooks of a flight that is stored.
func (c *committer) arrive(f *flight) {
	c.landings++
	c.trouble = trouble{}
	now := c.now()
	c.metrics.landed(f, now)
	for _, p := range f.group {
		p.flight = nil
		if len(p.left()) > f.events {
			p.stored += f.events
			c.requeue(&c.fresh, p, true)
			continue
		}
		c.settle(p, nil)
	}
	c.takeSample(f, now)
}

// fail decides for each webhook of a flight what its failure means. Only these webhooks are concerned.
func (c *committer) fail(f *flight, v verdict, err error) {
	c.metrics.failures[v].Inc()
	if v == tryPlain {
		c.shrinkBatches(f, err)
	}
	code := codeOf(err)
	for _, p := range f.group {
		p.flight = nil
		p.last = err
		next := v
		if len(f.group) > 1 && concernsOneMessage(code) || code == codeBatchIncomplete && p.incomplete {
			// One message is at fault, and in a batch it has no answer of its own: let each webhook answer for itself.
			next = tryAlone
		}
		p.incomplete = code == codeBatchIncomplete
		switch next {
		case tryAlone, tryPlain:
			c.requeue(&c.alone, p, false)
		case nobodyThere, tryAgain:
			if next == nobodyThere {
				p.refused++
			}
			if p.refused >= maxNobodyThere {
				c.settle(p, err)
				continue
			}
			p.due = c.now().Add(retryDelay)
			c.requeue(&c.again, p, false)
		default:
			c.settle(p, err)
		}
	}
}

// shrinkBatches keeps what the server said of its limits until the streams are looked at again.
func (c *committer) shrinkBatches(f *flight, err error) {
	if f.events > 1 && codeOf(err) == codeBatchTooLarge {
		c.batchLimit = max(f.events/2, 1)
		c.log.Info("the server takes smaller batches", zap.Int("events", c.batchLimit))
		return
	}
	c.atomic = false
	c.log.Warn("the stream takes no atomic batches: publishing one by one", zap.Error(err))
}

// connectionLost fails what is under way: its acknowledgements will never come.
func (c *committer) connectionLost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.flights {
		c.land(f)
		c.fail(f, tryAgain, &refusal{schema.ErrUnavailable, 0, "the connection was lost"})
	}
	wake(c.wake)
	c.finishIfIdle()
}

// allowAtomic says what the stream's configuration says of atomic batches.
func (c *committer) allowAtomic(allowed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.atomic = allowed
	if allowed {
		c.batchLimit = maxBatchEvents
	}
}

// stop refuses new webhooks; the channel it returns is closed when none is left.
func (c *committer) stop() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopping {
		c.stopping = true
		c.finishIfIdle()
	}
	return c.idle
}

func (c *committer) finishIfIdle() {
	if !c.stopping || c.queuedEvents > 0 || len(c.flights) > 0 {
		return
	}
	select {
	case <-c.idle:
	default:
		close(c.idle)
	}
}
