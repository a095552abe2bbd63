package simulator

import (
	"context"
	"sync"
	"time"
)

// maxOpen bounds the webhooks that are under way or wait for their next attempt.
const maxOpen = 4096

// DefaultConcurrency is how many attempts a Runner makes at a time unless told otherwise.
const DefaultConcurrency = 16

// Runner sends many webhooks.
type Runner struct {
	Sender      Sender // its Gate is set by Run
	Body        func(number int) []byte
	Webhooks    int
	Rate        float64 // webhooks started each second; 0 is as fast as possible
	Concurrency int     // attempts under way at a time; 0 is DefaultConcurrency

	// Starting, when it is not nil, is done when no further webhook is to be started. Those that are go on to their outcome.
	Starting <-chan struct{}

	// Done, when it is not nil, is called once for each webhook, never concurrently.
	Done func(number int, o Outcome)
}

// Report is what became of the webhooks. Its size does not depend on how many there were.
type Report struct {
	Delivered   int
	Dropped     int
	Interrupted int            // started, and neither delivered nor dropped when the context ended
	Retried     int            // webhooks that took more than one attempt
	Results     map[string]int // attempts by Attempt.Result
	Latency     Histogram      // of the attempts that were not interrupted
	Elapsed     time.Duration
}

// Started returns how many webhooks were begun.
func (r *Report) Started() int { return r.Delivered + r.Dropped + r.Interrupted }

// Attempts returns how many attempts were made.
func (r *Report) Attempts() int {
	n := 0
	for _, count := range r.Results {
		n += count
	}
	return n
}

// Run sends the webhooks and returns when each has its outcome, or soon after ctx ends.
func (r Runner) Run(ctx context.Context) *Report {
	sender := r.Sender
	sender.Gate = make(chan struct{}, orDefault(r.Concurrency, DefaultConcurrency))
	var (
		mu     sync.Mutex
		report = &Report{Results: map[string]int{}}
		open   = make(chan struct{}, maxOpen)
		all    sync.WaitGroup
		start  = time.Now()
	)
	starting, stop := context.WithCancel(ctx)
	defer stop()
	if r.Starting != nil {
		all.Go(func() {
			select {
			case <-r.Starting:
				stop()
			case <-starting.Done():
			}
		})
	}
	for number := range r.Webhooks {
		if !r.pace(starting, start, number) || !enter(starting, open) {
			break
		}
		all.Go(func() {
			defer func() { <-open }()
			outcome := sender.Send(ctx, r.Body(number))
			mu.Lock()
			defer mu.Unlock()
			report.add(outcome)
			if r.Done != nil {
				r.Done(number, outcome)
			}
		})
	}
	stop()
	all.Wait()
	report.Elapsed = time.Since(start)
	return report
}

// pace waits until it is the webhook's turn; false when ctx ended.
func (r Runner) pace(ctx context.Context, start time.Time, number int) bool {
	if r.Rate <= 0 {
		return ctx.Err() == nil
	}
	turn := start.Add(time.Duration(float64(number) / r.Rate * float64(time.Second)))
	return sleep(ctx, time.Until(turn))
}

func enter(ctx context.Context, open chan struct{}) bool {
	select {
	case open <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *Report) add(o Outcome) {
	switch {
	case o.Interrupted:
		r.Interrupted++
	case o.Dropped:
		r.Dropped++
	default:
		r.Delivered++
	}
	if len(o.Attempts) > 1 {
		r.Retried++
	}
	for _, a := range o.Attempts {
		r.Results[a.Result()]++
		if a.Err != ErrorInterrupted {
			r.Latency.Add(a.Latency)
		}
	}
}
