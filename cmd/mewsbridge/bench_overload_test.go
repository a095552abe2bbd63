package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mewsbridge/publisher/natstest"
)

// BenchmarkOverload offers ten times the webhooks that the bridge can store, at a steady pace that does not wait for answers, for longer
// than the deadline. It reports the slowest answer, and the goodput to the peak: what senders that wait for their answers reach on
// the same bridge, the mean of before and after, for the stream grows meanwhile. All connections are there before the clock
// starts. The senders take their part of the same cores.
func BenchmarkOverload(b *testing.B) {
	const conns, overConns, seconds = 64, 4096, 8
	for _, events := range []int{10, 100} {
		b.Run(fmt.Sprintf("events=%d", events), func(b *testing.B) {
			server := natstest.Start(b, natstest.SyncAlways)
			s := httptest.NewServer(benchHandler(b, "bridge", server, 1))
			defer s.Close()
			requests := benchRequests(events)
			for range b.N {
				before := offer(b, s, requests, conns, 0, 4*time.Second)
				over := offer(b, s, requests, overConns, 10*before.goodput, seconds*time.Second)
				beside := offerBeside(b, s, requests, conns, overConns, 9*before.goodput, seconds*time.Second)
				after := offer(b, s, requests, conns, 0, 4*time.Second)
				peak := (before.goodput + after.goodput) / 2
				b.ReportMetric(before.goodput, "before-webhooks/s")
				b.ReportMetric(after.goodput, "after-webhooks/s")
				b.ReportMetric(over.offered, "offered-webhooks/s")
				b.ReportMetric(over.goodput/peak, "goodput/peak")
				b.ReportMetric(beside.goodput/peak, "beside/peak")
				b.ReportMetric(over.slowest.Seconds(), "slowest-s")
				b.ReportMetric(float64(over.heap>>20), "heap-MiB")
			}
		})
	}
}

// offerBeside measures the peak while webhooks at a rate per second go to a handler that reads and refuses them: what the load costs that
// is not carried, when none of it reaches the bridge.
func offerBeside(b *testing.B, s *httptest.Server, requests [][]byte, conns, sinkConns int, rate float64, lasting time.Duration) offering {
	b.Helper()
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			b.Error(err)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer sink.Close()
	var refused sync.WaitGroup
	refused.Go(func() { offer(b, sink, requests, sinkConns, rate, lasting) })
	stored := offer(b, s, requests, conns, 0, lasting)
	refused.Wait()
	return stored
}

// offering is what became of an offered load.
type offering struct {
	offered, goodput float64 // webhooks per second: sent, and answered 202
	slowest          time.Duration
	heap             uint64 // most bytes in use
}

// offer sends webhooks over conns connections for a time, at a rate per second or, with rate 0, as fast as the answers come.
func offer(b *testing.B, s *httptest.Server, requests [][]byte, conns int, rate float64, lasting time.Duration) offering {
	b.Helper()
	var next, sent, stored, slowest atomic.Int64
	var senders sync.WaitGroup
	connections := make([]net.Conn, conns)
	for i := range connections {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		connections[i] = conn
	}
	start := time.Now()
	end := start.Add(lasting)
	send := func(conn net.Conn, r *bufio.Reader) bool {
		n := next.Add(1)
		if rate > 0 {
			time.Sleep(time.Until(start.Add(time.Duration(float64(n) / rate * float64(time.Second))))) // the pace, not a wait for something
		}
		began := time.Now()
		if began.After(end) {
			return false
		}
		if _, err := conn.Write(requests[n%int64(len(requests))]); err != nil {
			b.Error(err)
			return false
		}
		sent.Add(1)
		status, err := readAnswer(r)
		if err != nil {
			b.Error(err)
			return false
		}
		for took := int64(time.Since(began)); ; {
			if most := slowest.Load(); took <= most || slowest.CompareAndSwap(most, took) {
				break
			}
		}
		if status == fmt.Sprint(http.StatusAccepted) && time.Now().Before(end) {
			stored.Add(1)
		}
		return true
	}
	for _, conn := range connections {
		senders.Go(func() {
			defer conn.Close()
			for r := bufio.NewReader(conn); send(conn, r); {
			}
		})
	}
	heap := watchHeap(&senders)
	return offering{
		offered: float64(sent.Load()) / lasting.Seconds(), goodput: float64(stored.Load()) / lasting.Seconds(),
		slowest: time.Duration(slowest.Load()), heap: heap,
	}
}

// watchHeap waits for the senders and returns the most bytes that were in use meanwhile.
func watchHeap(senders *sync.WaitGroup) uint64 {
	done := make(chan struct{})
	go func() { senders.Wait(); close(done) }()
	var most uint64
	for tick := time.NewTicker(200 * time.Millisecond); ; {
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		most = max(most, stats.HeapInuse)
		select {
		case <-done:
			tick.Stop()
			return most
		case <-tick.C:
		}
	}
}
