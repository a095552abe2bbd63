package rehearsal

import (
	"testing"
	"time"

	"mewsbridge/cmd/mewsbridge/internal/simulator"
)

// TestAccount has one webhook of two events for each thing that can become of them.
func TestAccount(t *testing.T) {
	const seed = 7
	second := func(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
	a := newAccount(8, 2, seed)
	// attempts of 0.5 s each, from the given seconds on; a negative one gets no answer
	outcome := func(isDropped bool, starts ...float64) simulator.Outcome {
		o := simulator.Outcome{Dropped: isDropped}
		for i, at := range starts {
			attempt := simulator.Attempt{Status: 503, Start: a.start.Add(second(at)), Latency: second(0.5)}
			if i == len(starts)-1 && !isDropped {
				attempt.Status = 202
			}
			if at < 0 {
				attempt.Start, attempt.Err = a.start.Add(second(-at)), simulator.ErrorConnection
			}
			o.Attempts = append(o.Attempts, attempt)
		}
		return o
	}
	store := func(webhook, event, times int) {
		subject := "mews.events.X.h." + simulator.EntityID(seed, uint64(webhook*2+event))
		for range times {
			a.tally.Note(subject)
		}
	}
	both := func(webhook, times int) { store(webhook, 0, times); store(webhook, 1, times) }

	a.note(0, outcome(false, 1)) // stored before the deletion
	both(0, 1)
	a.note(1, outcome(false, 1, 4)) // acknowledged at 4.5 s, while the stream was being deleted, and not found before
	store(1, 0, 1)
	a.start = a.start.Add(-second(5)) // now is 5 s
	a.deleted(second(4.2))
	a.start = a.start.Add(second(5))
	a.restarts = []time.Duration{second(12)}

	a.note(2, outcome(false, 6)) // swallowed
	store(2, 1, 1)
	a.note(3, outcome(false, -6, 9)) // stored twice: an answer was lost
	both(3, 2)
	a.note(4, outcome(false, 10, 14)) // stored twice: the bridge ended in between
	both(4, 2)
	a.note(5, outcome(false, 6, 9)) // stored twice without a reason
	store(5, 0, 2)
	store(5, 1, 1)
	a.note(6, outcome(true, 6, 9, 20)) // dropped, a part of it stored
	store(6, 0, 1)
	a.note(7, simulator.Outcome{Interrupted: true})

	want := Counts{Sent: 8, Acknowledged: 6, Dropped: 1, Retried: 5, Stored: 2 + 1 + 1 + 2 + 2 + 2 + 1, Lost: 1, Deleted: 1, Undelivered: 1,
		Duplicates: 4, Unexplained: 1, Outage: second(6), Slowest: second(0.5)}
	if got := a.settle(); got != want || len(a.lost) != 1 {
		t.Errorf("counted %+v\n    want %+v", got, want)
	}
}

func TestVerdict(t *testing.T) {
	good := SetupReport{Setup: Single, Counts: Counts{Sent: 9, Acknowledged: 8, Dropped: 1, Undelivered: 5, Deleted: 2, Duplicates: 3, Slowest: 4 * time.Second}}
	for _, test := range []struct {
		name   string
		change func(*SetupReport)
		fails  bool
	}{
		{"as it may be", func(*SetupReport) {}, false},
		{"lost", func(r *SetupReport) { r.Counts.Lost = 1 }, true},
		{"stored again", func(r *SetupReport) { r.Counts.Unexplained = 1 }, true},
		{"slow", func(r *SetupReport) { r.Counts.Slowest = 5 * time.Second }, true},
		{"no answer", func(r *SetupReport) { r.Counts.TimedOut = 1 }, true},
		{"nothing acknowledged", func(r *SetupReport) { r.Counts.Acknowledged = 0 }, true},
		{"a problem", func(r *SetupReport) { r.Problems = []string{"x"} }, true},
	} {
		r := good
		test.change(&r)
		if why := (&Report{Setups: []SetupReport{r}}).Verdict(); len(why) > 0 != test.fails {
			t.Errorf("%s: %v", test.name, why)
		}
	}
}
