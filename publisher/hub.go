package publisher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"mewsbridge/schema"
)

// Hub says which JetStream domain is to have what the publisher stores, and fetches it whenever it can be reached: its streams
// source those of the publisher. The server that the publisher is connected to must be a leaf node of it.
type Hub struct {
	Domain     string // of the hub
	EdgeDomain string // of the server that the publisher is connected to
	Replicas   int    // of a stream of the hub that the publisher creates, 1 to 5
}

// hubInbox begins the subjects to which the hub answers: they cross a leaf node connection, which need not carry the answers
// that others get.
const hubInbox = "_INBOX_edge"

// How often the hub is looked at: soon again while something is wrong or missing there.
const (
	hubFirst     = time.Second // by then the leaf node is connected, if it can be
	hubSettled   = 5 * time.Second
	hubUnsettled = 2 * time.Second
)

// HubStatus says what the hub has of the streams here.
type HubStatus struct {
	Problem error             // nil when the hub answered the last time it was asked, and its streams source those here
	Reached time.Time         // when that was last so; zero when never
	Lag     map[string]uint64 // by stream: how many messages the hub does not have yet, as far as is known
}

// settled reports whether the hub has everything.
func (s HubStatus) settled() bool {
	for _, lag := range s.Lag {
		if lag > 0 {
			return false
		}
	}
	return s.Problem == nil
}

// hub keeps the streams of a hub and knows how far they are behind.
type hub struct {
	publisher *Publisher
	cfg       Hub
	js        jetstream.JetStream // of the hub's domain

	mu      sync.Mutex
	problem error
	at      time.Time     // when problem was last nil
	fetched [kinds]uint64 // the last sequence of the stream here that the hub has
	stored  [kinds]uint64 // the last sequence of the stream here

	lag, reached, reachedAt *prometheus.Desc
}

func newHub(p *Publisher, cfg Hub) (*hub, error) {
	js, err := jetstream.NewWithDomain(p.conn, cfg.Domain, jetstream.WithDefaultTimeout(apiTimeout))
	if err != nil {
		return nil, fmt.Errorf("use the hub's JetStream: %w", err)
	}
	prefix := prometheus.Labels{"prefix": p.cfg.Prefix}
	return &hub{
		publisher: p, cfg: cfg, js: js, problem: errors.New("the hub has not been asked yet"),
		lag:       prometheus.NewDesc("mewsbridge_hub_lag_messages", "Messages of a stream here that the hub does not have yet.", []string{"stream"}, prefix),
		reached:   prometheus.NewDesc("mewsbridge_hub_reached", "1 when the hub answered the last time and its streams source those here, otherwise 0.", nil, prefix),
		reachedAt: prometheus.NewDesc("mewsbridge_hub_reached_timestamp_seconds", "When mewsbridge_hub_reached was last 1; 0 when never.", nil, prefix),
	}, nil
}

// run looks after the hub until ctx ends.
func (h *hub) run(ctx context.Context) {
	timer := time.NewTimer(hubFirst)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		h.check(ctx)
		if h.status().settled() {
			timer.Reset(hubSettled)
		} else {
			timer.Reset(hubUnsettled)
		}
	}
}

// check makes each stream of the hub source the one here, and notes how far it is. The lag is known without the hub, too.
func (h *hub) check(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, createTimeLimit)
	defer cancel()
	var errs []error
	for _, kind := range schema.Kinds() {
		name := kind.Stream(h.publisher.cfg.Prefix)
		here, err := h.publisher.js.Stream(ctx, name)
		if err != nil {
			errs = append(errs, fmt.Errorf("stream %s: %w", name, err))
			continue
		}
		h.noteStored(kind, here.CachedInfo().State.LastSeq)
		if len(errs) > 0 {
			continue // one unanswered question is enough
		}
		if err := h.ensure(ctx, kind); err != nil {
			errs = append(errs, fmt.Errorf("stream %s of the hub: %w", name, err))
		}
	}
	h.note(errors.Join(errs...))
}

// config is what the publisher creates at the hub. The stream has no subjects of its own: what is stored under these here is
// not published there.
func (h *hub) config(kind schema.Kind) jetstream.StreamConfig {
	c := h.publisher.cfg.streamConfig(kind)
	c.Subjects, c.Replicas = nil, h.cfg.Replicas
	c.Sources = []*jetstream.StreamSource{h.source(kind)}
	return c
}

// source is the stream here. It begins with the first message also where the hub's stream has messages of others already: a source
// without a start would begin at the time of the newest of these, and leave out what is older here. A hub that has no message of
// ours left, and is started again, so fetches again what is still here.
func (h *hub) source(kind schema.Kind) *jetstream.StreamSource {
	return &jetstream.StreamSource{
		Name: kind.Stream(h.publisher.cfg.Prefix), OptStartSeq: 1,
		External: &jetstream.ExternalStream{APIPrefix: h.apiPrefix()},
	}
}

