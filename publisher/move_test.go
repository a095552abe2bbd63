package publisher_test

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
)

// TestLeavesAServerThatReachesNoStreams is connected to a server without JetStream, which is to a client what one that is cut off from
// its cluster is, when another server comes.
func TestLeavesAServerThatReachesNoStreams(t *testing.T) {
	deaf := natstest.Start(t, func(o *server.Options) { o.JetStream = false })
	whole := natstest.Start(t)
	natstest.Stop(whole)
	cfg := testConfig(natstest.URLs(deaf, whole)...)
	publisher.Hasten(&cfg)
	p := mustStart(t, cfg)
	if err := publish(t, p, webhook("before", 1)); err == nil {
		t.Fatal("stored without JetStream")
	}
	natstest.Restart(t, whole)
	waitReady(t, p)
	if err := publish(t, p, webhook("after", 1)); err != nil {
		t.Error(err)
	}
}
