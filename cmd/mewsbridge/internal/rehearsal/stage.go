package rehearsal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/cmd/mewsbridge/internal/simulator"
	"mewsbridge/schema"
)

const (
	// recovery bounds how long everything may take to be well again after the last fault.
	recovery = time.Minute
	// concurrency is plenty: an outage must not keep the sender from sending what comes next.
	concurrency  = 1024
	idle         = 32 // connections kept; those of an outage must not look like growth
	progressTick = 200 * time.Millisecond
	prefix       = "mews"
	overrun      = 3
)

// stage is the rehearsal of one setup.
type stage struct {
	cfg     *Config
	setup   Setup
	dir     string
	bridge  *bridgeProcess
	nodes   []*node
	account *account
	doing   atomic.Pointer[string]

	ctx      context.Context // ends with the cause when a process ends by itself
	fail     context.CancelCauseFunc
	position uint64 // sequence of the events stream up to which it was read
	report   SetupReport
}

func newStage(cfg *Config, setup Setup, dir string) *stage {
	return &stage{cfg: cfg, setup: setup, dir: dir, report: SetupReport{Setup: setup, Injected: map[Fault]int{}}}
}

// run starts everything, sends webhooks while it injects the faults, and counts what is stored in the end.
func (s *stage) run(parent context.Context) (*SetupReport, error) {
	began := time.Now()
	s.ctx, s.fail = context.WithCancelCause(parent)
	defer s.fail(nil)
	defer s.tearDown()
	s.say("starting")
	if err := s.setUp(); err != nil {
		return nil, err
	}
	s.rehearse()
	if err := parent.Err(); err != nil {
		return nil, err
	}
	if s.ctx.Err() != nil {
		s.problem(context.Cause(s.ctx))
	}
	s.report.Elapsed = time.Since(began)
	return &s.report, nil
}

func (s *stage) say(what string) { s.doing.Store(&what) }

func (s *stage) problem(err error) { s.report.Problems = append(s.report.Problems, err.Error()) }

// setUp starts the nats-servers and the bridge and waits until it is ready.
func (s *stage) setUp() error {
	webhooks := int(s.cfg.Rate * s.cfg.share().Seconds())
	if err := s.startNATS(webhooks * s.cfg.Events); err != nil {
		return err
	}
	if !s.cfg.Soak {
		webhooks *= overrun + 1 // at most
	}
	if err := s.prepareBridge(); err != nil {
		return err
	}
	if err := s.startBridge(); err != nil {
		return err
	}
	if err := s.awaitReady(); err != nil {
		return err
	}
	s.account = newAccount(webhooks, s.cfg.Events, s.cfg.Seed)
	return nil
}

// startNATS starts the nats-servers of the setup, if there are any. They have room for that many events, and a little more.
func (s *stage) startNATS(events int) (err error) {
	if s.nodes, err = newNodes(map[Setup]int{Single: 1, Cluster: 3}[s.setup], s.dir); err != nil {
		return err
	}
	const stored, room = 1 << 10, 32 << 20 // what an event takes, and what is left to fill for the disk to be full
	options := nodeOptions{syncAlways: s.cfg.SyncAlways, maxStore: int64(events)*stored + room}
	for _, n := range s.nodes {
		if err := n.configure(s.nodes, options); err != nil {
			return err
		}
	}
	for _, n := range s.nodes {
		if err := s.startNode(n); err != nil {
			return err
		}
	}
	return nil
}

