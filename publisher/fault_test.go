package publisher_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// rig is a real server with a publisher and a second connection to look at and to meddle with the streams.
type rig struct {
	server *natstest.Server
	js     jetstream.JetStream
	p      *publisher.Publisher
}

func newRig(t *testing.T, change func(*publisher.Config), options ...natstest.Option) rig {
	t.Helper()
	s := natstest.Start(t, options...)
	cfg := testConfig(s.ClientURL())
	if change != nil {
		change(&cfg)
	}
	r := rig{server: s, js: natstest.JetStream(t, s), p: mustStart(t, cfg)}
	if cfg.Manage {
		waitReady(t, r.p)
	}
	return r
}

const events = "MEWS_EVENTS"

// updateEvents changes the configuration of the events stream behind the publisher's back.
func (r rig) updateEvents(t *testing.T, change func(*jetstream.StreamConfig)) {
	t.Helper()
	ctx := context.Background()
	config := mustStream(t, r.js, events).CachedInfo().Config
	change(&config)
	if _, err := r.js.UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
}

// TestFailureAndRetry makes the stream refuse a webhook in every way a real server can be brought to, then mends it
// and sends the webhook again with the same ids, as the next attempt of the sender does.
func TestFailureAndRetry(t *testing.T) {
	for _, test := range []struct {
		name      string
		events    int
		unmanaged bool
		fault     func(t *testing.T, r rig)
		mend      func(t *testing.T, r rig)
		want      error
		stored    int // by the failed attempt, all modes
	}{
		{
			name: "stream deleted, and not ours to make again", events: 3, want: schema.ErrStreamMissing, unmanaged: true,
			fault: func(t *testing.T, r rig) {
				if err := r.js.DeleteStream(context.Background(), events); err != nil {
					t.Fatal(err)
				}
			},
			mend: func(t *testing.T, r rig) {
				createStreams(t, r.js)
				waitReady(t, r.p)
			},
		},
		{
			name: "stream sealed", events: 3, want: schema.ErrRefused,
			fault: func(t *testing.T, r rig) {
				r.updateEvents(t, func(c *jetstream.StreamConfig) { c.Sealed = true })
			},
			mend: func(t *testing.T, r rig) {
				if err := r.js.DeleteStream(context.Background(), events); err != nil {
					t.Fatal(err)
				}
				waitReady(t, r.p)
			},
		},
		{
			name: "stream full", events: 3, want: schema.ErrRefused, stored: -1,
			fault: func(t *testing.T, r rig) {
				r.updateEvents(t, func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 2, jetstream.DiscardNew })
			},
			mend: func(t *testing.T, r rig) {
				r.updateEvents(t, func(c *jetstream.StreamConfig) { c.MaxMsgs = -1 })
			},
		},
		{
			name: "message too large for the stream", events: 3, want: schema.ErrRefused,
			fault: func(t *testing.T, r rig) {
				r.updateEvents(t, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 10 })
			},
			mend: func(t *testing.T, r rig) {
				r.updateEvents(t, func(c *jetstream.StreamConfig) { c.MaxMsgSize = -1 })
			},
		},
		{
			name: "server stopped", events: 3, want: schema.ErrUnavailable,
			fault: func(_ *testing.T, r rig) { natstest.Stop(r.server) },
			mend: func(t *testing.T, r rig) {
				natstest.Restart(t, r.server)
				waitReady(t, r.p)
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t, func(c *publisher.Config) { c.Manage = !test.unmanaged })
			if test.unmanaged {
				createStreams(t, r.js)
				waitReady(t, r.p)
			}
			msgs := webhook("d", test.events)
			test.fault(t, r)
			if err := publish(t, r.p, msgs); !errors.Is(err, test.want) {
				t.Fatalf("error is %v, want %v", err, test.want)
			}
			test.mend(t, r)
			if err := publish(t, r.p, msgs); err != nil {
				t.Fatalf("retry: %v", err)
			}
			got := storedIDs(t, r.js, events)
			slices.Sort(got)
			if want := ids(msgs); !slices.Equal(got, want) {
				t.Errorf("stored %v, want %v", got, want)
			}
		})
	}
}

