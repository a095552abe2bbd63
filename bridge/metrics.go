package bridge

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mewsbridge/schema"
)

// bodyKind is what a body turned out to be: the label kind.
type bodyKind uint8

const (
	bodyUnread      bodyKind = iota // not read, or not JSON
	bodyGeneral                     // a General webhook
	bodyIntegration                 // an Integration webhook
	bodyUnknown                     // JSON that is neither, or that is quarantined whole
	bodyKinds
)

func (k bodyKind) String() string {
	return [...]string{"unread", "general", "integration", "unknown"}[k]
}

// The outcomes of a webhook that is answered 202; the others are the words of the table of answers.
const (
	outcomeStored     = "stored"
	outcomeSenderGone = "sender-gone"
)

// otherType stands for every type of event that is not documented, so that a sender cannot make series.
const otherType = "other"

// answers are the answers to an authenticated or refused webhook other than 202.
func answers() []kind {
	all := []kind{notJSON, bodyIncomplete, unauthorized, tooLarge, badEncoding, failedOver, internal}
	for _, row := range publishFailures {
		all = append(all, row.kind)
	}
	return all
}

// observation is what is measured of one webhook while it is handled.
type observation struct {
	arrived       time.Time // by the machine's clock: deadlines and durations count from here
	received      time.Time // the same moment by Config.Now
	authenticated bool
	trace         webhookTrace
	kind          bodyKind
	retry         bool
	told          bool
	moved         bool // its sender was sent to the standby
	stored        bool
	delivery      delivery // when stored
}

// types are the documented types of events, General and Integration together, and other.
type types struct {
	index map[string]int
	names []string // the last is otherType
}

func newTypes() types {
	t := types{index: map[string]int{}}
	for _, d := range schema.KnownDiscriminators() {
		t.names = append(t.names, string(d))
	}
	for _, a := range schema.KnownActions() {
		t.names = append(t.names, string(a))
	}
	for i, name := range t.names {
		t.index[name] = i
	}
	t.names = append(t.names, otherType)
	return t
}

// of returns the index of a type.
func (t types) of(name string) int {
	if i, known := t.index[name]; known {
		return i
	}
	return t.other()
}

func (t types) other() int { return len(t.names) - 1 }

// endpointMetrics are the series of one endpoint, each resolved once, so that a webhook costs a few atomic additions.
type endpointMetrics struct {
	name     string
	types    types
	drifts   *drift
	drift    map[string]prometheus.Counter            // by what
	webhooks [bodyKinds]map[string]prometheus.Counter // by outcome
	events   []prometheus.Counter                     // by type
	reasons  map[schema.Reason]prometheus.Counter
	retries  prometheus.Counter
	inFlight prometheus.Gauge
	answer   prometheus.Histogram
	last     prometheus.Gauge
}

// metrics are those of a Bridge.
type metrics struct {
	webhooks, events, quarantined, retries *prometheus.CounterVec
	refused, drift                         *prometheus.CounterVec
	inFlight, last                         *prometheus.GaugeVec
	answer                                 *prometheus.HistogramVec

	bodyBytes, bodyLimit, tokens  *prometheus.Desc
	open, atRisk, untilLoss, lost *prometheus.Desc
}

