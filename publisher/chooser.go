package publisher

import (
	"math/bits"
	"time"
)

// How the chooser learns. An exploration costs at most exploreFor, or exploreSamples commits, of the worse mode; its interval doubles
// from exploreFirst to exploreLast while it confirms what is known.
const (
	exploreFor       = 30 * time.Millisecond
	exploreUnseenFor = 100 * time.Millisecond // in its place while a mode has not been seen: the first commit of a start may take 20 ms
	exploreSamples   = 3
	exploreFirst     = 500 * time.Millisecond
	exploreClear     = 2 * time.Second // the first interval where one mode is clearly faster
	exploreLast      = time.Minute
	memory           = 200 * time.Millisecond // of busy time that a rate is the mean of
	loadClasses      = 6

	// How many times as fast batches have to be: they cost the server more of its cores.
	worthBatches = 1.15
	worthStaying = 1.05 // once they are in use: a change waits for what is under way
	clearFactor  = 2.0  // times as fast: holds for the neighbouring loads too
)

// chooser picks the mode that the commits seen so far show to be faster. Which one it is depends on the
// server (does it fsync each write? how many replicas?) and on the load (a batch has a fixed cost), so it
// keeps a rate for each mode and class of load. The fixed cost of a batch counts for less the more is in it: where batches
// are clearly slower they are not tried under less load, and where they are clearly faster plain publishes are not tried
// under more. It is guarded by the committer's mutex.
type chooser struct {
	classes [loadClasses]loadRates

	exploring mode
	class     int
	samples   int       // still to take
	until     time.Time // end of the exploration under way
}

// loadRates is what is known of one class of load.
type loadRates struct {
	seen    [modes]yield
	faster  mode      // of two known rates; pipelined before
	next    time.Time // when to look at the slower mode again, or at one of which a look has shown nothing
	backoff time.Duration
}

// yield is how many events a mode stored in which busy time, and how long nothing was under way in between. Acknowledgements come in bursts:
// the mean over the time is steady where the mean of the rates would follow the shortest bursts.
type yield struct {
	events     float64
	busy, idle time.Duration
	samples    int // taken since the start
}

// rate returns events per busy second, which is what the mode can store; 0 is not yet known.
func (y yield) rate() float64 { return perSecond(y.events, y.busy) }

// throughput returns events per second, by which the modes are compared: senders that wait for their answers, and the cores where they are
// the limit, make a pause after each batch and none between plain publishes.
func (y yield) throughput() float64 { return perSecond(y.events, y.busy+y.idle) }

func perSecond(events float64, d time.Duration) float64 {
	if d == 0 {
		return 0
	}
	return events / d.Seconds()
}

func (y *yield) add(events int, busy, idle time.Duration) {
	y.events, y.busy, y.idle, y.samples = y.events+float64(events), y.busy+busy, y.idle+idle, y.samples+1
	for y.busy > memory {
		y.scale(0.5)
	}
}

// fade leaves what was seen the weight of one sample, so that what is seen next counts for more. It may have been at the start, when
// nothing was warm, and there is no other correction for a mode that is not used.
func (y *yield) fade() {
	if y.busy > sampleTime {
		y.scale(float64(sampleTime) / float64(y.busy))
	}
}

// scale changes the weight of what was seen, and no mean.
func (y *yield) scale(share float64) {
	y.events *= share
	y.busy, y.idle = time.Duration(share*float64(y.busy)), time.Duration(share*float64(y.idle))
}

func (r *loadRates) rate(m mode) float64 { return r.seen[m].rate() }

func (r *loadRates) throughput(m mode) float64 { return r.seen[m].throughput() }

func (r *loadRates) known() bool { return r.rate(atomicBatch) > 0 && r.rate(pipelined) > 0 }

// clearly reports whether m is known to be much faster than the other mode, and not by a single commit.
func (r *loadRates) clearly(m mode) bool {
	return min(r.seen[m].samples, r.seen[m.other()].samples) >= exploreSamples && r.throughput(m) > clearFactor*r.throughput(m.other())
}

// loadClass groups outstanding events: 1, 2 to 7, 8 to 31, 32 to 127, 128 to 511, 512 and more.
func loadClass(events int) int {
	return min((bits.Len(uint(events)))/2, loadClasses-1)
}

