package publisher_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// BenchmarkPublish measures the publisher without HTTP: events per webhook and concurrent webhooks.
func BenchmarkPublish(b *testing.B) {
	for _, mode := range []string{"always", "lazy"} {
		for _, cell := range []struct{ events, senders int }{{1, 1}, {1, 64}, {1, 512}, {10, 16}, {100, 1}, {100, 32}, {500, 16}} {
			b.Run(fmt.Sprintf("sync=%s/events=%d/senders=%d", mode, cell.events, cell.senders), func(b *testing.B) {
				var options []natstest.Option
				if mode == "always" {
					options = append(options, natstest.SyncAlways)
				}
				s := natstest.Start(b, options...)
				p := mustStart(b, testConfig(s.ClientURL()))
				waitReady(b, p)
				data := make([]byte, 450)
				var next atomic.Int64
				b.ReportAllocs()
				b.ResetTimer()
				start := time.Now()
				var wg sync.WaitGroup
				for range cell.senders {
					wg.Go(func() {
						for {
							n := next.Add(1)
							if n > int64(b.N) {
								return
							}
							msgs := make([]schema.Message, cell.events)
							for i := range msgs {
								msgs[i] = schema.Message{Kind: schema.KindEvent, ID: fmt.Sprintf("%s-%d-%d", b.Name(), n, i), Subject: fmt.Sprintf("mews.events.ServiceOrderUpdated.hotel.%d-%d", n, i), Data: data}
							}
							if err := publish(b, p, msgs); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N*cell.events)/time.Since(start).Seconds(), "events/s")
			})
		}
	}
}

// BenchmarkModes measures both ways of storing a webhook, one webhook after another: where their times cross is from how many events
// on an atomic batch pays.
func BenchmarkModes(b *testing.B) {
	for _, nats := range []struct {
		name     string
		replicas int
		options  []natstest.Option
	}{
		{"always", 1, []natstest.Option{natstest.SyncAlways}},
		{"lazy", 1, nil},
		{"replicas3", 3, nil},
		{"replicas3always", 3, []natstest.Option{natstest.SyncAlways}},
	} {
		b.Run(nats.name, func(b *testing.B) {
			var servers []*natstest.Server
			if nats.replicas == 1 {
				servers = append(servers, natstest.Start(b, nats.options...))
			} else {
				servers = natstest.Cluster(b, nats.replicas, nats.options...)
			}
			cfg := testConfig(natstest.URLs(servers...)...)
			cfg.Replicas = nats.replicas
			p := mustStart(b, cfg)
			waitReady(b, p)
			for _, events := range []int{1, 4, 8, 16, 32, 64, 256} {
				for _, mode := range []string{"plain", "batch"} {
					b.Run(fmt.Sprintf("events=%d/%s", events, mode), func(b *testing.B) {
						p.Prefer(mode == "batch")
						for i := range b.N {
							if err := publish(b, p, webhook(fmt.Sprintf("%s-%d-%d", b.Name(), b.N, i), events)); err != nil {
								b.Fatal(err)
							}
						}
						b.ReportMetric(float64(b.N*events)/b.Elapsed().Seconds(), "events/s")
					})
				}
			}
		})
	}
}