// answerBuckets are in seconds, closest where Mews stops waiting.
func answerBuckets() []float64 {
	return []float64{.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 3, 4, 4.5, 5}
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"endpoint"})
	}
	m := &metrics{
		webhooks: counter("mewsbridge_webhooks_total",
			"Webhooks by what the body was, what became of it and the status of the answer.", "endpoint", "kind", "outcome", "status"),
		events:      counter("mewsbridge_events_total", "Events stored, by type; other stands for all that are not documented.", "endpoint", "type"),
		quarantined: counter("mewsbridge_quarantined_total", "Bodies and single events stored in quarantine, by reason.", "endpoint", "reason"),
		retries:     counter("mewsbridge_retries_total", "Webhooks that were recognised as a further attempt at one not answered 2xx.", "endpoint"),
		refused:     counter("mewsbridge_requests_refused_total", "Requests that reached no endpoint, on either listener.", "reason"),
		drift: counter("mewsbridge_contract_drift_total",
			"Things that Mews sent and does not document: discriminators, actions, members of the body, kinds of body.", "endpoint", "what"),
		inFlight: gauge("mewsbridge_webhooks_in_flight", "Webhooks that are being handled."),
		last:     gauge("mewsbridge_last_webhook_timestamp_seconds", "When the last webhook with a live token arrived; 0 when none did since the start."),
		answer: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "mewsbridge_answer_duration_seconds", Buckets: answerBuckets(),
			Help: "Time from a webhook's arrival to its answer, of those with a live token. Mews gives up after 5 s.",
		}, []string{"endpoint"}),
		bodyBytes: prometheus.NewDesc("mewsbridge_body_bytes_in_flight", "Memory taken by the bodies that are being handled.", nil, nil),
		bodyLimit: prometheus.NewDesc("mewsbridge_body_bytes_limit", "Memory that such bodies may take; a webhook beyond it is refused as overloaded.", nil, nil),
		open:      prometheus.NewDesc("mewsbridge_open_deliveries", "Deliveries that were not answered 2xx and wait for their retry.", []string{"endpoint"}, nil),
		atRisk: prometheus.NewDesc("mewsbridge_deliveries_at_risk",
			"Deliveries that failed and are lost unless one of Mews's remaining attempts is stored.", []string{"endpoint"}, nil),
		untilLoss: prometheus.NewDesc("mewsbridge_seconds_until_loss",
			"Time until the last attempt at the first of them is due, as far as the retry spacing tells; 0 when overdue, +Inf when none is at risk.", []string{"endpoint"}, nil),
		lost: prometheus.NewDesc("mewsbridge_deliveries_lost_total",
			"Deliveries that Mews will not send again: their third attempt failed, or no retry came within the retry window.", []string{"endpoint", "cause"}, nil),
		tokens: prometheus.NewDesc("mewsbridge_token_last_used_timestamp_seconds",
			"When a token was last sent; 0 when it was not since the start.", []string{"endpoint", "token"}, nil),
	}
	for _, k := range []kind{notFound, badMethod} {
		m.refused.WithLabelValues(k.word)
	}
	return m
}

// endpoint resolves the series of one endpoint; they start at 0.
func (m *metrics) endpoint(name string, drifts *drift) *endpointMetrics {
	e := &endpointMetrics{
		name: name, types: newTypes(), drifts: drifts, drift: map[string]prometheus.Counter{}, reasons: map[schema.Reason]prometheus.Counter{},
		retries: m.retries.WithLabelValues(name), inFlight: m.inFlight.WithLabelValues(name),
		answer: m.answer.WithLabelValues(name).(prometheus.Histogram), last: m.last.WithLabelValues(name),
	}
	for k := range bodyKinds {
		e.webhooks[k] = map[string]prometheus.Counter{}
		for _, outcome := range []string{outcomeStored, outcomeSenderGone} {
			if k != bodyUnread {
				e.webhooks[k][outcome] = m.webhooks.WithLabelValues(name, k.String(), outcome, "202")
			}
		}
		for _, a := range answers() {
			if k == bodyUnread || possible(a) {
				e.webhooks[k][a.word] = m.webhooks.WithLabelValues(name, k.String(), a.word, strconv.Itoa(a.status))
			}
		}
	}
	for _, eventType := range e.types.names {
		e.events = append(e.events, m.events.WithLabelValues(name, eventType))
	}
	for _, what := range driftKinds() {
		e.drift[what] = m.drift.WithLabelValues(name, what)
	}
	for _, reason := range schema.Reasons() {
		e.reasons[reason] = m.quarantined.WithLabelValues(name, string(reason))
	}
	return e
}

// possible reports whether a webhook whose body was understood can be answered so.
func possible(a kind) bool { return a.status == 503 || a == failedOver }

