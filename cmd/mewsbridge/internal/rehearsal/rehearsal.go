package rehearsal

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Config says what to rehearse. All fields but Progress are required.
type Config struct {
	Binary     string // of mewsbridge
	Dir        string // empty; the processes keep their data and logs there
	Seed       uint64 // the same seed gives the same schedule
	Duration   time.Duration
	Faults     []Fault
	Setups     []Setup       // one after another; each gets an equal part of Duration
	Rate       float64       // webhooks each second
	Events     int           // in a webhook
	RetryAfter time.Duration // what the sender waits before its next attempt
	Soak       bool          // no faults: watch for growth
	SyncAlways bool          // nats-servers of their own fsync every write; the embedded one always does

	// Progress, when it is not nil, is called several times a second, never concurrently.
	Progress func(Progress)
}

// Progress is how far a rehearsal has come.
type Progress struct {
	Setup          Setup
	Elapsed, Whole time.Duration // of the setup
	Doing          string
	Counts         Counts // of webhooks only
}

// share returns how long one setup is rehearsed.
func (c *Config) share() time.Duration { return c.Duration / time.Duration(len(c.Setups)) }

// Check returns an error when the duration is too short for each fault to come once.
func (c *Config) Check() error {
	if c.Soak {
		return nil
	}
	for _, setup := range c.Setups {
		if _, least := Schedule(c.Seed, setup, c.Faults, c.share()); least > c.share() {
			whole := (least * time.Duration(len(c.Setups))).Round(time.Second) + time.Second
			return fmt.Errorf("%v is too short for each fault to come once; with this seed it takes %v", c.Duration, whole)
		}
	}
	return nil
}

// Run rehearses one setup after another. The error is for what kept it from coming to a result; what it found is in the
// report.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	report := &Report{}
	for _, setup := range cfg.Setups {
		dir := filepath.Join(cfg.Dir, string(setup))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make folder: %w", err)
		}
		s := newStage(&cfg, setup, dir)
		result, err := s.run(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", setup, err)
		}
		report.Setups = append(report.Setups, *result)
	}
	return report, nil
}
