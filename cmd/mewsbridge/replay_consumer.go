package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// recreateAttempts is how often a consumer that was deleted is tried to be made again, with a second between.
const recreateAttempts = 5

// reposition puts a durable consumer back to a place in the stream, or makes it.
func (o *replayOptions) reposition(ctx context.Context, env *environment, js jetstream.JetStream, stream jetstream.Stream) error {
	existing, err := o.existing(ctx, stream)
	if err != nil {
		return err
	}
	config := o.config(existing)
	pending, before, err := countFrom(ctx, stream, config)
	if err != nil {
		return err
	}
	inPlace := false
	if existing != nil {
		if inPlace, err = o.canMove(ctx, stream, existing, config, before+1); err != nil {
			return err
		}
	}
	if err := o.showPlan(env, existing, config, pending, before+1, inPlace); err != nil {
		return withCode(exitInternal, err)
	}
	if !o.yes {
		_, err := fmt.Fprintln(env.Stdout, "\nNothing was changed; add --yes to do it.")
		return withCode(exitInternal, err)
	}
	if err := o.move(ctx, js, stream, existing, config, before+1, inPlace); err != nil {
		return withCode(exitUnavailable, err)
	}
	_, err = fmt.Fprintf(env.Stdout, "\nDone: %s to be delivered.\n", plural(pending, "message is", "messages are"))
	return withCode(exitInternal, err)
}

// existing returns the consumer as it is, or nil.
func (o *replayOptions) existing(ctx context.Context, stream jetstream.Stream) (*jetstream.ConsumerInfo, error) {
	consumer, err := stream.Consumer(ctx, o.consumer)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return nil, nil
	case errors.Is(err, jetstream.ErrNotPullConsumer):
		return nil, withCode(exitUsage, fmt.Errorf("consumer %s is one that NATS pushes to: this command moves those that pull", o.consumer))
	case err != nil:
		return nil, withCode(exitUnavailable, fmt.Errorf("look up consumer %s: %w", o.consumer, err))
	}
	info := consumer.CachedInfo()
	if info.Config.Durable == "" {
		return nil, withCode(exitUsage, fmt.Errorf("consumer %s is not durable: it is gone with its reader", o.consumer))
	}
	return info, nil
}

// config returns the consumer as it is to be: that which exists, elsewhere in the stream and with the filters that were
// given; or a new one.
func (o *replayOptions) config(existing *jetstream.ConsumerInfo) jetstream.ConsumerConfig {
	config := jetstream.ConsumerConfig{Durable: o.consumer, AckPolicy: jetstream.AckExplicitPolicy}
	if existing != nil {
		config = existing.Config
	}
	if filters := o.filters(); filters != nil {
		config.FilterSubject, config.FilterSubjects = "", filters
	}
	o.place(&config)
	return config
}

func filtersOf(c jetstream.ConsumerConfig) []string {
	if c.FilterSubject != "" {
		return []string{c.FilterSubject}
	}
	return c.FilterSubjects
}

// canMove reports whether the server can put the consumer to the sequence first as it stands: not with other filters, and
// not before the place at which it was made to begin.
func (o *replayOptions) canMove(ctx context.Context, stream jetstream.Stream, existing *jetstream.ConsumerInfo, config jetstream.ConsumerConfig, first uint64) (bool, error) {
	have := existing.Config
	if o.lastPerEntity || !slices.Equal(filtersOf(have), filtersOf(config)) {
		return false, nil
	}
	switch have.DeliverPolicy {
	case jetstream.DeliverAllPolicy:
		return true, nil
	case jetstream.DeliverByStartSequencePolicy:
		return first >= have.OptStartSeq, nil
	case jetstream.DeliverByStartTimePolicy:
		_, before, err := countFrom(ctx, stream, have)
		return first > before, err
	default:
		return false, nil
	}
}

func (o *replayOptions) showPlan(env *environment, existing *jetstream.ConsumerInfo, config jetstream.ConsumerConfig, pending, first uint64, inPlace bool) error {
	show := newFacts(env.Stdout)
	name := fmt.Sprintf("%s of %s, new", o.consumer, o.kind().Stream(o.nats.prefix))
	how := "made with explicit acknowledgements"
	if existing != nil {
		name = fmt.Sprintf("%s of %s, now with %s pending and %s unacknowledged", o.consumer, existing.Stream, grouped(existing.NumPending), grouped(existing.NumAckPending))
		how = "deleted and made again: its readers have to attach again"
		if inPlace {
			how = "moved in place: its readers stay attached"
		}
	}
	filter := "everything"
	if filters := filtersOf(config); len(filters) > 0 {
		filter = strings.Join(filters, " ")
	}
	if existing != nil && !slices.Equal(filtersOf(existing.Config), filtersOf(config)) {
		filter += ", instead of " + cmp.Or(strings.Join(filtersOf(existing.Config), " "), "everything")
	}
	show.add("consumer", name)
	show.add("filter", filter)
	show.add("start", o.start(first))
	show.add("delivers", plural(pending, "stored message", "stored messages")+", then what is new")
	show.add("how", how)
	return show.write()
}

// move does it. A server that does not know how to move a consumer gets it deleted and made again.
func (o *replayOptions) move(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream, existing *jetstream.ConsumerInfo, config jetstream.ConsumerConfig, first uint64, inPlace bool) error {
	if inPlace {
		_, err := js.ResetConsumerToSequence(ctx, existing.Stream, existing.Name, first)
		if err == nil {
			return nil
		}
		if !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, jetstream.ErrConsumerInvalidReset) {
			return fmt.Errorf("move consumer %s: %w", o.consumer, err)
		}
	}
	if existing != nil {
		if err := stream.DeleteConsumer(ctx, o.consumer); err != nil {
			return fmt.Errorf("delete consumer %s: %w", o.consumer, err)
		}
	}
	return o.create(ctx, stream, config)
}

// create makes the consumer, also when the server needs a moment: until then its readers have none.
func (o *replayOptions) create(ctx context.Context, stream jetstream.Stream, config jetstream.ConsumerConfig) error {
	var err error
	for attempt := range recreateAttempts {
		if attempt > 0 {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
		if _, err = stream.CreateConsumer(context.WithoutCancel(ctx), config); err == nil {
			return nil
		}
	}
	return fmt.Errorf("there is now no consumer %s, for it could not be made: %w; run the same command again", o.consumer, err)
}
