package publisher

import (
	"math/bits"
	"time"
)

// How the chooser learns. An exploration takes exploreFor, or longer until the first sample that counts, and ends sooner after exploreSamples of
// them, or after one that confirms what is known; what was under way before and what is at its end come on top. Its interval doubles from
// exploreFirst to exploreLast while it confirms what is known.
const (
	exploreFor       = 30 * time.Millisecond
	exploreUnseenFor = 100 * time.Millisecond // in its place while a mode has not been seen: the first commit of a start may take 20 ms
	exploreMost      = 500 * time.Millisecond // without a sample
	exploreSamples   = 3
	inferSamples     = 2 // of both modes, from which something follows for less load
	exploreFirst     = 500 * time.Millisecond
	exploreClear     = 2 * time.Second // the first interval where one mode is clearly faster
	exploreLast      = time.Minute
	exploreRest      = 20                     // times as long as the last look took, until a mode that is known is looked at again
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
// are slower they are not tried under less load, and where they are clearly faster plain publishes are not tried
// under more. It is guarded by the committer's mutex.
type chooser struct {
	classes [loadClasses]loadRates
	samples [modes]int // taken since the start, under any load, also those that do not count

	exploring mode
	class     int       // of the load that the exploration under way is for
	left      int       // samples that it still takes
	until     time.Time // its end
	latest    time.Time // its end when no sample counts until then
	again     time.Time // its beginning, when it is one of what is known
	rested    time.Time // when what is known may be looked at again
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

// samples returns how many were taken of the mode of which fewer were.
func (r *loadRates) samples() int { return min(r.seen[pipelined].samples, r.seen[atomicBatch].samples) }

// clearly reports whether m is known to be much faster than the other mode, and not by a single commit.
func (r *loadRates) clearly(m mode) bool {
	return r.samples() >= exploreSamples && r.throughput(m) > clearFactor*r.throughput(m.other())
}

// loadClass groups outstanding events: 1, 2 to 5, 6 to 23, 24 to 95, 96 to 383, 384 and more. The borders are away from the powers of
// two, which are what numbers of connections are.
func loadClass(events int) int {
	return min(bits.Len(uint(events+events/3))/2, loadClasses-1)
}

// pick returns the mode for the next attempt when the given number of events is outstanding.
func (c *chooser) pick(events int, now time.Time) mode {
	class := loadClass(events)
	if c.looking(class, now) {
		return c.exploring
	}
	c.endLook(now)
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
	case !now.Before(r.next) && !now.Before(c.rested):
		r.lookLater(now)
		if m, ok := c.inferred(class); ok && m == faster && r.backoff < exploreLast {
			return faster // a look under another load tells as much
		}
		r.seen[faster.other()].fade()
		return c.explore(faster.other(), class, now)
	}
	return faster
}

// faster returns the faster mode under a class of load: by the rates seen under it, else by those under other loads. sure is false
// when neither says which.
func (c *chooser) faster(class int) (m mode, sure bool) {
	if r := &c.classes[class]; r.known() {
		return r.faster, true
	}
	return c.inferred(class)
}

// inferred returns the mode that is the faster one under a class of load because it is under more load, or under less.
func (c *chooser) inferred(class int) (m mode, ok bool) {
	for more := class + 1; more < loadClasses; more++ {
		if r := &c.classes[more]; r.samples() >= inferSamples && r.faster == pipelined {
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

// guess returns the mode for a class of load under which a look has shown nothing: one that comes and goes faster than a sample is long.
func (c *chooser) guess(class int) mode {
	for distance := 1; distance < loadClasses; distance++ {
		if m, ok := c.fasterAt(class, distance); ok {
			return m
		}
	}
	return c.untried(class)
}

// untried returns the mode to look at of a class of load of which not both are known. The likely one comes first, for the look at the other
// is over as soon as that is seen to be slower: what is faster under nearly that load, or else a plain publish for a lone event, and a batch
// from a handful on.
func (c *chooser) untried(class int) mode {
	first, ok := c.fasterAt(class, 1)
	if !ok && class > 0 {
		first = atomicBatch
	}
	if c.classes[class].rate(first) > 0 {
		return first.other()
	}
	return first
}

// fasterAt returns the faster mode of a class at that distance of which both are known.
func (c *chooser) fasterAt(class, distance int) (m mode, ok bool) {
	for _, near := range [...]int{class + distance, class - distance} {
		if near >= 0 && near < loadClasses && c.classes[near].known() {
			return c.classes[near].faster, true
		}
	}
	return pipelined, false
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
	lasting := exploreUnseenFor
	if c.classes[class].known() {
		lasting, c.again = exploreFor, now
	}
	c.exploring, c.class, c.left = m, class, exploreSamples
	c.until, c.latest = now.Add(lasting), now.Add(exploreMost)
	return m
}

// looking reports whether an exploration is under way for a class of load, or for the next to it: to change the mode and back costs more than
// the rest of the look. Where commits take long the first that counts is waited for, or every look would be for nothing.
func (c *chooser) looking(class int, now time.Time) bool {
	if c.left == 0 || class < c.class-1 || c.class+1 < class {
		return false
	}
	return now.Before(c.until) || c.left == exploreSamples && now.Before(c.latest)
}

// endLook ends the exploration under way, and keeps the time until the next one of what is known in proportion to what this one took.
func (c *chooser) endLook(now time.Time) {
	c.left = 0
	if c.again.IsZero() {
		return
	}
	took := min(now.Sub(c.again), exploreMost) // the load may have ended before the look
	c.rested, c.again = now.Add(exploreRest*took), time.Time{}
}

// bound says what a sample stands for.
type bound uint8

const (
	exact   bound = iota
	atLeast       // more is possible: the window was still growing
	atMost        // less is possible: the queue had filled while the mode was changed
)

// observe takes in that m stored events in a time in which it was busy under this load, after a pause.
func (c *chooser) observe(m mode, load, events int, busy, idle time.Duration, is bound) {
	class := loadClass(load)
	r := &c.classes[class]
	slower := perSecond(float64(events), busy+idle) < r.throughput(m.other())
	warm := c.samples[m] >= exploreSamples
	c.samples[m]++
	if is == atMost && warm && !slower {
		return
	}
	if r.rate(m) == 0 {
		r.next, r.backoff = time.Time{}, 0 // the other mode may be looked at now
	}
	if is != atLeast || perSecond(float64(events), busy) > r.rate(m) {
		r.seen[m].add(events, busy, idle)
	}
	if r.known() {
		if better := r.better(); better != r.faster {
			r.faster, r.next = better, time.Time{} // what was known no longer holds: look again soon
		}
	}
	if m != c.exploring || is == atLeast {
		return
	}
	c.left--
	if warm && slower && class == c.class {
		c.left = 0 // that it is the slower one is confirmed
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
