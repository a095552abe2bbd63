// Package eventtally counts in a stream the events that a simulator.Generator made: each is stored, stored more than once, or
// not there.
package eventtally

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/cmd/mewsbridge/internal/simulator"
	"mewsbridge/cmd/mewsbridge/internal/streamread"
)

// pause is how long Read leaves a replica to catch up.
const pause = 50 * time.Millisecond

// Tally counts events by their number. It takes one byte for each event. It is not safe for concurrent use.
type Tally struct {
	seed uint64
	seen []uint8 // by event: how often it is in the stream, up to 255
}

// New returns a tally of the first events of the generator with that seed.
func New(seed uint64, events int) *Tally { return &Tally{seed: seed, seen: make([]uint8, events)} }

// Times returns how often event was seen, 255 at most.
func (t *Tally) Times(event int) int { return int(t.seen[event]) }

// Note counts the event of that subject when it is one of the generator's: others may write to the stream too.
func (t *Tally) Note(subject string) {
	id := subject[strings.LastIndexByte(subject, '.')+1:]
	if number, ok := simulator.Number(t.seed, id); ok && number < uint64(len(t.seen)) && t.seen[number] < 255 {
		t.seen[number]++
	}
}

// Read notes every message behind sequence and up to last that the stream holds, and returns up to which sequence it came, also when
// it fails. It asks for headers only: the subject says which event it is.
//
// JetStream puts the consumer on any replica, and one that was away says that it has no more where what it holds ends. So Read goes
// on with another consumer until it came to last, and fails after streamread.Patience in which it came no further.
func (t *Tally) Read(ctx context.Context, from jetstream.Stream, sequence, last uint64) (uint64, error) {
	further := time.Now()
	for sequence < last {
		before := sequence
		err := t.pass(ctx, from, &sequence, last)
		if err != nil || sequence >= last {
			return sequence, err
		}
		info, err := from.Info(ctx)
		switch {
		case err != nil:
			return sequence, fmt.Errorf("read stream: %w", err)
		case info.State.FirstSeq > last:
			return last, nil // the rest has left the stream
		case sequence > before:
			further = time.Now()
		case time.Since(further) > streamread.Patience:
			return sequence, fmt.Errorf("read stream: its replicas end at %d, and not at %d as its leader says", sequence, last)
		}
		select {
		case <-ctx.Done():
			return sequence, ctx.Err()
		case <-time.After(pause):
		}
	}
	return sequence, nil
}

// pass notes what one consumer gives.
func (t *Tally) pass(ctx context.Context, from jetstream.Stream, sequence *uint64, last uint64) error {
	config := jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: *sequence + 1, HeadersOnly: true,
	}
	return streamread.Read(ctx, from, config, math.MaxUint64, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if meta.Sequence.Stream <= last {
			t.Note(msg.Subject())
		}
		if *sequence = min(meta.Sequence.Stream, last); *sequence == last {
			return streamread.ErrEnough
		}
		return nil
	})
}

// Seed returns the seed of the generator whose events are counted.
func (t *Tally) Seed() uint64 { return t.seed }
