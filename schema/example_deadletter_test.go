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

// An event that was tried often enough is put into a stream of its own, where a person can look at it, so that it does not
// come up for ever. MaxDeliver alone would only stop delivering it.
func Example_deadLetter() {
	bridge := startExampleBridge()
	defer bridge.stop()
	bridge.receive("CustomerUpdated", "good", "CustomerUpdated", "bad")

	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	dead := must(bridge.js.CreateStream(ctx, jetstream.StreamConfig{Name: "CRM_DEAD", Subjects: []string{"crm.dead"}}))
	err := consumeOrBury(ctx, bridge.js, 3, func(event schema.Decoded) error {
		change, _ := event.Change()
		if change.ID == "bad" {
			return errors.New("404 Not Found")
		}
		return nil
	}, func(event schema.Decoded) { fmt.Println("buried", event.ID); stop() })
	fmt.Println(err)

	msg := must(dead.GetLastMsgForSubject(context.Background(), "crm.dead"))
	event := must(schema.Decode(msg.Data))
	change, _ := event.Change()
	fmt.Println(change.ID, "from", msg.Header.Get("Origin-Subject"), "after", msg.Header.Get("Tries"), "tries:", msg.Header.Get("Error"))
	// Output:
	// buried D1-1
	// context canceled
	// bad from mews.events.CustomerUpdated.hotel.bad after 3 tries: 404 Not Found
}

// consumeOrBury calls handle for each event until ctx ends, at most tries times for each; what still fails goes to the stream of
// the subject crm.dead, with the reason in its headers.
func consumeOrBury(ctx context.Context, js jetstream.JetStream, tries uint64, handle func(schema.Decoded) error, buried func(schema.Decoded)) error {
	consumer, err := js.CreateOrUpdateConsumer(ctx, "MEWS_EVENTS", jetstream.ConsumerConfig{
		Durable: "crm", FilterSubject: "mews.events.CustomerUpdated.>", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second,
		// No MaxDeliver: were the service to die at its last try, the event would be lost.
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
		fault := handle(event)
		switch {
		case fault == nil:
			err = msg.DoubleAck(context.WithoutCancel(ctx))
		case meta.NumDelivered < tries:
			err = msg.NakWithDelay(10 * time.Millisecond) // in earnest: a back-off
		default:
			if err = bury(ctx, js, msg, event.ID, meta.NumDelivered, fault); err == nil {
				err = msg.TermWithReason("dead letter") // only now that the copy is stored
				buried(event)
			}
		}
		if err != nil {
			return err
		}
	}
}

// bury stores a copy of msg. The id makes JetStream drop a second copy.
func bury(ctx context.Context, js jetstream.JetStream, msg jetstream.Msg, id string, tries uint64, fault error) error {
	copied := nats.NewMsg("crm.dead")
	copied.Data = msg.Data()
	copied.Header.Set("Origin-Subject", msg.Subject())
	copied.Header.Set("Tries", fmt.Sprint(tries))
	copied.Header.Set("Error", fault.Error())
	_, err := js.PublishMsg(ctx, copied, jetstream.WithMsgID("crm-"+id))
	return err
}
