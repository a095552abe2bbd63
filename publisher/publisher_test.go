package publisher_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// publishTime is the deadline of one attempt, as in production.
const publishTime = 4 * time.Second

func testConfig(urls ...string) publisher.Config {
	return publisher.Config{
		URLs: urls, Prefix: "mews", Replicas: 1, Manage: true,
		MaxAge: 24 * time.Hour, DuplicateWindow: time.Hour,
	}
}

func mustStart(tb testing.TB, cfg publisher.Config) *publisher.Publisher {
	tb.Helper()
	p, err := publisher.New(cfg, zap.NewNop())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			tb.Error(err)
		}
	})
	if err := p.Start(context.Background()); err != nil {
		tb.Fatal(err)
	}
	return p
}

func waitReady(tb testing.TB, p *publisher.Publisher) {
	tb.Helper()
	natstest.Eventually(tb, "the publisher to be ready", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		return p.Ready(ctx) == nil
	})
}

// webhook makes n event messages of one delivery.
func webhook(delivery string, n int) []schema.Message {
	msgs := make([]schema.Message, n)
	for i := range msgs {
		msgs[i] = schema.Message{
			Kind: schema.KindEvent, ID: fmt.Sprintf("%s-%d", delivery, i),
			Subject: fmt.Sprintf("mews.events.ServiceOrderUpdated.hotel.%s%d", delivery, i),
			Data:    []byte(`{"specversion":"1.0","id":"x"}`),
		}
	}
	return msgs
}

func publish(tb testing.TB, p *publisher.Publisher, msgs []schema.Message) error {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), publishTime)
	defer cancel()
	return p.Publish(ctx, msgs)
}

// mustStream waits for the stream: a cluster may be choosing a leader.
func mustStream(tb testing.TB, js jetstream.JetStream, name string) jetstream.Stream {
	tb.Helper()
	var stream jetstream.Stream
	natstest.Eventually(tb, "stream "+name, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var err error
		stream, err = js.Stream(ctx, name)
		return err == nil
	})
	return stream
}

// storedIDs returns the message ids of a stream in order.
func storedIDs(tb testing.TB, js jetstream.JetStream, stream string) []string {
	tb.Helper()
	var ids []string
	for _, m := range natstest.Messages(tb, js, stream) {
		ids = append(ids, m.Headers().Get("Nats-Msg-Id"))
	}
	return ids
}

func TestPublishStoresEachOnceInOrder(t *testing.T) {
	for _, n := range []int{1, 2, 100, 1000, 1001, 3500} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			s := natstest.Start(t)
			p := mustStart(t, testConfig(s.ClientURL()))
			waitReady(t, p)
			msgs := webhook("d", n)
			if err := publish(t, p, msgs); err != nil {
				t.Fatal(err)
			}
			ids := storedIDs(t, natstest.JetStream(t, s), "MEWS_EVENTS")
			if len(ids) != n {
				t.Fatalf("stored %d messages, want %d", len(ids), n)
			}
			for i, id := range ids {
				if id != msgs[i].ID {
					t.Fatalf("message %d has id %s, want %s", i, id, msgs[i].ID)
				}
			}
			// The same delivery again, as after a lost answer, stores nothing twice.
			if err := publish(t, p, msgs); err != nil {
				t.Fatal(err)
			}
			if got := len(storedIDs(t, natstest.JetStream(t, s), "MEWS_EVENTS")); got != n {
				t.Errorf("stored %d messages after the retry, want %d", got, n)
			}
		})
	}
}

func TestConcurrentWebhooksStayWhole(t *testing.T) {
	for name, options := range map[string][]natstest.Option{"default fsync": nil, "sync always": {natstest.SyncAlways}} {
		t.Run(name, func(t *testing.T) {
			s := natstest.Start(t, options...)
			p := mustStart(t, testConfig(s.ClientURL()))
			waitReady(t, p)
			const senders, each, events = 16, 40, 7
			var wg sync.WaitGroup
			for sender := range senders {
				wg.Go(func() {
					for i := range each {
						if err := publish(t, p, webhook(fmt.Sprintf("s%d.%d", sender, i), events)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			ids := storedIDs(t, natstest.JetStream(t, s), "MEWS_EVENTS")
			if want := senders * each * events; len(ids) != want {
				t.Fatalf("stored %d, want %d", len(ids), want)
			}
			next := map[string]int{}
			for _, id := range ids {
				var delivery string
				var index int
				for i := len(id) - 1; i >= 0; i-- {
					if id[i] == '-' {
						delivery = id[:i]
						fmt.Sscan(id[i+1:], &index)
						break
					}
				}
				if index != next[delivery] {
					t.Fatalf("%s: event %d before event %d", delivery, index, next[delivery])
				}
				next[delivery]++
			}
		})
	}
}

func TestUnreachableThenRecovers(t *testing.T) {
	s := natstest.Start(t)
	port := s.Addr().String()
	natstest.Stop(s)
	p := mustStart(t, testConfig("nats://"+port))
	if err := publish(t, p, webhook("d", 1)); !errors.Is(err, schema.ErrUnavailable) {
		t.Fatalf("error is %v, want ErrUnavailable", err)
	}
	if err := p.Ready(context.Background()); !errors.Is(err, schema.ErrUnavailable) {
		t.Fatalf("ready says %v, want ErrUnavailable", err)
	}
}
