package bridge_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"mewsbridge/bridge"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// fate is what happens to one attempt.
type fate int

const (
	goesWell     fate = iota
	failsBefore       // the publish fails and nothing is stored
	failsHalfway      // the publish fails after a part is stored
	failsAfter        // everything is stored, and the publish is reported as failed
	answerLost        // everything is stored, and the sender is gone before it is told
	fates
)

// faulty is a real publisher whose next publish meets a fate.
type faulty struct {
	real bridge.Publisher
	next fate
	hold chan chan struct{} // answerLost: hands the sender what to close once it has hung up
}

func (f *faulty) Publish(ctx context.Context, msgs []schema.Message) error {
	part, result := msgs, error(nil)
	switch f.next {
	case failsBefore:
		return schema.ErrUnavailable
	case failsHalfway:
		part, result = msgs[:len(msgs)/2], schema.ErrNotAcknowledged
	case failsAfter:
		result = schema.ErrNotAcknowledged
	}
	if err := f.real.Publish(ctx, part); err != nil {
		return err
	}
	if f.next == answerLost {
		gone := make(chan struct{})
		f.hold <- gone
		<-gone
	}
	return result
}

func (f *faulty) Admit(ctx context.Context) error { return f.real.Admit(ctx) }

// sent is one message of the sender.
type sent struct {
	id       string // of its entities; messages with one id are byte for byte the same
	changed  int    // when it changed at the source, in attempts
	attempts int
	told     bool
}

// model is a sender that keeps Mews's contract, and what it knows of the streams.
type model struct {
	t      *testing.T
	rt     *rapid.T
	rig    *rig
	url    string
	faulty *faulty
	inside *atomic.Pointer[inside]
	clock  *atomic.Int64
	run    int

	now     int
	all     []*sent
	waiting []*sent          // to be sent again
	overlap map[string]bool  // ids of which two messages waited at a time
	stored  map[string][]int // by subject: when
}

// inside is a request within the bridge.
type inside struct {
	gone  <-chan struct{} // closed when the bridge knows that the sender has gone
	ended chan struct{}
}

// TestRetryLedgerModel holds the ledger to its property. Once the sender has stopped retrying:
//
//   - each message that the sender did not drop is stored after it changed at the source. While identical messages
//     wait for their retries at the same time, no one can tell whose attempt is whose; it then holds when
//     the sender drops none of them;
//   - without such an overlap, each message is stored once, however often it was retried, and a dropped one at most once.
func TestRetryLedgerModel(t *testing.T) {
	t.Run("one server", func(t *testing.T) { testRetryLedgerModel(t, []*natstest.Server{natstest.Start(t)}) })
	t.Run("three replicas", func(t *testing.T) { testRetryLedgerModel(t, natstest.Cluster(t, 3)) })
}

func testRetryLedgerModel(t *testing.T, servers []*natstest.Server) {
	f := &faulty{hold: make(chan chan struct{})}
	var clock atomic.Int64
	r := newRigOn(t, servers, func(c *bridge.Config) {
		f.real, c.Endpoints[0].Publisher = c.Endpoints[0].Publisher, f
		c.Now = func() time.Time { return time.Unix(clock.Load(), 0) }
	})
	var request atomic.Pointer[inside]
	observed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		in := &inside{gone: q.Context().Done(), ended: make(chan struct{})}
		defer close(in.ended)
		request.Store(in)
		r.bridge.Handler().ServeHTTP(w, q)
	}))
	t.Cleanup(observed.Close)

	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		m := &model{
			t: t, rt: rt, rig: r, url: observed.URL + path + "?Token=" + token, faulty: f, inside: &request, clock: &clock, run: run,
			overlap: map[string]bool{}, stored: map[string][]int{},
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			m.step()
		}
		for len(m.waiting) > 0 {
			m.attempt(rapid.IntRange(0, len(m.waiting)-1).Draw(rt, "which"))
		}
		m.check()
	})
}