// pick returns the mode for the next attempt when the given number of events is outstanding.
func (c *chooser) pick(events int, now time.Time) mode {
	class := loadClass(events)
	if class == c.class && c.samples > 0 && now.Before(c.until) {
		return c.exploring
	}
	r := &c.classes[class]
	faster, sure := c.faster(class)
	switch {
	case !sure && now.Before(r.next):
		return c.guess(class)
	case !sure:
		r.lookLater(now) // unless it is seen by then
		return c.explore(c.untried(class), class, now)
	case r.next.IsZero():
		r.backoff = r.firstBackoff()
		r.next = now.Add(r.backoff)
	case !now.Before(r.next):
		r.lookLater(now)
		r.seen[faster.other()].fade()
		return c.explore(faster.other(), class, now)
	}
	return faster
}

// faster returns the faster mode under a class of load: by the rates seen under it, else by those of its neighbours. sure is false
// when neither says which.
func (c *chooser) faster(class int) (m mode, sure bool) {
	if r := &c.classes[class]; r.known() {
		return r.faster, true
	}
	for more := class + 1; more < loadClasses; more++ {
		if c.classes[more].clearly(pipelined) {
			return pipelined, true
		}
	}
	for less := class - 1; less >= 0; less-- {
		if c.classes[less].clearly(atomicBatch) {
			return atomicBatch, true
		}
	}
	return 0, false
}

// guess returns the mode for a class of load under which a look has shown nothing: one that comes and goes faster than a sample is long. It
// is that of the nearest class of which both modes are known.
func (c *chooser) guess(class int) mode {
	for distance := 1; distance < loadClasses; distance++ {
		for _, near := range [...]int{class + distance, class - distance} {
			if near >= 0 && near < loadClasses && c.classes[near].known() {
				return c.classes[near].faster
			}
		}
	}
	return c.untried(class)
}

// untried returns the mode to try first. A lone event is cheapest as a plain publish; a batch pays from a handful on.
func (c *chooser) untried(class int) mode {
	first := atomicBatch
	if class == 0 {
		first = pipelined
	}
	if c.classes[class].rate(first) > 0 {
		return first.other()
	}
	return first
}

func (r *loadRates) firstBackoff() time.Duration {
	switch {
	case !r.known():
		return exploreLast
	case r.clearly(r.faster):
		return exploreClear
	}
	return exploreFirst
}

// lookLater puts the next look off for twice as long as the one before.
func (r *loadRates) lookLater(now time.Time) {
	r.backoff = min(max(2*r.backoff, exploreFirst), exploreLast)
	r.next = now.Add(r.backoff)
}

func (c *chooser) explore(m mode, class int, now time.Time) mode {
	lasting := exploreFor
	if !c.classes[class].known() {
		lasting = exploreUnseenFor
	}
	c.exploring, c.class, c.samples, c.until = m, class, exploreSamples, now.Add(lasting)
	return m
}

// observe takes in that m stored events in a time in which it was busy under this load, after a pause. A rate that was limited by a window that is
// still growing says only what is possible at least.
func (c *chooser) observe(m mode, load, events int, busy, idle time.Duration, limited bool) {
	class := loadClass(load)
	r := &c.classes[class]
	if r.rate(m) == 0 {
		r.next, r.backoff = time.Time{}, 0 // the other mode may be looked at now
	}
	if !limited || perSecond(float64(events), busy) > r.rate(m) {
		r.seen[m].add(events, busy, idle)
	}
	if m == c.exploring && class == c.class && !limited {
		c.samples--
	}
	if !r.known() {
		return
	}
	if better := r.better(); better != r.faster {
		r.faster, r.next = better, time.Time{} // what was known no longer holds: look again soon
	}
}

// better returns the mode to use by what is known of both.
func (r *loadRates) better() mode {
	worth := worthBatches
	if r.faster == atomicBatch {
		worth = worthStaying
	}
	if r.throughput(atomicBatch) > worth*r.throughput(pipelined) {
		return atomicBatch
	}
	return pipelined
}

// expect returns how long storing the outstanding events takes at the rate seen under such a load; 0 while the way that is
// or could be the faster one has not been seen under it. Of two known rates the better one counts: while the slower way is tried, the
// queue is not yet as slow.
func (c *chooser) expect(events int, batches bool) time.Duration {
	class := loadClass(events)
	r := &c.classes[class]
	rate := r.rate(pipelined)
	if batches {
		m, sure := c.faster(class)
		switch {
		case !sure:
			return 0
		case r.known():
			rate = max(r.rate(atomicBatch), r.rate(pipelined))
		default:
			rate = r.rate(m)
		}
	}
	if rate == 0 {
		return 0
	}
	return time.Duration(float64(events) / rate * float64(time.Second))
}
