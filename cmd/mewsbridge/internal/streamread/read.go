// Package streamread reads what a JetStream stream holds, from one place to another, and then stops.
package streamread

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Patience bounds how long a stream may give nothing while it is read.
const Patience = 30 * time.Second

// ErrEnough is returned by the function given to Read to end the reading early.
var ErrEnough = errors.New("enough")

// Read calls each for every message that config lets through, oldest first, up to the sequence last. It returns when
// there are no more, when each fails, with its error as it is, and when ctx ends. There are no more when the replica that JetStream put the
// consumer on has no more: one that was away just now may have yet to catch up.
func Read(ctx context.Context, from jetstream.Stream, config jetstream.OrderedConsumerConfig, last uint64, each func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	config.InactiveThreshold = 2 * Patience
	consumer, err := from.OrderedConsumer(ctx, config)
	if err != nil {
		return &Error{fmt.Errorf("create consumer: %w", err)}
	}
	// Else it would be seen among the consumers until the threshold, which is also what happens when it cannot be deleted.
	defer func() { _ = from.DeleteConsumer(context.WithoutCancel(ctx), consumer.CachedInfo().Name) }()
	if consumer.CachedInfo().NumPending == 0 {
		return nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return &Error{err}
	}
	defer messages.Stop()
	for {
		msg, meta, err := next(ctx, messages)
		if err != nil {
			return &Error{err}
		}
		if meta.Sequence.Stream > last {
			return nil
		}
		if err := each(msg, meta); errors.Is(err, ErrEnough) {
			return nil
		} else if err != nil {
			return err
		}
		if meta.Sequence.Stream == last || meta.NumPending == 0 {
			return nil
		}
	}
}

// Error is a failure of NATS, or of its connection, to give what was asked.
type Error struct{ cause error }

func (e *Error) Error() string { return "read stream: " + e.cause.Error() }
func (e *Error) Unwrap() error { return e.cause }

func next(ctx context.Context, messages jetstream.MessagesContext) (jetstream.Msg, *jetstream.MsgMetadata, error) {
	limited, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	msg, err := messages.Next(jetstream.NextContext(limited))
	if err != nil {
		return nil, nil, err
	}
	meta, err := msg.Metadata()
	return msg, meta, err
}
