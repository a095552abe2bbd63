package bridge_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/bridge"
	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
)

// newClusterRig is a fault rig on a cluster of three. The bridge reaches the node that leads the events stream through the
// proxy and knows no other way to it.
func newClusterRig(t *testing.T, servers []*natstest.Server, atomicBatch bool, deadline time.Duration) *faultRig {
	t.Helper()
	// A first bridge makes the streams; then it is known who leads.
	newRigOn(t, servers, nil).setAtomic(t, atomicBatch)
	proxy := natstest.StartProxy(t, leaderOf(t, servers))
	r := newRigWith(t, servers, func(c *publisher.Config) {
		c.URLs, c.Manage = []string{proxy.URL()}, false
	}, func(c *bridge.Config) { c.AckDeadline = deadline })
	f := &faultRig{rig: r, proxy: proxy, atomic: atomicBatch}
	f.judge(nil)
	return f
}

func (r *rig) setAtomic(t *testing.T, allow bool) {
	t.Helper()
	natstest.Eventually(t, "the stream to be updated", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		stream, err := r.js.Stream(ctx, "MEWS_EVENTS")
		if err != nil {
			return false
		}
		config := stream.CachedInfo().Config
		config.AllowAtomicPublish = allow
		_, err = r.js.UpdateStream(ctx, config)
		return err == nil
	})
}

func leaderOf(t *testing.T, servers []*natstest.Server) *natstest.Server {
	t.Helper()
	js := natstest.JetStream(t, servers...)
	var leader *natstest.Server
	natstest.Eventually(t, "a leader of MEWS_EVENTS", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		stream, err := js.Stream(ctx, "MEWS_EVENTS")
		if err != nil {
			return false
		}
		for _, s := range servers {
			if s.Name() == stream.CachedInfo().Cluster.Leader {
				leader = s
			}
		}
		return leader != nil
	})
	return leader
}

// stepDown has the leader of the events stream hand over.
func stepDown(js jetstream.JetStream) {
	// It may have stepped down already; the test looks at what is stored.
	_, _ = js.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN.MEWS_EVENTS", nil, time.Second)
}

// TestLeaderChangesWhilePublishing has the leader step down before, within and after the messages of a webhook, and has the node
// go into lame duck.
func TestLeaderChangesWhilePublishing(t *testing.T) {
	for mode, atomicBatch := range map[string]bool{"batch": true, "plain": false} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			servers := natstest.Cluster(t, 3)
			for at, i := range map[string]int{"first message": 1, "middle": 3, "commit": faultEvents, "acknowledgement": 0} {
				t.Run(at, func(t *testing.T) {
					r := newClusterRig(t, servers, atomicBatch, 4*time.Second)
					r.judge(func(f natstest.Frame, n int) natstest.Fate {
						if f.ToServer && n == i || !f.ToServer && i == 0 && n == 1 {
							stepDown(r.js)
						}
						return natstest.Pass
					})
					testRetried(t, r)
				})
			}
			t.Run("lame duck", func(t *testing.T) {
				r := newClusterRig(t, servers, atomicBatch, 4*time.Second)
				natstest.LameDuck(t, leaderOf(t, servers))
				testRetried(t, r)
			})
		})
	}
}

// testRetried sends a webhook as Mews does, three times at most, and checks that each event is stored once.
func testRetried(t *testing.T, r *faultRig) {
	t.Helper()
	var deliveries []any
	for attempt := 1; ; attempt++ {
		a := r.post(t, faultBody())
		deliveries = append(deliveries, a.body["delivery"])
		if a.status == 202 {
			break
		}
		if attempt == 3 {
			t.Fatalf("the third attempt was answered %d %v", a.status, a.body)
		}
	}
	for _, d := range deliveries {
		if d != deliveries[0] {
			t.Errorf("the attempts had deliveries %v", deliveries)
		}
	}
	checkStored(t, r, faultEvents)
}

// TestDuplicateInProgress takes a leader its followers away: what it proposed is neither stored nor forgotten, and the retry is
// told that its ids are in process. With the followers back, everything is stored once.
func TestDuplicateInProgress(t *testing.T) {
	for mode, atomicBatch := range map[string]bool{"batch": true, "plain": false} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			servers := natstest.Cluster(t, 3)
			r := newClusterRig(t, servers, atomicBatch, time.Second)
			var inProcess atomic.Int64
			r.proxy.Judge(func(f natstest.Frame) natstest.Fate {
				if !f.ToServer && strings.Contains(string(f.Data), `"err_code":10158`) {
					inProcess.Add(1)
				}
				return natstest.Pass
			})
			leader := leaderOf(t, servers)
			for _, s := range servers {
				if s != leader {
					natstest.Stop(s)
				}
			}
			first := r.post(t, faultBody())
			checkAnswer(t, "the attempt", first, "not-acknowledged")
			second := r.post(t, faultBody())
			checkAnswer(t, "the second attempt", second, "nats-unavailable")
			if inProcess.Load() == 0 {
				t.Error("the server did not say that the ids are in process")
			}
			for _, s := range servers {
				if s != leader {
					natstest.Restart(t, s)
				}
			}
			natstest.Eventually(t, "readiness", func() bool { return r.readiness(t).status == 200 })
			third := r.post(t, faultBody())
			checkAnswer(t, "the third attempt", third, "")
			if third.body["delivery"] != first.body["delivery"] {
				t.Errorf("the third attempt has delivery %v, the first had %v", third.body["delivery"], first.body["delivery"])
			}
			checkStored(t, r, faultEvents)
		})
	}
}
