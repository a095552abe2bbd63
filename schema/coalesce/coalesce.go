// Package coalesce has a consumer fetch an entity once although several events name it, as Mews advises (Mews Connector API,
// General Webhooks: "Important considerations").
//
// A Window collects events by entity and hands over those of one entity together, a fixed time after the first of them came. It does no I/O,
// starts no goroutine and reads no clock: time is passed in. It depends on nothing, so that it works with any client.
package coalesce

import (
	"container/heap"
	"time"
)

// Group is what a Window collected for one key.
type Group[K comparable, T any] struct {
	Key   K
	Items []T       // in the order in which they were added; at least one
	First time.Time // when the first of them was added
}

// Window collects items by key. It is not for concurrent use. The key is best the pair of enterprise and entity, without the
// type of the event: CustomerAdded and CustomerUpdated of one customer are then one fetch.
//
// It holds what was added until it is taken, in memory: what bounds it is the number of messages that the consumer may have
// unacknowledged (MaxAckPending). Acknowledge a group's messages after the fetch; the consumer's AckWait must be longer than the
// window and the fetch together.
type Window[K comparable, T any] struct {
	length time.Duration
	groups map[K]*Group[K, T]
	order  byFirst[K, T]
}

// New returns an empty Window. length is how long a key's items wait from the first of them on: the most by which a fetch is later than its event;
// 0 or less is not at all.
func New[K comparable, T any](length time.Duration) *Window[K, T] {
	return &Window[K, T]{length: length, groups: map[K]*Group[K, T]{}}
}

// Add adds an item that came now. An item whose key's group was taken already begins a new group: the fetch under way may have been too
// early for it.
func (w *Window[K, T]) Add(now time.Time, key K, item T) {
	if g := w.groups[key]; g != nil {
		g.Items = append(g.Items, item)
		return
	}
	g := &Group[K, T]{Key: key, Items: []T{item}, First: now}
	w.groups[key] = g
	heap.Push(&w.order, g)
}

// Due takes out the groups whose window has ended by now and returns them, oldest first.
func (w *Window[K, T]) Due(now time.Time) []Group[K, T] {
	var due []Group[K, T]
	for len(w.order) > 0 && !w.order[0].First.Add(w.length).After(now) {
		due = append(due, w.take())
	}
	return due
}

// All takes out every group and returns them, oldest first: for a consumer that stops.
func (w *Window[K, T]) All() []Group[K, T] {
	all := make([]Group[K, T], 0, len(w.order))
	for len(w.order) > 0 {
		all = append(all, w.take())
	}
	return all
}

// Next returns when the next group is due; ok is false when there is none.
func (w *Window[K, T]) Next() (at time.Time, ok bool) {
	if len(w.order) == 0 {
		return time.Time{}, false
	}
	return w.order[0].First.Add(w.length), true
}

// Len returns how many groups there are.
func (w *Window[K, T]) Len() int { return len(w.order) }

// take removes the oldest group.
func (w *Window[K, T]) take() Group[K, T] {
	g := heap.Pop(&w.order).(*Group[K, T])
	delete(w.groups, g.Key)
	return *g
}

// byFirst is a heap of groups, the oldest first: times passed in need not ascend.
type byFirst[K comparable, T any] []*Group[K, T]

func (h byFirst[K, T]) Len() int           { return len(h) }
func (h byFirst[K, T]) Less(i, j int) bool { return h[i].First.Before(h[j].First) }
func (h byFirst[K, T]) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *byFirst[K, T]) Push(g any)        { *h = append(*h, g.(*Group[K, T])) }

func (h *byFirst[K, T]) Pop() any {
	last := len(*h) - 1
	g := (*h)[last]
	(*h)[last] = nil // else the array would keep it
	*h = (*h)[:last]
	return g
}
