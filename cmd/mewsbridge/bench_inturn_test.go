package main

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"mewsbridge/publisher/natstest"
)

// BenchmarkInTurn compares the bridge with the other handlers in cells where little lies between them: on the same streams, half a second
// each, b.N times in turn. A single run of seconds differs from the next by more than that. to-<handler> is the median over the rounds of
// the bridge's webhooks to those of the handler in the same round. The first round, in which the publisher gets to know
// the server, is not counted.
func BenchmarkInTurn(b *testing.B) {
	for _, nats := range []struct {
		name     string
		replicas int
		options  []natstest.Option
		cells    []benchCell
	}{
		{"always", 1, []natstest.Option{natstest.SyncAlways}, []benchCell{{1, 1}, {1, 16}, {1, 128}, {1, 512}, {10, 16}, {10, 64}}},
		{"lazy", 1, nil, []benchCell{{1, 1}, {1, 16}, {1, 128}, {1, 512}, {100, 32}}},
		{"replicas3", 3, nil, []benchCell{{1, 1}, {1, 16}, {1, 128}, {1, 512}, {100, 32}}},
		{"replicas3always", 3, []natstest.Option{natstest.SyncAlways}, []benchCell{{1, 1}, {1, 16}, {1, 128}, {1, 512}, {100, 32}}},
	} {
		for _, cell := range nats.cells {
			b.Run(fmt.Sprintf("%s/events=%d/conns=%d", nats.name, cell.events, cell.conns), func(b *testing.B) {
				inTurn(b, benchServers(b, nats.replicas, nats.options), nats.replicas, cell)
			})
		}
	}
}

func inTurn(b *testing.B, servers []*natstest.Server, replicas int, cell benchCell) {
	const slice = 500 * time.Millisecond
	handlers := []string{"bridge", "plain", "pipelined", "echo"}
	requests := benchRequests(cell.events)
	started := make([]*httptest.Server, len(handlers))
	for i, name := range handlers {
		started[i] = httptest.NewServer(benchHandler(b, name, servers, replicas))
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

// benchServers starts one server, or as many as there are replicas.
func benchServers(b *testing.B, replicas int, options []natstest.Option) []*natstest.Server {
	b.Helper()
	if replicas == 1 {
		return []*natstest.Server{natstest.Start(b, options...)}
	}
	return natstest.Cluster(b, replicas, options...)
}

func median[T float64 | time.Duration](all []T) T {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}
