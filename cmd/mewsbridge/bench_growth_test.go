package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"mewsbridge/publisher/natstest"
)

// BenchmarkGrowth measures the same load on streams that already hold messages, each on a subject of its own. of-first is the rate to
// that of the smallest one, and raw-of-first the same for JetStream alone on that stream. With MEWSBRIDGE_BENCH_LARGE set it
// goes on to 10 million messages.
func BenchmarkGrowth(b *testing.B) {
	sizes := []int{10_000, 1_000_000}
	if os.Getenv("MEWSBRIDGE_BENCH_LARGE") != "" {
		sizes = append(sizes, 10_000_000)
	}
	const events, conns = 100, 32
	var first, firstRaw float64
	for _, size := range sizes {
		b.Run(fmt.Sprintf("stored=%d", size), func(b *testing.B) {
			servers := []*natstest.Server{natstest.Start(b, natstest.SyncAlways)}
			h := benchHandler(b, "bridge", servers, 1)
			fill(b, servers[0].ClientURL(), size)
			rate := drive(b, h, events, conns)
			raw := rawRateOn(b, servers[0], "mews.events.ServiceOrderUpdated.hotel")
			if size == sizes[0] {
				first, firstRaw = rate, raw
			}
			b.ReportMetric(rate/first, "of-first")
			b.ReportMetric(raw/firstRaw, "raw-of-first")
			runtime.GC()
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			b.ReportMetric(float64(stats.HeapInuse>>20), "heap-MiB")
		})
	}
}

// fill stores so many messages, by four publishers in batches of 1000.
func fill(b *testing.B, url string, size int) {
	b.Helper()
	var publishers sync.WaitGroup
	const each = 4
	for i := range each {
		conn, err := nats.Connect(url)
		if err != nil {
			b.Fatal(err)
		}
		publishers.Go(func() {
			defer conn.Close()
			for n := i; n < (size+999)/1000; n += each {
				if err := rawBatch(conn, "mews.events.ServiceOrderUpdated.hotel", "old"+strconv.Itoa(n), make([]byte, 480)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	publishers.Wait()
}
