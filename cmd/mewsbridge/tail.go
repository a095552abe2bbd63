package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"mewsbridge/schema"
)

// tailOptions are the flags of tail.
type tailOptions struct {
	nats          natsFlags
	types         []string
	enterprise    string
	since         moment
	lastPerEntity bool
	json          bool
	count         int
	integrations  bool
	quarantine    bool
	showSecrets   bool
}

func newTailCommand(env *environment) *cobra.Command {
	o := &tailOptions{}
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Follow the events in NATS",
		Long: `Follow the events that the bridge stored, from now on until Ctrl-C.

On a terminal each event is one aligned line; otherwise, and with --json, it is the
CloudEvent as one JSON object a line. AccessToken, ApiKey and Requestor are masked.`,
		Example: `  mewsbridge tail
  mewsbridge tail --type ServiceOrderUpdated,PaymentUpdated --since 1h
  mewsbridge tail --last-per-entity --json --count 100 | jq .data`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runTail(cmd.Context(), env, o) },
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&o.types, "type", nil, "only these discriminators, actions or reasons (repeat or separate by commas)")
	flags.StringVar(&o.enterprise, "enterprise", "", "only this EnterpriseId")
	flags.Var(&o.since, "since", "start at what was stored then: 90m ago, or 2026-01-31T08:00:00Z")
	flags.BoolVar(&o.lastPerEntity, "last-per-entity", false, "start with the newest event of each type and entity")
	flags.BoolVar(&o.json, "json", false, "print one JSON object a line, on a terminal too")
	flags.IntVar(&o.count, "count", 0, "end after that many (0: follow until Ctrl-C)")
	flags.BoolVar(&o.integrations, "integrations", false, "the stream of Integration webhooks instead")
	flags.BoolVar(&o.quarantine, "quarantine", false, "the quarantine instead: reason, place and size")
	flags.BoolVar(&o.showSecrets, "show-credentials", false, "do not mask credentials and requestors, and show quarantined bytes")
	o.nats.register(cmd, env)
	return cmd
}

func runTail(ctx context.Context, env *environment, o *tailOptions) error {
	if err := o.validate(); err != nil {
		return withCode(64, err)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	conn, js, err := o.nats.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := o.nats.stream(ctx, js, o.kind())
	if err != nil {
		return interruptedOr(ctx, err)
	}
	return o.follow(ctx, stream, newTailPrinter(env.Stdout, o))
}

func (o *tailOptions) validate() error {
	o.types = splitList(o.types)
	for _, name := range o.types {
		if !schema.IsToken(name) {
			return errors.New("--type takes names like ServiceOrderUpdated")
		}
	}
	switch {
	case o.integrations && o.quarantine:
		return errors.New("--integrations and --quarantine are different streams: give one")
	case o.enterprise != "" && o.kind() != schema.KindEvent:
		return errors.New("--enterprise goes with events only")
	case o.enterprise != "" && !schema.IsToken(o.enterprise):
		return errors.New("--enterprise takes an EnterpriseId")
	case !o.since.IsZero() && o.lastPerEntity:
		return errors.New("--since and --last-per-entity are different places to start: give one")
	case o.lastPerEntity && o.quarantine:
		return errors.New("--last-per-entity does not go with --quarantine: it knows no entities")
	case o.count < 0:
		return errors.New("--count must not be negative")
	}
	return nil
}

func (o *tailOptions) kind() schema.Kind {
	switch {
	case o.integrations:
		return schema.KindIntegration
	case o.quarantine:
		return schema.KindQuarantine
	default:
		return schema.KindEvent
	}
}

// subjects returns the filters that let through what was asked for, and no two that overlap.
func (o *tailOptions) subjects() []string {
	types := slices.Clone(o.types)
	slices.Sort(types)
	types = slices.Compact(types)
	if len(types) == 0 {
		types = []string{"*"}
	}
	base := o.nats.prefix + "." + o.kind().String() + "."
	filters := make([]string, len(types))
	for i, name := range types {
		switch o.kind() {
		case schema.KindEvent:
			filters[i] = base + name + "." + cmp.Or(o.enterprise, "*") + ".*"
		case schema.KindIntegration:
			filters[i] = base + name + ".*"
		default:
			filters[i] = base + name
		}
	}
	return filters
}

// consumer starts where the flags say. What is new is told by the stream's last sequence, so that nothing
// stored between now and the first delivery is missed.
func (o *tailOptions) consumer(stream jetstream.Stream) jetstream.OrderedConsumerConfig {
	c := jetstream.OrderedConsumerConfig{FilterSubjects: o.subjects()}
	switch {
	case o.lastPerEntity:
		c.DeliverPolicy = jetstream.DeliverLastPerSubjectPolicy
	case !o.since.IsZero():
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, o.since.start()
	default:
		c.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
		c.OptStartSeq = stream.CachedInfo().State.LastSeq + 1
	}
	return c
}

func (o *tailOptions) follow(ctx context.Context, stream jetstream.Stream, printer *tailPrinter) error {
	consumer, err := stream.OrderedConsumer(ctx, o.consumer(stream))
	if err != nil {
		return interruptedOr(ctx, withCode(69, fmt.Errorf("create consumer: %w", err)))
	}
	// Else it would be seen among the consumers for minutes, which is also what happens when it cannot be deleted.
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = stream.DeleteConsumer(last, consumer.CachedInfo().Name)
	}()
	messages, err := consumer.Messages()
	if err != nil {
		return interruptedOr(ctx, withCode(69, fmt.Errorf("read events: %w", err)))
	}
	defer messages.Stop()
	for printed := 0; o.count == 0 || printed < o.count; printed++ {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return interruptedOr(ctx, withCode(69, fmt.Errorf("read events: %w", err)))
		}
		if err := printer.print(msg); errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) {
			return nil // the reader has seen enough
		} else if err != nil {
			return withCode(70, fmt.Errorf("print event: %w", err))
		}
	}
	return nil
}

// interruptedOr returns nil when ctx ended, for then err is only the consequence of Ctrl-C.
func interruptedOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
