package schema_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/schema"
)

// An event that cannot be handled now, say because the Connector API answers 429, is tried again with growing pauses. The
// pauses are the server's: a service that is restarted keeps to them.
func Example_retryWithBackOff() {
	bridge := startExampleBridge()
	defer bridge.stop()
	bridge.receive("PaymentUpdated", "p1")

	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	const first, most = 20 * time.Millisecond, 50 * time.Millisecond // in earnest: a second and some minutes
	err := consumeWithBackOff(ctx, bridge.js, first, most, func(event schema.Decoded, try uint64) error {
		change, _ := event.Change()
		if try < 4 {
			fmt.Println("try", try, "for", change.ID, "failed; pause", backOff(try, first, most))
			return errors.New("429 Too Many Requests")
		}
		fmt.Println("try", try, "for", change.ID, "worked")
		stop()
		return nil
	})
	fmt.Println(err)
	// Output:
	// try 1 for p1 failed; pause 20ms
	// try 2 for p1 failed; pause 40ms
	// try 3 for p1 failed; pause 50ms
	// try 4 for p1 worked
	// context canceled
}

// backOff returns the pause after a try, counted from 1: first, doubled after each, and never longer than most.
func backOff(try uint64, first, most time.Duration) time.Duration {
	pause := first
	for ; try > 1 && pause < most; try-- {
		pause *= 2
	}
	return min(pause, most)
}

// consumeWithBackOff calls handle for each event until ctx ends, and again for those that handle returned an error for.
func consumeWithBackOff(ctx context.Context, js jetstream.JetStream, first, most time.Duration, handle func(event schema.Decoded, try uint64) error) error {
	consumer, err := js.CreateOrUpdateConsumer(ctx, "MEWS_EVENTS", jetstream.ConsumerConfig{
		Durable: "accounting", FilterSubject: "mews.events.PaymentUpdated.>", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		event, err := schema.Decode(msg.Data())
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if handle(event, meta.NumDelivered) != nil {
			err = msg.NakWithDelay(backOff(meta.NumDelivered, first, most)) // the consumer's own BackOff is for acknowledgements that do not come
		} else {
			err = msg.DoubleAck(context.WithoutCancel(ctx))
		}
		if err != nil {
			return err
		}
	}
}
