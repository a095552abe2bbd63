package bridge_test

import (
	"context"
	"sync/atomic"
	"testing"

	"mewsbridge/bridge"
	"mewsbridge/schema"
)

// shedding is a real publisher that can be told to admit nothing.
type shedding struct {
	bridge.Publisher
	full atomic.Bool
}

func (s *shedding) Admit(ctx context.Context) error {
	if s.full.Load() {
		return schema.ErrOverloaded
	}
	return s.Publisher.Admit(ctx)
}

// TestOverloadIsAnAttempt refuses a webhook before it is parsed. The sender was not told 2xx, so the attempt counts, and its retry
// is the same delivery.
func TestOverloadIsAnAttempt(t *testing.T) {
	s := &shedding{}
	r := newRig(t, func(c *bridge.Config) {
		s.Publisher, c.Endpoints[0].Publisher = c.Endpoints[0].Publisher, s
	})
	body := general(event("New", "n1"))
	s.full.Store(true)
	refused := r.post(t, body)
	if refused.status != 503 || refused.body["error"] != "overloaded" || refused.header.Get("Retry-After") == "" {
		t.Fatalf("answer %d %v", refused.status, refused.body)
	}
	if n := r.bridge.OpenDeliveries(); n != 1 {
		t.Errorf("%d deliveries are open, want 1", n)
	}
	s.full.Store(false)
	accepted := r.post(t, body)
	if accepted.status != 202 || accepted.body["delivery"] != refused.body["delivery"] {
		t.Errorf("the retry: %d %v, want delivery %v", accepted.status, accepted.body, refused.body["delivery"])
	}
	s.full.Store(true)
	for range 3 {
		r.post(t, body)
	}
	if n := r.bridge.OpenDeliveries(); n != 0 {
		t.Errorf("%d deliveries are open after three attempts, want none", n)
	}
}
