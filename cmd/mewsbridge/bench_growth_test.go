package main

import (
	"fmt"
	"os"
	"runtime"
	"testing"

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
	_, subjects := benchMessage(b, "mews") // below it
	var first, firstRaw float64
	for _, size := range sizes {
		b.Run(fmt.Sprintf("stored=%d", size), func(b *testing.B) {
			server := natstest.Start(b, natstest.SyncAlways)
			h := benchHandler(b, "bridge", server, 1)
			rawBatches(b, server, subjects, "old", func(batch int) bool { return batch < size/1000 })
			rate := drive(b, h, events, conns)
			raw := rawRateOn(b, server, subjects)
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
