package silence

import "time"

const (
	// Window is how far back the rhythm is learned, and how long somebody who has gone quiet is watched.
	Window = 30 * 24 * time.Hour
	// farBeyond is how many times the usual longest gap a silence has to last before it is reported.
	farBeyond = 2
	// shortest is the shortest silence that is reported.
	shortest = time.Hour
	// judgedAfter and judgedFrom are how much must be known of a rhythm before a silence is held against it.
	judgedAfter = 24 * time.Hour
	judgedFrom  = 10
	// keptGaps are the longest gaps that are kept of each rhythm.
	keptGaps = 4
	// together is how close two messages are to be one webhook.
	together = time.Second
)

// rhythm is what is known of when one enterprise, or one type of event, is heard. It has a fixed size.
type rhythm struct {
	first, last time.Time
	heard       int
	gaps        [keptGaps]gap // the longest within the window, in no order
	silent      bool          // it has been reported
}

type gap struct {
	length time.Duration
	end    time.Time
}

// hear takes in a message. One that is older than the last says nothing new.
func (r *rhythm) hear(at time.Time) {
	if r.heard == 0 {
		r.first, r.last, r.heard = at, at, 1
		return
	}
	if at.Before(r.last) {
		return
	}
	if length := at.Sub(r.last); length >= together {
		r.keep(gap{length, at})
		r.heard++
	}
	r.last = at
}

// keep puts g in place of one that is too old, or else of the shortest when g is longer.
func (r *rhythm) keep(g gap) {
	least := 0
	for i := range r.gaps {
		if g.end.Sub(r.gaps[i].end) > Window {
			r.gaps[i] = gap{}
		}
		if r.gaps[i].length < r.gaps[least].length {
			least = i
		}
	}
	if g.length > r.gaps[least].length {
		r.gaps[least] = g
	}
}

// usual returns the longest gap that is usual, or 0 when too little is known: the second longest of the window, so that one
// outage, ours or theirs, does not become the rule.
func (r *rhythm) usual(now time.Time) time.Duration {
	if r.heard < judgedFrom || r.last.Sub(r.first) < judgedAfter {
		return 0
	}
	var longest, second time.Duration
	for _, g := range r.gaps {
		if now.Sub(g.end) > Window {
			continue
		}
		if g.length > longest {
			longest, second = g.length, longest
		} else if g.length > second {
			second = g.length
		}
	}
	return second
}

// quiet reports whether a silence of that length is far beyond the rhythm.
func (r *rhythm) quiet(silence time.Duration, now time.Time) bool {
	usual := r.usual(now)
	return usual > 0 && silence > max(farBeyond*usual, shortest)
}
