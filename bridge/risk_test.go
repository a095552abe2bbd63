package bridge

import (
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestRiskIsSaidOnceAMinute looks at the log of an outage of a quarter of an hour, looked at every 5 s.
func TestRiskIsSaidOnceAMinute(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	l := newLedger(30*time.Minute, 10)
	log := newRiskLog(zap.New(core))
	now := start
	look := func() { log.note(l.risk([]string{"mews", "demo"}, 3*time.Minute, now), now) }
	look()
	l.end(l.begin(testKey(1), now), false, now)
	l.end(l.begin(testKey(2), now), false, now)
	for range 15 * 12 {
		look()
		now = now.Add(riskTick)
	}
	warnings := logs.FilterMessageSnippet("at risk:").All()
	if len(warnings) != 15 {
		t.Errorf("%d warnings in 15 minutes, want 15", len(warnings))
	}
	if first := warnings[0].ContextMap(); first["deliveries"] != int64(2) || first["seconds_until_loss"] != 360.0 {
		t.Errorf("the first warning says %v", first)
	}
	l.end(l.begin(testKey(1), now), true, now)
	for attempt := 2; attempt <= 3; attempt++ {
		l.end(l.begin(testKey(2), now), false, now)
	}
	look()
	look()
	if lost := logs.FilterMessageSnippet("webhooks lost").All(); len(lost) != 1 || lost[0].Level != zap.ErrorLevel || lost[0].ContextMap()["lost"] != uint64(1) {
		t.Errorf("of the loss the log says %v", lost)
	}
	if over := logs.FilterMessageSnippet("no webhook is at risk any more").Len(); over != 1 {
		t.Errorf("the end is said %d times", over)
	}
}

// TestStoredIsNotAtRisk: a webhook that was stored and not answered needs no retry, also when a further attempt fails.
func TestStoredIsNotAtRisk(t *testing.T) {
	l := newLedger(30*time.Minute, 10)
	first := l.begin(testKey(1), start)
	first.stored = true
	l.end(first, false, start)
	l.end(l.begin(testKey(1), start), false, start)
	if r := l.risk([]string{"mews"}, time.Minute, start)[0]; r.Open != 1 || r.AtRisk != 0 {
		t.Errorf("open %d, at risk %d; want 1 and 0", r.Open, r.AtRisk)
	}
	l.end(l.begin(testKey(1), start), false, start)
	if r := l.risk([]string{"mews"}, time.Minute, start)[0]; r.LostAttempts != 0 {
		t.Errorf("%d lost, and it is stored", r.LostAttempts)
	}
}

// TestLateRetryIsLost: a retry that comes after the window is a new message, and what it was to repeat is lost, also when that was opened
// behind an entry whose window ends later.
func TestLateRetryIsLost(t *testing.T) {
	l := newLedger(30*time.Minute, 10)
	l.end(l.begin(testKey(1), start), false, start)
	at := start.Add(5 * time.Minute)
	l.end(l.begin(testKey(2), at), false, at)
	at = start.Add(10 * time.Minute)
	l.end(l.begin(testKey(1), at), false, at) // its window began at the first attempt
	if late := l.begin(testKey(1), start.Add(31*time.Minute)); late.attempts != 1 {
		t.Errorf("the late retry is attempt %d", late.attempts)
	}
	if r := l.risk([]string{"mews"}, time.Minute, start.Add(31*time.Minute))[0]; r.LostSilent != 1 || r.Open != 1 {
		t.Errorf("%d lost and %d open, want 1 and 1", r.LostSilent, r.Open)
	}
}
