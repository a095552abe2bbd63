package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/cmd/mewsbridge/internal/streamread"
)

// readPatience bounds how long a stream may give nothing while it is read.
const readPatience = streamread.Patience

// errEnough is returned by the function given to readStream to end the reading early.
var errEnough = streamread.ErrEnough

// readStream calls each for every message that config lets through, oldest first, up to the sequence last. It returns when
// there are no more, when each fails, and when ctx ends.
func readStream(ctx context.Context, stream jetstream.Stream, config jetstream.OrderedConsumerConfig, last uint64, each func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	err := streamread.Read(ctx, stream, config, last, each)
	if _, ok := errors.AsType[*streamread.Error](err); ok {
		return withCode(exitUnavailable, err)
	}
	return err
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
