package schema_test

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/schema"
)

// The events of one entity one after another, and different entities at the same time: each entity has its lane. An event that
// fails holds up its lane and no other. (Where one at a time is fast enough, MaxAckPending: 1 alone keeps the order of all.)
func Example_inOrderPerEntity() {
	bridge := startExampleBridge()
	defer bridge.stop()
	for range 3 {
		bridge.receive("ServiceOrderUpdated", "r1", "ServiceOrderUpdated", "r2")
	}

	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	var mu sync.Mutex
	handled, failed := map[string][]string{}, false
	err := consumeInOrder(ctx, bridge.js, 4, func(_ context.Context, event schema.Decoded) error {
		mu.Lock()
		defer mu.Unlock()
		change, _ := event.Change()
		if change.ID == "r1" && !failed {
			failed = true
			return errors.New("not now")
		}
		delivery, _, _ := strings.Cut(event.ID, "-")
		if handled[change.ID] = append(handled[change.ID], delivery); len(handled["r1"])+len(handled["r2"]) == 6 {
			stop()
		}
		return nil
	})
	fmt.Println(err)
	fmt.Println("r1:", handled["r1"])
	fmt.Println("r2:", handled["r2"])
	// Output:
	// context canceled
	// r1: [D1 D2 D3]
	// r2: [D1 D2 D3]
}

// pauseInLane is how long a lane waits before it tries an event again.
const pauseInLane = 10 * time.Millisecond // in earnest: a second

// consumeInOrder calls handle for each event until ctx ends: for the events of one entity one after another, oldest first.
func consumeInOrder(ctx context.Context, js jetstream.JetStream, lanes int, handle func(context.Context, schema.Decoded) error) error {
	consumer, err := js.CreateOrUpdateConsumer(ctx, "MEWS_EVENTS", jetstream.ConsumerConfig{
		Durable: "in-order", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second,
		MaxAckPending: 100, // bounds what waits in the lanes
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	queues := make([]chan jetstream.Msg, lanes)
	for i := range queues {
		queues[i] = make(chan jetstream.Msg, 100)
		running.Go(func() { runLane(ctx, queues[i], handle) })
	}
	seed := maphash.MakeSeed()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		_, entity, _ := strings.Cut(strings.TrimPrefix(msg.Subject(), "mews.events."), ".") // <EnterpriseId>.<entity Id>: of whatever type
		select {
		case queues[maphash.String(seed, entity)%uint64(lanes)] <- msg:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// runLane handles one event after another, each until it worked.
func runLane(ctx context.Context, queue <-chan jetstream.Msg, handle func(context.Context, schema.Decoded) error) {
	for {
		select {
		case <-ctx.Done():
			return
		case msg := <-queue:
			event, err := schema.Decode(msg.Data())
			if err != nil {
				_ = msg.TermWithReason("not an event")
				continue
			}
			for handle(ctx, event) != nil {
				_ = msg.InProgress() // it is not to be delivered again while it is tried here
				select {
				case <-ctx.Done():
					return // not acknowledged: the next run gets it
				case <-time.After(pauseInLane):
				}
			}
			_ = msg.DoubleAck(context.WithoutCancel(ctx)) // when it is lost, the event comes once more
		}
	}
}