func (h *hub) apiPrefix() string { return "$JS." + h.cfg.EdgeDomain + ".API" }

func (h *hub) isOurs(name string, external *jetstream.ExternalStream, kind schema.Kind) bool {
	return name == kind.Stream(h.publisher.cfg.Prefix) && external != nil && external.APIPrefix == h.apiPrefix()
}

// ensure has the hub's stream source the one here, and notes what it has of it.
func (h *hub) ensure(ctx context.Context, kind schema.Kind) error {
	want := h.config(kind)
	stream, err := h.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) && h.publisher.cfg.Manage {
		if stream, err = h.js.CreateStream(ctx, want); err == nil {
			h.publisher.log.Info("stream created at the hub", zap.String("stream", want.Name), zap.Int("replicas", want.Replicas))
		}
	}
	if err != nil {
		return h.unreachable(err)
	}
	have := stream.CachedInfo().Config
	sourced := slices.ContainsFunc(have.Sources, func(s *jetstream.StreamSource) bool { return h.isOurs(s.Name, s.External, kind) })
	switch {
	case sourced:
	case !h.publisher.cfg.Manage:
		return fmt.Errorf("it does not source the stream of domain %s", h.cfg.EdgeDomain)
	default:
		have.Sources = append(have.Sources, h.source(kind))
		if stream, err = h.js.UpdateStream(ctx, have); err != nil {
			return fmt.Errorf("add domain %s to its sources: %w", h.cfg.EdgeDomain, h.unreachable(err))
		}
		h.publisher.log.Info("stream of the hub sources the one here", zap.String("stream", want.Name))
	}
	for _, s := range stream.CachedInfo().Sources {
		if h.isOurs(s.Name, s.External, kind) {
			h.noteFetched(kind, s)
		}
	}
	return nil
}

// unreachable says in words what it means that nobody answers.
func (h *hub) unreachable(err error) error {
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("domain %s does not answer, for want of a connection or of a permission: %w", h.cfg.Domain, err)
	}
	return err
}

func (h *hub) noteStored(kind schema.Kind, last uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stored[kind] = last
	h.fetched[kind] = min(h.fetched[kind], last)
}

// noteFetched takes in what the hub says. A hub before 2.14 does not name the sequence, and says only what it knows to be missing.
func (h *hub) noteFetched(kind schema.Kind, s *jetstream.StreamSourceInfo) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case s.Seq > 0:
		h.fetched[kind] = min(s.Seq, h.stored[kind])
	case s.Active >= 0:
		h.fetched[kind] = h.stored[kind] - min(s.Lag, h.stored[kind])
	}
}

// note logs a problem when it is new, and its end.
func (h *hub) note(problem error) {
	h.mu.Lock()
	before := h.problem
	h.problem = problem
	if problem == nil {
		h.at = time.Now()
	}
	h.mu.Unlock()
	switch {
	case problem == nil && before != nil:
		h.publisher.log.Info("the hub fetches what is stored here", zap.String("domain", h.cfg.Domain))
	case problem != nil && (before == nil || before.Error() != problem.Error()) && !h.publisher.stopping.Load():
		h.publisher.log.Warn("the hub does not fetch what is stored here; it is kept until it does", zap.Error(problem))
	}
}

func (h *hub) status() HubStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := HubStatus{Problem: h.problem, Reached: h.at, Lag: make(map[string]uint64, kinds)}
	for _, kind := range schema.Kinds() {
		s.Lag[kind.Stream(h.publisher.cfg.Prefix)] = h.stored[kind] - h.fetched[kind]
	}
	return s
}

// Describe makes the hub a prometheus.Collector.
func (h *hub) Describe(ch chan<- *prometheus.Desc) {
	ch <- h.lag
	ch <- h.reached
	ch <- h.reachedAt
}

// Collect makes the hub a prometheus.Collector. It asks nobody.
func (h *hub) Collect(ch chan<- prometheus.Metric) {
	s := h.status()
	for stream, lag := range s.Lag {
		ch <- prometheus.MustNewConstMetric(h.lag, prometheus.GaugeValue, float64(lag), stream)
	}
	ch <- prometheus.MustNewConstMetric(h.reached, prometheus.GaugeValue, oneIf(s.Problem == nil))
	at := 0.0
	if !s.Reached.IsZero() {
		at = float64(s.Reached.UnixMilli()) / 1000
	}
	ch <- prometheus.MustNewConstMetric(h.reachedAt, prometheus.GaugeValue, at)
}

// Hub returns what the hub has of the streams here; ok is false when there is none.
func (p *Publisher) Hub() (status HubStatus, ok bool) {
	if p.hub == nil {
		return HubStatus{}, false
	}
	return p.hub.status(), true
}
