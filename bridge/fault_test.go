package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/bridge"
	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// faultEvents is how many events a webhook of the fault tests has.
const faultEvents = 5

// faultRig is a rig whose publisher reaches its server through a proxy, in one of the two modes.
type faultRig struct {
	*rig
	proxy   *natstest.Proxy
	atomic  bool        // the streams take atomic batches
	batched atomic.Bool // an atomic batch was seen
}

func newFaultRig(t *testing.T, atomicBatch bool, deadline time.Duration, options ...natstest.Option) *faultRig {
	t.Helper()
	s := natstest.Start(t, options...)
	makeStreams(t, natstest.JetStream(t, s), atomicBatch)
	proxy := natstest.StartProxy(t, s)
	r := newRigWith(t, []*natstest.Server{s}, func(c *publisher.Config) {
		c.URLs, c.Manage = []string{proxy.URL()}, false
	}, func(c *bridge.Config) { c.AckDeadline = deadline })
	f := &faultRig{rig: r, proxy: proxy, atomic: atomicBatch}
	f.judge(nil)
	return f
}

// makeStreams makes the streams that are missing, as an operator does who looks after them: with atomic batches or without.
func makeStreams(t *testing.T, js jetstream.JetStream, atomicBatch bool) {
	t.Helper()
	for _, kind := range schema.Kinds() {
		natstest.Eventually(t, "stream "+kind.Stream("mews"), func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := js.CreateStream(ctx, jetstream.StreamConfig{
				Name: kind.Stream("mews"), Subjects: []string{kind.Subjects("mews")}, MaxAge: 24 * time.Hour, Duplicates: time.Hour,
				AllowAtomicPublish: atomicBatch,
			})
			return err == nil || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse)
		})
	}
}

// judge has decide see every message to and every acknowledgement of the events stream, and the number of its kind from 1.
func (r *faultRig) judge(decide func(f natstest.Frame, n int) natstest.Fate) {
	var published, acknowledged atomic.Int64
	r.proxy.Judge(func(f natstest.Frame) natstest.Fate {
		n := &acknowledged
		switch {
		case f.ToServer && strings.HasPrefix(f.Subject, "mews.events."):
			n = &published
			if f.Header.Get("Nats-Batch-Id") != "" {
				r.batched.Store(true)
			}
		case !f.ToServer && strings.Contains(string(f.Data), `"stream":"MEWS_EVENTS"`) && strings.Contains(string(f.Data), `"seq":`) && !strings.Contains(string(f.Data), `"type":`):
		default:
			return natstest.Pass
		}
		i := int(n.Add(1))
		if decide == nil {
			return natstest.Pass
		}
		return decide(f, i)
	})
}

// onMessage gives the i-th message of the events stream its fate; with goneFor the bridge then finds no server until it is mended.
func (r *faultRig) onMessage(i int, fate natstest.Fate, gone bool) {
	r.judge(func(f natstest.Frame, n int) natstest.Fate {
		if !f.ToServer || n != i {
			return natstest.Pass
		}
		if gone {
			r.proxy.Refuse()
		}
		return fate
	})
}

// onAcks gives the acknowledgements from the i-th on their fate.
func (r *faultRig) onAcks(i int, fate natstest.Fate, gone bool) {
	r.judge(func(f natstest.Frame, n int) natstest.Fate {
		if f.ToServer || n < i {
			return natstest.Pass
		}
		if gone {
			r.proxy.Refuse()
		}
		return fate
	})
}

