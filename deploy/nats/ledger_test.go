package nats_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
)

// TestSharedLedger has two bridges share their ledger as the user bridge, and proves that nobody else but an operator comes at it.
func TestSharedLedger(t *testing.T) {
	const stream, subject = "KV_MEWS_LEDGER", "$KV.MEWS_LEDGER.k"
	d := startSingle(t)
	operator := d.as(t, "operator", passwords["MEWS_OPERATOR_PASSWORD"], "")
	core, warnings := observer.New(zap.WarnLevel)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	var watching sync.WaitGroup
	seen := make(chan string, 10)
	for i, want := range []bool{true, false} {
		p, stop := d.startPublisher(t, 1, zap.New(core))
		defer stop()
		ledger := p.Ledger(time.Hour)
		if created, err := ledger.Create(ctx, "k", []byte("v")); err != nil || created != want {
			t.Fatalf("bridge %d created the key: %v, %v; want %v", i, created, err, want)
		}
		watching.Go(func() { ledger.Watch(ctx, func(key string, value []byte) { seen <- key + "=" + string(value) }) })
		select {
		case got := <-seen:
			if got != "k=v" {
				t.Errorf("bridge %d sees %s", i, got)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("bridge %d sees nothing", i)
		}
	}
	bucket, err := operator.js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	consumers := func() int {
		info, err := bucket.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return info.State.Consumers
	}
	if n := consumers(); n != 2 {
		t.Errorf("%d consumers watch the bucket, want 2", n)
	}
	end()
	watching.Wait()
	natstest.Eventually(t, "the watches to be taken away", func() bool { return consumers() == 0 })

	for user, own := range map[string]string{"consumer": "MEWS_EVENTS", "integrations": "MEWS_INTEGRATIONS"} {
		c := d.as(t, user, passwords["MEWS_"+strings.ToUpper(user)+"_PASSWORD"], "_INBOX_"+user)
		c.cannotRead(t, stream, subject)
		c.cannotSmuggle(t, own, stream, subject)
		c.cannotChange(t, stream)
		c.cannotSubscribe(t, "$KV.>", subject)
		c.refused(t, subject, "forged")
	}
	bridge := d.as(t, "bridge", passwords["MEWS_BRIDGE_PASSWORD"], "")
	for _, verb := range []string{"DELETE", "PURGE", "MSG.DELETE", "MSG.GET", "SNAPSHOT"} {
		bridge.refused(t, "$JS.API.STREAM."+verb+"."+stream, `{"seq":1}`)
	}
	cfg := d.bridge(1)
	cfg.SharedLedger = true
	if found, err := publisher.Inspect(t.Context(), cfg); err != nil || len(found.Denied)+len(found.Silent) > 0 {
		t.Errorf("what the bridge misses: %+v (%v)", found, err)
	}
	if warnings.Len() > 0 {
		t.Errorf("the bridges warn: %v", warnings.All())
	}
}
