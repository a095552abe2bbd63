package publisher

import (
	"math/bits"
	"time"
)

// How the chooser learns. An exploration costs at most exploreFor of the worse mode; its interval doubles
// from exploreFirst to exploreLast while it confirms what is known.
const (
	exploreFor   = 30 * time.Millisecond
	exploreFirst = time.Second
	exploreLast  = time.Minute
	smoothing    = 0.3
	loadClasses  = 6
)

// chooser picks the mode that the commits seen so far show to be faster. Which one it is depends on the
// server (does it fsync each write? how many replicas?) and on the load (a batch has a fixed cost), so it
// keeps a rate for each mode and class of load. It is guarded by the committer's mutex.
type chooser struct {
	rate    [modes][loadClasses]float64 // events per busy second; 0 is not yet known
	next    [loadClasses]time.Time      // when to look at the slower mode again
	backoff [loadClasses]time.Duration

	exploring mode
	class     int
	until     time.Time // end of the exploration under way
}

// loadClass groups outstanding events: 1, 2 to 7, 8 to 31, 32 to 127, 128 to 511, 512 and more.
func loadClass(events int) int {
	return min((bits.Len(uint(events)))/2, loadClasses-1)
}

// pick returns the mode for the next attempt when the given number of events is outstanding.
func (c *chooser) pick(events int, now time.Time) mode {
	class := loadClass(events)
	if now.Before(c.until) && class == c.class {
		return c.exploring
	}
	batch, plain := c.rate[atomicBatch][class], c.rate[pipelined][class]
	better, worse := atomicBatch, pipelined
	if plain > batch {
		better, worse = pipelined, atomicBatch
	}
	switch {
	case batch == 0 && plain == 0:
		// A lone event is cheapest as a plain publish; a batch pays from a handful on.
		if class == 0 {
			return c.explore(pipelined, class, now)
		}
		return c.explore(atomicBatch, class, now)
	case batch == 0 || plain == 0:
		return c.explore(worse, class, now)
	case !c.next[class].IsZero() && now.Before(c.next[class]):
		return better
	}
	c.backoff[class] = min(max(2*c.backoff[class], exploreFirst), exploreLast)
	c.next[class] = now.Add(c.backoff[class])
	if c.backoff[class] == exploreFirst {
		return better // both were measured a moment ago
	}
	return c.explore(worse, class, now)
}

func (c *chooser) explore(m mode, class int, now time.Time) mode {
	c.exploring, c.class, c.until = m, class, now.Add(exploreFor)
	return m
}

// observe takes in that m stored events at this rate under this load. A rate that was limited by a window that is still
// growing says only what is possible at least.
func (c *chooser) observe(m mode, events int, rate float64, limited bool) {
	class := loadClass(events)
	known := &c.rate[m][class]
	before := c.better(class)
	switch {
	case *known == 0 || limited:
		*known = max(*known, rate)
	default:
		*known += smoothing * (rate - *known)
	}
	if c.better(class) != before {
		c.backoff[class] = 0 // what was known no longer holds: look again soon
	}
}

func (c *chooser) better(class int) mode {
	if c.rate[pipelined][class] > c.rate[atomicBatch][class] {
		return pipelined
	}
	return atomicBatch
}

// expect returns how long storing the outstanding events takes at the rate seen under such a load; 0 while a way
// that could be the faster one has not been seen under it.
func (c *chooser) expect(events int, batches bool) time.Duration {
	class := loadClass(events)
	batch, plain := c.rate[atomicBatch][class], c.rate[pipelined][class]
	if plain == 0 || batches && batch == 0 {
		return 0
	}
	return time.Duration(float64(events) / max(batch, plain) * float64(time.Second))
}
