package publisher

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"mewsbridge/schema"
)

// MaxConsumerSeries bounds the consumers of one stream that have series of their own: the durable ones that are furthest behind.
const MaxConsumerSeries = 50

// How the figures of the streams are read. They are read only when somebody asks for the metrics, and never while a scrape waits
// for longer than figuresWait.
const (
	figuresFresh   = 5 * time.Second // not read again before
	figuresStale   = time.Minute     // not shown any more after
	figuresWait    = 500 * time.Millisecond
	figuresTimeout = 2 * time.Second
	// A consumer list that is not answered, perhaps for want of a permission, is asked for again ever later: NATS reports each refusal.
	consumersTimeout      = time.Second
	consumersBackoffFirst = 15 * time.Second
	consumersBackoffLast  = 10 * time.Minute
	// maxConsumersRead bounds what is read of a stream's consumers.
	maxConsumersRead = 1000
)

// streamFigures is what JetStream says of one stream.
type streamFigures struct {
	name      string
	state     jetstream.StreamState
	maxMsgs   int64 // limits; 0 or less is none
	maxBytes  int64
	consumers int
	durable   []consumerFigures // at most MaxConsumerSeries, the furthest behind first
}

// consumerFigures says how far a durable consumer is behind.
type consumerFigures struct {
	name                string
	pending, ackPending int
}

// snapshot is everything that JetStream says, as of one moment.
type snapshot struct {
	at           time.Time
	streams      []streamFigures
	storage      uint64 // bytes that the account uses
	storageLimit int64  // 0 when unknown or unlimited
	accountKnown bool
}

// figures keeps the last snapshot. A goroutine of the publisher reads; scrapes ask for it and show it.
type figures struct {
	now    func() time.Time
	wanted chan struct{} // capacity 1
	read   func(context.Context) (snapshot, error)

	mu   sync.Mutex
	last snapshot
	next chan struct{} // closed when the read under way, or the next one, has ended

	messages, bytes, oldest, used, consumers *prometheus.Desc
	pending, ackPending                      *prometheus.Desc
	storage, storageLimit, storageUsed       *prometheus.Desc
	readAt                                   *prometheus.Desc
}

func newFigures(prefix string, now func() time.Time, read func(context.Context) (snapshot, error)) *figures {
	own := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, nil, prometheus.Labels{"prefix": prefix})
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, prometheus.Labels{"prefix": prefix})
	}
	return &figures{
		now: now, read: read, wanted: make(chan struct{}, 1), next: make(chan struct{}),
		messages:  desc("mewsbridge_stream_messages", "Messages in a stream.", "stream"),
		bytes:     desc("mewsbridge_stream_bytes", "Bytes that a stream takes on its storage.", "stream"),
		oldest:    desc("mewsbridge_stream_oldest_message_age_seconds", "Age of a stream's oldest message; 0 when it is empty.", "stream"),
		used:      desc("mewsbridge_stream_limit_used_ratio", "Part of a stream's limit that is used, 0 to 1; 0 without a limit.", "stream", "limit"),
		consumers: desc("mewsbridge_stream_consumers", "Consumers of a stream, short-lived ones included.", "stream"),
		pending: desc("mewsbridge_consumer_pending_messages",
			"Messages that a durable consumer has not been given yet; at most the 50 consumers of a stream that are furthest behind.", "stream", "consumer"),
		ackPending:   desc("mewsbridge_consumer_ack_pending_messages", "Messages that a durable consumer was given and has not acknowledged.", "stream", "consumer"),
		storage:      own("mewsbridge_jetstream_storage_bytes", "File storage that the bridge's NATS account uses."),
		storageLimit: own("mewsbridge_jetstream_storage_limit_bytes", "File storage that the account may use; absent when NATS names no limit."),
		storageUsed:  own("mewsbridge_jetstream_storage_used_ratio", "Part of that limit which is used, 0 to 1; 0 without a limit."),
		readAt:       own("mewsbridge_streams_read_timestamp_seconds", "When the figures of streams and consumers were last read; 0 when never."),
	}
}

func (f *figures) describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		f.messages, f.bytes, f.oldest, f.used, f.consumers, f.pending, f.ackPending, f.storage, f.storageLimit, f.storageUsed, f.readAt,
	} {
		ch <- d
	}
}

// run reads when a scrape asks for it, until ctx ends.
func (f *figures) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wanted:
		}
		reading, cancel := context.WithTimeout(ctx, figuresTimeout)
		s, err := f.read(reading)
		cancel()
		f.mu.Lock()
		if err == nil {
			s.at = f.now()
			f.last = s
		}
		close(f.next)
		f.next = make(chan struct{})
		f.mu.Unlock()
	}
}

