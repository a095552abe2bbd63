package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"mewsbridge/bridge"
	"mewsbridge/bridge/silence"
	"mewsbridge/publisher"
	"mewsbridge/publisher/embedded"
)

// Bounds of the life of a bridge.
const (
	stopTimeout  = 10 * time.Second
	writeTimeout = 10 * time.Second
	// readTimeout bounds what is read of a request that the bridge does not read itself, such as one refused.
	readTimeout = 10 * time.Second
	// embeddedMaxBody is the largest body with an embedded server when none is set.
	embeddedMaxBody = 4 << 20
	// unknownMaxPayload holds until the server has said its max_payload: it is NATS's own default.
	unknownMaxPayload = 1 << 20
	sampleTick        = time.Second
	sampleFirst       = 100
	sampleThereafter  = 100
)

// app is a whole bridge: what serve runs.
type app struct {
	cfg *Config
	log *zap.Logger

	level      zap.AtomicLevel // of log
	getenv     func(string) string
	metrics    *prometheus.Registry
	tracer     trace.Tracer           // nil without tracing
	nats       *embedded.Server       // nil with an external NATS
	publishers []*publisher.Publisher // one for each prefix, in the order of Config.prefixes
	detectors  []*silence.Detector    // one for each publisher
	bridge     *bridge.Bridge
	reloader   *reloader
	public     *listener
	admin      *listener
	ownToken   secret // the token that was made; empty when tokens are configured

	undo   []undoStep
	failed chan error // capacity 2: a listener that ended by itself
}

// undoStep gives back what newApp acquired.
type undoStep struct {
	name string
	run  func(context.Context) error
}

func (a *app) onStop(name string, run func(context.Context) error) {
	a.undo = append(a.undo, undoStep{name, run})
}

// newApp acquires everything that serve needs, in the order in which it is to be given back reversed: a listener that is
// taken or a folder that is in use is an error here. When it fails, it has given back what it had.
func newApp(cfg *Config, log *zap.Logger, level zap.AtomicLevel, getenv func(string) string) (*app, error) {
	a := &app{cfg: cfg, log: log, level: level, getenv: getenv, metrics: newRegistry(), reloader: &reloader{log: log}, failed: make(chan error, 2)}
	for _, acquire := range []func() error{a.openTokens, a.openTracing, a.openNATS, a.openPublishers, a.openBridge, a.openAdmin, a.openPublic} {
		if err := acquire(); err != nil {
			ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
			defer cancel()
			return nil, errors.Join(err, a.stop(ctx))
		}
	}
	return a, nil
}

// openTokens makes sure that there is a token: endpoints that are listed have theirs.
func (a *app) openTokens() error {
	if len(a.cfg.Endpoints[0].Tokens) > 0 {
		return nil
	}
	var err error
	a.ownToken, err = ownToken(a.cfg.DataDir)
	return withCode(exitConfig, err)
}

func (a *app) openNATS() error {
	if !a.cfg.Embedded() {
		return nil
	}
	s, err := embedded.Start(a.cfg.embeddedConfig(), a.log.Named("nats-server"))
	if err != nil {
		return withCode(exitConfig, err)
	}
	a.nats = s
	a.onStop("embedded NATS", func(context.Context) error { return s.Shutdown() })
	return nil
}

