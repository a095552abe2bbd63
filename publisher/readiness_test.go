package publisher_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// ready asks as /readyz does.
func (r rig) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return r.p.Ready(ctx)
}

// TestReadyTellsTheTruth makes JetStream unable to store while the connection is fine, and able again. Nothing is published in between
// but what a case says.
func TestReadyTellsTheTruth(t *testing.T) {
	change := func(change func(*jetstream.StreamConfig)) func(*testing.T, rig) {
		return func(t *testing.T, r rig) { r.updateEvents(t, change) }
	}
	refusedOnce := func(t *testing.T, r rig) {
		t.Helper()
		if err := publish(t, r.p, webhook("refused", 3)); !errors.Is(err, schema.ErrRefused) {
			t.Fatalf("publish: %v, want ErrRefused", err)
		}
	}
	for _, test := range []struct {
		name    string
		options []natstest.Option
		fault   func(t *testing.T, r rig)
		cause   string
		mend    func(t *testing.T, r rig)
	}{
		{
			"JetStream off", nil, func(t *testing.T, r rig) { natstest.StopJetStream(t, r.server) }, "NATS is unavailable: stream MEWS_EVENTS",
			func(t *testing.T, r rig) { natstest.Restart(t, r.server) },
		},
		{
			"server's storage used up", []natstest.Option{natstest.MaxStore(1 << 20)},
			func(t *testing.T, r rig) { natstest.Fill(t, r.js); refusedOnce(t, r) }, "insufficient resources (10023)",
			func(t *testing.T, r rig) { natstest.Empty(t, r.js) },
		},
		{
			"account's storage used up", nil,
			func(t *testing.T, r rig) {
				natstest.LimitAccount(t, r.server, 1<<20)
				natstest.Fill(t, r.js)
				refusedOnce(t, r)
			}, "resource limits exceeded for account (10002)",
			func(t *testing.T, r rig) { natstest.Empty(t, r.js) },
		},
		{
			"stream full", nil, func(t *testing.T, r rig) {
				if err := publish(t, r.p, webhook("d", 2)); err != nil {
					t.Fatal(err)
				}
				r.updateEvents(t, func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 2, jetstream.DiscardNew })
			}, "stream MEWS_EVENTS is full: it holds 2 messages",
			change(func(c *jetstream.StreamConfig) { c.MaxMsgs = -1 }),
		},
		{
			"stream full of bytes", nil, func(t *testing.T, r rig) {
				if err := publish(t, r.p, webhook("d", 2)); err != nil {
					t.Fatal(err)
				}
				r.updateEvents(t, func(c *jetstream.StreamConfig) { c.MaxBytes, c.Discard = 10, jetstream.DiscardNew })
			}, "bytes of its max_bytes, 10",
			change(func(c *jetstream.StreamConfig) { c.MaxBytes = -1 }),
		},
		{
			"stream sealed", nil, change(func(c *jetstream.StreamConfig) { c.Sealed = true }), "stream MEWS_EVENTS is sealed",
			func(t *testing.T, r rig) {
				if err := r.js.DeleteStream(context.Background(), events); err != nil {
					t.Fatal(err)
				}
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil, test.options...)
			test.fault(t, r)
			for range 2 { // asking does not mend it
				if err := r.ready(); err == nil || !strings.Contains(err.Error(), test.cause) {
					t.Fatalf("ready says %v, want %q", err, test.cause)
				}
			}
			test.mend(t, r)
			waitReady(t, r.p)
			if err := publish(t, r.p, webhook("after", 3)); err != nil {
				t.Errorf("publish when ready again: %v", err)
			}
			if got := storedIDs(t, r.js, events); strings.Contains(strings.Join(got, " "), "probe") {
				t.Errorf("asking left something in the stream: %v", got)
			}
		})
	}
}

// TestSilenceIsNotReady loses every acknowledgement: JetStream answers all questions, and stores, and the bridge still cannot say 202.
func TestSilenceIsNotReady(t *testing.T) {
	s := natstest.Start(t)
	proxy := natstest.StartProxy(t, s)
	p := mustStart(t, testConfig(proxy.URL()))
	r := rig{server: s, js: natstest.JetStream(t, s), p: p}
	waitReady(t, p)
	proxy.Judge(func(f natstest.Frame) natstest.Fate {
		if !f.ToServer && strings.HasPrefix(string(f.Data), `{"stream":"MEWS_EVENTS"`) {
			return natstest.Drop
		}
		return natstest.Pass
	})
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := p.Publish(ctx, webhook("d", 3)); !errors.Is(err, schema.ErrNotAcknowledged) {
		t.Fatalf("publish: %v, want ErrNotAcknowledged", err)
	}
	if err := r.ready(); !errors.Is(err, schema.ErrNotAcknowledged) || !strings.Contains(err.Error(), "nothing was stored since") {
		t.Errorf("ready says %v", err)
	}
	proxy.Judge(nil)
	if err := publish(t, p, webhook("d", 3)); err != nil {
		t.Fatal(err)
	}
	if err := r.ready(); err != nil {
		t.Errorf("after a webhook was stored, ready says %v", err)
	}
}

// TestALargeMessageIsNoOutage has the stream refuse one message for its size.
func TestALargeMessageIsNoOutage(t *testing.T) {
	r := newRig(t, nil)
	r.updateEvents(t, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 })
	large := webhook("large", 1)
	large[0].Data = []byte(strings.Repeat("x", 2000))
	if err := publish(t, r.p, large); !errors.Is(err, schema.ErrRefused) {
		t.Fatalf("publish: %v, want ErrRefused", err)
	}
	if err := r.ready(); err != nil {
		t.Errorf("ready says %v", err)
	}
}

// TestNoMajorityIsNotReady takes a replicated stream its followers away.
func TestNoMajorityIsNotReady(t *testing.T) {
	t.Parallel()
	servers := natstest.Cluster(t, 3)
	p := mustStart(t, clusterConfig(servers))
	waitReady(t, p)
	leader := mustStream(t, natstest.JetStream(t, servers...), events).CachedInfo().Cluster.Leader
	var away []*natstest.Server
	for _, s := range servers {
		if s.Name() != leader {
			natstest.Stop(s)
			away = append(away, s)
		}
	}
	natstest.Eventually(t, "the loss to be told", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		return errors.Is(p.Ready(ctx), schema.ErrUnavailable)
	})
	for _, s := range away {
		natstest.Restart(t, s)
	}
	waitReady(t, p)
}
