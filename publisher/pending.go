package publisher

import (
	"context"
	"time"

	"mewsbridge/schema"
)

// pending is what one webhook brings for one stream, from Publish until it is settled. All but the first
// group of fields is guarded by the committer's mutex.
type pending struct {
	ctx   context.Context
	msgs  []schema.Message
	bytes int64
	done  chan error // capacity 1; receives exactly one value unless the caller has given up

	arrived    time.Time // when it was put on the queue
	landings   uint64    // of the committer, at that time
	tried      bool      // sent at least once
	stored     int       // messages at the front that earlier batches of this webhook have stored
	settled    bool      // answered, or given up by its caller
	flight     *flight   // the attempt under way, nil while it waits
	refused    int       // attempts that found nobody to answer
	incomplete bool      // the last attempt was a batch that reached the server with a gap
	due        time.Time // not sent again before
	last       error     // why the last attempt failed
}

func newPending(ctx context.Context, msgs []schema.Message) *pending {
	p := &pending{ctx: ctx, msgs: msgs, done: make(chan error, 1)}
	for i := range msgs {
		p.bytes += messageSize(&msgs[i])
	}
	return p
}

// headerSize is about what the headers of one message take on the wire.
const headerSize = 160

func messageSize(m *schema.Message) int64 {
	return int64(len(m.Data) + len(m.Subject) + len(m.ID) + headerSize)
}

// left returns the messages that are not yet known to be stored.
func (p *pending) left() []schema.Message { return p.msgs[p.stored:] }

// queue holds pending webhooks in order of arrival.
type queue struct {
	items []*pending
	head  int
}

func (q *queue) push(p *pending) { q.items = append(q.items, p) }

// pushFront puts p before all others.
func (q *queue) pushFront(p *pending) {
	if q.head > 0 {
		q.head--
		q.items[q.head] = p
		return
	}
	q.items = append([]*pending{p}, q.items...)
}

// peek returns the oldest webhook that still has a caller, or nil. It forgets the others.
func (q *queue) peek() *pending {
	for q.head < len(q.items) {
		if p := q.items[q.head]; !p.settled {
			return p
		}
		q.pop()
	}
	return nil
}

func (q *queue) pop() {
	q.items[q.head] = nil
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
		return
	}
	// Under constant load the queue is never empty: move what is left down before the slice grows for ever.
	if q.head >= 1024 && q.head*2 >= len(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
}
