package schema_test

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/schema"
)

// What has changed at all, each entity once for each type of event: for a service that starts with an empty database, or that was
// away for long. The newest event of an entity is enough, since the entity is fetched.
func Example_eachChangedEntityOnce() {
	bridge := startExampleBridge()
	defer bridge.stop()
	for range 3 {
		bridge.receive("ResourceUpdated", "room 101", "ResourceUpdated", "room102", "ResourceUpdated", "room103", "CustomerUpdated", "c1")
	}
	bridge.receive("ResourceUpdated", "room102")

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := eachChanged(ctx, bridge.js, "mews.events.ResourceUpdated.hotel.>", func(event schema.Decoded) {
		change, _ := event.Change()
		fmt.Println("fetch", change.ID)
	})
	fmt.Println(err)
	// Output:
	// fetch room 101
	// fetch room103
	// fetch room102
	// <nil>
}

// eachChanged calls handle for the newest event of each subject, and returns when there are no more. It leaves nothing on the server. An Id that
// is no subject token is _ in the subject: of these, all that there is is their newest event.
func eachChanged(ctx context.Context, js jetstream.JetStream, filter string, handle func(schema.Decoded)) error {
	consumer, err := js.OrderedConsumer(ctx, "MEWS_EVENTS", jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{filter},
		DeliverPolicy:  jetstream.DeliverLastPerSubjectPolicy,
	})
	if err != nil {
		return err
	}
	info, err := consumer.Info(ctx)
	if err != nil || info.NumPending == 0 {
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
		handle(event)
		meta, err := msg.Metadata()
		if err != nil || meta.NumPending == 0 {
			return err
		}
	}
}
