package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mewsbridge/cmd/mewsbridge/internal/rehearsal"
)

// rehearseOptions are the flags of rehearse.
type rehearseOptions struct {
	seed       uint64
	duration   time.Duration
	faults     []string
	setups     []string
	rate       float64
	events     int
	retryAfter time.Duration
	soak       bool
	syncAlways bool
	dir        string
}

func newRehearseCommand(env *environment) *cobra.Command {
	o := &rehearseOptions{}
	cmd := &cobra.Command{
		Use:   "rehearse",
		Short: "Break a bridge and its NATS on purpose, and count what is lost",
		Long: `Break a bridge and its NATS on purpose, under load, and count what is lost.

It runs this program and the nats-server in it as processes of their own, in a temporary folder and on ports of their own,
sends webhooks as Mews does, and injects faults at times that the seed decides. It rehearses up to three setups: embedded (the bridge
with its own NATS), single (one nats-server) and cluster (three, with three replicas). Faults:

` + rehearsal.Describe() + `
Exit code 1 when an acknowledged event is missing, when one is stored twice although its retry could be told, or when an answer
took 5 s. With --soak nothing is broken, messages leave the streams after 30 s, and exit code 1 says that the bridge or its disk grew all the
time. Nothing else on this machine is touched.`,
		Example: `  mewsbridge rehearse
  mewsbridge rehearse --duration 10m --seed 42
  mewsbridge rehearse --setup cluster --faults partition,leader-loss
  mewsbridge rehearse --soak --setup embedded --duration 8h`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRehearse(cmd.Context(), env, o) },
	}
	flags := cmd.Flags()
	flags.Uint64Var(&o.seed, "seed", 0, "the same seed gives the same schedule (0: draw one)")
	flags.DurationVar(&o.duration, "duration", 3*time.Minute, "for all setups together, start and end of each not counted")
	flags.StringSliceVar(&o.faults, "faults", nil, "faults to inject (default all)")
	flags.StringSliceVar(&o.setups, "setup", nil, "setups to rehearse (default all in which a fault is possible)")
	flags.Float64Var(&o.rate, "rate", 50, "webhooks a second")
	flags.IntVar(&o.events, "events", 5, "events in each webhook")
	flags.DurationVar(&o.retryAfter, "retry-after", 3*time.Second, "pause before the next of three attempts; Mews waits minutes")
	flags.BoolVar(&o.soak, "soak", false, "no faults: watch goroutines, memory, file descriptors and disk for growth")
	flags.BoolVar(&o.syncAlways, "sync-always", false, "run single and cluster with sync_interval: always, as embedded always does")
	flags.StringVar(&o.dir, "dir", "", "keep data and logs in this new folder (default: a temporary one, kept when the rehearsal fails)")
	flags.SortFlags = false
	return cmd
}

func runRehearse(ctx context.Context, env *environment, o *rehearseOptions) error {
	cfg, err := o.config()
	if err != nil {
		return withCode(exitUsage, err)
	}
	if cfg.Binary, err = os.Executable(); err != nil {
		return withCode(exitInternal, fmt.Errorf("find this program: %w", err))
	}
	if cfg.Dir, err = o.folder(); err != nil {
		return withCode(exitUsage, err)
	}
	fmt.Fprintf(env.Stdout, "seed %d, %v, %v webhooks/s of %d events\n", cfg.Seed, cfg.Duration, cfg.Rate, cfg.Events)
	line := newProgressLine(env.Stderr)
	cfg.Progress = line.show
	report, err := rehearsal.Run(ctx, *cfg)
	line.clear()
	switch {
	case ctx.Err() != nil:
		return withCode(exitInternal, errors.Join(errors.New("interrupted"), os.RemoveAll(cfg.Dir)))
	case err != nil:
		return withCode(exitInternal, fmt.Errorf("%w; logs are in %s", err, cfg.Dir))
	}
	printRehearsal(env.Stdout, report)
	if why := report.Verdict(); len(why) > 0 {
		return withCode(exitVerdict, fmt.Errorf("the rehearsal failed; data and logs are in %s\n  %s", cfg.Dir, strings.Join(why, "\n  ")))
	}
	if o.dir == "" {
		err = os.RemoveAll(cfg.Dir)
	}
	return withCode(exitInternal, err)
}

// config checks the flags.
func (o *rehearseOptions) config() (*rehearsal.Config, error) {
	if !(o.rate > 0) || o.events < 1 || o.retryAfter <= 0 || o.duration <= 0 {
		return nil, errors.New("--rate, --events, --retry-after and --duration must be more than 0")
	}
	if o.soak && len(o.faults) > 0 {
		return nil, errors.New("--soak does not go with --faults: growth is told where nothing is broken")
	}
	faults, setups, err := rehearsal.Parse(splitList(o.faults), splitList(o.setups))
	if err != nil {
		return nil, err
	}
	seed := o.seed
	if seed == 0 {
		seed = rand.Uint64N(1 << 32) // short enough to be typed
	}
	cfg := &rehearsal.Config{Seed: seed, Duration: o.duration, Faults: faults, Setups: setups, Rate: o.rate,
		Events: o.events, RetryAfter: o.retryAfter, SyncAlways: o.syncAlways, Soak: o.soak}
	return cfg, cfg.Check()
}

// folder returns an empty folder.
func (o *rehearseOptions) folder() (string, error) {
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "mewsbridge-rehearse-")
		if err != nil {
			return "", fmt.Errorf("make a temporary folder: %w", err)
		}
		return dir, nil
	}
	dir, err := filepath.Abs(o.dir)
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	if err != nil {
		return "", fmt.Errorf("--dir: %w", err)
	}
	return dir, nil
}
