package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"mewsbridge/cmd/mewsbridge/internal/simulator"
	"mewsbridge/schema"
)

const defaultWebhookURL = "http://localhost:8080/webhooks/mews"

// sendOptions are the flags of send.
type sendOptions struct {
	nats        natsFlags
	url         string
	dataDir     string
	webhooks    int
	events      int
	rate        float64
	concurrency int
	retryAfter  time.Duration
	types       []string
	integration bool
	file        string
	seed        uint64
	verify      bool
}

func newSendCommand(env *environment) *cobra.Command {
	o := &sendOptions{}
	cmd := &cobra.Command{
		Use:   "send",
		Short: "Send webhooks as Mews does",
		Long: `Send webhooks as Mews does: 5 s for each attempt, three attempts with the same bytes,
307 and 308 followed, success only by 2xx. Exit code 1 when a webhook was dropped, or,
with --verify, when an event is not in its stream.`,
		Example: `  mewsbridge send
  mewsbridge send --webhooks 1000 --events 20 --retry-after 2s --verify
  mewsbridge send --url 'https://bridge.example/webhooks/mews?Token=…' --file body.json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSend(cmd, env, o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.url, "url", "", "whole webhook URL with its token (default "+defaultWebhookURL+" with the token in <data-dir>/token)")
	flags.StringVar(&o.dataDir, "data-dir", "", "where serve keeps its token (default $MEWSBRIDGE_DATA_DIR or data)")
	flags.IntVar(&o.webhooks, "webhooks", 1, "how many webhooks to send")
	flags.IntVar(&o.events, "events", 3, "events in each webhook")
	flags.Float64Var(&o.rate, "rate", 0, "webhooks a second (0: as fast as possible)")
	flags.IntVar(&o.concurrency, "concurrency", simulator.DefaultConcurrency, "attempts under way at a time")
	flags.DurationVar(&o.retryAfter, "retry-after", simulator.DefaultRetryAfter, "pause before the next attempt")
	flags.StringSliceVar(&o.types, "types", nil, "discriminators, or actions, to draw from (default: all documented ones)")
	flags.BoolVar(&o.integration, "integration", false, "send Integration webhooks, with made-up credentials")
	flags.StringVar(&o.file, "file", "", "send the bytes of this file as the body")
	flags.Uint64Var(&o.seed, "seed", 1, "the same seed makes the same bodies")
	flags.BoolVar(&o.verify, "verify", false, "look for every event in NATS afterwards")
	o.nats.register(cmd, env)
	return cmd
}

func runSend(cmd *cobra.Command, env *environment, o *sendOptions) error {
	if err := o.validate(cmd); err != nil {
		return withCode(64, err)
	}
	target, err := o.target(env)
	if err != nil {
		return withCode(64, err)
	}
	body, generator, err := o.bodies()
	if err != nil {
		return withCode(64, err)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	var check *verification
	if o.verify {
		if check, err = newVerification(ctx, o, generator); err != nil {
			return err
		}
		defer check.close()
	}
	report := o.send(ctx, env, target, body, check)
	stop() // from here on a second Ctrl-C ends the process at once
	printReport(env.Stdout, report, o.webhooks)
	return o.verdict(cmd.Context(), env, report, check)
}

// verdict returns the error that makes the exit code 1, when there is a reason.
func (o *sendOptions) verdict(ctx context.Context, env *environment, report *simulator.Report, check *verification) error {
	if check != nil {
		result, err := check.run(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintln(env.Stdout, result)
		if result.lost > 0 {
			return withCode(exitVerdict, fmt.Errorf("%s not in NATS", plural(result.lost, "event is", "events are")))
		}
	}
	if report.Dropped > 0 {
		return withCode(exitVerdict, fmt.Errorf("%s dropped", plural(report.Dropped, "webhook was", "webhooks were")))
	}
	return nil
}

func (o *sendOptions) validate(cmd *cobra.Command) error {
	o.types = splitList(o.types)
	for flag, bad := range map[string]bool{
		"webhooks": o.webhooks < 1, "events": o.events < 0, "concurrency": o.concurrency < 1,
		"rate": !(o.rate >= 0), "retry-after": o.retryAfter < 0,
	} {
		if bad {
			return fmt.Errorf("--%s is too small", flag)
		}
	}
	if o.file != "" {
		for _, other := range []string{"events", "types", "integration", "seed"} {
			if cmd.Flags().Changed(other) {
				return fmt.Errorf("--%s does not go with --file, which is sent as it is", other)
			}
		}
		if o.verify {
			return errors.New("--verify does not go with --file: it looks for entity ids that send makes itself")
		}
	}
	if o.integration && cmd.Flags().Changed("events") {
		return errors.New("--events does not go with --integration: such a webhook is one event")
	}
	if o.verify && slices.ContainsFunc(o.types, func(t string) bool { return !schema.IsToken(t) }) {
		return errors.New("--verify does not go with --types that the bridge puts in quarantine")
	}
	return nil
}

// target returns the whole URL. Its errors repeat neither the URL nor the token.
func (o *sendOptions) target(env *environment) (string, error) {
	if o.url != "" {
		u, err := url.Parse(o.url)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return "", simulator.ErrInvalidURL
		}
		return o.url, nil
	}
	file := filepath.Join(cmp.Or(o.dataDir, env.Getenv("MEWSBRIDGE_DATA_DIR"), "data"), "token")
	token, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("no token in %s: start `mewsbridge serve` here, or give --url with the token", file)
	}
	return defaultWebhookURL + "?Token=" + url.QueryEscape(strings.TrimSpace(string(token))), nil
}

// bodies returns what to send; the generator is nil when it is a file.
func (o *sendOptions) bodies() (func(int) []byte, *simulator.Generator, error) {
	if o.file != "" {
		body, err := os.ReadFile(o.file)
		if err != nil {
			return nil, nil, fmt.Errorf("read --file: %w", err)
		}
		return func(int) []byte { return body }, nil, nil
	}
	g := &simulator.Generator{Seed: o.seed, Events: o.events, Types: o.types, Integration: o.integration}
	return g.Body, g, nil
}

func (o *sendOptions) send(ctx context.Context, env *environment, target string, body func(int) []byte, check *verification) *simulator.Report {
	client := simulator.NewClient(o.concurrency)
	defer client.CloseIdleConnections()
	pause := o.retryAfter
	if pause == 0 {
		pause = -1 // the Sender takes 0 for its default
	}
	bar := o.progress(env)
	report := simulator.Runner{
		Sender:   simulator.Sender{Client: client, URL: target, RetryAfter: pause, Failed: sayOnce(env, bar)},
		Body:     body,
		Webhooks: o.webhooks, Rate: o.rate, Concurrency: o.concurrency,
		Done: func(number int, outcome simulator.Outcome) {
			_ = bar.Add(1) // a bar that cannot be drawn is no reason to stop
			if check != nil {
				check.sent(number, outcome)
			}
		},
	}.Run(ctx)
	_ = bar.Clear()
	return report
}

// sayOnce returns what says of the first attempt that failed why send now seems to do nothing.
func sayOnce(env *environment, bar *progressbar.ProgressBar) func(simulator.Attempt, time.Duration) {
	var once sync.Once
	return func(a simulator.Attempt, pause time.Duration) {
		once.Do(func() {
			hint := ""
			if a.Status == http.StatusUnauthorized {
				hint = " (the bridge does not know the token of the URL)"
			}
			_ = bar.Clear()
			fmt.Fprintf(env.Stderr, "an attempt ended with %s%s; the next follows after %v (--retry-after)\n", a.Result(), hint, pause)
		})
	}
}

// progress returns a bar that is drawn on a terminal only.
func (o *sendOptions) progress(env *environment) *progressbar.ProgressBar {
	_, terminal := terminalWidth(env.Stderr)
	return progressbar.NewOptions(o.webhooks, progressbar.OptionSetWriter(env.Stderr), progressbar.OptionSetVisibility(terminal),
		progressbar.OptionSetDescription("webhooks"), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetWidth(20), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
}
