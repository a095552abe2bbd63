package natstest

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Messages returns what a stream holds, oldest first. In a cluster that is choosing a leader it waits for one.
func Messages(tb testing.TB, js jetstream.JetStream, stream string) []jetstream.Msg {
	tb.Helper()
	var all []jetstream.Msg
	Eventually(tb, "the messages of "+stream, func() bool {
		var err error
		all, err = read(js, stream)
		return err == nil
	})
	return all
}

// read makes one consumer for all messages: Consumer.Next of an ordered consumer would make one for each.
func read(js jetstream.JetStream, name string) ([]jetstream.Msg, error) {
	const answer = 2 * time.Second // without a leader nobody answers
	ctx, cancel := context.WithTimeout(context.Background(), answer)
	defer cancel()
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return nil, err
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return nil, nil
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	var all []jetstream.Msg
	for uint64(len(all)) < state.Msgs {
		m, err := messages.Next(jetstream.NextMaxWait(answer))
		if err != nil {
			return nil, err
		}
		if meta, err := m.Metadata(); err != nil || meta.Sequence.Stream < state.FirstSeq {
			continue // purged, and the consumer's replica does not know it yet
		}
		all = append(all, m)
	}
	return all, nil
}
