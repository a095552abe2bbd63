package rehearsal

import (
	"fmt"
	"sync"
	"time"

	"mewsbridge/cmd/mewsbridge/internal/eventtally"
	"mewsbridge/cmd/mewsbridge/internal/simulator"
)

// fate is what became of a webhook.
type fate uint8

const (
	unsent fate = iota
	acknowledged
	dropped
	interrupted
)

// sent is what the sender knows of one webhook. Times count from the start of the stage.
type sent struct {
	fate       fate
	unanswered bool          // an attempt ended without an answer
	first      time.Duration // when the first attempt began
	last       time.Duration // when the last attempt began
	end        time.Duration // when the last attempt ended
}

// account is what the sender was told, and what is in the stream. Its methods may be called concurrently.
type account struct {
	start time.Time
	per   int // events in a webhook

	mu        sync.Mutex
	webhooks  []sent
	progress  Counts
	delivered time.Duration // when the last webhook was acknowledged
	ended     time.Duration // when the last attempt ended
	tally     *eventtally.Tally
	earlier   []uint8 // by event: how often it was seen in streams that are deleted, at most in one of them
	restarts  []time.Duration
	deletions []span
	lost      []string // a line for each webhook of which an event is lost
}

// span is a time in which what was stored may be gone without having been counted.
type span struct{ from, to time.Duration }

func newAccount(webhooks, per int, seed uint64) *account {
	return &account{start: time.Now(), per: per, webhooks: make([]sent, webhooks), tally: eventtally.New(seed, webhooks*per),
		earlier: make([]uint8, webhooks*per)}
}

// note takes in the outcome of a webhook.
func (a *account) note(number int, o simulator.Outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &a.webhooks[number]
	switch {
	case o.Interrupted:
		s.fate = interrupted
	case o.Dropped:
		s.fate = dropped
		a.progress.Dropped++
	default:
		s.fate = acknowledged
		a.progress.Acknowledged++
	}
	a.progress.Sent++
	if len(o.Attempts) > 1 {
		a.progress.Retried++
	}
	for i, attempt := range o.Attempts {
		if i == 0 {
			s.first = attempt.Start.Sub(a.start)
		}
		s.last = attempt.Start.Sub(a.start)
		s.end = s.last + attempt.Latency
		if attempt.Err != simulator.ErrorNone {
			s.unanswered = true
		} else {
			a.progress.Slowest = max(a.progress.Slowest, attempt.Latency)
		}
		if attempt.Err == simulator.ErrorTimeout {
			a.progress.TimedOut++
		}
	}
	a.ended = max(a.ended, s.end)
	if s.fate == acknowledged {
		a.progress.Outage = max(a.progress.Outage, s.end-a.delivered)
		a.delivered = max(a.delivered, s.end)
	}
}

// now returns the time since the start.
func (a *account) now() time.Duration { return time.Since(a.start) }

// restarted notes that the bridge, and with it what it knew of retries, came to an end.
func (a *account) restarted() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.restarts = append(a.restarts, a.now())
}

// deleted notes that the stream is gone since some time after from, when all that was in it had been counted.
func (a *account) deleted(from time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deletions = append(a.deletions, span{from, a.now()})
	for event := range len(a.webhooks) * a.per {
		a.earlier[event] = max(a.earlier[event], uint8(a.tally.Times(event)))
	}
	a.tally = eventtally.New(a.tally.Seed(), len(a.webhooks)*a.per)
}

func (a *account) snapshot() Counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.progress
}

// settle counts the events. It is called when everything has been sent and read.
func (a *account) settle() Counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.progress
	a.lost = nil
	c.Outage = max(c.Outage, a.ended-a.delivered)
	for number := range a.webhooks {
		s := &a.webhooks[number]
		if s.fate == unsent || s.fate == interrupted {
			continue
		}
		before := c.Lost
		for event := number * a.per; event < (number+1)*a.per; event++ {
			times := max(a.tally.Times(event), int(a.earlier[event]))
			switch {
			case times > 0:
				c.Stored++
			case s.fate == dropped:
				c.Undelivered++
			case a.exempt(s):
				c.Deleted++
			default:
				c.Lost++
			}
			if times > 1 && a.explained(s) {
				c.Duplicates += times - 1
			} else if times > 1 {
				c.Unexplained += times - 1
			}
		}
		if n := c.Lost - before; n > 0 {
			a.lost = append(a.lost, fmt.Sprintf("webhook %d: %d events, last sent at %v, acknowledged at %v", number, n, s.last, s.end))
		}
	}
	return c
}

// exempt reports whether the webhook's last attempt was under way while the stream was being deleted: what it stored may have
// gone with the stream before it was counted.
func (a *account) exempt(s *sent) bool {
	for _, d := range a.deletions {
		if s.last <= d.to && s.end >= d.from {
			return true
		}
	}
	return false
}

// explained reports whether the bridge could not know that a webhook was a retry of what it had stored: an answer of its was lost, or
// the bridge came to an end between two attempts.
func (a *account) explained(s *sent) bool {
	if s.unanswered {
		return true
	}
	for _, at := range a.restarts {
		if s.first <= at && at <= s.end {
			return true
		}
	}
	return false
}
