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
