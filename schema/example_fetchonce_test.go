package schema_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/schema"
	"mewsbridge/schema/coalesce"
)

// An entity that several events name is fetched once: what comes within a window is taken together, whatever its type. The events are
// acknowledged after the fetch, so that none is lost when the service dies in between.
func Example_fetchOnce() {
	bridge := startExampleBridge()
	defer bridge.stop()
	bridge.receive("CustomerAdded", "c1", "CustomerUpdated", "c1", "CustomerUpdated", "c2")
	bridge.receive("CustomerUpdated", "c1")

	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	consumer := must(bridge.js.CreateConsumer(ctx, "MEWS_EVENTS", jetstream.ConsumerConfig{
		Durable: "crm", AckPolicy: jetstream.AckExplicitPolicy,
		AckWait:       2 * time.Minute, // longer than the window and the fetch together
		MaxAckPending: 1000,            // bounds what waits in the window
	}))
	events := 0
	seen := func(schema.Decoded) {
		if events++; events == 4 {
			stop() // the service is stopped when it has all four
		}
	}
	fetch := func(_ context.Context, who customer, events int) error {
		fmt.Println("fetch", who.id, "of", who.enterprise, "for", events, "events")
		return nil
	}
	fmt.Println(fetchOnce(ctx, consumer, time.Minute, seen, fetch))
	// Output:
	// fetch c1 of hotel for 3 events
	// fetch c2 of hotel for 1 events
	// context canceled
}

// customer is what is fetched.
type customer struct{ enterprise, id string }

// fetchOnce calls fetch for each entity that events name, at most length after the first of them, until ctx ends. What was delivered by
// then is fetched at once. It calls seen for each event as it comes.
func fetchOnce(ctx context.Context, consumer jetstream.Consumer, length time.Duration, seen func(schema.Decoded), fetch func(ctx context.Context, who customer, events int) error) error {
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	defer context.AfterFunc(ctx, messages.Drain)() // Next then gives out what was delivered, and ends
	window := coalesce.New[customer, jetstream.Msg](length)
	for {
		msg, err := nextUntilDue(messages, window)
		switch {
		case err == nil:
			event, err := schema.Decode(msg.Data())
			if err != nil {
				return err
			}
			seen(event)
			change, _ := event.Change()
			window.Add(time.Now(), customer{change.EnterpriseID, change.ID}, msg)
		case errors.Is(err, jetstream.ErrMsgIteratorClosed):
			settle(context.WithoutCancel(ctx), window.All(), fetch)
			return ctx.Err()
		case !errors.Is(err, context.DeadlineExceeded):
			return err
		}
		settle(ctx, window.Due(time.Now()), fetch)
	}
}

// nextUntilDue waits for a message, and no longer than until a group is due.
func nextUntilDue(messages jetstream.MessagesContext, window *coalesce.Window[customer, jetstream.Msg]) (jetstream.Msg, error) {
	at, ok := window.Next()
	if !ok {
		return messages.Next()
	}
	ctx, cancel := context.WithDeadline(context.Background(), at)
	defer cancel()
	return messages.Next(jetstream.NextContext(ctx))
}

// settle fetches each entity once and acknowledges its events, or asks for them again.
func settle(ctx context.Context, groups []coalesce.Group[customer, jetstream.Msg], fetch func(ctx context.Context, who customer, events int) error) {
	for _, group := range groups {
		err := fetch(ctx, group.Key, len(group.Items))
		for _, msg := range group.Items {
			if err != nil {
				_ = msg.NakWithDelay(10 * time.Millisecond) // in earnest: a back-off
			} else {
				_ = msg.DoubleAck(context.WithoutCancel(ctx)) // when it is lost, the entity is fetched once more
			}
		}
	}
}
