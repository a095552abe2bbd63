package publisher

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestFiguresNeverHoldUpAScrape runs on a clock of its own: a read that hangs costs a scrape figuresWait and no more, what was read
// before is shown until it is stale, and nothing is read while figures are fresh.
func TestFiguresNeverHoldUpAScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int64
		var hang atomic.Bool
		f := newFigures("mews", time.Now, func(ctx context.Context) (snapshot, error) {
			reads.Add(1)
			if hang.Load() {
				<-ctx.Done()
				return snapshot{}, errors.New("no answer")
			}
			return snapshot{streams: []streamFigures{{name: "MEWS_EVENTS"}}}, nil
		})
		ctx, end := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { f.run(ctx) })
		scrape := func() (series int, took time.Duration) {
			ch, start := make(chan prometheus.Metric, 100), time.Now()
			f.collect(ch, true)
			return len(ch), time.Since(start)
		}
		full, took := scrape()
		if full < 5 || took != 0 || reads.Load() != 1 {
			t.Errorf("first scrape: %d series in %v after %d reads", full, took, reads.Load())
		}
		if scrape(); reads.Load() != 1 {
			t.Errorf("fresh figures were read again")
		}
		hang.Store(true)
		time.Sleep(figuresFresh)
		if n, took := scrape(); n != full || took != figuresWait {
			t.Errorf("while NATS hangs: %d series in %v, want %d in %v", n, took, full, figuresWait)
		}
		time.Sleep(figuresStale)
		if n, _ := scrape(); n != 1 {
			t.Errorf("stale: %d series, want the time of the last read alone", n)
		}
		hang.Store(false)
		time.Sleep(figuresTimeout)
		if n, _ := scrape(); n != full {
			t.Errorf("after recovery: %d series, want %d", n, full)
		}
		end()
		running.Wait()
	})
}
