package bridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"mewsbridge/schema"
)

// Keys of log records.
const (
	logReason   = "reason"
	logStatus   = "status"
	logEndpoint = "endpoint"
	logRoute    = "route"
	logDelivery = "delivery"
	logAttempt  = "attempt"
)

// Publisher stores messages durably.
type Publisher interface {
	// Publish returns nil when every message is acknowledged by its stream; only then is a webhook
	// answered 202. Otherwise the error wraps one of schema.Err… and any of the messages may be stored. It
	// returns when ctx ends at the latest. The messages must not change, even after it has returned.
	Publish(ctx context.Context, msgs []schema.Message) error

	// Admit returns schema.ErrOverloaded when Publish would, for any webhook that arrives now and has until ctx ends. It is
	// asked before a body is parsed and must be cheap.
	Admit(ctx context.Context) error
}

// DefaultMaxInflightBytes bounds the bodies that are handled at a time.
const DefaultMaxInflightBytes = 256 << 20

// Config is what a Bridge needs. All fields up to Log are required.
type Config struct {
	Endpoints   []Endpoint                  // at least one; they share the ledger of retries and the memory for bodies
	MaxBody     func() int64                // largest body in bytes, after inflation
	AckDeadline time.Duration               // from a request's arrival to the last acknowledgement; less than Mews's 5 s
	RetryWindow time.Duration               // how long a delivery that was not answered 2xx waits for its retry
	Ready       func(context.Context) error // nil when the webhooks of every endpoint can be stored
	Log         *zap.Logger

	// TrustedProxies are the networks of the proxies whose X-Forwarded-For is believed, for Endpoint.Allow and for counting wrong tokens.
	TrustedProxies []netip.Prefix
	// Shared is what several bridges on one NATS know together of deliveries that wait for their retry; nil when this one is alone.
	Shared SharedLedger
	// Admin is served on the admin listener beside /livez and /readyz.
	Admin []AdminRoute
	// AdminToken is asked for, as a bearer token, by all of the admin listener but /livez and /readyz; nil: none is. Without it
	// /readyz does not say what is wrong.
	AdminToken       *Token
	Metrics          prometheus.Registerer // where the bridge registers its metrics; nil means nowhere
	Tracer           trace.Tracer          // nil means no spans; a sender's traceparent is handed on all the same
	RetrySpacing     time.Duration         // how long Mews waits between its attempts; zero means DefaultRetrySpacing
	MaxInflightBytes int64                 // zero means DefaultMaxInflightBytes
	LedgerSize       int                   // open deliveries at most; zero means 100,000
	Now              func() time.Time      // nil means time.Now
}

// AdminRoute is one more path of the admin listener. A path that ends in * serves everything below.
type AdminRoute struct {
	Method  string // empty is GET; one path may have a route for each method
	Path    string
	Handler http.Handler
}

func (c Config) withDefaults() Config {
	if c.MaxInflightBytes == 0 {
		c.MaxInflightBytes = DefaultMaxInflightBytes
	}
	if c.LedgerSize == 0 {
		c.LedgerSize = defaultLedgerSize
	}
	if c.RetrySpacing == 0 {
		c.RetrySpacing = DefaultRetrySpacing
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	errs = append(errs, validateEndpoints(c.Endpoints))
	if c.AckDeadline <= 0 || c.RetryWindow <= 0 {
		errs = append(errs, errors.New("ack deadline and retry window: must be more than 0"))
	}
	if c.MaxBody == nil || c.Ready == nil || c.Log == nil {
		errs = append(errs, errors.New("max body, ready and log: required"))
	}
	return errors.Join(errs...)
}

// Bridge turns webhooks into messages. Its handlers may be used concurrently.
type Bridge struct {
	cfg       Config
	log       *zap.Logger
	ledger    *ledger
	sharing   *sharing // all attempts begin and end through it
	bodies    memory
	strangers *strangers
	stopping  atomic.Bool
	public    *echo.Echo
	admin     *echo.Echo
	metrics   *metrics
	failures  *failureLog
}

// New returns a Bridge, or everything that is wrong with cfg. It starts nothing.
func New(cfg Config) (*Bridge, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configure bridge: %w", err)
	}
	b := &Bridge{
		cfg: cfg, log: cfg.Log,
		ledger: newLedger(cfg.RetryWindow, cfg.LedgerSize),
		bodies: memory{limit: cfg.MaxInflightBytes}, strangers: newStrangers(cfg.TrustedProxies, cfg.Log), metrics: newMetrics(), failures: newFailureLog(),
	}
	drifts := newDrift(cfg.Log)
	b.sharing = newSharing(cfg.Shared, b.ledger, cfg.Now, cfg.Log, b.failures)
	b.public = b.newEcho()
	for _, e := range cfg.Endpoints {
		b.public.POST(e.Path, b.recovered((&endpoint{b, e, b.metrics.endpoint(e.Name, drifts)}).receive))
		b.public.OPTIONS(e.Path, onlyPost) // echo would answer 204 by itself
	}
	b.admin = b.newEcho()
	b.admin.Use(b.recovered, b.adminOnly)
	b.admin.GET(livePath, live)
	b.admin.GET(readyPath, b.ready)
	for _, route := range cfg.Admin {
		b.admin.Add(cmp.Or(route.Method, http.MethodGet), route.Path, echo.WrapHandler(route.Handler))
	}
	if cfg.Metrics != nil {
		if err := cfg.Metrics.Register(b); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return b, nil
}

// newEcho returns a router with our own answers to errors and none of echo's output.
func (b *Bridge) newEcho() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = b.answerError
	e.Logger.SetOutput(io.Discard)
	e.StdLogger = stdlog.New(io.Discard, "", 0)
	return e
}

func onlyPost(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderAllow, http.MethodPost)
	return echo.ErrMethodNotAllowed
}

// recovered turns a panic into an error. A panic's value may hold what was being handled, so only its stack is logged.
func (b *Bridge) recovered(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) (err error) {
		defer func() {
			if v := recover(); v != nil {
				b.log.Error("panic in a handler", zap.String(logRoute, c.Path()), zap.String("type", fmt.Sprintf("%T", v)),
					zap.ByteString("stack", debug.Stack()))
				err = errors.New("panic")
			}
		}()
		return next(c)
	}
}

// Handler serves the public listener: the paths of the endpoints and nothing else.
func (b *Bridge) Handler() http.Handler { return b.public }

// AdminHandler serves /livez, /readyz and, to who has the admin token, what Config.Admin adds.
func (b *Bridge) AdminHandler() http.Handler { return b.admin }

// BeginStop makes /readyz fail, so that no new webhooks are sent here. It may be called more than once.
func (b *Bridge) BeginStop() { b.stopping.Store(true) }

// OpenDeliveries returns how many deliveries wait for their retry.
func (b *Bridge) OpenDeliveries() int { return b.ledger.openEntries(b.cfg.Now()) }