// prepareBridge decides how the bridge is started, each time.
func (s *stage) prepareBridge() error {
	front, err := newProxy()
	if err != nil {
		return err
	}
	token := rand.Text()
	env := []string{
		"MEWSBRIDGE_TOKENS=" + token, "MEWSBRIDGE_PREFIX=" + prefix, "MEWSBRIDGE_DATA_DIR=" + filepath.Join(s.dir, "bridge"),
		"MEWSBRIDGE_LISTEN=127.0.0.1:0", "MEWSBRIDGE_ADMIN_LISTEN=127.0.0.1:0", "MEWSBRIDGE_NATS_LISTEN=127.0.0.1:0",
		fmt.Sprint("MEWSBRIDGE_RETRY_SPACING=", min(s.cfg.RetryAfter, soakRetryWindow/2)), // the window has to hold two
	}
	if s.cfg.Soak {
		env = append(env, fmt.Sprint("MEWSBRIDGE_MAX_AGE=", soakMaxAge), fmt.Sprint("MEWSBRIDGE_DUPLICATE_WINDOW=", soakMaxAge),
			fmt.Sprint("MEWSBRIDGE_RETRY_WINDOW=", soakRetryWindow))
	}
	if len(s.nodes) > 0 {
		var urls []string
		for _, n := range s.nodes {
			urls = append(urls, "nats://"+n.clients.addr())
		}
		env = append(env, "NATS_URL="+strings.Join(urls, ","), fmt.Sprint("MEWSBRIDGE_REPLICAS=", len(s.nodes)))
	}
	s.bridge = &bridgeProcess{dir: s.dir, env: env, front: front, url: "http://" + front.addr() + "/webhooks/mews?Token=" + token}
	return nil
}

func (s *stage) startNode(n *node) error { return n.start(s.ctx, s.cfg.Binary, s.fail) }
func (s *stage) startBridge() error      { return s.bridge.start(s.ctx, s.cfg.Binary, s.fail) }

// pause waits for d, or until the stage ends.
func (s *stage) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.ctx.Done():
	}
}

// awaitReady waits until the bridge says that it is ready.
func (s *stage) awaitReady() error {
	var why string
	err := waitFor(s.ctx, "the bridge to be ready", recovery, func() (ok bool) {
		ok, why = s.bridge.ready(s.ctx)
		return ok
	})
	if err != nil && why != "" {
		return fmt.Errorf("%w: %s", err, why)
	}
	return err
}

// rehearse sends, injects, and counts.
func (s *stage) rehearse() {
	var sending, telling sync.WaitGroup
	told, enough := make(chan struct{}), make(chan struct{})
	telling.Go(func() { s.tell(told) })
	sending.Go(func() { s.send(enough) })
	if s.cfg.Soak {
		s.soak()
	} else {
		s.injectAll()
	}
	s.pause(s.cfg.share() - s.account.now())
	close(enough)
	s.say("waiting for the last webhooks")
	sending.Wait()
	s.say("counting")
	if s.ctx.Err() == nil {
		s.finish()
	}
	close(told)
	telling.Wait()
}

// send delivers webhooks as Mews does until enough is closed, and then until each has its outcome.
func (s *stage) send(enough <-chan struct{}) {
	client := simulator.NewClient(idle)
	defer client.CloseIdleConnections()
	generator := &simulator.Generator{Seed: s.cfg.Seed, Events: s.cfg.Events}
	simulator.Runner{
		Sender: simulator.Sender{Client: client, URL: s.bridge.url, RetryAfter: s.cfg.RetryAfter},
		Body:   generator.Body, Webhooks: len(s.account.webhooks), Rate: s.cfg.Rate, Concurrency: concurrency,
		Starting: enough, Done: s.account.note,
	}.Run(s.ctx)
}

// injectAll carries out the schedule. A fault that took longer than planned, for a restart, delays the next, up to overrun times the
// duration in all; webhooks are sent for as long.
func (s *stage) injectAll() {
	plan, _ := Schedule(s.cfg.Seed, s.setup, s.cfg.Faults, s.cfg.share())
	for _, injection := range plan {
		s.say("-")
		s.pause(injection.At - s.account.now())
		if s.ctx.Err() != nil {
			return
		}
		if s.account.now() > overrun*s.cfg.share() {
			s.problem(fmt.Errorf("this machine is too slow for the schedule: not all faults were injected in %v", overrun*s.cfg.share()))
			return
		}
		s.say(string(injection.Fault))
		if err := kindOf(injection.Fault).inject(s, injection); err != nil {
			if s.ctx.Err() == nil {
				s.problem(fmt.Errorf("%s: %w", injection.Fault, err))
			}
			return
		}
		s.report.Injected[injection.Fault]++
	}
	s.say("-")
}

