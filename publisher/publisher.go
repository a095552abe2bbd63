package publisher

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"mewsbridge/schema"
)

// Publisher stores messages in the three JetStream streams of one prefix. Its methods may be called
// concurrently.
type Publisher struct {
	cfg        Config
	log        *zap.Logger
	conn       *nats.Conn
	js         jetstream.JetStream
	committers [kinds]*committer
	metrics    *connectionMetrics
	figures    *figures
	hub        *hub // nil without one

	connected        atomic.Bool
	stopping         atomic.Bool
	lastConnectError atomic.Pointer[error]
	streamsProblem   atomic.Pointer[error]
	latestProblem    atomic.Pointer[error]

	consumersAgain struct { // when consumers may be asked for; only readFigures uses it
		at      time.Time
		backoff time.Duration
	}

	provision chan struct{}   // capacity 1: look at the streams now
	lifetime  context.Context // ends when the loops are to end
	end       context.CancelFunc
	loops     sync.WaitGroup
}

const kinds = 3

// flushTimeout bounds a write to a server that does not read; the connection is then given up and made anew.
const flushTimeout = 2 * time.Second

// New validates cfg and starts to connect. It does not need NATS to be there: until it is, Publish
// answers schema.ErrUnavailable and Ready says why. Errors are those of the configuration.
func New(cfg Config, log *zap.Logger) (*Publisher, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configure publisher: %w", err)
	}
	p := &Publisher{cfg: cfg, log: log, provision: make(chan struct{}, 1), metrics: newConnectionMetrics(cfg.Prefix)}
	p.figures = newFigures(cfg.Prefix, time.Now, p.readFigures)
	p.lifetime, p.end = context.WithCancel(context.Background())
	inbox, batch := cfg.inbox(), rand.Text()[:12]+"-"
	for _, kind := range schema.Kinds() {
		send := newSender(p.publishMsg, fmt.Sprintf("%s.%d.", inbox, kind), fmt.Sprintf("%s%d-", batch, kind))
		p.committers[kind] = newCommitter(kind.Stream(cfg.Prefix), send, cfg, log)
	}
	conn, err := p.connect()
	if err != nil {
		return nil, err
	}
	p.conn = conn
	if conn.IsConnected() {
		p.connected.Store(true)
	}
	if p.js, err = jetstream.New(conn, jetstream.WithDefaultTimeout(apiTimeout)); err != nil {
		conn.Close()
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	for kind, c := range p.committers {
		if err := p.listen(c, fmt.Sprintf("%s.%d.", inbox, kind)); err != nil {
			conn.Close()
			return nil, err
		}
	}
	collectors := []prometheus.Collector{p}
	if cfg.Hub != nil {
		if p.hub, err = newHub(p, *cfg.Hub); err != nil {
			conn.Close()
			return nil, err
		}
		collectors = append(collectors, p.hub)
	}
	for _, c := range collectors {
		if cfg.Metrics == nil {
			break
		}
		if err := cfg.Metrics.Register(c); err != nil {
			conn.Close()
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return p, nil
}

func (p *Publisher) publishMsg(m *nats.Msg) error { return p.conn.PublishMsg(m) }

// listen hands the acknowledgements that come to inbox to c.
func (p *Publisher) listen(c *committer, inbox string) error {
	sub, err := p.conn.Subscribe(inbox+">", func(m *nats.Msg) {
		id, index, count, ok := parseReply(m.Subject[len(inbox):])
		if !ok {
			return
		}
		verdict, err := readAck(m, c.stream, count)
		if verdict == nobodyThere {
			wake(p.provision) // it may have been deleted; the webhook is sent again in a moment
		}
		c.finish(id, index, verdict, err)
	})
	if err != nil {
		return fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	// A dropped acknowledgement would be a webhook refused for nothing; the window bounds what can come.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	return nil
}

// Start looks at the streams, creates them when it manages them, and keeps looking after them. When NATS
// is not there, or the streams are not as they should be, it returns nil all the same: that is for Ready
// to say, and it may mend. ctx bounds the first look only.
func (p *Publisher) Start(ctx context.Context) error {
	if p.conn.IsConnected() {
		p.checkStreams(ctx)
	}
	for _, c := range p.committers {
		p.loops.Go(func() { c.run(p.lifetime.Done()) })
	}
	p.loops.Go(p.keepStreams)
	p.loops.Go(func() { p.figures.run(p.lifetime) })
	if p.hub != nil {
		p.loops.Go(func() { p.hub.run(p.lifetime) })
	}
	return nil
}

// Publish stores msgs and returns nil when every one of them is acknowledged by its stream. Otherwise the
// error wraps one of schema.Err…, and any of the messages may be stored or not: sending them again with the same
// ids within the duplicate window stores none twice. It returns when ctx ends, which needs a deadline; a write that blocks beyond that
// keeps it until the connection is given up, 2 s at most. Within ctx, what NATS did not take because of a lost connection or a change of
// leader is sent again.
// msgs and their data must not change until it returns and, when it returns an error, not after that either.
func (p *Publisher) Publish(ctx context.Context, msgs []schema.Message) error {
	if len(msgs) == 0 {
		return nil
	}
	if p.stopping.Load() {
		return schema.ErrStopping
	}
	if !p.connected.Load() {
		return p.unreachable()
	}
	err := p.publishConnected(ctx, msgs)
	if errors.Is(err, schema.ErrNotAcknowledged) {
		wake(p.provision) // are the streams out of reach?
	}
	return err
}

func (p *Publisher) publishConnected(ctx context.Context, msgs []schema.Message) error {
	if kind, single := onlyKind(msgs); single {
		return p.committers[kind].publish(ctx, msgs)
	}
	return p.publishKinds(ctx, msgs)
}

// Admit returns schema.ErrOverloaded when the events of a webhook that arrives now could not be stored before ctx ends, and nil
// otherwise. It costs next to nothing, so that it can be asked before a body is parsed: under more load than can be carried, refusing
// must not take the time of what is accepted.
func (p *Publisher) Admit(ctx context.Context) error {
	return p.committers[schema.KindEvent].admit(ctx)
}

func onlyKind(msgs []schema.Message) (schema.Kind, bool) {
	kind := msgs[0].Kind
	for i := range msgs {
		if msgs[i].Kind != kind {
			return 0, false
		}
	}
	return kind, true
}

// publishKinds stores a webhook that goes to several streams: each stream's part is a commit of its own.
func (p *Publisher) publishKinds(ctx context.Context, msgs []schema.Message) error {
	var parts [kinds][]schema.Message
	for _, m := range msgs {
		parts[m.Kind] = append(parts[m.Kind], m)
	}
	results := make(chan error, kinds)
	sent := 0
	for kind, part := range parts {
		if len(part) == 0 {
			continue
		}
		sent++
		go func() { results <- p.committers[kind].publish(ctx, part) }()
	}
	var errs []error
	for range sent {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}

func (p *Publisher) unreachable() error {
	if err := p.lastConnectError.Load(); err != nil {
		return fmt.Errorf("%w: %v", schema.ErrUnavailable, *err)
	}
	return fmt.Errorf("%w: not connected", schema.ErrUnavailable)
}

// MaxPayload returns the largest message in bytes, headers included, that the server takes; 0 while unknown.
func (p *Publisher) MaxPayload() int64 {
	if !p.connected.Load() {
		return 0
	}
	return p.conn.MaxPayload()
}

// Stop refuses new webhooks, waits until those under way are settled or ctx ends, and closes the
// connection. It may be called more than once.
func (p *Publisher) Stop(ctx context.Context) error {
	p.stopping.Store(true)
	var err error
	for _, c := range p.committers {
		select {
		case <-c.stop():
		case <-ctx.Done():
			err = fmt.Errorf("drain publisher: %w", ctx.Err())
		}
	}
	p.end()
	p.conn.Close()
	p.loops.Wait()
	return err
}
