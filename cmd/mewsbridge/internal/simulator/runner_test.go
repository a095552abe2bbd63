package simulator_test

import (
	"bytes"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"mewsbridge/cmd/mewsbridge/internal/simulator"
	"mewsbridge/schema"
)

func TestRunnerCountsEveryWebhook(t *testing.T) {
	var seen atomic.Int64
	sender, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if seen.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	generator := &simulator.Generator{Seed: 1, Events: 3}
	done := map[int]bool{}
	report := simulator.Runner{Sender: *sender, Body: generator.Body, Webhooks: 100, Concurrency: 4,
		Done: func(number int, _ simulator.Outcome) { done[number] = true }}.Run(t.Context())
	if report.Started() != 100 || len(done) != 100 || report.Interrupted != 0 {
		t.Errorf("started %d, done %d, interrupted %d", report.Started(), len(done), report.Interrupted)
	}
	if got := int64(report.Attempts()); got != seen.Load() || uint64(got) != report.Latency.Count() {
		t.Errorf("%d attempts, %d latencies, %d requests", got, report.Latency.Count(), seen.Load())
	}
	if report.Results["202"] != report.Delivered || report.Results["503"] == 0 {
		t.Errorf("results %v, delivered %d", report.Results, report.Delivered)
	}
}

func TestGeneratorMakesWebhooksThatAreUnderstood(t *testing.T) {
	for _, g := range []*simulator.Generator{
		{Seed: 7, Events: 50}, {Seed: 7, Integration: true}, {Seed: 7, Events: 2, Types: []string{"PaymentUpdated"}},
	} {
		for number := range 40 {
			body := g.Body(number)
			if !bytes.Equal(body, g.Body(number)) {
				t.Fatal("the same number gives other bytes")
			}
			webhook, err := schema.Parse(body)
			if err != nil {
				t.Fatalf("parse: %v", err)
			}
			if webhook.Published() != g.PerWebhook() || webhook.Quarantined() != 0 {
				t.Fatalf("published %d, quarantined %d, want %d and 0", webhook.Published(), webhook.Quarantined(), g.PerWebhook())
			}
			for i, e := range webhook.Events {
				if got, ok := simulator.Number(g.Seed, e.EntityID); !ok || got != uint64(number*g.Events+i) {
					t.Fatalf("event %d of webhook %d: number %d, %v", i, number, got, ok)
				}
			}
		}
	}
}

func TestNumberKnowsItsOwnIDsOnly(t *testing.T) {
	id := simulator.EntityID(3, 1<<40)
	if number, ok := simulator.Number(3, id); !ok || number != 1<<40 {
		t.Errorf("number %d, %v", number, ok)
	}
	for _, other := range []string{"", "_", id[:35], simulator.EntityID(4, 1<<40), "00000000-0000-0000-0000-000000000000"} {
		if _, ok := simulator.Number(3, other); ok {
			t.Errorf("%q passes for an id of the seed", other)
		}
	}
}

func TestHistogramQuantiles(t *testing.T) {
	var h simulator.Histogram
	if h.Quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
	for i := 1; i <= 1000; i++ {
		h.Add(time.Duration(i) * time.Millisecond)
	}
	for q, want := range map[float64]time.Duration{0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		if got := h.Quantile(q); got < want || float64(got) > 1.032*float64(want) {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if h.Max() != time.Second {
		t.Errorf("max %v", h.Max())
	}
}

func TestRunnerStartsNoMoreWhenTold(t *testing.T) {
	enough := make(chan struct{})
	var seen atomic.Int64
	sender, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if seen.Add(1) == 10 {
			close(enough)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	generator := &simulator.Generator{Seed: 1, Events: 1}
	report := simulator.Runner{Sender: *sender, Body: generator.Body, Webhooks: 1 << 20, Concurrency: 1, Starting: enough}.Run(t.Context())
	if report.Started() == 1<<20 || report.Dropped != report.Started() || report.Interrupted != 0 {
		t.Errorf("started %d, dropped %d, interrupted %d", report.Started(), report.Dropped, report.Interrupted)
	}
}
