package publisher

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// latencyBuckets are in seconds. They tell a fast disk from a slow one, and are close together where Mews's limit of 5 s is near.
func latencyBuckets() []float64 {
	return []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 3, 4, 5}
}

func groupBuckets() []float64 {
	return []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}
}

// String is the mode's value of the label mode.
func (m mode) String() string {
	if m == atomicBatch {
		return "batch"
	}
	return "plain"
}

// verdicts names what a failed attempt can come to: the values of the label cause.
var verdicts = map[verdict]string{
	tryAgain: "unanswered", tryAlone: "duplicate", tryPlain: "no-batches", nobodyThere: "stream-missing", refused: "refused",
}

// committerMetrics measures one stream's committer. Each series is resolved once, so that an observation is a few atomic additions.
type committerMetrics struct {
	publishSeconds prometheus.Histogram
	queueSeconds   prometheus.Histogram
	commitSeconds  [modes]prometheus.Histogram
	commitEvents   [modes]prometheus.Histogram
	failures       [refused + 1]prometheus.Counter // by verdict; none for stored
	shed           prometheus.Counter

	queueEvents, queueBytes, flightEvents *prometheus.Desc
}

func newCommitterMetrics(stream string) *committerMetrics {
	with := func(more ...string) prometheus.Labels {
		labels := prometheus.Labels{"stream": stream}
		for i := 0; i < len(more); i += 2 {
			labels[more[i]] = more[i+1]
		}
		return labels
	}
	histogram := func(name, help string, buckets []float64, labels prometheus.Labels) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets, ConstLabels: labels})
	}
	counter := func(name, help string, labels prometheus.Labels) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels})
	}
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, with()) }
	m := &committerMetrics{
		publishSeconds: histogram("mewsbridge_publish_duration_seconds",
			"Time from handing a webhook's messages to a stream's queue until they are acknowledged or have failed.", latencyBuckets(), with()),
		queueSeconds: histogram("mewsbridge_queue_duration_seconds",
			"Time a webhook waits in a stream's queue before its first attempt.", latencyBuckets(), with()),
		shed: counter("mewsbridge_publishes_shed_total",
			"Webhooks refused at once because the queue said that they could not be stored in time.", with()),
		queueEvents:  desc("mewsbridge_queue_events", "Events that wait in a stream's queue."),
		queueBytes:   desc("mewsbridge_queue_bytes", "Bytes that wait in a stream's queue."),
		flightEvents: desc("mewsbridge_events_in_flight", "Events sent to a stream whose acknowledgement has not come."),
	}
	for i := range modes {
		m.commitSeconds[i] = histogram("mewsbridge_commit_duration_seconds",
			"Time from sending a commit to its last acknowledgement, by mode: atomic batch or plain publishes.", latencyBuckets(), with("mode", i.String()))
		m.commitEvents[i] = histogram("mewsbridge_commit_events", "Events stored by one commit.", groupBuckets(), with("mode", i.String()))
	}
	for v, cause := range verdicts {
		m.failures[v] = counter("mewsbridge_commit_failures_total",
			"Attempts to store that failed; most are repeated within the webhook's deadline.", with("cause", cause))
	}
	return m
}

func (m *committerMetrics) collectors() []prometheus.Collector {
	all := []prometheus.Collector{m.publishSeconds, m.queueSeconds, m.shed}
	for i := range modes {
		all = append(all, m.commitSeconds[i], m.commitEvents[i])
	}
	for _, c := range m.failures {
		if c != nil {
			all = append(all, c)
		}
	}
	return all
}

// Describe makes the committer a prometheus.Collector of its own figures.
func (c *committer) Describe(ch chan<- *prometheus.Desc) {
	for _, part := range c.metrics.collectors() {
		part.Describe(ch)
	}
	ch <- c.metrics.queueEvents
	ch <- c.metrics.queueBytes
	ch <- c.metrics.flightEvents
}

// Collect makes the committer a prometheus.Collector of its own figures.
func (c *committer) Collect(ch chan<- prometheus.Metric) {
	for _, part := range c.metrics.collectors() {
		part.Collect(ch)
	}
	c.mu.Lock()
	events, bytes, flying := c.queuedEvents, c.queuedBytes, c.flightEvents
	c.mu.Unlock()
	ch <- prometheus.MustNewConstMetric(c.metrics.queueEvents, prometheus.GaugeValue, float64(events))
	ch <- prometheus.MustNewConstMetric(c.metrics.queueBytes, prometheus.GaugeValue, float64(bytes))
	ch <- prometheus.MustNewConstMetric(c.metrics.flightEvents, prometheus.GaugeValue, float64(flying))
}

// departed notes how long the webhooks of a flight waited that go for the first time.
func (m *committerMetrics) departed(f *flight, now time.Time) {
	f.sent = now
	for _, p := range f.group {
		if !p.tried {
			p.tried = true
			m.queueSeconds.Observe(now.Sub(p.arrived).Seconds())
		}
	}
}

// landed notes a commit that is stored.
func (m *committerMetrics) landed(f *flight, now time.Time) {
	m.commitSeconds[f.mode].Observe(now.Sub(f.sent).Seconds())
	m.commitEvents[f.mode].Observe(float64(f.events))
}

// connectionMetrics is the state of one publisher's connection and streams.
type connectionMetrics struct {
	connected, reconnects, ready *prometheus.Desc
}

func newConnectionMetrics(prefix string) *connectionMetrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, nil, prometheus.Labels{"prefix": prefix})
	}
	return &connectionMetrics{
		connected:  desc("mewsbridge_nats_connected", "1 while the connection to NATS is up, otherwise 0."),
		reconnects: desc("mewsbridge_nats_reconnects_total", "How often the connection to NATS was made again."),
		ready:      desc("mewsbridge_streams_ready", "1 when every stream was there and as it should be at the last look, otherwise 0."),
	}
}

// Describe makes the publisher a prometheus.Collector of its connection, its queues and its streams.
func (p *Publisher) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range p.committers {
		c.Describe(ch)
	}
	ch <- p.metrics.connected
	ch <- p.metrics.reconnects
	ch <- p.metrics.ready
	p.figures.describe(ch)
}

// Collect makes the publisher a prometheus.Collector. It waits for NATS no longer than figuresWait.
func (p *Publisher) Collect(ch chan<- prometheus.Metric) {
	for _, c := range p.committers {
		c.Collect(ch)
	}
	connected := p.connected.Load()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	gauge(p.metrics.connected, oneIf(connected))
	gauge(p.metrics.ready, oneIf(connected && p.streamsProblem.Load() == nil))
	ch <- prometheus.MustNewConstMetric(p.metrics.reconnects, prometheus.CounterValue, float64(p.conn.Stats().Reconnects))
	p.figures.collect(ch, connected)
}

func oneIf(condition bool) float64 {
	if condition {
		return 1
	}
	return 0
}
