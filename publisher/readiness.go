package publisher

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/schema"
)

// silenceHolds is how long a stream that does not acknowledge keeps the publisher from being ready. Nothing but a webhook shows that
// it acknowledges again.
const silenceHolds = 10 * time.Second

// trouble is what the last webhook met that had its time and was not stored. The next one that is stored ends it.
type trouble struct {
	err    error
	at     time.Time
	silent bool // JetStream did not answer; else it refused
}

func (c *committer) troubled() trouble {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trouble
}

// forgive ends the trouble t, unless there is another by now.
func (c *committer) forgive(t trouble) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trouble.at.Equal(t.at) {
		c.trouble = trouble{}
	}
}

// Ready says whether a webhook could be stored now: nil, or for the person on call what is wrong, wrapping one of schema.Err…. It asks
// JetStream for each stream and for the account's storage. A full disk shows in neither: so what a webhook met that was
// not stored counts too, until one is stored or JetStream says that it would take one.
func (p *Publisher) Ready(ctx context.Context) error {
	if p.stopping.Load() {
		return schema.ErrStopping
	}
	if !p.connected.Load() {
		return p.unreachable()
	}
	if problem := p.streamsProblem.Load(); problem != nil {
		wake(p.provision)
		return *problem
	}
	for _, kind := range schema.Kinds() {
		if err := p.streamReady(ctx, kind); err != nil {
			return err
		}
	}
	return p.accountReady(ctx)
}

func (p *Publisher) streamReady(ctx context.Context, kind schema.Kind) error {
	name := kind.Stream(p.cfg.Prefix)
	stream, err := p.reach(ctx, name)
	if err != nil {
		wake(p.provision)
		return err
	}
	info := stream.CachedInfo()
	if err := takesMore(info); err != nil {
		return err
	}
	t := p.committers[kind].troubled()
	switch {
	case t.err == nil:
		return nil
	case t.silent && p.committers[kind].now().Sub(t.at) < silenceHolds:
		return fmt.Errorf("stream %s: nothing was stored since a webhook failed at %s: %w", name, t.at.UTC().Format(time.RFC3339), t.err)
	case !t.silent && info.Config.AllowAtomicPublish:
		if err := p.stage(ctx, kind); err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
	case !t.silent && p.committers[kind].now().Sub(t.at) < silenceHolds:
		return fmt.Errorf("stream %s: %w", name, t.err)
	}
	p.committers[kind].forgive(t)
	return nil
}

// takesMore returns nil unless the stream's own configuration has it refuse the next message.
func takesMore(info *jetstream.StreamInfo) error {
	c, state := info.Config, info.State
	refuses := c.Discard == jetstream.DiscardNew
	switch {
	case c.Sealed:
		return fmt.Errorf("%w: stream %s is sealed: delete it, and it is made again", schema.ErrRefused, c.Name)
	case info.Cluster != nil && !quorum(info.Cluster):
		return fmt.Errorf("%w: stream %s has no majority of its replicas", schema.ErrUnavailable, c.Name)
	case refuses && c.MaxMsgs > 0 && state.Msgs >= uint64(c.MaxMsgs):
		return fmt.Errorf("%w: stream %s is full: it holds %d messages, its max_msgs, and discards new ones", schema.ErrRefused, c.Name, state.Msgs)
	case refuses && c.MaxBytes > 0 && state.Bytes >= uint64(c.MaxBytes):
		return fmt.Errorf("%w: stream %s is full: it holds %d bytes of its max_bytes, %d, and discards new ones", schema.ErrRefused, c.Name, state.Bytes, c.MaxBytes)
	}
	return nil
}

// quorum reports whether most replicas are there, the leader being one.
func quorum(c *jetstream.ClusterInfo) bool {
	there := 1
	for _, replica := range c.Replicas {
		if !replica.Offline {
			there++
		}
	}
	return 2*there > 1+len(c.Replicas)
}

// accountTimeout bounds a question that may not be permitted, and then has no answer.
const accountTimeout = 500 * time.Millisecond

// accountReady returns an error when the account's storage is used up. Who may not ask is not told.
func (p *Publisher) accountReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, accountTimeout)
	defer cancel()
	account, err := p.js.AccountInfo(ctx)
	if err != nil {
		return nil //nolint:nilerr // the streams have answered; the account's figures need a permission of their own
	}
	if limit := account.Limits.MaxStore; limit > 0 && account.Store >= uint64(limit) {
		return fmt.Errorf("%w: the NATS account's storage is used up: %d of %d bytes", schema.ErrRefused, account.Store, limit)
	}
	return nil
}

// stage has JetStream take in a message as the first of a batch and then abandons the batch: nothing is stored, but the server has
// looked at its limits and has written to the disk.
func (p *Publisher) stage(ctx context.Context, kind schema.Kind) error {
	message := func(sequence string) *nats.Msg {
		return &nats.Msg{
			Subject: strings.TrimSuffix(kind.Subjects(p.cfg.Prefix), ">") + "probe",
			Header:  nats.Header{headerBatchID: {rand.Text()}, headerBatchSequence: {sequence}},
		}
	}
	first := message("1")
	answer, err := p.conn.RequestMsgWithContext(ctx, first)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return &refusal{schema.ErrStreamMissing, 0, "no stream answers on its subject"}
	case err != nil:
		return fmt.Errorf("%w: %w", schema.ErrUnavailable, err)
	case len(answer.Data) == 0:
		gap := message("3")
		gap.Header[headerBatchID] = first.Header[headerBatchID]
		if err := p.conn.PublishMsg(gap); err != nil {
			return fmt.Errorf("%w: %w", schema.ErrUnavailable, err)
		}
		return nil
	}
	var a ack
	if err := json.Unmarshal(answer.Data, &a); err != nil || a.Error == nil {
		return &refusal{schema.ErrUnavailable, 0, "the answer to a staged message cannot be read"}
	}
	return &refusal{schema.ErrRefused, a.Error.ErrCode, fmt.Sprintf("%s (%d)", a.Error.Description, a.Error.ErrCode)}
}
