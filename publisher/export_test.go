package publisher

import (
	"time"

	"mewsbridge/schema"
)

// Hasten makes what the connection waits for short, so that a long outage fits into a test.
func Hasten(c *Config) {
	c.pace = pace{reconnectWait: 5 * time.Millisecond, connectTimeout: 50 * time.Millisecond, pingInterval: 50 * time.Millisecond,
		deafTime: 100 * time.Millisecond}
}

// Prefer has events stored by atomic batches, or by plain publishes, and the other way not tried.
func (p *Publisher) Prefer(batches bool) {
	m := pipelined
	if batches {
		m = atomicBatch
	}
	p.committers[schema.KindEvent].prefer(m)
}

// prefer has the chooser know that m is faster, and not look again.
func (c *committer) prefer(m mode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for load := 1; load < 2048; load *= 2 {
		c.chooser.observe(m, load, 1_000_000, time.Second, 0, exact)
		c.chooser.observe(m.other(), load, 1, time.Second, 0, exact)
	}
	for class := range loadClasses {
		c.chooser.classes[class].next = time.Now().Add(time.Hour)
	}
}
