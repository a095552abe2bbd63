package rehearsal

import (
	"os"
	"testing"
	"time"
)

// TestSoak watches a whole bridge for growth. MEWSBRIDGE_SOAK is a duration in place of the short one.
func TestSoak(t *testing.T) {
	t.Parallel()
	cfg := Config{Binary: binary, Dir: t.TempDir(), Seed: 1, Duration: 8 * time.Second, Soak: true, Setups: []Setup{Embedded},
		Rate: 100, Events: 10, RetryAfter: time.Second}
	if text := os.Getenv("MEWSBRIDGE_SOAK"); text != "" {
		var err error
		if cfg.Duration, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	report, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	result := report.Setups[0]
	t.Logf("%+v", result)
	if len(result.Problems) > 0 {
		t.Error(result.Problems)
	}
	if len(result.Levels) != int(resources) {
		t.Fatalf("levels %v", result.Levels)
	}
	for _, level := range result.Levels {
		if level.First <= 0 || level.Last <= 0 || level.Grew {
			t.Errorf("%s: %v", level.Name, level)
		}
	}
	if c := result.Counts; c.Acknowledged != c.Sent || c.Stored != c.Sent*cfg.Events || c.Duplicates != 0 {
		t.Errorf("counted %+v", c)
	}
}

func TestLevelsTellGrowth(t *testing.T) {
	run := func(value func(i int) float64) []Level {
		samples := make([]sample, 60)
		for i := range samples {
			for r := range samples[i] {
				samples[i][r] = value(i)
			}
		}
		found, err := levels(samples)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	const much = 1 << 30
	for _, level := range run(func(i int) float64 { return much + float64(i%7)*much/100 }) {
		if level.Grew {
			t.Errorf("%s: up and down is taken for growth: %v", level.Name, level)
		}
	}
	for _, level := range run(func(i int) float64 { return much + float64(i)*much/60 }) {
		if !level.Grew {
			t.Errorf("%s: growth is not seen: %v", level.Name, level)
		}
	}
	for _, level := range run(func(i int) float64 { return float64(max(0, 10-i)) * much }) {
		if level.Grew {
			t.Errorf("%s: the warm-up counts: %v", level.Name, level)
		}
	}
	if _, err := levels(make([]sample, 6)); err == nil {
		t.Error("6 samples are taken for enough")
	}
}