// finish waits until everything is well, reads the stream to its end, and stops the bridge in order.
func (s *stage) finish() {
	if err := s.awaitReady(); err != nil {
		s.problem(err)
	}
	if err := s.read(); err != nil {
		s.problem(fmt.Errorf("count what is stored: %w", err))
		return
	}
	s.report.Counts = s.account.settle()
	if lost := s.account.lost; len(lost) > 0 {
		file := filepath.Join(s.dir, "lost")
		s.problem(errors.Join(fmt.Errorf("%s says which events are lost", file), os.WriteFile(file, []byte(strings.Join(lost, "\n")+"\n"), 0o600)))
	}
	if err := s.bridge.process.terminate(); err != nil {
		s.problem(err)
	}
}

// jetstream calls do with a connection around the proxies. It tries again for a while: after a fault JetStream may need some time.
func (s *stage) jetstream(do func(jetstream.JetStream) error) error {
	var failure error
	err := waitFor(s.ctx, "JetStream", recovery, func() bool {
		failure = s.once(do)
		return failure == nil
	})
	return errors.Join(err, failure)
}

func (s *stage) once(do func(jetstream.JetStream) error) error {
	conn, err := s.connect()
	if err != nil {
		return err
	}
	return use(conn, do)
}

// use calls do with conn's JetStream and closes conn.
func use(conn *nats.Conn, do func(jetstream.JetStream) error) error {
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	return do(js)
}

// connect returns a connection to the first server that takes one.
func (s *stage) connect() (*nats.Conn, error) {
	if len(s.nodes) == 0 {
		return connect(s.bridge.nats)
	}
	var errs []error
	for _, n := range s.nodes {
		conn, err := connect(n.url)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

var eventsStream = schema.KindEvent.Stream(prefix)

// markSubject is where read puts a mark into the events stream. No event has it.
var markSubject = strings.TrimSuffix(schema.KindEvent.Subjects(prefix), ">") + "RehearsalMark"

// read counts what the events stream holds behind position. What was acknowledged before is before a mark that is acknowledged now:
// a leader that does not know yet that it was replaced names an end of the stream, but has no majority to store a mark.
func (s *stage) read() error {
	return s.jetstream(func(js jetstream.JetStream) error {
		mark, err := js.Publish(s.ctx, markSubject, nil)
		if err != nil {
			return fmt.Errorf("mark the end of the stream: %w", err)
		}
		stream, err := js.Stream(s.ctx, eventsStream)
		if err != nil {
			return err
		}
		s.position, err = s.account.tally.Read(s.ctx, stream, s.position, mark.Sequence)
		return err
	})
}

// tell calls Progress until done.
func (s *stage) tell(done <-chan struct{}) {
	if s.cfg.Progress == nil {
		return
	}
	tick := time.NewTicker(progressTick)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			s.cfg.Progress(Progress{Setup: s.setup, Elapsed: s.account.now(), Whole: s.cfg.share(),
				Doing: *s.doing.Load(), Counts: s.account.snapshot()})
		}
	}
}

// tearDown ends all processes and proxies.
func (s *stage) tearDown() {
	var proxies []*proxy
	if s.bridge != nil {
		if s.bridge.process != nil {
			s.bridge.process.kill()
		}
		proxies = append(proxies, s.bridge.front)
	}
	for _, n := range s.nodes {
		if n == nil {
			continue
		}
		if n.process != nil {
			n.process.kill()
		}
		proxies = append(proxies, n.proxies()...)
	}
	for _, p := range proxies {
		if p != nil {
			p.close()
		}
	}
}