// step sends a new message, maybe the same bytes as another, or sends one again.
func (m *model) step() {
	m.clock.Add(int64(rapid.IntRange(0, 120).Draw(m.rt, "seconds")))
	if len(m.waiting) > 0 && rapid.Bool().Draw(m.rt, "again") {
		m.attempt(rapid.IntRange(0, len(m.waiting)-1).Draw(m.rt, "which"))
		return
	}
	s := &sent{id: fmt.Sprintf("run%d%s", m.run, rapid.SampledFrom([]string{"a", "b"}).Draw(m.rt, "body")), changed: m.now}
	for _, other := range m.waiting {
		m.overlap[s.id] = m.overlap[s.id] || other.id == s.id
	}
	m.all = append(m.all, s)
	m.waiting = append(m.waiting, s)
	m.attempt(len(m.waiting) - 1)
}

// attempt sends the i-th of the waiting messages.
func (m *model) attempt(i int) {
	m.now++
	s := m.waiting[i]
	s.attempts++
	m.faulty.next = fate(rapid.IntRange(0, int(fates)-1).Draw(m.rt, "fate"))
	body := general(event("ServiceOrderUpdated", s.id), event("CustomerUpdated", s.id))
	if m.faulty.next == answerLost {
		m.sendAndHangUp(body)
	} else {
		s.told = m.send(body)
	}
	m.look()
	if s.told || s.attempts == 3 {
		m.waiting = append(m.waiting[:i:i], m.waiting[i+1:]...)
	}
}

func (m *model) send(body string) bool {
	response, err := http.Post(m.url, "application/json", strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		m.t.Fatal(err)
	}
	return response.StatusCode == http.StatusAccepted
}

// sendAndHangUp closes the connection after the events are stored and before the answer is written.
func (m *model) sendAndHangUp(body string) {
	ctx, hangUp := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
		}
	}()
	gone := <-m.faulty.hold
	in := m.inside.Load()
	hangUp()
	<-in.gone
	close(gone)
	<-in.ended
	<-finished
}

// look notes what was stored since the last look. Each run has subjects of its own.
func (m *model) look() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var stream jetstream.Stream
	natstest.Eventually(m.t, "the stream", func() bool { // a cluster may be choosing a leader
		var err error
		stream, err = m.rig.js.Stream(ctx, "MEWS_EVENTS")
		return err == nil
	})
	for sequence := m.rig.seen + 1; sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
		var message *jetstream.RawStreamMsg
		natstest.Eventually(m.t, fmt.Sprintf("message %d", sequence), func() bool { // a replica may not have it yet
			var err error
			message, err = stream.GetMsg(ctx, sequence)
			return err == nil
		})
		m.stored[message.Subject] = append(m.stored[message.Subject], m.now)
		m.rig.seen = sequence
	}
}

// tally is what became of the messages of one id.
type tally struct{ messages, told, lastChange int }

func (m *model) check() {
	tallies := map[string]*tally{}
	for _, s := range m.all {
		if tallies[s.id] == nil {
			tallies[s.id] = &tally{}
		}
		of := tallies[s.id]
		of.messages++
		if s.told {
			of.told++
			of.lastChange = max(of.lastChange, s.changed)
		}
	}
	for id, of := range tallies {
		for _, discriminator := range []string{"ServiceOrderUpdated", "CustomerUpdated"} {
			m.checkEvent(id, *of, m.stored["mews.events."+discriminator+".hotel."+id])
		}
	}
}

func (m *model) checkEvent(id string, of tally, times []int) {
	dropped := of.messages - of.told
	if of.told > 0 && (!m.overlap[id] || dropped == 0) {
		if len(times) == 0 || times[len(times)-1] <= of.lastChange {
			m.rt.Errorf("%s changed at %d and its sender was told 202; it was stored at %v only", id, of.lastChange, times)
		}
	}
	if !m.overlap[id] && (len(times) < of.told || len(times) > of.messages) {
		m.rt.Errorf("%s: %d messages, %d told 202, stored %d times", id, of.messages, of.told, len(times))
	}
}
