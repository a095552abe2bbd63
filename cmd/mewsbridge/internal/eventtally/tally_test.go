package eventtally

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/cmd/mewsbridge/internal/simulator"
	"mewsbridge/publisher/natstest"
)

// lagging is a stream whose first consumers are on a replica that has yet to catch up: it holds what the stream behind holds.
type lagging struct {
	jetstream.Stream
	behind []jetstream.Stream // each for one consumer
}

func (l *lagging) OrderedConsumer(ctx context.Context, config jetstream.OrderedConsumerConfig) (jetstream.Consumer, error) {
	if len(l.behind) == 0 {
		return l.Stream.OrderedConsumer(ctx, config)
	}
	replica := l.behind[0]
	l.behind = l.behind[1:]
	return replica.OrderedConsumer(ctx, config)
}

const seed = 7

// fill makes a stream of that many events.
func fill(t *testing.T, js jetstream.JetStream, name string, events int) jetstream.Stream {
	t.Helper()
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}})
	if err != nil {
		t.Fatal(err)
	}
	for event := range events {
		if _, err := js.Publish(t.Context(), name+".ServiceOrderUpdated.hotel."+simulator.EntityID(seed, uint64(event)), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := stream.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	return stream
}

// TestReadGoesOnBehindTheEndOfAReplica reads from replicas that hold nothing, and half, before it is given one that holds everything.
func TestReadGoesOnBehindTheEndOfAReplica(t *testing.T) {
	const events = 20
	js := natstest.JetStream(t, natstest.Start(t))
	stream := &lagging{Stream: fill(t, js, "ALL", events), behind: []jetstream.Stream{fill(t, js, "NONE", 0), fill(t, js, "HALF", events/2)}}
	tally := New(seed, events)
	if read, err := tally.Read(t.Context(), stream, 0, events); read != events || err != nil {
		t.Errorf("read up to %d of %d: %v", read, events, err)
	}
	for event := range events {
		if n := tally.Times(event); n != 1 {
			t.Errorf("event %d was counted %d times", event, n)
		}
	}
}

// TestReadEnds at the sequence it was given, and where nothing up to there is left.
func TestReadEnds(t *testing.T) {
	const events, last = 20, 10
	js := natstest.JetStream(t, natstest.Start(t))
	stream := fill(t, js, "EVENTS", events)
	counted := func(tally *Tally) (n int) {
		for event := range events {
			n += tally.Times(event)
		}
		return n
	}
	for _, c := range []struct {
		what    string
		remove  func() error
		counted int
	}{
		{"all are there", func() error { return nil }, last},
		{"the last to be read is gone", func() error { return stream.DeleteMsg(t.Context(), last) }, last - 1},
		{"all to be read are gone", func() error { return stream.Purge(t.Context(), jetstream.WithPurgeSequence(last+1)) }, 0},
		{"all are gone", func() error { return stream.Purge(t.Context()) }, 0},
	} {
		if err := c.remove(); err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		tally := New(seed, events)
		read, err := tally.Read(t.Context(), stream, 0, last)
		if n := counted(tally); read != last || err != nil || n != c.counted {
			t.Errorf("%s: counted %d up to %d: %v", c.what, n, read, err)
		}
	}
}
