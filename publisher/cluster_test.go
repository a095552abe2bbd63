package publisher_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
)

func clusterConfig(servers []*natstest.Server) publisher.Config {
	cfg := testConfig(natstest.URLs(servers...)...)
	cfg.Replicas = 3
	return cfg
}

// load publishes from several senders until stopped and notes what was acknowledged.
type load struct {
	mu           sync.Mutex
	acknowledged []string
	cancel       context.CancelFunc
	senders      sync.WaitGroup
}

func startLoad(t *testing.T, p *publisher.Publisher, senders, perWebhook int) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel}
	for sender := range senders {
		l.senders.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				msgs := webhook(fmt.Sprintf("s%d.%d", sender, i), perWebhook)
				// A sender repeats an attempt that failed, unchanged.
				for attempt := 0; attempt < 3 && ctx.Err() == nil; attempt++ {
					if publish(t, p, msgs) == nil {
						l.mu.Lock()
						l.acknowledged = append(l.acknowledged, ids(msgs)...)
						l.mu.Unlock()
						break
					}
				}
			}
		})
	}
	return l
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged)
}

func (l *load) stop() []string {
	l.cancel()
	l.senders.Wait()
	return l.acknowledged
}

// verify checks that everything acknowledged is stored, and nothing twice.
func verify(t *testing.T, js jetstream.JetStream, acknowledged []string) {
	t.Helper()
	times := map[string]int{}
	for _, id := range storedIDs(t, js, events) {
		times[id]++
	}
	lost := 0
	for _, id := range acknowledged {
		if times[id] == 0 {
			lost++
		}
	}
	for id, n := range times {
		if n > 1 {
			t.Errorf("%s is stored %d times", id, n)
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged messages are not stored", lost, len(acknowledged))
	}
}

func TestClusterSurvivesLossOfTheLeader(t *testing.T) {
	servers := natstest.Cluster(t, 3)
	p := mustStart(t, clusterConfig(servers))
	waitReady(t, p)
	js := natstest.JetStream(t, servers...)

	l := startLoad(t, p, 8, 10)
	defer l.cancel()
	natstest.Eventually(t, "load", func() bool { return l.count() > 1000 })

	stream := mustStream(t, js, events)
	if got := stream.CachedInfo().Config.Replicas; got != 3 {
		t.Fatalf("the stream has %d replicas, want 3", got)
	}
	leader := stream.CachedInfo().Cluster.Leader
	index := slices.IndexFunc(servers, func(s *natstest.Server) bool { return s.Name() == leader })
	natstest.Stop(servers[index])

	before := l.count()
	natstest.Eventually(t, "load after the loss of "+leader, func() bool { return l.count() > before+1000 })
	verify(t, js, l.stop())
}

func TestClusterStepDown(t *testing.T) {
	servers := natstest.Cluster(t, 3)
	p := mustStart(t, clusterConfig(servers))
	waitReady(t, p)
	js := natstest.JetStream(t, servers...)
	l := startLoad(t, p, 8, 10)
	defer l.cancel()
	for range 3 {
		before := l.count()
		natstest.Eventually(t, "load", func() bool { return l.count() > before+500 })
		natstest.Eventually(t, "the leader to step down", func() bool {
			_, err := js.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN."+events, nil, publishTime)
			return err == nil
		})
	}
	verify(t, js, l.stop())
}
