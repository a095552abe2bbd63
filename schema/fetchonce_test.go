package schema_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/schema"
)

// TestFetchOnceSettles lets windows end and a fetch fail: its events come again, and in the end all are acknowledged.
func TestFetchOnceSettles(t *testing.T) {
	bridge := startExampleBridge()
	defer bridge.stop()
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	consumer, err := bridge.js.CreateConsumer(ctx, "MEWS_EVENTS", jetstream.ConsumerConfig{Durable: "crm", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	bridge.receive("CustomerAdded", "c1", "CustomerUpdated", "c1", "CustomerUpdated", "c2")
	fetched, failures := map[string]int{}, 0
	err = fetchOnce(ctx, consumer, 10*time.Millisecond, func(schema.Decoded) {}, func(_ context.Context, who customer, events int) error {
		if who.id == "c2" && failures < 2 {
			failures++
			return errors.New("429 Too Many Requests")
		}
		if fetched[who.id] += events; fetched["c1"] == 2 && fetched["c2"] == 1 {
			stop()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || failures != 2 {
		t.Errorf("ended with %v after %d failures; fetched %v", err, failures, fetched)
	}
	info, err := consumer.Info(context.Background())
	if err != nil || info.NumAckPending != 0 || info.NumPending != 0 {
		t.Errorf("left: %+v, %v", info, err)
	}
}