func (r *faultRig) updateStream(t *testing.T, change func(*jetstream.StreamConfig)) {
	t.Helper()
	stream, err := r.js.Stream(t.Context(), "MEWS_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	config := stream.CachedInfo().Config
	change(&config)
	if _, err := r.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
}

// count returns how many messages the events stream holds, -1 when it cannot be asked.
func (r *faultRig) count(t *testing.T) int {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	stream, err := r.js.Stream(ctx, "MEWS_EVENTS")
	if err != nil {
		return -1
	}
	return int(stream.CachedInfo().State.Msgs)
}

// awaitReady waits until the bridge can store again, or says that only a webhook can show it.
func (r *faultRig) awaitReady(t *testing.T) {
	t.Helper()
	natstest.Eventually(t, "readiness", func() bool {
		a := r.readiness(t)
		return a.status == 200 || strings.Contains(fmt.Sprint(a.body["cause"]), "nothing was stored since")
	})
}

// fault is one way of failing at one step of the publish path.
type fault struct {
	name    string
	options []natstest.Option
	inflict func(t *testing.T, r *faultRig)
	want    string                          // word of the answer; "" is 202
	batch   int                             // events stored by the attempt as an atomic batch, -1 when the stream cannot be asked
	plain   int                             // and as plain publishes
	mend    func(t *testing.T, r *faultRig) // nil when nothing failed
}

func faults() []fault {
	accept := func(_ *testing.T, r *faultRig) { r.judge(nil); r.proxy.Accept() }
	message := func(i int, fate natstest.Fate, gone bool) func(*testing.T, *faultRig) {
		return func(_ *testing.T, r *faultRig) { r.onMessage(i, fate, gone) }
	}
	acks := func(i int, fate natstest.Fate, gone bool) func(*testing.T, *faultRig) {
		return func(_ *testing.T, r *faultRig) { r.onAcks(i, fate, gone) }
	}
	restart := func(t *testing.T, r *faultRig) { r.server = natstest.Restart(t, r.server) }
	stream := func(change func(*jetstream.StreamConfig)) func(*testing.T, *faultRig) {
		return func(t *testing.T, r *faultRig) { r.updateStream(t, change) }
	}
	remove := func(t *testing.T, r *faultRig) {
		if err := r.js.DeleteStream(t.Context(), "MEWS_EVENTS"); err != nil {
			t.Fatal(err)
		}
	}
	return []fault{
		{"cut before the first message", nil, message(1, natstest.Cut, true), "nats-unavailable", 0, 0, accept},
		{"cut within the first message", nil, message(1, natstest.HalfCut, true), "nats-unavailable", 0, 0, accept},
		{"cut in the middle", nil, message(3, natstest.Cut, true), "nats-unavailable", 0, 2, accept},
		{"cut within the commit", nil, message(faultEvents, natstest.HalfCut, true), "nats-unavailable", 0, faultEvents - 1, accept},
		{"cut before the commit", nil, message(faultEvents, natstest.Cut, true), "nats-unavailable", 0, faultEvents - 1, accept},
		{"cut after the commit", nil, message(faultEvents, natstest.PassCut, true), "nats-unavailable", faultEvents, faultEvents, accept},
		{"cut within the acknowledgement", nil, acks(1, natstest.HalfCut, true), "nats-unavailable", faultEvents, faultEvents, accept},
		{"acknowledgement lost", nil, acks(1, natstest.Drop, false), "not-acknowledged", faultEvents, faultEvents, accept},
		{"commit lost", nil, message(faultEvents, natstest.Drop, false), "not-acknowledged", 0, faultEvents - 1, accept},

		{"cut before the first message, and back", nil, message(1, natstest.Cut, false), "", faultEvents, faultEvents, nil},
		{"cut in the middle, and back", nil, message(3, natstest.Cut, false), "", faultEvents, faultEvents, nil},
		{"cut before the commit, and back", nil, message(faultEvents, natstest.Cut, false), "", faultEvents, faultEvents, nil},
		{"cut after the commit, and back", nil, message(faultEvents, natstest.PassCut, false), "", faultEvents, faultEvents, nil},
		{"acknowledgement cut, and back", nil, func(_ *testing.T, r *faultRig) {
			r.judge(func(f natstest.Frame, n int) natstest.Fate {
				if !f.ToServer && n == 1 {
					return natstest.Cut
				}
				return natstest.Pass
			})
		}, "", faultEvents, faultEvents, nil},

		{
			"stream sealed", nil, stream(func(c *jetstream.StreamConfig) { c.Sealed = true }), "storage-refused", 0, 0,
			remove, // it cannot be opened again
		},
		{
			"stream full", nil, stream(func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 2, jetstream.DiscardNew }), "storage-refused", 0, 2,
			stream(func(c *jetstream.StreamConfig) { c.MaxMsgs = -1 }),
		},
		{
			"message too large for the stream", nil, stream(func(c *jetstream.StreamConfig) { c.MaxMsgSize = 10 }), "storage-refused", 0, 0,
			stream(func(c *jetstream.StreamConfig) { c.MaxMsgSize = -1 }),
		},
		{
			"message too large for the server", nil,
			func(t *testing.T, r *faultRig) {
				natstest.Reload(t, r.server, natstest.MaxPayload(100))
				r.proxy.Cut() // a client learns the limit when it connects
				natstest.Eventually(t, "the new limit", func() bool { return r.publisher.MaxPayload() == 100 })
			}, "storage-refused", 0, 0,
			func(t *testing.T, r *faultRig) {
				natstest.Reload(t, r.server, natstest.MaxPayload(8<<20))
				r.proxy.Cut()
				natstest.Eventually(t, "the old limit", func() bool { return r.publisher.MaxPayload() == 8<<20 })
			},
		},
		{
			"no stream", nil, remove, "stream-missing", -1, -1, func(*testing.T, *faultRig) {},
		},
		{
			"atomic publish switched off", nil, stream(func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false }), "", faultEvents, faultEvents, nil,
		},
		{
			"storage used up", []natstest.Option{natstest.MaxStore(1 << 20)},
			func(t *testing.T, r *faultRig) { natstest.Fill(t, r.js) }, "storage-refused", 0, 0,
			func(t *testing.T, r *faultRig) { natstest.Empty(t, r.js) },
		},
		{"JetStream off", nil, func(t *testing.T, r *faultRig) { natstest.StopJetStream(t, r.server) }, "stream-missing", -1, -1, restart},
		{"server in lame duck", nil, func(t *testing.T, r *faultRig) { natstest.LameDuck(t, r.server) }, "stream-missing", -1, -1, restart},
		{"server stopped", nil, func(_ *testing.T, r *faultRig) { natstest.Stop(r.server) }, "nats-unavailable", -1, -1, restart},
		{"server stalled", nil, func(_ *testing.T, r *faultRig) { r.proxy.Stall() }, "not-acknowledged", 0, 0, func(_ *testing.T, r *faultRig) { r.proxy.Resume() }},
	}
}