// createStreams makes the streams as an operator does: as they should be, but for atomic batches.
func createStreams(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	cfg := testConfig()
	for _, kind := range schema.Kinds() {
		if _, err := js.CreateStream(context.Background(), jetstream.StreamConfig{
			Name: kind.Stream("mews"), Subjects: []string{kind.Subjects("mews")}, MaxAge: cfg.MaxAge, Duplicates: cfg.DuplicateWindow,
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDeletedStreamIsMadeAgainAtOnce deletes a stream behind the publisher's back: the first webhook that finds nobody there has it
// made again and is stored.
func TestDeletedStreamIsMadeAgainAtOnce(t *testing.T) {
	r := newRig(t, nil)
	if err := publish(t, r.p, webhook("before", 3)); err != nil {
		t.Fatal(err)
	}
	if err := r.js.DeleteStream(context.Background(), events); err != nil {
		t.Fatal(err)
	}
	msgs := webhook("after", 3)
	if err := publish(t, r.p, msgs); err != nil {
		t.Fatal(err)
	}
	if got := storedIDs(t, r.js, events); !slices.Equal(got, ids(msgs)) {
		t.Errorf("stored %v, want %v", got, ids(msgs))
	}
}

func ids(msgs []schema.Message) []string {
	var all []string
	for _, m := range msgs {
		all = append(all, m.ID)
	}
	return all
}

func TestAtomicPublishSwitchedOff(t *testing.T) {
	r := newRig(t, func(c *publisher.Config) { c.Manage = true })
	r.updateEvents(t, func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false })
	msgs := webhook("d", 100)
	if err := publish(t, r.p, msgs); err != nil {
		t.Fatal(err)
	}
	if got := storedIDs(t, r.js, events); !slices.Equal(got, ids(msgs)) {
		t.Errorf("stored %d messages, want %d in order", len(got), len(msgs))
	}
}

// TestDuplicateInGroup sends again, among new webhooks, one of which a part is stored already. The server refuses any batch
// with it, and still every webhook must be stored once.
func TestDuplicateInGroup(t *testing.T) {
	r := newRig(t, nil)
	old := webhook("old", 20)
	if err := publish(t, r.p, old[:7]); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			msgs := webhook(fmt.Sprintf("new%d", i), 20)
			if i == 10 {
				msgs = old
			}
			if err := publish(t, r.p, msgs); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got := storedIDs(t, r.js, events)
	slices.Sort(got)
	if n := len(slices.Compact(slices.Clone(got))); n != len(got) || n != 20*20 {
		t.Errorf("stored %d messages, %d of them distinct; want 400", len(got), n)
	}
}

// TestGivingUpHarmsNoNeighbour has one webhook of a stalled group give up; the others are stored when the server goes on.
func TestGivingUpHarmsNoNeighbour(t *testing.T) {
	r := newRig(t, nil)
	ctx, giveUp := context.WithCancel(context.Background())
	giveUp()
	if err := r.p.Publish(ctx, webhook("gone", 5)); !errors.Is(err, schema.ErrNotAcknowledged) && err != nil {
		t.Fatalf("error is %v, want ErrNotAcknowledged", err)
	}
	if err := publish(t, r.p, webhook("stays", 5)); err != nil {
		t.Fatal(err)
	}
	got := storedIDs(t, r.js, events)
	for i := range 5 {
		if id := fmt.Sprintf("stays-%d", i); !slices.Contains(got, id) {
			t.Errorf("%s is not stored", id)
		}
	}
}

func TestServerRestartUnderLoad(t *testing.T) {
	s := natstest.Start(t, natstest.SyncAlways)
	p := mustStart(t, testConfig(s.ClientURL()))
	waitReady(t, p)

	l := startLoad(t, p, 8, 10)
	defer l.cancel()
	natstest.Eventually(t, "load", func() bool { return l.count() > 500 })
	s = natstest.Restart(t, s, natstest.SyncAlways)
	before := l.count()
	natstest.Eventually(t, "load after the restart", func() bool { return l.count() > before+500 })
	verify(t, natstest.JetStream(t, s), l.stop())
}

func TestOnlyCheckedStreamsNameEachDifference(t *testing.T) {
	s := natstest.Start(t)
	js := natstest.JetStream(t, s)
	for _, kind := range schema.Kinds() {
		if _, err := js.CreateStream(context.Background(), jetstream.StreamConfig{
			Name: kind.Stream("mews"), Subjects: []string{kind.Subjects("mews")}, MaxAge: time.Hour, Duplicates: time.Minute,
		}); err != nil {
			t.Fatal(err)
		}
	}
	cfg := testConfig(s.ClientURL())
	cfg.Manage = false
	p := mustStart(t, cfg)
	err := p.Ready(context.Background())
	if err == nil {
		t.Fatal("ready, although the streams differ")
	}
	for _, want := range []string{"MEWS_EVENTS: max_age is 1h0m0s and should be 24h0m0s", "duplicate_window is 1m0s", "MEWS_QUARANTINE"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

// TestOnlyCheckedStreamsMayDoWithoutBatches uses streams that are as they should be, but for atomic batches.
func TestOnlyCheckedStreamsMayDoWithoutBatches(t *testing.T) {
	s := natstest.Start(t)
	js := natstest.JetStream(t, s)
	cfg := testConfig(s.ClientURL())
	createStreams(t, js)
	cfg.Manage = false
	p := mustStart(t, cfg)
	waitReady(t, p)
	msgs := webhook("d", 1500)
	if err := publish(t, p, msgs); err != nil {
		t.Fatal(err)
	}
	if got := storedIDs(t, js, events); !slices.Equal(got, ids(msgs)) {
		t.Errorf("stored %d messages, want %d in order", len(got), len(msgs))
	}
}

func TestConfigErrorsComeAllAtOnce(t *testing.T) {
	_, err := publisher.New(publisher.Config{Replicas: 9, Token: "s3cret-token", Username: "u", TLSCert: "c"}, nil)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"nats url", "prefix", "replicas", "duplicate window", "credentials", "tls"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "s3cret-token") {
		t.Error("the error repeats the token")
	}
}