// openPublishers makes a publisher, with a connection of its own, for each prefix: the streams of one do not wait for those of another.
func (a *app) openPublishers() error {
	for _, prefix := range a.cfg.prefixes() {
		if err := a.openPublisher(prefix); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) openPublisher(prefix string) error {
	cfg := a.cfg.publisherConfig(prefix)
	cfg.Metrics, cfg.Hub = a.metrics, a.cfg.hub()
	if a.nats != nil {
		cfg.InProcess, cfg.StorageLimit = a.nats, a.nats.StorageLimit
	}
	p, err := publisher.New(cfg, a.log)
	if err != nil {
		return withCode(exitConfig, err)
	}
	a.publishers = append(a.publishers, p)
	detector := silence.New(silence.Config{Prefix: prefix, Log: a.log})
	if err := a.metrics.Register(detector); err != nil {
		return withCode(exitInternal, err)
	}
	a.detectors = append(a.detectors, detector)
	a.onStop("publisher of "+prefix, p.Stop)
	return nil
}

func (a *app) openBridge() error {
	endpoints, err := a.endpoints()
	if err != nil {
		return withCode(exitConfig, err)
	}
	b, err := bridge.New(bridge.Config{
		Endpoints: endpoints, MaxBody: a.maxBody,
		AckDeadline: a.cfg.AckDeadline, RetryWindow: a.cfg.RetryWindow,
		Ready: a.ready, Log: a.log, TrustedProxies: a.cfg.TrustedProxies, Metrics: a.metrics, Tracer: a.tracer, RetrySpacing: a.cfg.RetrySpacing,
		AdminToken: a.cfg.adminToken(), Admin: a.adminRoutes(), Shared: a.sharedLedger(),
	})
	if err != nil {
		return withCode(exitConfig, err)
	}
	a.bridge = b
	a.share()
	a.onStop("reloader", a.reloader.stop)
	return nil
}

// adminRoutes returns what the admin listener serves beside the bridge's own.
func (a *app) adminRoutes() []bridge.AdminRoute {
	routes := append(schemaRoutes(), bridge.AdminRoute{Path: "/metrics", Handler: metricsHandler(a.metrics, a.log)})
	routes = append(routes, levelRoutes(a.level, a.log)...)
	routes = append(routes, bridge.AdminRoute{Path: "/silence", Handler: silence.Handler(a.detectors...)})
	return append(routes, a.pprofRoutes()...)
}

// endpoints returns what the bridge serves.
func (a *app) endpoints() ([]bridge.Endpoint, error) {
	var endpoints []bridge.Endpoint
	for _, e := range a.cfg.Endpoints {
		live := e.Tokens
		if a.ownToken != "" {
			live = []namedToken{{ownTokenName, a.ownToken}}
		}
		tokens, err := bridge.NewTokenSet(bridgeTokens(live)...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.setting("tokens"), err)
		}
		if e.TokensFile != "" {
			a.reloader.watched = append(a.reloader.watched, e.watchTokens(tokens))
		}
		prefix := slices.Index(a.cfg.prefixes(), e.Prefix)
		endpoints = append(endpoints, bridge.Endpoint{Name: e.Name, Path: e.Path, Prefix: e.Prefix, Tokens: tokens,
			Publisher: a.cfg.sealing(a.publishers[prefix]), Allow: e.Allow, Failover: e.Failover, Silence: a.detectors[prefix]})
	}
	return endpoints, nil
}

