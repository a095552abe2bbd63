package publisher

import "time"

// How long a sample is, and what follows from it for the window of plain publishes.
const (
	sampleTime    = 5 * time.Millisecond
	sampleLongest = 250 * time.Millisecond
	idleLongest   = 5 * time.Millisecond // a longer pause is for want of webhooks

	minWindow  = 64
	maxWindow  = 8192
	windowTime = 20 * time.Millisecond // what the window holds is acknowledged in about this time
)

// sample is what a committer has seen of the mode in use since some time.
type sample struct {
	since    time.Time
	fromIdle bool          // nothing was under way then
	idle     time.Duration // and nothing had been for so long; 0 when for longer than idleLongest
	first    bool          // the mode was another a moment before
	stored   int           // events stored since
	before   int           // most events outstanding in the time of the sample before; 0 when it ended longer than idleLongest ago
	load     int           // most events outstanding since
	sent     int           // most events outstanding since as some of them departed
	flying   int           // most events under way since
}

// beginFromIdle begins to measure when the first flight departs in mode m. The sample before it has ended with the last landing.
func (c *committer) beginFromIdle(m mode, now time.Time) {
	last, rested := c.sampled, c.restedLong(now)
	c.beginSample(now)
	c.sampled.before = 0
	if !rested {
		c.sampled.idle, c.sampled.before = now.Sub(last.since), max(last.before, last.load)
		c.sampled.first = last.first || m != c.mode
	}
}

// restedLong reports whether nothing is under way, nor was when the last sample ended, longer than idleLongest ago.
func (c *committer) restedLong(now time.Time) bool {
	return len(c.flights) == 0 && now.Sub(c.sampled.since) > idleLongest
}

// recentLoad returns how many events are outstanding, or were a moment ago: what lands leaves few behind until its senders have sent the
// next, and for so few the other mode may be the faster one.
func (c *committer) recentLoad(now time.Time) int {
	if c.restedLong(now) {
		return c.outstanding()
	}
	return max(c.outstanding(), c.sampled.load, c.sampled.before)
}

// beginSample begins to measure anew.
func (c *committer) beginSample(now time.Time) {
	c.sampled = sample{since: now, fromIdle: len(c.flights) == 0, before: c.sampled.load, load: c.outstanding(), sent: c.flightEvents, flying: c.flightEvents}
}

// takeSample measures how fast the mode in use is while something is under way. What is under way has to have turned over once:
// the first acknowledgements of a full window come late and the rest at once, and neither is the rate.
func (c *committer) takeSample(f *flight, now time.Time) {
	s := &c.sampled
	s.stored += f.events
	busy := now.Sub(s.since)
	turned := s.fromIdle || busy >= sampleTime // else these are the last of acknowledgements that came together
	if busy <= 0 || len(c.flights) > 0 && busy < sampleLongest && (busy < sampleTime || s.stored < s.flying) || !turned {
		return
	}
	is, load := exact, s.load
	if f.mode == pipelined {
		load = s.sent // what arrived since may be held back, to go as a batch
		before := c.window
		c.window = min(max(int(perSecond(float64(s.stored), busy)*windowTime.Seconds()), minWindow), maxWindow)
		if c.window > before+before/2 {
			is = atLeast
		}
	} else if s.first {
		is = atMost
	}
	c.chooser.observe(f.mode, load, s.stored, busy, s.idle, is)
	c.beginSample(now)
}
