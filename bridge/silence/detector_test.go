package silence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

var monday = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// hotel calls heard for a hotel that is awake from 6 to 22 and has a webhook every 20 minutes then, up to but not including until.
func hotel(from, until time.Time, heard func(at time.Time)) {
	for at := from; at.Before(until); at = at.Add(20 * time.Minute) {
		if at.Hour() >= 6 && at.Hour() < 22 {
			heard(at)
		}
	}
}

// TestNightsAreUsual: a hotel that is quiet every night is not silent in the morning, and is when a day and a half have passed.
func TestNightsAreUsual(t *testing.T) {
	var r rhythm
	now := monday.AddDate(0, 0, 10)
	hotel(monday, now, r.hear)
	if usual := r.usual(now); usual < 8*time.Hour || usual > 9*time.Hour {
		t.Fatalf("the longest usual gap is %v, want that of a night", usual)
	}
	for silence, want := range map[time.Duration]bool{time.Hour: false, 9 * time.Hour: false, 16 * time.Hour: false, 17 * time.Hour: true, 36 * time.Hour: true} {
		if got := r.quiet(silence, now); got != want {
			t.Errorf("%v of silence is reported: %v", silence, got)
		}
	}
}

// TestOneOutageIsNotTheRule, and two weekends are.
func TestOneOutageIsNotTheRule(t *testing.T) {
	var r rhythm
	hotel(monday, monday.AddDate(0, 0, 4), r.hear)
	hotel(monday.AddDate(0, 0, 7), monday.AddDate(0, 0, 11), r.hear)
	now := monday.AddDate(0, 0, 11)
	if usual := r.usual(now); usual > 9*time.Hour {
		t.Errorf("after one gap of days the usual one is %v", usual)
	}
	hotel(monday.AddDate(0, 0, 14), monday.AddDate(0, 0, 18), r.hear)
	if usual := r.usual(monday.AddDate(0, 0, 18)); usual < 48*time.Hour {
		t.Errorf("after two weekends the usual gap is %v", usual)
	}
	hotel(monday.AddDate(0, 0, 21), monday.AddDate(0, 0, 60), r.hear)
	if usual := r.usual(monday.AddDate(0, 0, 60)); usual > 9*time.Hour {
		t.Errorf("a month after the last weekend off the usual gap is still %v", usual)
	}
}

func TestTooLittleIsKnown(t *testing.T) {
	var r rhythm
	for i := range 30 {
		r.hear(monday.Add(time.Duration(i) * time.Minute))
	}
	if r.quiet(1000*time.Hour, monday.Add(1000*time.Hour)) {
		t.Error("half an hour of history is held to be a rhythm")
	}
}

// rig is a detector on a clock that the test moves.
type rig struct {
	*Detector
	now  time.Time
	logs *observer.ObservedLogs
}

func newRig(start time.Time) *rig {
	core, logs := observer.New(zap.InfoLevel)
	r := &rig{now: start, logs: logs}
	r.Detector = New(Config{Prefix: "mews", Log: zap.New(core), Now: func() time.Time { return r.now }})
	return r
}

// said returns the records of the log: "message count names".
func (r *rig) said() []string {
	var said []string
	for _, entry := range r.logs.TakeAll() {
		fields := entry.ContextMap()
		said = append(said, fmt.Sprintf("%s: %v %v %v", entry.Message, fields["what"], fields["count"], fields["names"]))
	}
	return said
}

// week is the history of two hotels, one of which was last heard on Saturday evening.
func week(_ context.Context, _ time.Time, heard func(eventType, enterprise string, at time.Time)) error {
	hotel(monday, monday.AddDate(0, 0, 7), func(at time.Time) {
		heard("ServiceOrderUpdated", "awake", at)
		if at.Before(monday.AddDate(0, 0, 6)) {
			heard("ServiceOrderUpdated", "asleep", at)
		}
	})
	return nil
}

func TestSilenceIsSaidOnce(t *testing.T) {
	r := newRig(monday.AddDate(0, 0, 7).Add(-time.Hour))
	if err := r.learn(t.Context(), week); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		r.look()
	}
	said := r.said()
	if len(said) != 1 || !strings.Contains(said[0], "gone quiet") || !strings.Contains(said[0], "enterprise 1 [asleep]") {
		t.Fatalf("said %q", said)
	}
	report := r.Report()
	if report.EnterprisesKnown != 2 || report.EnterprisesSilent != 1 || !report.Learned || !report.Since.Equal(monday.Add(6*time.Hour)) ||
		report.Enterprises[0].Name != "asleep" || !report.Enterprises[0].Silent || report.Enterprises[1].Silent || len(report.Types) != 1 {
		t.Errorf("report: %+v", report)
	}
	r.HeardEnterprise("asleep")
	r.HeardEnterprise("newborn")
	r.HeardType("ServiceOrderUpdated")
	r.HeardType("PaymentUpdated")
	r.look()
	r.look()
	if said := r.said(); len(said) != 3 || !strings.Contains(said[0], "heard again: enterprise 1 [asleep]") ||
		!strings.Contains(said[1], "heard for the first time: enterprise 1 [newborn]") || !strings.Contains(said[2], "type 1 [PaymentUpdated]") {
		t.Errorf("said %q", said)
	}
	r.now = r.now.Add(3 * 24 * time.Hour) // everybody
	r.look()
	if said := r.said(); len(said) != 2 || !strings.Contains(said[0], "enterprise 2 [asleep awake]") || !strings.Contains(said[1], "type 1 [ServiceOrderUpdated]") {
		t.Errorf("said %q", said)
	}
	r.now = r.now.Add(Window)
	r.look()
	if report := r.Report(); report.EnterprisesKnown != 0 {
		t.Errorf("after a month of silence %d are still watched", report.EnterprisesKnown)
	}
}

