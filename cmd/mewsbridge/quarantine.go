package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"mewsbridge/schema"
)

func newQuarantineCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "See, replay and purge what could not be understood",
		Long: `See, replay and purge what could not be understood.

The bridge keeps in quarantine each body and each single event that it cannot understand,
with the reason and the place of the fault. A message is named by its sequence.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newQuarantineListCommand(env), newQuarantineShowCommand(env), newQuarantineReplayCommand(env), newQuarantinePurgeCommand(env))
	return cmd
}

// held is one quarantined message.
type held struct {
	Sequence uint64    `json:"sequence"`
	Received time.Time `json:"received"`
	Endpoint string    `json:"endpoint"`
	Reason   string    `json:"reason"`
	Offset   int64     `json:"offset"`
	Bytes    int       `json:"bytes"`
	ID       string    `json:"id"`
	Subject  string    `json:"subject"`

	stored   time.Time
	data     []byte // nil when only the headers were asked for
	sealedTo string // the key that data was sealed to; set by unsealed
}

// newHeld reads what the headers say. A message without them, which the bridge did not write, has the reason of its subject
// and the time at which it was stored.
func newHeld(subject string, header nats.Header, sequence uint64, stored time.Time, data []byte) held {
	h := held{
		Sequence: sequence, Received: stored.UTC(), Endpoint: header.Get(schema.HeaderEndpoint), Reason: header.Get(schema.HeaderReason),
		ID: header.Get(schema.HeaderMsgID), Subject: subject, Bytes: len(data), stored: stored, data: data,
	}
	if h.Reason == "" {
		h.Reason = subject[strings.LastIndexByte(subject, '.')+1:]
	}
	if at, err := time.Parse(time.RFC3339, header.Get(schema.HeaderReceived)); err == nil {
		h.Received = at.UTC()
	}
	if offset, err := strconv.ParseInt(header.Get(schema.HeaderOffset), 10, 64); err == nil {
		h.Offset = offset
	}
	if size, err := strconv.Atoi(header.Get(nats.MsgSize)); err == nil {
		h.Bytes = size
	}
	return h
}

// selection says which quarantined messages a command is about.
type selection struct {
	sequences     []uint64 // given as arguments; the others then do not count
	reasons       []string
	since, before moment
	all           bool
}

// register adds the flags that choose by what the messages are.
func (s *selection) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&s.reasons, "reason", nil, "only these reasons (repeat or separate by commas)")
	flags.Var(&s.since, "since", "only what was stored since then: 90m ago, or 2026-01-31T08:00:00Z")
	flags.Var(&s.before, "before", "only what was stored before then")
}

// read takes the sequences from the arguments and checks the flags.
func (s *selection) read(args []string) error {
	for _, text := range args {
		sequence, err := strconv.ParseUint(text, 10, 64)
		if err != nil || sequence == 0 {
			return fmt.Errorf("%q is not a sequence: give the numbers of the first column of `mewsbridge quarantine list`", printable(text))
		}
		s.sequences = append(s.sequences, sequence)
	}
	slices.Sort(s.sequences)
	s.sequences = slices.Compact(s.sequences)
	s.reasons = splitList(s.reasons)
	slices.Sort(s.reasons)
	s.reasons = slices.Compact(s.reasons)
	for _, reason := range s.reasons {
		if !slices.Contains(schema.Reasons(), schema.Reason(reason)) {
			return fmt.Errorf("--reason knows no %q; it knows %s", printable(reason), joinReasons())
		}
	}
	switch filtered := s.filtered(); {
	case len(s.sequences) > 0 && (filtered || s.all):
		return errors.New("sequences name the messages already: leave out --reason, --since, --before and --all")
	case s.all && filtered:
		return errors.New("--all means every message: leave out --reason, --since and --before, or --all")
	case !s.since.IsZero() && !s.before.IsZero() && !s.since.Before(s.before.Time):
		return errors.New("--since must be earlier than --before")
	}
	return nil
}

func (s *selection) filtered() bool {
	return len(s.reasons) > 0 || !s.since.IsZero() || !s.before.IsZero()
}

// given reports whether anything was chosen: a command that changes something does not take all for granted.
func (s *selection) given() error {
	if len(s.sequences) == 0 && !s.filtered() && !s.all {
		return errors.New("say which: sequences, --reason, --since, --before, or --all")
	}
	return nil
}

func joinReasons() string {
	var names []string
	for _, reason := range schema.Reasons() {
		names = append(names, string(reason))
	}
	return strings.Join(names, ", ")
}

// subjects returns the filters of the chosen reasons.
func (s *selection) subjects(prefix string) []string {
	if len(s.reasons) == 0 {
		return []string{schema.KindQuarantine.Subjects(prefix)}
	}
	subjects := make([]string, len(s.reasons))
	for i, reason := range s.reasons {
		subjects[i] = prefix + "." + schema.KindQuarantine.String() + "." + reason
	}
	return subjects
}

// each calls do for every chosen message that the stream held when it was looked up, oldest first; with their bytes
// when withData is set.
func (s *selection) each(ctx context.Context, stream jetstream.Stream, prefix string, withData bool, do func(held) error) error {
	if len(s.sequences) > 0 {
		return s.eachNamed(ctx, stream, do)
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return nil
	}
	config := jetstream.OrderedConsumerConfig{FilterSubjects: s.subjects(prefix), HeadersOnly: !withData}
	if at := s.since.start(); at != nil {
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, at
	}
	return readStream(ctx, stream, config, state.LastSeq, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if !s.before.IsZero() && !meta.Timestamp.Before(s.before.Time) {
			return errEnough
		}
		return do(newHeld(msg.Subject(), msg.Headers(), meta.Sequence.Stream, meta.Timestamp, msg.Data()))
	})
}

// eachNamed looks all of them up before it does anything with the first.
func (s *selection) eachNamed(ctx context.Context, stream jetstream.Stream, do func(held) error) error {
	for _, sequence := range s.sequences {
		if _, err := heldAt(ctx, stream, sequence); err != nil {
			return err
		}
	}
	for _, sequence := range s.sequences {
		h, err := heldAt(ctx, stream, sequence)
		if err != nil {
			return err
		}
		if err := do(h); err != nil {
			return err
		}
	}
	return nil
}

// heldAt returns the message with that sequence.
func heldAt(ctx context.Context, stream jetstream.Stream, sequence uint64) (held, error) {
	msg, err := stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return held{}, withCode(exitUsage, fmt.Errorf("there is no message %d in quarantine: `mewsbridge quarantine list` shows what there is", sequence))
	}
	if err != nil {
		return held{}, withCode(exitUnavailable, fmt.Errorf("read message %d: %w", sequence, err))
	}
	return newHeld(msg.Subject, msg.Header, msg.Sequence, msg.Time, msg.Data), nil
}

// openQuarantine connects and looks the stream up. The caller closes the connection.
func openQuarantine(ctx context.Context, f *natsFlags) (*nats.Conn, jetstream.JetStream, jetstream.Stream, error) {
	conn, js, err := f.connect()
	if err != nil {
		return nil, nil, nil, err
	}
	stream, err := f.stream(ctx, js, schema.KindQuarantine)
	if err != nil {
		conn.Close()
		return nil, nil, nil, err
	}
	return conn, js, stream, nil
}
