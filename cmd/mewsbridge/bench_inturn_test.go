package main

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"
	"time"
)

// BenchmarkInTurn compares the bridge with the other handlers in cells where little lies between them: on the same streams, half a second
// each, b.N times in turn. A single run of seconds differs from the next by more than that. to-<handler> is the median over the rounds of
// the bridge's webhooks to those of the handler in the same round. The first round, in which the publisher gets to know
// the server, is not counted.
func BenchmarkInTurn(b *testing.B) {
	cells := []benchCell{{1, 1}, {1, 16}, {1, 128}, {1, 512}, {10, 16}, {10, 64}, {100, 32}}
	for _, nats := range benchServerKinds() {
		for _, cell := range cells {
			b.Run(fmt.Sprintf("%s/events=%d/conns=%d", nats.name, cell.events, cell.conns), func(b *testing.B) {
				inTurn(b, nats, cell)
			})
		}
	}
}

func inTurn(b *testing.B, nats benchServerKind, cell benchCell) {
	const slice = 500 * time.Millisecond
	handlers := []string{"bridge", "plain", "pipelined", "echo"}
	requests, server := benchRequests(cell.events), nats.start(b)[0]
	started := make([]*httptest.Server, len(handlers))
	for i, name := range handlers {
		started[i] = httptest.NewServer(benchHandler(b, name, server, nats.replicas))
		b.Cleanup(started[i].Close)
	}
	rates := make([][]float64, len(handlers)) // by round
	for round := range b.N + 1 {
		for turn := range handlers {
			i := (round + turn) % len(handlers) // each is the first as often as the others
			if rate := offer(b, started[i], requests, cell.conns, 0, slice).goodput; round > 0 {
				rates[i] = append(rates[i], rate)
			}
		}
	}
	for i, name := range handlers {
		b.ReportMetric(median(rates[i]), name+"-webhooks/s")
		if i == 0 {
			continue
		}
		ratios := make([]float64, b.N)
		for round := range ratios {
			ratios[round] = rates[0][round] / rates[i][round]
		}
		b.ReportMetric(median(ratios), "to-"+name)
	}
}

func median[T float64 | time.Duration](all []T) T {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}
