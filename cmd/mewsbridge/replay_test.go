package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// storeEvents stores n events of each of two types, for alternating hotels: entity i of either type is stored twice.
func storeEvents(t *testing.T, js jetstream.JetStream, n int) {
	t.Helper()
	for i := range n {
		for _, discriminator := range []string{"ServiceOrderUpdated", "PaymentUpdated"} {
			msg := nats.NewMsg(fmt.Sprintf("mews.events.%s.hotel%d.e%d", discriminator, i%2, i/2))
			msg.Header.Set(schema.HeaderMsgID, fmt.Sprintf("D%d-%s", i, discriminator))
			msg.Header.Set("Nats-Expected-Stream", "MEWS_EVENTS") // true of this stream only
			msg.Data = []byte(fmt.Sprint(i))
			if _, err := js.PublishMsg(t.Context(), msg); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// drain reads everything that waits for a durable consumer, and acknowledges it.
func drain(t *testing.T, js jetstream.JetStream, name string) []string {
	t.Helper()
	consumer, err := js.Consumer(t.Context(), "MEWS_EVENTS", name)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		info, err := consumer.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info.NumPending == 0 && info.NumAckPending == 0 {
			return got
		}
		msg, err := consumer.Next(jetstream.FetchMaxWait(5 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if err := msg.DoubleAck(t.Context()); err != nil {
			t.Fatal(err)
		}
		got = append(got, msg.Subject()+"="+string(msg.Data()))
	}
}

// TestReplayConsumer moves a consumer about the stream and reads what it is given after each move.
func TestReplayConsumer(t *testing.T) {
	s := natstest.Start(t)
	js := natstest.JetStream(t, s)
	makeStreams(t, js, nil)
	storeEvents(t, js, 6)
	for _, test := range []struct {
		name, args string
		want       []string // of what it says
		delivers   int
		first      string
	}{
		{"new", "--all --type=ServiceOrderUpdated", []string{"house of MEWS_EVENTS, new", "delivers  6 stored messages"}, 6, "mews.events.ServiceOrderUpdated.hotel0.e0=0"},
		{"in place", "--sequence=7", []string{"now with 0 pending", "moved in place", "delivers  3 stored"}, 3, "mews.events.ServiceOrderUpdated.hotel1.e1=3"},
		{"by time", "--since=1h", []string{"moved in place", "delivers  6 stored"}, 6, "mews.events.ServiceOrderUpdated.hotel0.e0=0"},
		{"other filter", "--sequence=1 --type=PaymentUpdated --enterprise=hotel1", []string{"instead of mews.events.ServiceOrderUpdated.*.*", "deleted and made again"}, 3, "mews.events.PaymentUpdated.hotel1.e0=1"},
		{"keeps the filter", "--all", []string{"filter    mews.events.PaymentUpdated.hotel1.*", "moved in place"}, 3, "mews.events.PaymentUpdated.hotel1.e0=1"},
		{"last per entity", "--last-per-entity --type=PaymentUpdated,ServiceOrderUpdated", []string{"deleted and made again"}, 12, "mews.events.ServiceOrderUpdated.hotel0.e0=0"},
	} {
		args := append([]string{"replay", "--consumer=house"}, strings.Fields(test.args)...)
		before, err := js.Consumer(t.Context(), "MEWS_EVENTS", "house")
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			t.Fatal(err)
		}
		contains(t, mustExecute(t, s.ClientURL(), args...), append(test.want, "Nothing was changed")...)
		if before != nil {
			if info, err := before.Info(t.Context()); err != nil || info.NumPending != 0 {
				t.Errorf("%s: without --yes: %v, %v", test.name, info, err)
			}
		}
		mustExecute(t, s.ClientURL(), append(args, "--yes")...)
		if got := drain(t, js, "house"); len(got) != test.delivers || got[0] != test.first {
			t.Errorf("%s: delivered %d, first of %v", test.name, len(got), got)
		}
	}
	consumer, err := js.Consumer(t.Context(), "MEWS_EVENTS", "house")
	if err != nil {
		t.Fatal(err)
	}
	if c := consumer.CachedInfo().Config; c.AckPolicy != jetstream.AckExplicitPolicy || c.Durable != "house" {
		t.Errorf("the consumer is now %+v", c)
	}
}

// TestReplayKeepsTheConsumersSettings deletes and makes again a consumer with settings of its own.
func TestReplayKeepsTheConsumersSettings(t *testing.T) {
	s := natstest.Start(t)
	js := natstest.JetStream(t, s)
	makeStreams(t, js, nil)
	storeEvents(t, js, 2)
	want := jetstream.ConsumerConfig{Durable: "house", Description: "cleaning", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 7 * time.Second,
		MaxDeliver: 4, MaxAckPending: 9, DeliverPolicy: jetstream.DeliverNewPolicy}
	if _, err := js.CreateConsumer(t.Context(), "MEWS_EVENTS", want); err != nil {
		t.Fatal(err)
	}
	contains(t, mustExecute(t, s.ClientURL(), "replay", "--consumer=house", "--all", "--yes"), "deleted and made again", "4 messages are to be delivered")
	consumer, err := js.Consumer(t.Context(), "MEWS_EVENTS", "house")
	if err != nil {
		t.Fatal(err)
	}
	got := consumer.CachedInfo()
	if c := got.Config; got.NumPending != 4 || c.Description != "cleaning" || c.AckWait != want.AckWait || c.MaxDeliver != 4 || c.MaxAckPending != 9 {
		t.Errorf("%d pending, %+v", got.NumPending, c)
	}
}

// TestReplayToSubject publishes a range on a subject that a stream keeps, twice, and on one that none keeps.
func TestReplayToSubject(t *testing.T) {
	s := natstest.Start(t)
	js := natstest.JetStream(t, s)
	makeStreams(t, js, nil)
	storeEvents(t, js, 300)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "REPAIR", Subjects: []string{"repair.>"}, Duplicates: time.Hour}); err != nil {
		t.Fatal(err)
	}
	args := []string{"replay", "--to=repair.>", "--sequence=3", "--type=PaymentUpdated", "--rate=100000"}
	contains(t, mustExecute(t, s.ClientURL(), args...), "kept by stream REPAIR", "messages  299, at 100000 a second", "drops what it was given within 1h", "Nothing was published")
	contains(t, mustExecute(t, s.ClientURL(), append(args, "--yes")...), "299 messages published.")
	contains(t, mustExecute(t, s.ClientURL(), append(args, "--yes")...), "299 messages published, 299 of them dropped as known by their ids")
	got := messagesIn(t, js, "REPAIR")
	if len(got) != 299 || got[0].Subject != "repair.PaymentUpdated.hotel1.e0" || got[0].ID != "D1-PaymentUpdated" || string(got[298].Data) != "299" {
		t.Errorf("%d stored, first %+v", len(got), got[0])
	}
	contains(t, mustExecute(t, s.ClientURL(), append(args, "--yes", "--without-ids")...), "299 messages published.")
	if n := len(messagesIn(t, js, "REPAIR")); n != 598 {
		t.Errorf("%d stored after a replay without ids", n)
	}

	heard, err := js.Conn().SubscribeSync("loose")
	if err != nil {
		t.Fatal(err)
	}
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	contains(t, mustExecute(t, s.ClientURL(), "replay", "--to=loose", "--all", "--enterprise=hotel0", "--rate=100000", "--yes"), "no stream keeps", "300 messages published")
	for range 300 {
		if _, err := heard.NextMsg(10 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	contains(t, mustExecute(t, s.ClientURL(), "replay", "--to=loose", "--all", "--until=1h"), "messages  0,")
}

func TestReplayBadInput(t *testing.T) {
	s := natstest.Start(t)
	js := natstest.JetStream(t, s)
	makeStreams(t, js, nil)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "DEMO_EVENTS", Subjects: []string{"demo.events.>"}}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ args, want string }{
		{"", "say to whom"},
		{"--consumer=a --to=b --all", "say to whom"},
		{"--consumer=a", "say from where, once"},
		{"--consumer=a --all --since=1h", "say from where, once"},
		{"--consumer=a --sequence=0", "--sequence begins at 1"},
		{"--consumer=a.b --all", "--consumer takes a name"},
		{"--consumer=a --all --rate=3", "--rate goes with --to only"},
		{"--consumer=a --all --type=a.b", "--type takes names"},
		{"--to=mews.events --all", "a bridge's own streams"},
		{"--to=mews.events.A.b.c --all", "a bridge's own streams"},
		{"--to=mews.> --all", "a bridge's own streams"},
		{"--to=demo.events.A.b.c --all", "a bridge's own streams"},
		{"--to=demo.> --all", "a bridge's own streams"},
		{"--to=a.*.b --all", "--to takes a subject"},
		{"--to=$JS.API.x --all", "--to takes a subject"},
		{"--to=a --all --rate=0", "--rate must be more than 0"},
		{"--to=a --since=1h --until=2h", "--since must be earlier than --until"},
	} {
		out, errs, code := execute(t, s.ClientURL(), append([]string{"replay"}, strings.Fields(test.args)...)...)
		if code != exitUsage || !strings.Contains(errs, test.want) {
			t.Errorf("replay %s: exit code %d; %q not in %s%s", test.args, code, test.want, out, errs)
		}
	}
}

func TestConsumers(t *testing.T) {
	s := natstest.Start(t)
	js := natstest.JetStream(t, s)
	makeStreams(t, js, nil)
	contains(t, mustExecute(t, s.ClientURL(), "consumers"), "No consumer reads these streams")
	storeEvents(t, js, 1000)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	consumer, err := js.CreateConsumer(ctx, "MEWS_EVENTS", jetstream.ConsumerConfig{Durable: "house", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "mews.events.PaymentUpdated.>"})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := consumer.Next(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.CreateConsumer(ctx, "MEWS_EVENTS", jetstream.ConsumerConfig{Durable: "behind"}); err != nil {
		t.Fatal(err)
	}
	contains(t, mustExecute(t, s.ClientURL(), "consumers"), "CONSUMERS OF MEWS_EVENTS", "everything", "mews.events.PaymentUpdated.>", "2,000", "997            3            0")
	lines := strings.Split(strings.TrimSpace(mustExecute(t, s.ClientURL(), "consumers", "--json")), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d consumers: %s", len(lines), lines)
	}
	var first, second consumerState
	if err := errors.Join(json.Unmarshal([]byte(lines[0]), &first), json.Unmarshal([]byte(lines[1]), &second)); err != nil {
		t.Fatal(err)
	}
	if first.Name != "behind" || first.Pending != 2000 || first.LastDelivered != nil || second.AckPending != 3 || second.Pending != 997 || time.Since(*second.LastDelivered) > time.Minute {
		t.Errorf("%+v %+v", first, second)
	}
	// The stream of the newest events is there on request only; what fills it is no consumer of the events.
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "MEWS_LATEST", Sources: []*jetstream.StreamSource{{Name: "MEWS_EVENTS"}}, MaxMsgsPerSubject: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(ctx, "MEWS_LATEST", jetstream.ConsumerConfig{Durable: "newest"}); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, "the newest events", func() bool { return streamLength(t, s.ClientURL(), "MEWS_LATEST") > 0 })
	contains(t, mustExecute(t, s.ClientURL(), "consumers"), "CONSUMERS OF MEWS_LATEST", "newest")
	if n := strings.Count(mustExecute(t, s.ClientURL(), "consumers", "--json"), "\n"); n != 3 {
		t.Errorf("%d consumers, want 3", n)
	}
}
