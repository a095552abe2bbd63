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
	stored   int           // events stored since
	load     int           // most events outstanding since
	flying   int           // most events under way since
}

// beginFromIdle begins to measure when the first flight departs. The sample before it has ended with the last landing.
func (c *committer) beginFromIdle(now time.Time) {
	idle := now.Sub(c.sampled.since)
	if idle > idleLongest {
		idle = 0
	}
	c.beginSample(now)
	c.sampled.idle = idle
}

// beginSample begins to measure anew.
func (c *committer) beginSample(now time.Time) {
	c.sampled = sample{since: now, fromIdle: len(c.flights) == 0, load: c.queuedEvents + c.flightEvents, flying: c.flightEvents}
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
	limited := false
	if f.mode == pipelined {
		before := c.window
		c.window = min(max(int(perSecond(float64(s.stored), busy)*windowTime.Seconds()), minWindow), maxWindow)
		limited = c.window > before+before/2
	}
	c.chooser.observe(f.mode, s.load, s.stored, busy, s.idle, limited)
	c.beginSample(now)
}
