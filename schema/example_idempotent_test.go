package schema_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/schema"
)

// Handling an event twice does no harm when the effect depends on the state that was fetched and not on the event: the version of each
// entity that was dealt with last is kept, and the same version is not dealt with again. This covers every kind of duplicate: an
// acknowledgement that was lost, a webhook that was stored twice, and two updates that one fetch already saw. The event's id covers
// the first alone.
func Example_idempotentHandling() {
	bridge := startExampleBridge()
	defer bridge.stop()
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	seen := must(bridge.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "crm_versions"})) // or a column of your own database

	version := "2026-01-01T12:00:00Z"
	fetch := func(schema.Change) (string, error) { return version, nil } // customers/getAll: the customer's UpdatedUtc
	effect := func(c schema.Change, version string) { fmt.Println("write", c.ID, "as of", version) }

	bridge.receive("CustomerAdded", "c1", "CustomerUpdated", "c1") // one new customer
	bridge.receive("CustomerAdded", "c1", "CustomerUpdated", "c1") // the webhook again, stored twice
	check(applyEvents(ctx, bridge.js, 4, seen, fetch, effect))
	version = "2026-01-01T13:00:00Z"
	bridge.receive("CustomerUpdated", "c1")
	check(applyEvents(ctx, bridge.js, 1, seen, fetch, effect))
	// Output:
	// write c1 as of 2026-01-01T12:00:00Z
	// write c1 as of 2026-01-01T13:00:00Z
}

// applyEvents handles that many events.
func applyEvents(ctx context.Context, js jetstream.JetStream, count int, seen jetstream.KeyValue, fetch func(schema.Change) (string, error), effect func(schema.Change, string)) error {
	consumer, err := js.CreateOrUpdateConsumer(ctx, "MEWS_EVENTS", jetstream.ConsumerConfig{
		Durable: "crm", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second,
		MaxAckPending: 1, // one at a time: two that look at a version together would both act
	})
	if err != nil {
		return err
	}
	for range count {
		msg, err := consumer.Next(jetstream.FetchContext(ctx))
		if err != nil {
			return err
		}
		event, err := schema.Decode(msg.Data())
		if err != nil {
			return err
		}
		if change, ok := event.Change(); ok {
			if err := applyOnce(ctx, seen, change, fetch, effect); err != nil {
				return err // not acknowledged: it comes again
			}
		}
		if err := msg.DoubleAck(ctx); err != nil {
			return err
		}
	}
	return nil
}

// applyOnce fetches the entity and has its effect, unless this version had it before. It remembers the version after the effect: a service
// that dies in between has the effect twice, and never not at all.
func applyOnce(ctx context.Context, seen jetstream.KeyValue, c schema.Change, fetch func(schema.Change) (string, error), effect func(schema.Change, string)) error {
	version, err := fetch(c)
	if err != nil {
		return err
	}
	key := c.EnterpriseID + "." + c.ID
	known, err := seen.Get(ctx, key)
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return err
	}
	if err == nil && strings.Compare(string(known.Value()), version) >= 0 { // RFC 3339 in UTC sorts by time
		return nil
	}
	effect(c, version)
	_, err = seen.PutString(ctx, key, version)
	return err
}
