package bridge

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func strangerRequest(address string) *http.Request {
	return &http.Request{RemoteAddr: address, Header: http.Header{}}
}

// refusals sends n wrong tokens from address at a time and returns how many belong to a flood.
func refusals(s *strangers, address string, n int, now time.Time) int {
	floods := 0
	for range n {
		if s.refused(strangerRequest(address), now) {
			floods++
		}
	}
	return floods
}

func TestStrangersAreLimitedEachByItself(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	s := newStrangers([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, zap.New(core))
	now := start
	if n := refusals(s, "192.0.2.1:1000", wrongTokensBurst, now); n != 0 {
		t.Errorf("%d of the first %d wrong tokens count as a flood", n, wrongTokensBurst)
	}
	if n := refusals(s, "192.0.2.1:2000", 100, now); n != 100 {
		t.Errorf("%d of 100 more count as a flood, want all", n)
	}
	if n := refusals(s, "192.0.2.2:1000", 1, now); n != 0 {
		t.Error("another address counts as the same")
	}
	if n := logs.Len(); n != 1 {
		t.Errorf("the flood was logged %d times, want once", n)
	}
	now = now.Add(3 * time.Second)
	if n := refusals(s, "192.0.2.1:3000", 3, now); n != 0 {
		t.Errorf("%d of 3 wrong tokens 3 s later count as a flood", n)
	}
	now = now.Add(floodLogAgain)
	refusals(s, "192.0.2.1:1000", 2*wrongTokensBurst, now)
	if n := logs.Len(); n != 2 {
		t.Errorf("a flood that goes on was logged %d times, want twice", n)
	}
	// One sender has a whole /64; and who comes through a trusted proxy is told apart.
	refusals(s, "[2001:db8::1]:1000", wrongTokensBurst, now)
	if n := refusals(s, "[2001:db8::ffff]:1000", 1, now); n != 1 {
		t.Error("addresses of one /64 are counted apart")
	}
	for i := range wrongTokensBurst + 1 {
		r := strangerRequest("10.0.0.1:1000")
		r.Header.Set("X-Forwarded-For", fmt.Sprintf("198.51.100.%d", i))
		if s.refused(r, now) {
			t.Error("senders behind a trusted proxy are counted as one")
		}
	}
}

func TestStrangersTakeBoundedMemoryAndLog(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	s := newStrangers(nil, zap.New(core))
	for i := range 3 * maxStrangers {
		address := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if i < 100 { // loud ones
			refusals(s, address.String()+":1", wrongTokensBurst+1, start)
		}
		refusals(s, address.String()+":1", 1, start)
	}
	if n := s.known.Len(); n != maxStrangers {
		t.Errorf("%d addresses are remembered, want %d", n, maxStrangers)
	}
	if n := logs.Len(); n != floodLogBurst {
		t.Errorf("%d floods were logged at a time, want %d", n, floodLogBurst)
	}
}
