package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mewsbridge/bridge/silence"
)

// statusOptions are the flags of status.
type statusOptions struct {
	nats        natsFlags
	admin       string
	enterprises int
	json        bool
	watch       time.Duration
}

// minWatch keeps status from being a load of its own.
const minWatch = time.Second

func newStatusCommand(env *environment) *cobra.Command {
	o := &statusOptions{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show on one screen how the bridge and its streams are",
		Long: `Show on one screen how the bridge is: endpoints, what is at risk and who is silent, streams and their rates, the last
webhook of each enterprise, consumers, quarantine. What could not be asked is said.

Streams, enterprises, consumers and quarantine come from NATS. Readiness, endpoints and what is at
risk come from one bridge's admin listener; its counts are since that bridge started. Exit code 69
when NATS cannot be asked.`,
		Example: `  mewsbridge status
  mewsbridge status --watch 5s
  mewsbridge status --json | jq .streams`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runStatus(cmd.Context(), env, o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.admin, "admin", "", "URL of a bridge's admin listener (default at $MEWSBRIDGE_ADMIN_LISTEN or http://127.0.0.1:8081; its token is $MEWSBRIDGE_ADMIN_TOKEN)")
	flags.IntVar(&o.enterprises, "enterprises", 10, "how many enterprises to show, the most recent first")
	flags.BoolVar(&o.json, "json", false, "print one JSON object")
	flags.DurationVar(&o.watch, "watch", 0, "show it again and again, that long apart, until Ctrl-C")
	o.nats.register(cmd, env)
	return cmd
}

func runStatus(ctx context.Context, env *environment, o *statusOptions) error {
	switch {
	case o.enterprises < 0:
		return withCode(exitUsage, errors.New("--enterprises must not be negative"))
	case o.watch != 0 && o.watch < minWatch:
		return withCode(exitUsage, fmt.Errorf("--watch must be at least %v", minWatch))
	}
	admin, err := o.adminClient()
	if err != nil {
		return withCode(exitUsage, err)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	for {
		report, natsErr := o.gather(ctx, admin)
		if ctx.Err() != nil {
			return nil
		}
		if err := o.print(env, report); err != nil {
			return withCode(exitInternal, err)
		}
		if o.watch == 0 {
			return natsErr
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(o.watch):
		}
	}
}

func (o *statusOptions) print(env *environment, report *statusReport) error {
	if o.json {
		return json.NewEncoder(env.Stdout).Encode(report)
	}
	if _, terminal := terminalWidth(env.Stdout); terminal && o.watch > 0 {
		fmt.Fprint(env.Stdout, "\x1b[H\x1b[2J") // to the top of an empty screen
	}
	return report.write(env.Stdout)
}

// statusReport is all that status shows.
type statusReport struct {
	At          time.Time          `json:"at"`
	Bridge      bridgeStatus       `json:"bridge"`
	NATS        natsStatus         `json:"nats"`
	Streams     []streamStatus     `json:"streams"`
	Enterprises []enterpriseStatus `json:"enterprises"`
	Silence     []silence.Report   `json:"silence"` // of each prefix, with those alone who have gone quiet; null: not known
	Consumers   []consumerState    `json:"consumers"`
	Quarantine  []reasonStatus     `json:"quarantine"`
	NotAsked    []string           `json:"not_asked"` // what is not in the report, and why

	enterprisesSeen, eventsRead int
}

// missing notes what could not be asked.
func (r *statusReport) missing(format string, args ...any) {
	r.NotAsked = append(r.NotAsked, fmt.Sprintf(format, args...))
}

// gather asks the bridge and NATS. The error is that of NATS; what is known without it is in the report all the same.
func (o *statusOptions) gather(ctx context.Context, admin *adminClient) (*statusReport, error) {
	r := &statusReport{At: time.Now().UTC(), NotAsked: []string{}}
	admin.ask(ctx, r)
	return r, o.askNATS(ctx, r)
}
