package bridge

import (
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestAnOutageIsToldInNumbers looks at three minutes in which a hundred webhooks a second fail for one reason, and one a minute for
// another.
func TestAnOutageIsToldInNumbers(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	log := zap.New(core)
	l := newFailureLog()
	full := map[string]int{}
	note := func(reason string, now time.Time) {
		if l.level(reason, now) == zap.WarnLevel {
			full[reason]++
		}
	}
	now := start
	for second := range 180 {
		for range 100 {
			note("nats-unavailable", now)
		}
		if second%60 == 0 {
			note("not-json", now)
		}
		if second%5 == 0 {
			l.flush(log, now)
		}
		now = now.Add(time.Second)
	}
	l.flush(log, now.Add(failureWindow))
	if full["not-json"] != 3 || full["nats-unavailable"] != 3*failuresLogged {
		t.Errorf("in full: %v", full)
	}
	told := 0
	for _, entry := range logs.All() {
		if entry.ContextMap()["reason"] != "nats-unavailable" {
			t.Errorf("told of %v", entry.ContextMap())
		}
		told += int(entry.ContextMap()["webhooks"].(int64))
	}
	if told+full["nats-unavailable"] != 18_000 || logs.Len() != 3 {
		t.Errorf("%d in full and %d in %d numbers, want 18000 webhooks in 3", full["nats-unavailable"], told, logs.Len())
	}
}
