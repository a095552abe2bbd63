package publisher_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
)

// TestRefusedMessagesDoNotFillTheLog has a user publish who may not: NATS reports each message.
func TestRefusedMessagesDoNotFillTheLog(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	s := natstest.Start(t, natstest.User("bridge", "s3cret", "$JS.API.>"))
	cfg := testConfig(s.ClientURL())
	cfg.Username, cfg.Password = "bridge", "s3cret"
	p, err := publisher.New(cfg, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	if err := p.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	waitReady(t, p)
	p.Prefer(false)
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	const events = 500
	if err := p.Publish(ctx, webhook("d", events)); err == nil {
		t.Fatal("published without the permission to")
	}
	reports := func() int { return logs.FilterMessageSnippet("NATS reports an error").Len() }
	natstest.Eventually(t, "NATS to report", func() bool { return reports() > 0 })
	if n := reports(); n > events/5 {
		t.Errorf("%d records of %d refused messages", n, events)
	}
}
