package publisher_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/schema"
)

// TestOneRefusedMessageHarmsNoNeighbour publishes many webhooks at a time, one of which has a message that the stream refuses for its
// size. In an atomic batch such a message has no answer of its own, and leaves a gap; still only its webhook may fail.
func TestOneRefusedMessageHarmsNoNeighbour(t *testing.T) {
	for at, index := range map[string]int{"first": 0, "in the middle": 2, "last": 4} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			r.updateEvents(t, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 })
			poison := webhook("poison", 5)
			poison[index].Data = []byte(strings.Repeat("x", 2000))
			var senders sync.WaitGroup
			var want []string
			for i := range 20 {
				neighbour := webhook(fmt.Sprint("neighbour", i), 5)
				want = append(want, ids(neighbour)...)
				senders.Go(func() {
					if err := publish(t, r.p, neighbour); err != nil {
						t.Errorf("neighbour %d: %v", i, err)
					}
				})
				if i == 10 {
					senders.Go(func() {
						if err := publish(t, r.p, poison); !errors.Is(err, schema.ErrRefused) {
							t.Errorf("the webhook with the large message: %v, want ErrRefused", err)
						}
					})
				}
			}
			senders.Wait()
			got := slices.DeleteFunc(storedIDs(t, r.js, events), func(id string) bool { return strings.HasPrefix(id, "poison") })
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("stored %d messages of the neighbours, want %d, each once", len(got), len(want))
			}
		})
	}
}
