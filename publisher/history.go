package publisher

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/schema"
)

// HistoryLimit is about how many messages History reads at most.
const HistoryLimit = 1_000_000

const (
	// historySlice is the length of the parts of a history that each have a share of the limit, so that a busy day does not leave out the
	// days before it.
	historySlice    = time.Hour
	historyBatch    = 1000
	historyConsumer = 10 * time.Second // how long the server keeps the consumer after it was last asked
)

// History calls heard for the messages of the events stream that were stored since a time, oldest first, with the type and the
// enterprise of their subject; enterprise is empty where the subject does not tell it. It reads headers alone, and of an hour with more
// messages than its share of HistoryLimit the first ones. It returns when it has read what was there when it began, when ctx ends, or with an
// error.
func (p *Publisher) History(ctx context.Context, since time.Time, heard func(eventType, enterprise string, at time.Time)) error {
	if !p.connected.Load() {
		return p.unreachable()
	}
	reading := history{p: p, prefix: p.cfg.Prefix + "." + schema.KindEvent.String() + ".", heard: heard, limit: HistoryLimit}
	return reading.read(ctx, since)
}

// history is one reading.
type history struct {
	p      *Publisher
	prefix string
	heard  func(eventType, enterprise string, at time.Time)
	limit  int

	share int       // messages of one slice
	last  uint64    // sequence of the last message when the reading began
	until time.Time // when that was stored
	reads int
}

func (h *history) read(ctx context.Context, since time.Time) error {
	name := schema.KindEvent.Stream(h.p.cfg.Prefix)
	asking, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stream, err := h.p.js.Stream(asking, name)
	if err != nil {
		return streamError(name, err)
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 || state.LastTime.Before(since) {
		return nil
	}
	if state.FirstTime.After(since) {
		since = state.FirstTime
	}
	h.last, h.until = state.LastSeq, state.LastTime
	h.share = max(h.limit/int(state.LastTime.Sub(since)/historySlice+1), 1)
	for {
		next, err := h.slices(ctx, stream, since)
		if err != nil || next.IsZero() {
			return err
		}
		since = next
	}
}

// slices reads from a time on until a slice has had its share; it returns where the next slice begins, or zero at the end.
func (h *history) slices(ctx context.Context, stream jetstream.Stream, from time.Time) (next time.Time, err error) {
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Name: "mewsbridge-history-" + rand.Text()[:8], AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, MemoryStorage: true, Replicas: 1,
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from, InactiveThreshold: historyConsumer,
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("read the history of %s: %w", stream.CachedInfo().Config.Name, err)
	}
	end, read := from.Add(historySlice), 0
	for {
		batch, err := consumer.FetchNoWait(min(historyBatch, h.share))
		if err != nil {
			return time.Time{}, fmt.Errorf("read the history: %w", err)
		}
		got, done := 0, false
		for m := range batch.Messages() { // to the end: a goroutine of nats.go waits for it
			meta, err := m.Metadata()
			if err != nil {
				continue // not a message of a stream
			}
			got++
			h.reads++
			h.tell(m.Subject(), meta.Timestamp)
			for !meta.Timestamp.Before(end) {
				end, read = end.Add(historySlice), 0
			}
			read++
			done = done || meta.Sequence.Stream >= h.last
		}
		if err := batch.Error(); err != nil && !errors.Is(err, jetstream.ErrNoMessages) {
			return time.Time{}, fmt.Errorf("read the history: %w", err)
		}
		if ctx.Err() != nil {
			return time.Time{}, ctx.Err()
		}
		switch {
		case done || got == 0: // at the end, or the rest was deleted meanwhile
			return time.Time{}, nil
		case read >= h.share && end.After(h.until):
			return time.Time{}, nil
		case read >= h.share:
			return end, nil
		}
	}
}

// tell hands on a message of the bridge: "<prefix>.events.<type>.<enterprise>.<entity>".
func (h *history) tell(subject string, at time.Time) {
	eventType, rest, found := strings.Cut(strings.TrimPrefix(subject, h.prefix), ".")
	enterprise, _, whole := strings.Cut(rest, ".")
	if !found || !whole {
		return
	}
	if enterprise == "_" {
		enterprise = ""
	}
	h.heard(eventType, enterprise, at)
}
