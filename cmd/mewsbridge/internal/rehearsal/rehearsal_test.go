package rehearsal

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// longRehearsal is a duration for each setup in place of the short schedules of the ordinary run.
const longRehearsal = "MEWSBRIDGE_REHEARSAL"

// TestNothingAcknowledgedIsLost has every fault once, in every setup.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	for _, short := range []struct {
		setup    Setup
		seed     uint64 // one whose schedule has each fault once in little time
		duration time.Duration
	}{
		{Embedded, 219, 11 * time.Second}, {Single, 287, 22 * time.Second}, {Cluster, 1, 30 * time.Second},
	} {
		t.Run(string(short.setup), func(t *testing.T) {
			t.Parallel()
			cfg := Config{Binary: binary, Dir: t.TempDir(), Seed: short.seed, Duration: short.duration, Faults: Faults(),
				Setups: []Setup{short.setup}, Rate: 40, Events: 5, RetryAfter: 2 * time.Second}
			if text := os.Getenv(longRehearsal); text != "" {
				var err error
				if cfg.Duration, err = time.ParseDuration(text); err != nil {
					t.Fatalf("%s: %v", longRehearsal, err)
				}
				cfg.Seed = uint64(time.Now().UnixNano()) % 1e9
			}
			report, err := Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			result := report.Setups[0]
			t.Logf("seed %d: %+v", cfg.Seed, result)
			if c := result.Counts; c.Lost > 0 || c.Unexplained > 0 || len(result.Problems) > 0 {
				t.Errorf("%v", report.Verdict()) // not how long an answer took: the machine may be busy with other tests
			}
			for _, fault := range possible(Faults(), short.setup) {
				if result.Injected[fault] == 0 {
					t.Errorf("%s was not injected", fault)
				}
			}
			// Else the sender dropped nearly all, and the figures say little.
			if c := result.Counts; c.Acknowledged < c.Sent/2 || c.Sent < 100 {
				t.Errorf("%d sent, %d acknowledged", c.Sent, c.Acknowledged)
			}
		})
	}
}

// TestLiesAreFound runs a bridge that swallows one webhook in ten and stores another twice.
func TestLiesAreFound(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	report, err := Run(t.Context(), Config{Binary: self, Dir: t.TempDir(), Seed: 1, Duration: 2 * time.Second, Setups: []Setup{Embedded},
		Rate: 50, Events: 3, RetryAfter: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	c := report.Setups[0].Counts
	swallowed, again := 3*(c.Sent/10), 3*((c.Sent+9)/10) // of 3 events each
	if c.Sent < 20 || c.Acknowledged != c.Sent || c.Lost != swallowed || c.Unexplained != again || c.Stored != 3*c.Sent-swallowed || c.Duplicates != 0 {
		t.Errorf("counted %+v", c)
	}
	why := strings.Join(report.Verdict(), "\n")
	for _, want := range []string{fmt.Sprint(swallowed, " acknowledged events are not stored"), fmt.Sprint(again, " events are stored again")} {
		if !strings.Contains(why, want) {
			t.Errorf("the verdict does not say %q:\n%s", want, why)
		}
	}
}

// TestProcessThatEndsByItself is told, with the place of its log.
func TestProcessThatEndsByItself(t *testing.T) {
	t.Parallel()
	_, err := Run(t.Context(), Config{Binary: "/bin/false", Dir: t.TempDir(), Seed: 1, Duration: time.Second, Setups: []Setup{Embedded},
		Rate: 1, Events: 1, RetryAfter: time.Second})
	if err == nil || !strings.Contains(err.Error(), "bridge ended by itself") || !strings.Contains(err.Error(), "embedded/log") {
		t.Errorf("error %v", err)
	}
}
