package publisher_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// TestLedgerIsShared has two ledgers on one bucket: of two that create one key one succeeds, and both see it, also after NATS was away.
func TestLedgerIsShared(t *testing.T) {
	s := natstest.Start(t)
	cfg := testConfig(s.ClientURL())

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	var mu sync.Mutex
	var seen [2][]string
	both := func(key string) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Contains(seen[0], key) && slices.Contains(seen[1], key)
		}
	}
	var ledgers [2]*publisher.Ledger
	for i := range ledgers {
		p := mustStart(t, cfg)
		waitReady(t, p)
		ledgers[i] = p.Ledger(time.Hour)
		watching.Go(func() {
			ledgers[i].Watch(ctx, func(key string, value []byte) {
				mu.Lock()
				defer mu.Unlock()
				seen[i] = append(seen[i], key+"="+string(value))
			})
		})
	}
	for i, want := range []bool{true, false} {
		if created, err := ledgers[i].Create(ctx, "a.b", []byte("v")); err != nil || created != want {
			t.Fatalf("ledger %d created the key: %v (%v), want %v", i, created, err, want)
		}
	}
	natstest.Eventually(t, "both to see the key", both("a.b=v"))
	natstest.Restart(t, s)
	natstest.Eventually(t, "a ledger to take a key after NATS was away", func() bool {
		attempt, cancel := context.WithTimeout(ctx, time.Second) // what was sent to the old server is never answered
		defer cancel()
		_, err := ledgers[1].Create(attempt, "c.d", nil) // it may be there of an attempt that was not answered
		return err == nil
	})
	natstest.Eventually(t, "both to see that key", both("c.d="))
}

// TestLedgerWaitsNoLongerThanAsked has one caller look for the bucket in vain. Another one, whose time is over, is not held up by it.
func TestLedgerWaitsNoLongerThanAsked(t *testing.T) {
	s := natstest.Start(t)
	proxy := natstest.StartProxy(t, s)
	p := mustStart(t, testConfig(proxy.URL()))
	waitReady(t, p)
	asked := make(chan struct{}, 100)
	proxy.Judge(func(f natstest.Frame) natstest.Fate {
		if f.ToServer && f.Subject == "$JS.API.INFO" {
			asked <- struct{}{}
			return natstest.Drop
		}
		return natstest.Pass
	})
	l := p.Ledger(time.Hour)
	patient, giveUp := context.WithTimeout(context.Background(), time.Minute)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer giveUp()
	waiting.Go(func() {
		if _, err := l.Create(patient, "a.b", nil); !errors.Is(err, schema.ErrUnavailable) {
			t.Errorf("the one that looked: %v, want that nothing was sent", err)
		}
	})
	<-asked
	over, cancel := context.WithCancel(context.Background())
	cancel()
	returned := make(chan error, 1)
	waiting.Go(func() {
		_, err := l.Create(over, "a.b", nil)
		returned <- err
	})
	natstest.Eventually(t, "the other one to return", func() bool { return len(returned) == 1 })
	if err := <-returned; !errors.Is(err, schema.ErrUnavailable) {
		t.Errorf("the other one: %v, want that nothing was sent", err)
	}
}