// TestDowntimeIsNotSilence: what nobody could hear while the bridge was down is no silence.
func TestDowntimeIsNotSilence(t *testing.T) {
	r := newRig(monday.AddDate(0, 0, 9)) // two days and two hours after the last webhook of all
	if err := r.learn(t.Context(), week); err != nil {
		t.Fatal(err)
	}
	r.look()
	if said := r.said(); len(said) != 1 || !strings.Contains(said[0], "1 [asleep]") {
		t.Errorf("said %q; the other was heard until the bridge went down", said)
	}
	r.now = r.now.Add(18 * time.Hour)
	r.look()
	if said := r.said(); len(said) != 2 || !strings.Contains(said[0], "enterprise 1 [awake]") {
		t.Errorf("said %q", said)
	}
}

// TestLearningWhileListening: what is heard while the history is being read is neither lost nor held to be old.
func TestLearningWhileListening(t *testing.T) {
	r := newRig(monday.AddDate(0, 0, 7).Add(-time.Hour))
	r.HeardEnterprise("asleep")
	err := r.learn(t.Context(), func(ctx context.Context, since time.Time, heard func(string, string, time.Time)) error {
		if err := week(ctx, since, heard); err != nil {
			return err
		}
		r.now = r.now.Add(time.Minute)
		r.HeardEnterprise("newborn")
		heard("CustomerAdded", "newborn", r.now)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.look()
	if said := r.said(); len(said) != 1 || !strings.Contains(said[0], "heard for the first time: enterprise 1 [newborn]") {
		t.Errorf("said %q", said)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	r := newRig(monday)
	if err := r.learn(t.Context(), func(context.Context, time.Time, func(string, string, time.Time)) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range MaxEnterprises + 5 {
		r.HeardEnterprise(fmt.Sprint("e", i))
	}
	for i := range MaxTypes + 5 {
		r.HeardType(fmt.Sprint("t", i))
	}
	r.look()
	if said := r.said(); len(said) != 4 || !strings.Contains(said[0], fmt.Sprint(MaxEnterprises)) || !strings.Contains(said[1], "too many") {
		t.Errorf("%d records: %.300q", len(said), said)
	}
	report := r.Report()
	if report.EnterprisesKnown != MaxEnterprises || len(report.Enterprises) != MaxReported || len(report.Types) != MaxTypes {
		t.Errorf("known %d, reported %d, types %d", report.EnterprisesKnown, len(report.Enterprises), len(report.Types))
	}
}

// TestWatch gets its history at the second attempt, and then looks by itself.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		d := New(Config{Prefix: "mews", Log: zap.New(core)})
		registry := prometheus.NewRegistry()
		registry.MustRegister(d)
		attempts := 0
		ctx, end := context.WithCancel(t.Context())
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			d.Watch(ctx, func(_ context.Context, since time.Time, heard func(string, string, time.Time)) error {
				if attempts++; attempts == 1 {
					return errors.New("NATS is away")
				}
				for i := range 48 {
					heard("CustomerAdded", "hotel", since.Add(Window-time.Duration(48-i)*time.Hour))
				}
				return nil
			})
		}()
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		if attempts != 2 || logs.FilterMessageSnippet("cannot be read yet").Len() != 1 || logs.FilterMessageSnippet("gone quiet").Len() != 2 {
			t.Errorf("%d attempts, said %v", attempts, logs.All())
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]float64{}
		for _, f := range families {
			values[f.GetName()] = f.Metric[0].GetGauge().GetValue() + f.Metric[0].GetCounter().GetValue()
		}
		if values["mewsbridge_enterprises"] != 1 || values["mewsbridge_enterprises_silent"] != 1 || values["mewsbridge_event_types_silent"] != 1 || values["mewsbridge_history_learned"] != 1 {
			t.Errorf("metrics: %v", values)
		}
		answer := httptest.NewRecorder()
		Handler(d).ServeHTTP(answer, httptest.NewRequest("GET", "/silence", nil))
		var reports []Report
		if err := json.Unmarshal(answer.Body.Bytes(), &reports); err != nil || len(reports) != 1 || reports[0].Enterprises[0].Name != "hotel" || !reports[0].Enterprises[0].Silent {
			t.Errorf("/silence: %v %s", err, answer.Body)
		}
		end()
		<-watched
	})
}
