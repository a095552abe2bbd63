package main

import (
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"mewsbridge/schema"
)

// replayOptions are the flags of replay.
type replayOptions struct {
	nats natsFlags

	// what
	types        []string
	enterprise   string
	integrations bool
	// from where
	since         moment
	sequence      uint64
	lastPerEntity bool
	all           bool
	// to whom
	consumer   string
	to         string
	until      moment
	rate       float64
	withoutIDs bool

	yes bool
}

func newReplayCommand(env *environment) *cobra.Command {
	o := &replayOptions{}
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Give stored events to a consumer again, or to another subject",
		Long: `Give stored events again. Without --yes it only shows what it would do.

With --consumer, a durable consumer is put back to a place in the stream, or made when there is
none of that name. Its other settings stay. Where the server can move it in place, its readers stay attached;
otherwise it is deleted and made again, and they have to attach again. It loses its acknowledgements.

With --to, the stored messages are published on another subject, at a bounded rate. A
subject that ends in .> gets what follows the kind: mews.events.A.B.C to repair.> is published
on repair.A.B.C. Subjects of a bridge's own streams are refused. The Nats-Msg-Id is kept: a stream behind the
subject drops what it was given within its duplicate window, so an interrupted replay can be run again;
--without-ids leaves it out, to have everything stored again.`,
		Example: `  mewsbridge replay --consumer housekeeping --since 24h
  mewsbridge replay --consumer new-service --last-per-entity --type ServiceOrderUpdated --yes
  mewsbridge replay --to repair.mews --sequence 1200 --until 1h --enterprise 851df8c8-90f2-4c4a-8e01-a4fc46b25178 --yes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runReplay(cmd, env, o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.consumer, "consumer", "", "durable consumer to put back or to make")
	flags.StringVar(&o.to, "to", "", "subject to publish on")
	flags.Var(&o.since, "since", "start at what was stored then: 90m ago, or 2026-01-31T08:00:00Z")
	flags.Uint64Var(&o.sequence, "sequence", 0, "start at this sequence of the stream")
	flags.BoolVar(&o.lastPerEntity, "last-per-entity", false, "the newest event of each type and entity, and what is new")
	flags.BoolVar(&o.all, "all", false, "start at the first message that is stored")
	flags.StringSliceVar(&o.types, "type", nil, "only these discriminators or actions (repeat or separate by commas)")
	flags.StringVar(&o.enterprise, "enterprise", "", "only this EnterpriseId")
	flags.BoolVar(&o.integrations, "integrations", false, "the stream of Integration webhooks instead")
	flags.Var(&o.until, "until", "with --to: end before what was stored then")
	flags.Float64Var(&o.rate, "rate", 500, "with --to: messages a second at most")
	flags.BoolVar(&o.withoutIDs, "without-ids", false, "with --to: leave out Nats-Msg-Id")
	flags.BoolVar(&o.yes, "yes", false, "do it")
	o.nats.register(cmd, env)
	return cmd
}

func runReplay(cmd *cobra.Command, env *environment, o *replayOptions) error {
	if err := o.validate(cmd); err != nil {
		return withCode(exitUsage, err)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	conn, js, err := o.nats.connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := o.nats.stream(ctx, js, o.kind())
	if err != nil {
		return err
	}
	if o.to != "" {
		return o.republish(ctx, env, conn, js, stream)
	}
	return o.reposition(ctx, env, js, stream)
}

func (o *replayOptions) validate(cmd *cobra.Command) error {
	starts := 0
	for _, given := range []bool{!o.since.IsZero(), cmd.Flags().Changed("sequence"), o.lastPerEntity, o.all} {
		if given {
			starts++
		}
	}
	switch {
	case (o.consumer == "") == (o.to == ""):
		return errors.New("say to whom: either --consumer for a consumer of the stream, or --to for another subject")
	case starts != 1:
		return errors.New("say from where, once: --since, --sequence, --last-per-entity or --all")
	case cmd.Flags().Changed("sequence") && o.sequence == 0:
		return errors.New("--sequence begins at 1")
	}
	if err := o.tail().validate(); err != nil { // what tail can choose, replay can
		return err
	}
	if o.consumer != "" {
		return o.validateConsumer(cmd)
	}
	return o.validateSubject()
}

func (o *replayOptions) validateConsumer(cmd *cobra.Command) error {
	for _, flag := range []string{"until", "rate", "without-ids"} {
		if cmd.Flags().Changed(flag) {
			return fmt.Errorf("--%s goes with --to only", flag)
		}
	}
	if strings.ContainsAny(o.consumer, ".*> \t\r\n/\\") || len(o.consumer) > schema.MaxToken {
		return errors.New("--consumer takes a name without spaces and without . * > / \\")
	}
	return nil
}

func (o *replayOptions) validateSubject() error {
	switch {
	case !isPublishable(o.to):
		return errors.New("--to takes a subject such as repair.mews, or one that ends in .> such as repair.>")
	case !(o.rate > 0):
		return errors.New("--rate must be more than 0")
	case o.lastPerEntity && !o.until.IsZero():
		return errors.New("--until does not go with --last-per-entity: the newest may be later")
	case !o.since.IsZero() && !o.until.IsZero() && !o.since.Before(o.until.Time):
		return errors.New("--since must be earlier than --until")
	}
	return nil
}

// isPublishable reports whether subject is plain tokens, the last of which may be >.
func isPublishable(subject string) bool {
	tokens := strings.Split(strings.TrimSuffix(subject, ".>"), ".")
	for _, token := range tokens {
		if token == "" || strings.ContainsAny(token, "*> \t\r\n") {
			return false
		}
	}
	return !strings.HasPrefix(subject, "$") && tokens[0] != "_INBOX"
}

// tail is the same choice of events as the command tail makes.
func (o *replayOptions) tail() *tailOptions {
	return &tailOptions{nats: o.nats, types: o.types, enterprise: o.enterprise, integrations: o.integrations}
}

func (o *replayOptions) kind() schema.Kind { return o.tail().kind() }

// filters returns the subjects that were chosen; none means all of the stream.
func (o *replayOptions) filters() []string {
	if len(o.types) == 0 && o.enterprise == "" {
		return nil
	}
	t := o.tail()
	t.types = splitList(t.types)
	return t.subjects()
}

// place sets where c begins.
func (o *replayOptions) place(c *jetstream.ConsumerConfig) {
	c.OptStartSeq, c.OptStartTime = 0, nil
	switch {
	case o.lastPerEntity:
		c.DeliverPolicy = jetstream.DeliverLastPerSubjectPolicy
		if len(c.FilterSubjects) == 0 && c.FilterSubject == "" { // this policy needs a filter
			c.FilterSubject = o.kind().Subjects(o.nats.prefix)
		}
	case o.all:
		c.DeliverPolicy = jetstream.DeliverAllPolicy
	case o.sequence > 0:
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, o.sequence
	default:
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, o.since.start()
	}
}

// start names the place for people; first is the sequence that it comes to.
func (o *replayOptions) start(first uint64) string {
	at := " (sequence " + grouped(first) + ")"
	switch {
	case o.lastPerEntity:
		return "the newest of each type and entity"
	case o.all:
		return "the first message that is stored" + at
	case o.sequence > 0:
		return "sequence " + grouped(o.sequence)
	default:
		return o.since.UTC().Format(time.DateTime) + " UTC" + at
	}
}
