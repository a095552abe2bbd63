package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"mewsbridge/schema"
)

// quarantinePurgeOptions are the flags of quarantine purge.
type quarantinePurgeOptions struct {
	nats   natsFlags
	choice selection
	yes    bool
}

func newQuarantinePurgeCommand(env *environment) *cobra.Command {
	o := &quarantinePurgeOptions{}
	cmd := &cobra.Command{
		Use:   "purge [SEQUENCE...]",
		Short: "Delete quarantined messages for good",
		Long: `Delete quarantined messages for good, by sequence, by reason or by time. Nothing else keeps them.
Without --yes it only shows what it would delete; what arrives meanwhile is never deleted.`,
		Example: `  mewsbridge quarantine purge --before 720h
  mewsbridge quarantine purge --reason not-json --yes
  mewsbridge quarantine purge 12 13 --yes`,
		RunE: func(cmd *cobra.Command, args []string) error { return runQuarantinePurge(cmd.Context(), env, o, args) },
	}
	o.choice.register(cmd)
	cmd.Flags().BoolVar(&o.choice.all, "all", false, "everything in quarantine")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do it")
	o.nats.register(cmd, env)
	return cmd
}

func runQuarantinePurge(ctx context.Context, env *environment, o *quarantinePurgeOptions, args []string) error {
	err := o.choice.read(args)
	if err == nil {
		err = o.choice.given()
	}
	if err != nil {
		return withCode(exitUsage, err)
	}
	conn, _, stream, err := openQuarantine(ctx, &o.nats)
	if err != nil {
		return err
	}
	defer conn.Close()
	doomed := newTally()
	if err := o.choice.each(ctx, stream, o.nats.prefix, false, doomed.add); err != nil {
		return err
	}
	if len(doomed.sequences) == 0 {
		_, err := fmt.Fprintln(env.Stdout, "Nothing is in quarantine that this asks for.")
		return withCode(exitInternal, err)
	}
	if err := doomed.print(env); err != nil {
		return withCode(exitInternal, err)
	}
	what := plural(len(doomed.sequences), "message", "messages")
	if !o.yes {
		_, err := fmt.Fprintf(env.Stdout, "\n%s would be deleted for good. Nothing was changed; add --yes to do it.\n", what)
		return withCode(exitInternal, err)
	}
	if err := o.delete(ctx, stream, doomed); err != nil {
		return withCode(exitUnavailable, fmt.Errorf("delete from quarantine: %w", err))
	}
	_, err = fmt.Fprintf(env.Stdout, "\n%s deleted.\n", what)
	return withCode(exitInternal, err)
}

// delete removes what was counted. Without a beginning in time that is a purge of each subject up to the newest that was counted;
// otherwise it is one by one.
func (o *quarantinePurgeOptions) delete(ctx context.Context, stream jetstream.Stream, doomed *tally) error {
	if len(o.choice.sequences) > 0 || !o.choice.since.IsZero() {
		for _, sequence := range doomed.sequences {
			if err := stream.SecureDeleteMsg(ctx, sequence); err != nil {
				return fmt.Errorf("message %d: %w", sequence, err)
			}
		}
		return nil
	}
	upTo := doomed.sequences[len(doomed.sequences)-1] + 1
	for _, subject := range o.choice.subjects(o.nats.prefix) {
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(upTo)); err != nil {
			return err
		}
	}
	return nil
}

// tally counts quarantined messages by reason.
type tally struct {
	sequences []uint64 // ascending
	byReason  map[string]*reasonTally
}

type reasonTally struct {
	count, bytes   int
	oldest, newest time.Time
}

func newTally() *tally { return &tally{byReason: map[string]*reasonTally{}} }

func (t *tally) add(h held) error {
	t.sequences = append(t.sequences, h.Sequence)
	r := t.byReason[h.Reason]
	if r == nil {
		r = &reasonTally{oldest: h.Received}
		t.byReason[h.Reason] = r
	}
	r.count++
	r.bytes += h.Bytes
	r.newest = h.Received
	return nil
}

// reasons returns the reasons found, in the order of schema.Reasons and then of the alphabet.
func (t *tally) reasons() []string {
	var known, others []string
	for _, reason := range schema.Reasons() {
		if t.byReason[string(reason)] != nil {
			known = append(known, string(reason))
		}
	}
	for reason := range t.byReason {
		if !slices.Contains(known, reason) {
			others = append(others, reason)
		}
	}
	slices.Sort(others)
	return append(known, others...)
}

func (t *tally) print(env *environment) error {
	out := newTable("REASON", ">MESSAGES", ">SIZE", "OLDEST (UTC)", "NEWEST (UTC)")
	for _, reason := range t.reasons() {
		r := t.byReason[reason]
		out.add(shortened(printable(reason), 22), grouped(r.count), humanSize(r.bytes), clock(r.oldest), clock(r.newest))
	}
	return out.write(env.Stdout)
}
