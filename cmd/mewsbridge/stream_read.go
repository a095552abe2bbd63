package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// readPatience bounds how long a stream may give nothing while it is read.
const readPatience = 30 * time.Second

// errEnough is returned by the function given to readStream to end the reading early.
var errEnough = errors.New("enough")

// readStream calls each for every message that config lets through, oldest first, up to the sequence last. It returns when
// there are no more, when each fails, and when ctx ends.
func readStream(ctx context.Context, stream jetstream.Stream, config jetstream.OrderedConsumerConfig, last uint64, each func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	config.InactiveThreshold = 2 * readPatience
	consumer, err := stream.OrderedConsumer(ctx, config)
	if err != nil {
		return withCode(exitUnavailable, fmt.Errorf("read stream: create consumer: %w", err))
	}
	// Else it would be seen among the consumers until the threshold, which is also what happens when it cannot be deleted.
	defer func() { _ = stream.DeleteConsumer(context.WithoutCancel(ctx), consumer.CachedInfo().Name) }()
	if consumer.CachedInfo().NumPending == 0 {
		return nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return withCode(exitUnavailable, fmt.Errorf("read stream: %w", err))
	}
	defer messages.Stop()
	for {
		msg, meta, err := nextMessage(ctx, messages)
		if err != nil {
			return withCode(exitUnavailable, fmt.Errorf("read stream: %w", err))
		}
		if meta.Sequence.Stream > last {
			return nil
		}
		if err := each(msg, meta); errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
		if meta.Sequence.Stream == last || meta.NumPending == 0 {
			return nil
		}
	}
}

func nextMessage(ctx context.Context, messages jetstream.MessagesContext) (jetstream.Msg, *jetstream.MsgMetadata, error) {
	limited, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	msg, err := messages.Next(jetstream.NextContext(limited))
	if err != nil {
		return nil, nil, err
	}
	meta, err := msg.Metadata()
	return msg, meta, err
}

// probeThreshold is when the server forgets a consumer that countFrom could not delete.
const probeThreshold = 10 * time.Second

// countFrom returns how many messages a consumer of that configuration would be given, and the sequence before the first. It asks
// with a consumer that is gone when it returns.
func countFrom(ctx context.Context, stream jetstream.Stream, config jetstream.ConsumerConfig) (pending, before uint64, err error) {
	probe := jetstream.ConsumerConfig{
		FilterSubject: config.FilterSubject, FilterSubjects: config.FilterSubjects,
		DeliverPolicy: config.DeliverPolicy, OptStartTime: config.OptStartTime, OptStartSeq: config.OptStartSeq,
		AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: probeThreshold, MemoryStorage: true, Replicas: 1,
	}
	consumer, err := stream.CreateConsumer(ctx, probe)
	if err != nil {
		return 0, 0, withCode(exitUnavailable, fmt.Errorf("look into stream: %w", err))
	}
	info := consumer.CachedInfo()
	if err := stream.DeleteConsumer(ctx, info.Name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, 0, withCode(exitUnavailable, fmt.Errorf("look into stream: %w", err))
	}
	return info.NumPending, info.Delivered.Stream, nil
}
