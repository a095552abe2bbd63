package schema_test

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/schema"
)

// The stream MEWS_LATEST, which the bridge keeps on request, holds the newest event of each type and entity: a service that was away
// finds each entity once.
func Example_latestStream() {
	bridge := startExampleBridge()
	defer bridge.stop()
	for range 3 {
		bridge.receive("CustomerUpdated", "c1")
	}
	bridge.receive("CustomerUpdated", "c2")

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	bridge.waitLatest(ctx, "mews.events.CustomerUpdated.hotel.c2")
	consumer := must(newestCustomers(ctx, bridge.js))
	for range 2 {
		msg := must(consumer.Next(jetstream.FetchContext(ctx)))
		event := must(schema.Decode(msg.Data()))
		change, _ := event.Change()
		fmt.Println("fetch", change.ID, "because of", event.ID)
		check(msg.DoubleAck(ctx))
	}
	// Output:
	// fetch c1 because of D3-0
	// fetch c2 because of D4-0
}

func newestCustomers(ctx context.Context, js jetstream.JetStream) (jetstream.Consumer, error) {
	consumer, err := js.CreateOrUpdateConsumer(ctx, "MEWS_LATEST", jetstream.ConsumerConfig{
		Durable:       "crm",
		FilterSubject: "mews.events.CustomerUpdated.>", // the subjects are those of MEWS_EVENTS
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       30 * time.Second,
		MaxAckPending: 20, // what is under way; the fewer, the more is skipped
	})
	return consumer, err
}