// result returns what the webhook came to, in a stable word, and the status of its answer.
func (o *observation) result(err error) (outcome string, status int) {
	if err != nil {
		f := failureOf(err)
		return f.kind.word, f.kind.status
	}
	if !o.told {
		return outcomeSenderGone, http.StatusAccepted
	}
	return outcomeStored, http.StatusAccepted
}

// done takes in one webhook that was handled.
func (m *endpointMetrics) done(o *observation, outcome string) {
	if c := m.webhooks[o.kind][outcome]; c != nil {
		c.Inc()
	}
	if o.retry {
		m.retries.Inc()
	}
	if o.authenticated {
		m.answer.Observe(time.Since(o.arrived).Seconds())
		m.last.Set(float64(o.received.UnixMilli()) / 1000)
	}
	if o.stored {
		m.count(&o.delivery)
	}
}

// count takes in the messages of a webhook that is stored.
func (m *endpointMetrics) count(d *delivery) {
	for i := range d.messages {
		if q := d.messages[i].Quarantine; q != nil {
			m.reasons[q.Reason].Inc()
		}
	}
	w := d.webhook
	if w == nil {
		return
	}
	m.drifted(w)
	if w.Kind == schema.KindQuarantine {
		return
	}
	if w.Kind == schema.KindIntegration {
		m.events[m.types.of(string(w.Action))].Inc()
		return
	}
	// Events of one type come together: one addition for each run of them.
	run, last := 0, schema.Discriminator("")
	for i := range w.Events {
		e := &w.Events[i]
		if e.Quarantined() {
			continue
		}
		if e.Discriminator != last {
			m.countEvents(last, run)
			run, last = 0, e.Discriminator
		}
		run++
	}
	m.countEvents(last, run)
}

// countEvents takes in n events of one type.
func (m *endpointMetrics) countEvents(d schema.Discriminator, n int) {
	if n == 0 {
		return
	}
	index := m.types.of(string(d))
	m.events[index].Add(float64(n))
	if index == m.types.other() {
		m.drift[driftDiscriminator].Add(float64(n))
		m.drifts.note(m.name, driftDiscriminator, driftName(string(d)))
	}
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.webhooks, m.events, m.quarantined, m.retries, m.refused, m.drift, m.inFlight, m.last, m.answer}
}

// Describe makes the bridge a prometheus.Collector.
func (b *Bridge) Describe(ch chan<- *prometheus.Desc) {
	m := b.metrics
	for _, c := range m.collectors() {
		c.Describe(ch)
	}
	for _, d := range []*prometheus.Desc{m.bodyBytes, m.bodyLimit, m.tokens, m.open, m.atRisk, m.untilLoss, m.lost} {
		ch <- d
	}
}

// Collect makes the bridge a prometheus.Collector.
func (b *Bridge) Collect(ch chan<- prometheus.Metric) {
	m := b.metrics
	for _, c := range m.collectors() {
		c.Collect(ch)
	}
	send := func(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, t, v, labels...)
	}
	send(m.bodyBytes, prometheus.GaugeValue, float64(b.bodies.used.Load()))
	send(m.bodyLimit, prometheus.GaugeValue, float64(b.bodies.limit))
	for _, use := range b.TokenUses() {
		seconds := 0.0
		if !use.Last.IsZero() {
			seconds = float64(use.Last.UnixMilli()) / 1000
		}
		send(m.tokens, prometheus.GaugeValue, seconds, use.Endpoint, use.Token)
	}
	for _, risk := range b.Risks() {
		until := math.Inf(1)
		if risk.AtRisk > 0 {
			until = risk.UntilLoss.Seconds()
		}
		send(m.open, prometheus.GaugeValue, float64(risk.Open), risk.Endpoint)
		send(m.atRisk, prometheus.GaugeValue, float64(risk.AtRisk), risk.Endpoint)
		send(m.untilLoss, prometheus.GaugeValue, until, risk.Endpoint)
		send(m.lost, prometheus.CounterValue, float64(risk.LostAttempts), risk.Endpoint, "attempts")
		send(m.lost, prometheus.CounterValue, float64(risk.LostSilent), risk.Endpoint, "no-retry")
	}
}
