package publisher_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

const latest = "MEWS_LATEST"

func withLatest(c *publisher.Config) { c.Latest = true }

// updates returns one event for each entity, of one delivery.
func updates(delivery, discriminator string, entities ...string) []schema.Message {
	var msgs []schema.Message
	for i, entity := range entities {
		msgs = append(msgs, schema.Message{
			Kind: schema.KindEvent, ID: fmt.Sprintf("%s-%d", delivery, i), Subject: "mews.events." + discriminator + ".hotel." + entity,
			Data: []byte(`{"specversion":"1.0"}`),
		})
	}
	return msgs
}

// publishAll stores the webhooks one after another.
func (r rig) publishAll(t *testing.T, webhooks ...[]schema.Message) {
	t.Helper()
	for _, msgs := range webhooks {
		if err := publish(t, r.p, msgs); err != nil {
			t.Fatal(err)
		}
	}
}

// waitLatest waits until the newest events are those with the given ids.
func waitLatest(t *testing.T, js jetstream.JetStream, want ...string) {
	t.Helper()
	slices.Sort(want)
	var got []string
	for deadline := time.Now().Add(20 * time.Second); ; {
		if got = storedIDs(t, js, latest); slices.Equal(slices.Sorted(slices.Values(got)), want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the newest events are %q, want %q", got, want)
		}
	}
}

func hasStream(t *testing.T, js jetstream.JetStream, name string) bool {
	t.Helper()
	_, err := js.Stream(context.Background(), name)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// TestLatestHoldsTheNewestEventOfEach also restarts the server, and deletes the stream: it is filled again from the history, which
// stays complete.
func TestLatestHoldsTheNewestEventOfEach(t *testing.T) {
	r := newRig(t, withLatest)
	r.publishAll(t,
		updates("a", "CustomerAdded", "c1", "c2", "c3"), // as one batch
		updates("b", "CustomerUpdated", "c1", "c2", "c3"),
		updates("c", "CustomerUpdated", "c1"),
		updates("d", "CustomerUpdated", "c2", "c1", "c2"),
	)
	newest := []string{"a-0", "a-1", "a-2", "b-2", "d-1", "d-2"}
	waitLatest(t, r.js, newest...)
	if got := len(storedIDs(t, r.js, events)); got != 10 {
		t.Errorf("the history has %d events, want 10", got)
	}

	natstest.Restart(t, r.server)
	waitReady(t, r.p)
	r.publishAll(t, updates("e", "CustomerUpdated", "c3"))
	newest[3] = "e-0"
	waitLatest(t, r.js, newest...)

	if err := r.js.DeleteStream(context.Background(), latest); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(r.server.ClientURL())
	cfg.Latest = true
	mustStart(t, cfg)
	waitLatest(t, r.js, newest...)
	if got := len(storedIDs(t, r.js, events)); got != 11 {
		t.Errorf("the history has %d events, want 11", got)
	}
}

// TestLatestGivesASlowConsumerEachEntityOnce reads the recipe's way: a durable consumer that is behind skips what has been overtaken.
func TestLatestGivesASlowConsumerEachEntityOnce(t *testing.T) {
	r := newRig(t, withLatest)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	consumer, err := r.js.CreateConsumer(ctx, latest, jetstream.ConsumerConfig{
		Durable: "crm", FilterSubject: "mews.events.CustomerUpdated.>", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	next := func() string {
		m, err := consumer.Next(jetstream.FetchContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.DoubleAck(ctx); err != nil {
			t.Fatal(err)
		}
		return m.Headers().Get("Nats-Msg-Id")
	}
	r.publishAll(t, updates("a", "CustomerUpdated", "c1"))
	if got := next(); got != "a-0" {
		t.Errorf("first %s", got)
	}
	// While it is away, one entity changes often and another once.
	for i := range 20 {
		r.publishAll(t, updates(fmt.Sprint("b", i), "CustomerUpdated", "c1"))
	}
	r.publishAll(t, updates("c", "CustomerUpdated", "c2"))
	waitLatest(t, r.js, "b19-0", "c-0")
	if got := []string{next(), next()}; !slices.Equal(got, []string{"b19-0", "c-0"}) {
		t.Errorf("after its absence it sees %q", got)
	}
	if info, err := consumer.Info(ctx); err != nil || info.NumPending != 0 {
		t.Errorf("pending: %+v, %v", info, err)
	}
}

func TestLatestIsOffUnlessAskedFor(t *testing.T) {
	r := newRig(t, nil)
	r.publishAll(t, updates("a", "CustomerUpdated", "c1"))
	if hasStream(t, r.js, latest) {
		t.Error("the stream of the newest events was made unasked")
	}
}

// TestLatestIsBroughtUpToDate finds a stream of that name that somebody made otherwise.
func TestLatestIsBroughtUpToDate(t *testing.T) {
	s := natstest.Start(t)
	js := natstest.JetStream(t, s)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: latest, Subjects: []string{"other"}, MaxMsgsPerSubject: 5, Description: "mine"}); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(s.ClientURL())
	cfg.Latest = true
	r := rig{server: s, js: js, p: mustStart(t, cfg)}
	waitReady(t, r.p)
	r.publishAll(t, updates("a", "CustomerUpdated", "c1"), updates("b", "CustomerUpdated", "c1"))
	waitLatest(t, js, "b-0")
	config := mustStream(t, js, latest).CachedInfo().Config
	if config.MaxMsgsPerSubject != 1 || len(config.Subjects) != 0 || config.MaxAge != cfg.MaxAge || config.Description != "mine" {
		t.Errorf("the stream is %+v", config)
	}
}

// TestWebhooksAreStoredWithoutLatest has streams that the bridge only checks, and no stream of the newest events among them.
func TestWebhooksAreStoredWithoutLatest(t *testing.T) {
	s := natstest.Start(t)
	r := rig{server: s, js: natstest.JetStream(t, s)}
	waitReady(t, mustStart(t, testConfig(s.ClientURL())))
	cfg := testConfig(s.ClientURL())
	cfg.Manage, cfg.Latest = false, true
	core, logs := observer.New(zap.WarnLevel)
	p, err := publisher.New(cfg, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.p = p
	waitReady(t, p)
	r.publishAll(t, updates("a", "CustomerUpdated", "c1"))
	if hasStream(t, r.js, latest) {
		t.Error("a stream that is only to be checked was made")
	}
	warned := logs.FilterMessageSnippet("stream of the newest events").All()
	if len(warned) == 0 || !strings.Contains(fmt.Sprint(warned[0].ContextMap()), latest) {
		t.Errorf("no warning names %s: %v", latest, logs.All())
	}
}
