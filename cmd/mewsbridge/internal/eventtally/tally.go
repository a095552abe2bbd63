// Package eventtally counts in a stream the events that a simulator.Generator made: each is stored, stored more than once, or
// not there.
package eventtally

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/cmd/mewsbridge/internal/simulator"
	"mewsbridge/cmd/mewsbridge/internal/streamread"
)

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

// Read notes every message behind sequence that the stream holds at the time of its cached info, and returns up to which sequence
// it came, also when it fails. It asks for headers only: the subject says which event it is.
func (t *Tally) Read(ctx context.Context, from jetstream.Stream, sequence uint64) (uint64, error) {
	state := from.CachedInfo().State
	if state.LastSeq <= sequence || state.Msgs == 0 {
		return sequence, nil
	}
	config := jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: sequence + 1, HeadersOnly: true,
	}
	err := streamread.Read(ctx, from, config, state.LastSeq, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		t.Note(msg.Subject())
		sequence = meta.Sequence.Stream
		return nil
	})
	return sequence, err
}

// Seed returns the seed of the generator whose events are counted.
func (t *Tally) Seed() uint64 { return t.seed }
