package publisher

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"

	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// TestHistory reads back who was heard, of a stream whose hours have more messages than their share.
func TestHistory(t *testing.T) {
	s := natstest.Start(t)
	p, err := New(Config{URLs: []string{s.ClientURL()}, Prefix: "mews", Replicas: 1, Manage: true, MaxAge: time.Hour, DuplicateWindow: time.Minute}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, "readiness", func() bool { return p.Ready(t.Context()) == nil })
	heard := map[string]int{}
	count := func(eventType, enterprise string, at time.Time) {
		if time.Since(at) > time.Minute || time.Since(at) < -time.Minute {
			t.Errorf("heard at %v", at)
		}
		heard[eventType+" "+enterprise]++
	}
	if err := p.History(t.Context(), time.Now().Add(-time.Hour), count); err != nil || len(heard) != 0 {
		t.Errorf("empty stream: %v, %v", heard, err)
	}
	const n = 2500
	msgs := make([]schema.Message, n)
	for i := range msgs {
		msgs[i] = schema.Message{Kind: schema.KindEvent, ID: fmt.Sprint("d-", i), Subject: fmt.Sprintf("mews.events.CustomerAdded.hotel%d.c%d", i%2, i), Data: []byte("{}")}
	}
	msgs[0].Subject = "mews.events.New._.x"
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := p.Publish(ctx, msgs); err != nil {
		t.Fatal(err)
	}
	if err := p.History(ctx, time.Now().Add(-time.Hour), count); err != nil {
		t.Fatal(err)
	}
	if heard["CustomerAdded hotel0"] != n/2-1 || heard["CustomerAdded hotel1"] != n/2 || heard["New "] != 1 || len(heard) != 3 {
		t.Errorf("heard %v", heard)
	}
	if err := p.History(ctx, time.Now().Add(time.Hour), func(string, string, time.Time) { t.Error("heard what is older than asked for") }); err != nil {
		t.Error(err)
	}
	clear(heard)
	few := history{p: p, prefix: "mews.events.", heard: count, limit: 700}
	if err := few.read(ctx, time.Now().Add(-time.Hour)); err != nil || few.reads != 700 {
		t.Errorf("read %d messages of one hour, want its share of 700: %v", few.reads, err)
	}
	cancel()
	if err := p.History(ctx, time.Now().Add(-time.Hour), count); err == nil {
		t.Error("a history whose context has ended is no error")
	}
}
