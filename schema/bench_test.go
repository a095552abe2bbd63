package schema_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"mewsbridge/schema"
)

// general returns a body as Mews sends it, with n events.
func general(n int) []byte {
	known := schema.KnownDiscriminators()
	events := make([]string, n)
	for i := range events {
		events[i] = fmt.Sprintf(`{"Discriminator":"%s","Value":{"Id":"8ddea57b-6a5c-4eec-8c4c-%012x"}}`, known[i%len(known)], i)
	}
	return []byte(`{"EnterpriseId":"851df8c8-90f2-4c4a-8e01-a4fc46b25178","IntegrationId":"c8bee838-7fb1-4f4e-8fac-ac87008b2f90","Events":[` +
		strings.Join(events, ",") + `]}`)
}

func parseAndBuild(tb testing.TB, body []byte, r schema.Receipt) []schema.Message {
	w, err := schema.Parse(body)
	if err != nil {
		tb.Fatal(err)
	}
	return w.Messages(r)
}

func BenchmarkParseAndBuild(b *testing.B) {
	for _, n := range []int{1, 100, 10000} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			body, r := general(n), receipt()
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for b.Loop() {
				parseAndBuild(b, body, r)
			}
			runtime.ReadMemStats(&after)
			events := float64(b.N * n)
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/events, "allocs/event")
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/events, "B/event")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, body := range map[string]string{"event": generalBody("ServiceOrderUpdated"), "integration": createdBody} {
		b.Run(name, func(b *testing.B) {
			data := published(b, body)
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				mustDecode(b, data)
			}
		})
	}
}

// TestAllocations holds the cost of an event in a webhook of 100.
func TestAllocations(t *testing.T) {
	const events, runs, maxAllocs, maxBytes = 100, 50, 12, 2048
	body, r := general(events), receipt()
	if n := testing.AllocsPerRun(runs, func() { parseAndBuild(t, body, r) }) / events; n > maxAllocs {
		t.Errorf("%.2f allocations per event, at most %d", n, maxAllocs)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		parseAndBuild(t, body, r)
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / (runs * events); n > maxBytes {
		t.Errorf("%d bytes per event, at most %d", n, maxBytes)
	}
}
