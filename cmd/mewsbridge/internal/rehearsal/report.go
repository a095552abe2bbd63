package rehearsal

import (
	"fmt"
	"time"
)

// answerLimit is how long Mews waits for an answer.
const answerLimit = 5 * time.Second

// Counts are the figures of one setup: webhooks first, then events.
type Counts struct {
	Sent, Acknowledged, Dropped, Retried int
	TimedOut                             int // attempts without an answer for 5 s

	Stored      int // events found, in the stream or, before it was deleted, in an earlier one
	Lost        int // events of acknowledged webhooks that are not stored
	Deleted     int // as Lost, but acknowledged while the stream was being deleted
	Undelivered int // events of dropped webhooks that are not stored
	Duplicates  int // events stored again because an answer was lost or the bridge ended before its retry
	Unexplained int // events stored again without such a reason

	Outage  time.Duration // the longest time without an acknowledgement
	Slowest time.Duration // the slowest answer
}

// SetupReport is what a rehearsal with one setup came to.
type SetupReport struct {
	Setup    Setup
	Counts   Counts
	Injected map[Fault]int
	Levels   []Level  // of a soak
	Problems []string // anything else that went wrong
	Elapsed  time.Duration
}

// Report is what a rehearsal came to.
type Report struct{ Setups []SetupReport }

// Verdict lists the reasons why the rehearsal failed; none is a pass.
func (r *Report) Verdict() []string {
	var why []string
	for _, s := range r.Setups {
		for _, p := range s.verdict() {
			why = append(why, string(s.Setup)+": "+p)
		}
	}
	return why
}

func (r *SetupReport) verdict() []string {
	var why []string
	add := func(failed bool, format string, values ...any) {
		if failed {
			why = append(why, fmt.Sprintf(format, values...))
		}
	}
	c := r.Counts
	add(c.Lost > 0, "%d acknowledged events are not stored", c.Lost)
	add(c.Unexplained > 0, "%d events are stored again although their retries could be told", c.Unexplained)
	add(c.TimedOut > 0, "%d attempts were not answered within %v", c.TimedOut, answerLimit)
	add(c.TimedOut == 0 && c.Slowest >= answerLimit, "an answer took %v", c.Slowest)
	add(c.Acknowledged == 0, "no webhook was acknowledged")
	for _, l := range r.Levels {
		add(l.Grew, "%s grew: %v", l.Name, l)
	}
	return append(why, r.Problems...)
}
