package rehearsal

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/cmd/mewsbridge/internal/simulator"
	"mewsbridge/schema"
)

// isolation is a bridge in front of a cluster, and the server that it is connected to.
type isolation struct {
	*stage
	alone   *node
	deliver func() bool // sends a webhook once and reports whether it was stored
}

func newIsolation(t *testing.T) isolation {
	cfg := &Config{Binary: binary, Duration: time.Second, Setups: []Setup{Cluster}, Rate: 1, Events: 3, RetryAfter: time.Second}
	s := newStage(cfg, Cluster, t.TempDir())
	s.ctx, s.fail = context.WithCancelCause(t.Context())
	t.Cleanup(s.tearDown)
	if err := s.setUp(); err != nil {
		t.Fatal(err)
	}
	generator := &simulator.Generator{Seed: 1, Events: 3}
	client := simulator.NewClient(1)
	t.Cleanup(client.CloseIdleConnections)
	sender := simulator.Sender{Client: client, URL: s.bridge.url, Attempts: 1}
	number := 0
	i := isolation{stage: s, deliver: func() bool {
		number++
		return !sender.Send(s.ctx, generator.Body(number)).Dropped
	}}
	if !i.deliver() {
		t.Fatal("not stored before anything is cut")
	}
	for _, n := range s.nodes {
		if n.clients.open() > 0 {
			i.alone = n
		}
	}
	return i
}

// cutOff has nothing pass between the server and the other two. No connection ends.
func (i isolation) cutOff() {
	for _, p := range i.routesOf(i.alone) {
		p.set(stalls)
	}
}

// expectBridgeToLeave waits until webhooks are stored through another server.
func (i isolation) expectBridgeToLeave(t *testing.T) {
	t.Helper()
	began := time.Now()
	inARow := 0 // the first may be acknowledged by what was under way
	if err := waitFor(i.ctx, "webhooks to be stored through another server", time.Minute, func() bool {
		if i.deliver() {
			inARow++
		} else {
			inARow = 0
		}
		return inARow == 5 && i.alone.clients.open() == 0
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("stored again after %v", time.Since(began))
}

// TestBridgeLeavesAServerThatIsCutOff cuts the server that the bridge is connected to off from the other two, for good. The connection
// is fine and nothing is stored through it; the bridge has to find the majority.
func TestBridgeLeavesAServerThatIsCutOff(t *testing.T) {
	t.Parallel()
	i := newIsolation(t)
	i.cutOff()
	i.expectBridgeToLeave(t)
}

// TestBridgeLeavesAServerThatAnswersWithoutALeader keeps the bridge at the server that is cut off until this one, having heard of no leader
// for a while, answers for each stream by itself, as if nothing were wrong.
func TestBridgeLeavesAServerThatAnswersWithoutALeader(t *testing.T) {
	t.Parallel()
	i := newIsolation(t)
	for _, n := range i.nodes {
		if n != i.alone {
			n.clients.set(refuses)
		}
	}
	i.cutOff()
	if err := waitFor(i.ctx, "the server to answer without a leader", time.Minute, i.answersWithoutLeader); err != nil {
		t.Fatal(err)
	}
	if ready, _ := i.bridge.ready(i.ctx); ready {
		t.Error("the bridge says that it is ready")
	}
	for _, n := range i.nodes {
		n.clients.set(passes)
	}
	i.expectBridgeToLeave(t)
}

func (i isolation) answersWithoutLeader() bool {
	conn, err := connect(i.alone.url)
	if err != nil {
		return false
	}
	return use(conn, func(js jetstream.JetStream) error {
		for _, kind := range schema.Kinds() {
			stream, err := js.Stream(i.ctx, kind.Stream(prefix))
			if err != nil {
				return err
			}
			if leader := stream.CachedInfo().Cluster.Leader; leader != "" {
				return fmt.Errorf("led by %s", leader)
			}
		}
		return nil
	}) == nil
}
