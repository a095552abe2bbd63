package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"mewsbridge/publisher/natstest"
)

// BenchmarkAlone measures what a lone webhook of one event waits: one connection, one at a time. of-parts is the bridge's median to the sum of
// the medians of its parts, a JetStream publish of a message of that size and a request that is answered 202 by an empty
// handler.
func BenchmarkAlone(b *testing.B) {
	server := natstest.Start(b, natstest.SyncAlways)
	h := benchHandler(b, "bridge", server, 1)
	js := natstest.JetStream(b, server)
	ctx := context.Background()
	data, subjects := benchMessage(b, "mews")
	run := 0 // the benchmark runs more than once, and ids must differ

	b.Run("events=1/conns=1", func(b *testing.B) {
		run++
		var publishes []time.Duration
		for i := range b.N {
			id := strconv.Itoa(run) + "-" + strconv.Itoa(i)
			m := nats.NewMsg(subjects + "." + id)
			m.Header.Set("Nats-Msg-Id", id)
			m.Header.Set("Content-Type", "application/cloudevents+json")
			m.Data = data
			began := time.Now()
			if _, err := js.PublishMsg(ctx, m); err != nil {
				b.Fatal(err)
			}
			publishes = append(publishes, time.Since(began))
		}
		empty := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) })
		publish, http, bridge := median(publishes), soloMedian(b, empty), soloMedian(b, h)
		b.ReportMetric(float64(publish.Microseconds()), "publish-p50-µs")
		b.ReportMetric(float64(http.Microseconds()), "empty-p50-µs")
		b.ReportMetric(float64(bridge.Microseconds()), "bridge-p50-µs")
		b.ReportMetric(float64(bridge)/float64(publish+http), "of-parts")
	})
}

// soloMedian sends b.N webhooks, one after another, and returns the median time to the answer.
func soloMedian(b *testing.B, h http.Handler) time.Duration {
	b.Helper()
	s := httptest.NewServer(h)
	defer s.Close()
	return median(sendSolo(b, s))
}
