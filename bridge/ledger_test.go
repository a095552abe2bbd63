package bridge

import (
	"testing"
	"time"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func testKey(b byte) key { return key{digest: [32]byte{b}, endpoint: "mews"} }

func TestLedgerTakesOverUntilToldOrThirdAttempt(t *testing.T) {
	l := newLedger(30*time.Minute, 10)
	k := testKey(1)

	first := l.begin(k, start)
	l.end(first, false, start)
	second := l.begin(k, start)
	if second.delivery != first.delivery || second.attempts != 2 {
		t.Fatalf("second attempt is %v, want the delivery of %v", second, first)
	}
	l.end(second, false, start)
	third := l.begin(k, start)
	if third.delivery != first.delivery || third.attempts != 3 {
		t.Fatalf("third attempt is %v, want the delivery of %v", third, first)
	}
	l.end(third, false, start)
	if fourth := l.begin(k, start); fourth.delivery == first.delivery {
		t.Error("a body after three attempts has the old delivery")
	}
	if n := l.openEntries(start); n != 0 {
		t.Errorf("%d entries open, want 0", n)
	}
}

func TestLedgerForgetsWhatWasTold(t *testing.T) {
	l := newLedger(30*time.Minute, 10)
	k := testKey(1)
	first := l.begin(k, start)
	l.end(first, false, start)
	second := l.begin(k, start)
	l.end(second, true, start)
	if third := l.begin(k, start); third.delivery == first.delivery {
		t.Error("a body after a 2xx has the old delivery")
	}
}

func TestLedgerWhileInFlightIsNew(t *testing.T) {
	l := newLedger(30*time.Minute, 10)
	k := testKey(1)
	a, b := l.begin(k, start), l.begin(k, start)
	if a.delivery == b.delivery {
		t.Fatal("a body that came while an identical one was in flight has its delivery")
	}
	l.end(a, false, start)
	l.end(b, false, start)
	if got := l.begin(k, start); got.delivery != a.delivery {
		t.Error("the first to fail is not the first to be taken over")
	}
	if got := l.begin(k, start); got.delivery != b.delivery {
		t.Error("the second to fail is not taken over")
	}
	if got := l.begin(testKey(2), start); got.delivery == a.delivery || got.delivery == b.delivery {
		t.Error("another body has the delivery of this one")
	}
}

func TestLedgerWindow(t *testing.T) {
	l := newLedger(30*time.Minute, 10)
	k := testKey(1)
	first := l.begin(k, start)
	l.end(first, false, start)
	if n := l.openEntries(start.Add(30*time.Minute - 1)); n != 1 {
		t.Errorf("%d entries open just within the window, want 1", n)
	}
	if late := l.begin(k, start.Add(30*time.Minute)); late.delivery == first.delivery {
		t.Error("a body after the window has the old delivery")
	}
}

func TestLedgerWindowCountsFromTheFirstAttempt(t *testing.T) {
	l := newLedger(30*time.Minute, 10)
	k := testKey(1)
	first := l.begin(k, start)
	l.end(first, false, start)
	second := l.begin(k, start.Add(20*time.Minute))
	l.end(second, false, start.Add(20*time.Minute))
	if third := l.begin(k, start.Add(40*time.Minute)); third.delivery == first.delivery {
		t.Error("an attempt 40 minutes after the first has its delivery, which JetStream may have forgotten")
	}
}

// TestLedgerForgetsWhatWasTakenOver keeps one entry open while many others come and go behind it.
func TestLedgerForgetsWhatWasTakenOver(t *testing.T) {
	l := newLedger(30*time.Minute, 10)
	l.end(l.begin(testKey(1), start), false, start)
	for range 10_000 {
		l.end(l.begin(testKey(2), start), false, start)
		l.end(l.begin(testKey(2), start), true, start)
	}
	if n := cap(l.order); n > 1000 {
		t.Errorf("%d places are kept for one open entry", n)
	}
}

func TestLedgerIsBounded(t *testing.T) {
	l := newLedger(30*time.Minute, 3)
	var claims []claim
	for i := range byte(5) {
		c := l.begin(testKey(i), start)
		claims = append(claims, c)
		l.end(c, false, start)
	}
	if n := l.openEntries(start); n != 3 {
		t.Fatalf("%d entries open, want 3", n)
	}
	for i, c := range claims {
		taken := l.begin(c.key, start).delivery == c.delivery
		if want := i >= 2; taken != want {
			t.Errorf("entry %d is open: %v, want %v", i, taken, want)
		}
	}
	if len(l.open) != 0 || len(l.order)-l.head > 3 {
		t.Errorf("%d keys and %d places are kept", len(l.open), len(l.order)-l.head)
	}
}
