package publisher_test

import (
	"fmt"
	"testing"

	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
)

// TestLongOutageLeavesNoOneDeaf puts everything in the way of a connection that can be, for many attempts each, and expects the same
// publisher to store again after each.
func TestLongOutageLeavesNoOneDeaf(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Token("s3cret"))
	proxy := natstest.StartProxy(t, s)
	cfg := testConfig(proxy.URL())
	cfg.Token = "s3cret"
	publisher.Hasten(&cfg)
	p := mustStart(t, cfg)
	waitReady(t, p)
	const attempts = 12 // in each phase; nats.go gives up after two alike refusals, unless told not to
	for i, phase := range []struct {
		name        string
		begin, mend func()
	}{
		{"refused", func() { proxy.Refuse(); proxy.Cut() }, proxy.Accept},
		{"stalled", proxy.Stall, proxy.Resume},
		{"stalled from the first byte", func() { proxy.Stall(); proxy.Cut() }, proxy.Resume},
		{"not authorised", func() { natstest.Reload(t, s, natstest.Token("another")) }, func() { natstest.Reload(t, s, natstest.Token("s3cret")) }},
		{"stopped", func() { natstest.Stop(s) }, func() { s = natstest.Restart(t, s) }},
	} {
		before := proxy.Clients()
		phase.begin()
		natstest.Eventually(t, phase.name+": attempts to connect", func() bool { return proxy.Clients() >= before+attempts })
		if err := publish(t, p, webhook("away", 1)); err == nil {
			t.Errorf("%s: published", phase.name)
		}
		phase.mend()
		waitReady(t, p)
		if err := publish(t, p, webhook(fmt.Sprint("back", i), 3)); err != nil {
			t.Errorf("after %s: %v", phase.name, err)
		}
	}
}