// TestAcceptedImpliesStored makes the publish path fail at each of its steps, for an atomic batch and for plain publishes. The
// answer is 202 only when everything is stored; the retry stores the rest and nothing twice; and the same bytes once more are a new
// message.
func TestAcceptedImpliesStored(t *testing.T) {
	for _, f := range faults() {
		for mode, stored := range map[string]int{"batch": f.batch, "plain": f.plain} {
			t.Run(f.name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				deadline := 4 * time.Second // time enough to come back
				if f.want != "" {
					deadline = time.Second
				}
				r := newFaultRig(t, mode == "batch", deadline, f.options...)
				testFault(t, r, f, stored)
			})
		}
	}
}

func testFault(t *testing.T, r *faultRig, f fault, stored int) {
	body := faultBody()
	f.inflict(t, r)
	first := r.post(t, body)
	checkAnswer(t, "the attempt", first, f.want)
	natstest.Eventually(t, fmt.Sprintf("%d events stored", stored), func() bool { return r.count(t) == stored })
	if !r.atomic && r.batched.Load() {
		t.Error("the events were sent as an atomic batch")
	}
	if f.want != "" {
		f.mend(t, r)
		makeStreams(t, r.js, r.atomic)
		r.awaitReady(t)
		retry := r.post(t, body)
		if retry.status == 503 { // this machine is busy; Mews tries three times
			retry = r.post(t, body)
		}
		checkAnswer(t, "the retry", retry, "")
		if retry.body["delivery"] != first.body["delivery"] {
			t.Errorf("the retry has delivery %v, the attempt had %v", retry.body["delivery"], first.body["delivery"])
		}
	}
	checkStored(t, r, faultEvents)
	repeat := r.post(t, body)
	checkAnswer(t, "a later message of the same bytes", repeat, "")
	if repeat.body["delivery"] == first.body["delivery"] {
		t.Error("a later message of the same bytes has the delivery of the first")
	}
	checkStored(t, r, 2*faultEvents)
}

func faultBody() string {
	elements := make([]string, faultEvents)
	for i := range elements {
		elements[i] = event("ServiceOrderUpdated", fmt.Sprint("r", i))
	}
	return general(elements...)
}

func checkAnswer(t *testing.T, what string, a answer, word string) {
	t.Helper()
	want := 202
	if word != "" {
		want = 503
	}
	if got, _ := a.body["error"].(string); a.status != want || got != word {
		t.Errorf("%s was answered %d %v, want %d %q", what, a.status, a.body, want, word)
	}
}

// checkStored compares what is stored with n events, each entity equally often.
func checkStored(t *testing.T, r *faultRig, n int) {
	t.Helper()
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint("mews.events.ServiceOrderUpdated.hotel.r", i%faultEvents))
	}
	got := r.subjects(t)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}
