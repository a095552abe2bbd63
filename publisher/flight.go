package publisher

import (
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"mewsbridge/schema"
)

// mode is one of the two ways in which messages are made durable.
type mode uint8

const (
	pipelined   mode = iota // plain publishes, each with an acknowledgement of its own
	atomicBatch             // one JetStream atomic batch: all or nothing, one acknowledgement
	modes
)

// other returns the mode that is not m.
func (m mode) other() mode { return atomicBatch - m }

// flight is one attempt at storing the messages of one webhook (pipelined) or of a group (atomicBatch).
type flight struct {
	id     uint64
	mode   mode
	group  []*pending
	alive  int // callers still waiting
	events int
	bytes  int64
	sent   time.Time

	left  int      // acknowledgements still to come
	acked []uint64 // bit set of those that came: a repeated one must not stand for a missing one
}

// expect makes the flight wait for n acknowledgements.
func (f *flight) expect(n int) {
	f.left = n
	if n > 1 {
		f.acked = make([]uint64, (n+63)/64)
	}
}

// acknowledged notes acknowledgement i and reports whether all have come.
func (f *flight) acknowledged(i int) bool {
	if f.acked != nil {
		word, bit := i/64, uint64(1)<<(i%64)
		if word >= len(f.acked) || f.acked[word]&bit != 0 {
			return false
		}
		f.acked[word] |= bit
	}
	f.left--
	return f.left == 0
}

// Headers of an atomic batch (ADR-50).
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

// sender writes messages to the connection. It reuses one header map and one message, which nats.go
// encodes before PublishMsg returns; so one goroutine at a time may use it. The batch
// publisher of github.com/synadia-io/orbit.go (jetstreamext) copies the headers of each message, waits for an answer to the first unless told
// otherwise, and blocks its caller until the commit is answered; here nobody waits to send the next, and the answers of all flights come by one inbox.
type sender struct {
	publish func(*nats.Msg) error
	inbox   string // replies go to inbox + what parseReply reads
	batch   string // batch ids are batch + "<flight>"

	msg                           nats.Msg
	id, traceparent               []string
	batchID, batchSequence        []string
	reason, offset, from, arrived []string
	scratch                       []byte
}

func newSender(publish func(*nats.Msg) error, inbox, batch string) *sender {
	one := func() []string { return make([]string, 1) }
	return &sender{
		publish: publish, inbox: inbox, batch: batch,
		msg: nats.Msg{Header: nats.Header{}},
		id:  one(), traceparent: one(), batchID: one(), batchSequence: one(),
		reason: one(), offset: one(), from: one(), arrived: one(),
	}
}

// constant header values, shared by all messages and never changed.
var (
	contentTypeEvent = []string{schema.ContentType}
	batchCommit      = []string{"1"}
)

// sendPlain publishes every message of the flight, each with a reply of its own.
func (s *sender) sendPlain(f *flight) error {
	// Replies are cut from one string: one allocation for the webhook rather than one for each event.
	msgs := f.group[0].left()
	replies, width := s.replies(f.id, len(msgs))
	for i := range msgs {
		s.set(&msgs[i])
		s.msg.Reply = replies[i*width : (i+1)*width]
		if err := s.publish(&s.msg); err != nil {
			return err
		}
	}
	return nil
}

// sendBatch publishes the flight as one atomic batch; only the commit asks for a reply.
func (s *sender) sendBatch(f *flight) error {
	s.batchID[0] = s.batch + strconv.FormatUint(f.id, 36)
	header := s.msg.Header
	defer func() {
		delete(header, headerBatchID)
		delete(header, headerBatchSequence)
		delete(header, headerBatchCommit)
	}()
	header[headerBatchID] = s.batchID
	header[headerBatchSequence] = s.batchSequence
	s.msg.Reply = ""
	sequence := 0
	for _, p := range f.group {
		msgs := p.left()
		for i := range msgs {
			if sequence == f.events {
				return nil // the rest of a webhook that needs several batches
			}
			sequence++
			s.set(&msgs[i])
			s.batchSequence[0] = strconv.Itoa(sequence)
			if sequence == f.events {
				header[headerBatchCommit] = batchCommit
				s.msg.Reply = s.inbox + strconv.FormatUint(f.id, 36) + ".0." + strconv.Itoa(f.events)
			}
			if err := s.publish(&s.msg); err != nil {
				return err
			}
		}
	}
	return nil
}

// set fills in the subject, the headers and the data of m.
func (s *sender) set(m *schema.Message) {
	s.msg.Subject, s.msg.Data = m.Subject, m.Data
	header := s.msg.Header
	s.id[0] = m.ID
	header[schema.HeaderMsgID] = s.id
	if m.Traceparent != "" {
		s.traceparent[0] = m.Traceparent
		header[schema.HeaderTraceparent] = s.traceparent
	} else {
		delete(header, schema.HeaderTraceparent)
	}
	q := m.Quarantine
	if q == nil {
		header[schema.HeaderContentType] = contentTypeEvent
		return
	}
	s.reason[0], s.offset[0] = string(q.Reason), strconv.FormatInt(q.Offset, 10)
	s.from[0], s.arrived[0] = q.Endpoint, q.Received.UTC().Format(time.RFC3339Nano)
	header[schema.HeaderReason], header[schema.HeaderOffset] = s.reason, s.offset
	header[schema.HeaderEndpoint], header[schema.HeaderReceived] = s.from, s.arrived
}

// replies returns n reply subjects of equal width, one after another.
func (s *sender) replies(flight uint64, n int) (all string, width int) {
	digits := len(strconv.Itoa(n - 1))
	buf := s.scratch[:0]
	for i := range n {
		buf = append(buf, s.inbox...)
		buf = strconv.AppendUint(buf, flight, 36)
		buf = append(buf, '.')
		index := strconv.Itoa(i)
		for range digits - len(index) {
			buf = append(buf, '0')
		}
		buf = append(buf, index...)
		if i == 0 {
			width = len(buf)
		}
	}
	s.scratch = buf
	return string(buf), width
}