// ready returns nil when the events of every endpoint can be stored, otherwise what is wrong with the first that cannot.
func (a *app) ready(ctx context.Context) error {
	for _, p := range a.publishers {
		if err := p.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// maxBody returns the largest body whose messages the server takes.
func (a *app) maxBody() int64 {
	if a.nats != nil {
		switch {
		case a.cfg.MaxBody > 0:
			return a.cfg.MaxBody
		case len(a.cfg.Leaf.URL) > 0: // a hub that does not take a message would never fetch one behind it
			return a.cfg.bodyLimit(unknownMaxPayload)
		}
		return embeddedMaxBody
	}
	payload := a.publishers[0].MaxPayload()
	if payload == 0 {
		payload = unknownMaxPayload
	}
	limit := a.cfg.bodyLimit(payload)
	if a.cfg.MaxBody > 0 {
		return min(a.cfg.MaxBody, limit)
	}
	return limit
}

func (a *app) openAdmin() error {
	l, err := a.listen("admin_listen", a.cfg.AdminListen, a.bridge.AdminHandler(), adminConnections)
	if err != nil {
		return err
	}
	// A profile takes as long as it was asked for; it ends early when the bridge stops.
	ctx, cancel := context.WithCancel(context.Background())
	l.server.BaseContext = func(net.Listener) context.Context { return ctx }
	l.server.RegisterOnShutdown(cancel)
	l.server.WriteTimeout = adminWriteTimeout
	a.admin = l
	a.onStop("admin listener", l.shutdown)
	return nil
}

func (a *app) openPublic() error {
	tlsConfig, err := a.listenerTLS()
	if err != nil {
		return err
	}
	l, err := a.listen("listen", a.cfg.Listen, a.bridge.Handler(), a.cfg.MaxConnections)
	if err != nil {
		return err
	}
	if tlsConfig != nil {
		l.socket = tls.NewListener(l.socket, tlsConfig)
	}
	a.public = l
	a.onStop("webhook listener", l.shutdown)
	a.onStop("readiness", func(context.Context) error { a.bridge.BeginStop(); return nil })
	return nil
}

// listener is an HTTP server on its own address. The goroutine that serves is waited for by shutdown.
type listener struct {
	server  *http.Server
	socket  net.Listener
	serving sync.WaitGroup
}

// listen binds the address at once, so that one that is taken is an error at start.
func (a *app) listen(setting, address string, handler http.Handler, connections int) (*listener, error) {
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return nil, withCode(exitConfig, fmt.Errorf("%s: %w; free the address or set another one", setting, err))
	}
	gate := newGate(socket, connections)
	return &listener{
		socket: gate,
		server: &http.Server{
			Handler: gate.guard(handler), ConnContext: gate.connContext, ConnState: gate.connState, MaxHeaderBytes: a.cfg.MaxHeaderBytes,
			ReadHeaderTimeout: a.cfg.HeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: a.cfg.IdleTimeout,
			// net/http's own messages can quote what a client sent.
			ErrorLog: stdlog.New(io.Discard, "", 0),
		},
	}, nil
}

// serve handles requests until shutdown; an end for another reason is sent to failed.
func (l *listener) serve(failed chan<- error) {
	l.serving.Go(func() {
		if err := l.server.Serve(l.socket); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve %s: %w", l.socket.Addr(), err)
		}
	})
}

// shutdown waits for the requests under way, and ends them when ctx does.
func (l *listener) shutdown(ctx context.Context) error {
	err := l.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, l.server.Close())
	}
	err = errors.Join(err, l.closeSocket())
	l.serving.Wait()
	return err
}

// closeSocket frees the address even when serve was never called.
func (l *listener) closeSocket() error {
	if err := l.socket.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// start makes the streams ready where NATS is there, and serves. What comes on hangups has it read the watched files at once.
func (a *app) start(ctx context.Context, hangups <-chan os.Signal) error {
	for _, p := range a.publishers {
		if err := p.Start(ctx); err != nil {
			return fmt.Errorf("start publisher: %w", err)
		}
	}
	a.reloader.start(hangups)
	a.watch()
	a.admin.serve(a.failed)
	a.public.serve(a.failed)
	return nil
}

// sharedLedger returns what the bridges on one NATS share, or nil.
func (a *app) sharedLedger() bridge.SharedLedger {
	if !a.cfg.SharedLedger {
		return nil
	}
	return a.publishers[0].Ledger(a.cfg.RetryWindow)
}

// share has the bridge share its ledger until the last webhook has been answered.
func (a *app) share() {
	ctx, end := context.WithCancel(context.Background())
	var sharing sync.WaitGroup
	sharing.Go(func() { a.bridge.Share(ctx) })
	a.onStop("shared ledger", func(context.Context) error {
		end()
		sharing.Wait()
		return nil
	})
}

// watch runs what looks at the bridge from time to time, until it is stopped.
func (a *app) watch() {
	ctx, end := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { a.bridge.Watch(ctx) })
	for i, detector := range a.detectors {
		watching.Go(func() { detector.Watch(ctx, a.publishers[i].History) })
	}
	a.onStop("watching", func(context.Context) error {
		end()
		watching.Wait()
		return nil
	})
}

// stop gives everything back in reverse order: readiness, webhooks (waiting for those accepted, and so for their
// acknowledgements), admin listener, publisher, connection, embedded server. Each step that fails is named; the rest go on. It may be
// called more than once.
func (a *app) stop(ctx context.Context) error {
	var errs []error
	for len(a.undo) > 0 {
		last := a.undo[len(a.undo)-1]
		a.undo = a.undo[:len(a.undo)-1]
		if err := last.run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", last.name, err))
		}
	}
	return errors.Join(errs...)
}
