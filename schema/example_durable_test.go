package schema_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/schema"
)

// A durable pull consumer with explicit acknowledgement: the server remembers what was handled, so that a service that was
// restarted goes on where it ended, and that several processes with the same name share the work.
func Example_durableConsumer() {
	bridge := startExampleBridge()
	defer bridge.stop()
	bridge.receive("ServiceOrderUpdated", "r1", "CustomerAdded", "c1", "ServiceOrderUpdated", "r2")
	bridge.receive("ServiceOrderUpdated", "r3")

	for run := 1; run <= 2; run++ { // the second goes on where the first ended
		ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
		err := consumeDurably(ctx, bridge.js, "housekeeping", func(event schema.Decoded) {
			order, ok := event.Value.(schema.ServiceOrderUpdated)
			if !ok {
				return
			}
			fmt.Println("run", run, "fetches reservation", order.ID, "of", order.EnterpriseID)
			if order.ID != "r1" {
				stop()
			}
		})
		stop()
		fmt.Println(err)
	}
	// Output:
	// run 1 fetches reservation r1 of hotel
	// run 1 fetches reservation r2 of hotel
	// context canceled
	// run 2 fetches reservation r3 of hotel
	// context canceled
}

// consumeDurably calls handle for each event, oldest first, until ctx ends.
func consumeDurably(ctx context.Context, js jetstream.JetStream, name string, handle func(schema.Decoded)) error {
	consumer, err := js.CreateOrUpdateConsumer(ctx, "MEWS_EVENTS", jetstream.ConsumerConfig{
		Durable:       name,
		FilterSubject: "mews.events.ServiceOrderUpdated.>", // all of one type; mews.events.*.<EnterpriseId>.> is one hotel
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       30 * time.Second, // handled and acknowledged by then, or it is delivered again
	})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		// One by one, so that nothing is under way when the service stops. Messages fetches ahead, which is faster.
		msg, err := consumer.Next(jetstream.FetchContext(ctx))
		if err != nil && (errors.Is(err, nats.ErrTimeout) || ctx.Err() != nil) {
			continue // nothing came for a while, or the service is being stopped
		}
		if err != nil {
			return err
		}
		event, err := schema.Decode(msg.Data())
		if err != nil {
			return err
		}
		handle(event)
		// What was handled is acknowledged even when the service is being stopped.
		if err := msg.DoubleAck(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	return ctx.Err()
}
