package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// README: start
// consume calls handle for each ServiceOrderUpdated, oldest first, and goes on where it ended last time.
func consume(ctx context.Context, url string, handle func(schema.Decoded) error) error {
	conn, err := nats.Connect(url, nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	since := time.Now().Add(-24 * time.Hour)
	consumer, err := js.CreateConsumer(ctx, "MEWS_EVENTS", jetstream.ConsumerConfig{
		Durable:        "housekeeping",
		FilterSubjects: []string{"mews.events.ServiceOrderUpdated.>"},
		DeliverPolicy:  jetstream.DeliverByStartTimePolicy, // or DeliverLastPerSubjectPolicy: each entity once
		OptStartTime:   &since,                             // looked at only when the consumer is created
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        30 * time.Second,
	})
	if err != nil && !errors.Is(err, jetstream.ErrConsumerExists) {
		return err
	}
	if err != nil { // it is there, with the start time of its first run
		if consumer, err = js.Consumer(ctx, "MEWS_EVENTS", "housekeeping"); err != nil {
			return err
		}
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
		if handle(event) != nil {
			_ = msg.NakWithDelay(5 * time.Second) // delivered again
			continue
		}
		if err := msg.DoubleAck(ctx); err != nil {
			return err
		}
	}
}

// README: end

// TestREADMEConsumer runs the README's consumer: it sees an event again that it could not handle, goes on where it ended,
// and sees no other types.
func TestREADMEConsumer(t *testing.T) {
	s := natstest.Start(t)
	js := natstest.JetStream(t, s)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "MEWS_EVENTS", Subjects: []string{"mews.events.>"}}); err != nil {
		t.Fatal(err)
	}
	publish := func(discriminator, id string) {
		webhook, err := schema.Parse([]byte(`{"EnterpriseId":"hotel","Events":[{"Discriminator":"` + discriminator + `","Value":{"Id":"` + id + `"}}]}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range webhook.Messages(schema.Receipt{Delivery: schema.DeliveryID(id), Received: time.Now(), Endpoint: "mews", Prefix: "mews"}) {
			if _, err := js.Publish(ctx, m.Subject, m.Data); err != nil {
				t.Fatal(err)
			}
		}
	}
	var got []string
	// read consumes until n events were handled.
	read := func(n int) {
		run, stop := context.WithCancel(ctx)
		handled := 0
		err := consume(run, s.ClientURL(), func(event schema.Decoded) error {
			order := event.Value.(schema.ServiceOrderUpdated)
			if order.ID == "first" && len(got) == 0 {
				got = append(got, "first failed")
				return errors.New("try later")
			}
			got = append(got, order.ID)
			if handled++; handled == n {
				stop()
			}
			return nil
		})
		stop()
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	publish("ServiceOrderUpdated", "first")
	publish("CustomerAdded", "other-type")
	read(1)
	// What is sent to a connection that has just ended is delivered again only after AckWait.
	natstest.Eventually(t, "the server to know that the consumer is gone", func() bool {
		consumer, err := js.Consumer(ctx, "MEWS_EVENTS", "housekeeping")
		return err == nil && consumer.CachedInfo().NumWaiting == 0
	})
	publish("ServiceOrderUpdated", "second")
	for !slices.Contains(got, "second") {
		read(1) // the acknowledgement of the last event may have been cut off by the cancellation
	}
	if !slices.Equal(slices.Compact(got), []string{"first failed", "first", "second"}) {
		t.Errorf("the consumer saw %q", got)
	}
}

func TestREADMEHasTheConsumerThatCompiles(t *testing.T) {
	source, err := os.ReadFile("tail_readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(source), "// README: start\n")
	code, _, _ = strings.Cut(code, "// README: end")
	if !strings.Contains(string(readme), strings.TrimSpace(code)) {
		t.Error("the consumer in README.md is not the one in this file")
	}
}