// latest returns the last snapshot, after a short wait for a fresh one when it is old and NATS is there.
func (f *figures) latest(connected bool) snapshot {
	f.mu.Lock()
	last, next := f.last, f.next
	f.mu.Unlock()
	if !connected || f.now().Sub(last.at) < figuresFresh {
		return last
	}
	wake(f.wanted)
	timer := time.NewTimer(figuresWait)
	defer timer.Stop()
	select {
	case <-next:
	case <-timer.C:
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

func (f *figures) collect(ch chan<- prometheus.Metric, connected bool) {
	s := f.latest(connected)
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if s.at.IsZero() {
		gauge(f.readAt, 0)
		return
	}
	gauge(f.readAt, float64(s.at.UnixMilli())/1000)
	if f.now().Sub(s.at) > figuresStale {
		return // a flat line would look like a stream that nothing arrives in
	}
	for _, stream := range s.streams {
		gauge(f.messages, float64(stream.state.Msgs), stream.name)
		gauge(f.bytes, float64(stream.state.Bytes), stream.name)
		gauge(f.oldest, age(stream.state, f.now()), stream.name)
		gauge(f.used, ratio(float64(stream.state.Msgs), stream.maxMsgs), stream.name, "messages")
		gauge(f.used, ratio(float64(stream.state.Bytes), stream.maxBytes), stream.name, "bytes")
		gauge(f.consumers, float64(stream.consumers), stream.name)
		for _, c := range stream.durable {
			gauge(f.pending, float64(c.pending), stream.name, c.name)
			gauge(f.ackPending, float64(c.ackPending), stream.name, c.name)
		}
	}
	if s.accountKnown {
		gauge(f.storage, float64(s.storage))
		gauge(f.storageUsed, ratio(float64(s.storage), s.storageLimit))
		if s.storageLimit > 0 {
			gauge(f.storageLimit, float64(s.storageLimit))
		}
	}
}

func age(state jetstream.StreamState, now time.Time) float64 {
	if state.Msgs == 0 {
		return 0
	}
	return max(now.Sub(state.FirstTime).Seconds(), 0)
}

func ratio(used float64, limit int64) float64 {
	if limit <= 0 {
		return 0
	}
	return used / float64(limit)
}

// readFigures asks JetStream for the streams, the account and the consumers. Only a stream is needed: what the bridge may not ask
// for is left out.
func (p *Publisher) readFigures(ctx context.Context) (snapshot, error) {
	var s snapshot
	var errs []error
	var streams []jetstream.Stream
	for _, name := range p.streamNames() {
		stream, err := p.js.Stream(ctx, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		info := stream.CachedInfo()
		streams = append(streams, stream)
		s.streams = append(s.streams, streamFigures{
			name: info.Config.Name, state: info.State, maxMsgs: info.Config.MaxMsgs, maxBytes: info.Config.MaxBytes, consumers: info.State.Consumers,
		})
	}
	if len(s.streams) == 0 {
		return s, errors.Join(errs...)
	}
	p.readAccount(ctx, &s)
	p.readAllConsumers(ctx, &s, streams)
	return s, nil
}

// streamNames returns the streams that the publisher looks after.
func (p *Publisher) streamNames() []string {
	var names []string
	for _, kind := range schema.Kinds() {
		names = append(names, kind.Stream(p.cfg.Prefix))
	}
	if p.cfg.Latest {
		names = append(names, schema.LatestStream(p.cfg.Prefix))
	}
	return names
}

func (p *Publisher) readAccount(ctx context.Context, s *snapshot) {
	account, err := p.js.AccountInfo(ctx)
	if err != nil {
		return
	}
	s.accountKnown, s.storage, s.storageLimit = true, account.Store, account.Limits.MaxStore
	if s.storageLimit <= 0 && p.cfg.StorageLimit != nil {
		s.storageLimit = p.cfg.StorageLimit()
	}
}

// readAllConsumers fills in the consumers of the streams, until one list is not answered.
func (p *Publisher) readAllConsumers(ctx context.Context, s *snapshot, streams []jetstream.Stream) {
	again := &p.consumersAgain
	if time.Now().Before(again.at) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, consumersTimeout)
	defer cancel()
	for i, stream := range streams {
		durable, err := readConsumers(ctx, stream)
		if err != nil {
			again.backoff = min(max(2*again.backoff, consumersBackoffFirst), consumersBackoffLast)
			again.at = time.Now().Add(again.backoff)
			return
		}
		s.streams[i].durable = durable
	}
	again.backoff = 0
}

// readConsumers returns the durable consumers that are furthest behind.
func readConsumers(ctx context.Context, stream jetstream.Stream) ([]consumerFigures, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var durable []consumerFigures
	list := stream.ListConsumers(ctx)
	read := 0
	for info := range list.Info() { // to the end: the lister's goroutine waits for it
		if read++; read >= maxConsumersRead {
			cancel()
		}
		if info.Config.Durable == "" {
			continue // its name is of one run: a series of it would never be seen again
		}
		durable = append(durable, consumerFigures{
			name: strings.ToValidUTF8(info.Name, "_"), pending: int(min(info.NumPending, 1<<62)), ackPending: info.NumAckPending,
		})
	}
	if err := list.Err(); err != nil && read < maxConsumersRead {
		return nil, err
	}
	slices.SortFunc(durable, func(a, b consumerFigures) int {
		return cmp.Or(cmp.Compare(b.pending+b.ackPending, a.pending+a.ackPending), cmp.Compare(a.name, b.name))
	})
	return durable[:min(len(durable), MaxConsumerSeries)], nil
}
