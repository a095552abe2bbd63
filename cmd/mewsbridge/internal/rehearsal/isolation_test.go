package rehearsal

import (
	"context"
	"testing"
	"time"

	"mewsbridge/cmd/mewsbridge/internal/simulator"
)

// TestBridgeLeavesAServerThatIsCutOff cuts the server that the bridge is connected to off from the other two, for good. The connection
// is fine and nothing is stored through it; the bridge has to find the majority.
func TestBridgeLeavesAServerThatIsCutOff(t *testing.T) {
	t.Parallel()
	cfg := &Config{Binary: binary, Duration: time.Second, Setups: []Setup{Cluster}, Rate: 1, Events: 3, RetryAfter: time.Second}
	s := newStage(cfg, Cluster, t.TempDir())
	s.ctx, s.fail = context.WithCancelCause(t.Context())
	defer s.tearDown()
	if err := s.setUp(); err != nil {
		t.Fatal(err)
	}
	generator := &simulator.Generator{Seed: 1, Events: 3}
	client := simulator.NewClient(1)
	defer client.CloseIdleConnections()
	sender := simulator.Sender{Client: client, URL: s.bridge.url, Attempts: 1}
	number := 0
	delivered := func() bool {
		number++
		return !sender.Send(s.ctx, generator.Body(number)).Dropped
	}
	if !delivered() {
		t.Fatal("not stored before anything is cut")
	}
	var alone *node
	for _, n := range s.nodes {
		if n.clients.open() > 0 {
			alone = n
		}
	}
	for _, p := range s.routesOf(alone) {
		p.set(stalls)
	}
	began := time.Now()
	inARow := 0 // the first may be acknowledged by what was under way
	if err := waitFor(s.ctx, "webhooks to be stored through another server", time.Minute, func() bool {
		if delivered() {
			inARow++
		} else {
			inARow = 0
		}
		return inARow == 5 && alone.clients.open() == 0
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("stored again after %v", time.Since(began))
}
