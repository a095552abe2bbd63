package publisher

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// pace is how the connection behaves when NATS is away. A stalled server is found after two missed pings.
type pace struct {
	reconnectWait  time.Duration // between rounds over the servers; as much again at most is added at random
	connectTimeout time.Duration
	pingInterval   time.Duration
	// deafTime is how long the streams may be out of reach before another server is tried. A cluster elects a leader in about
	// the default.
	deafTime time.Duration
}

func defaultPace() pace {
	return pace{reconnectWait: 250 * time.Millisecond, connectTimeout: 2 * time.Second, pingInterval: 5 * time.Second, deafTime: 5 * time.Second}
}

const maxPingsOut = 2

// NATS reports each message that it refuses, such as one that the user may not publish: the log has the first few, and then one from time
// to time.
const (
	reportsFirst = 10
	reportsEvery = 10 * time.Second
)

// connect returns a connection that keeps trying for ever, from the first attempt on. It never buffers
// while disconnected: a publish that was answered with an error must not be sent later behind our back.
func (p *Publisher) connect() (*nats.Conn, error) {
	reports := rate.Sometimes{First: reportsFirst, Interval: reportsEvery}
	options := []nats.Option{
		nats.Name(p.cfg.Name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectBufSize(-1),
		nats.ReconnectWait(p.cfg.pace.reconnectWait),
		nats.ReconnectJitter(p.cfg.pace.reconnectWait, p.cfg.pace.reconnectWait),
		nats.Timeout(p.cfg.pace.connectTimeout),
		nats.PingInterval(p.cfg.pace.pingInterval),
		nats.MaxPingsOutstanding(maxPingsOut),
		nats.FlusherTimeout(flushTimeout),
		// Credentials can be repaired while we run; giving up would need a restart that nobody asks for.
		nats.IgnoreAuthErrorAbort(),
		nats.ConnectHandler(func(c *nats.Conn) { p.onConnected(c, "connected to NATS") }),
		nats.ReconnectHandler(func(c *nats.Conn) { p.onConnected(c, "reconnected to NATS") }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { p.onDisconnected(err) }),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { p.onConnectFailed(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			reports.Do(func() { p.log.Warn("NATS reports an error; of many at a time one is logged", zap.Error(err)) })
		}),
	}
	identity, err := p.cfg.ConnectOptions()
	if err != nil {
		return nil, err
	}
	options = append(options, identity...)
	if p.cfg.InProcess != nil {
		options = append(options, nats.InProcessServer(p.cfg.InProcess))
	}
	conn, err := nats.Connect(strings.Join(p.cfg.URLs, ","), options...)
	if err != nil {
		// Parse errors of nats.go repeat the URL, which may hold a password.
		return nil, fmt.Errorf("connect to NATS: %w", withoutURL(err))
	}
	return conn, nil
}

// withoutURL keeps the errors that are known to hold no URL.
func withoutURL(err error) error {
	for _, known := range []error{nats.ErrNoServers, nats.ErrTimeout, nats.ErrAuthorization, nats.ErrSecureConnRequired, nats.ErrSecureConnWanted} {
		if errors.Is(err, known) {
			return known
		}
	}
	if _, network := errors.AsType[*net.OpError](err); network {
		return err // names hosts and addresses
	}
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return err // names certificates
	}
	return errors.New("the URL or the connection options are not valid")
}

func (p *Publisher) onConnected(c *nats.Conn, what string) {
	p.log.Info(what, zap.String("server", c.ConnectedServerName()), zap.String("version", c.ConnectedServerVersion()),
		zap.String("address", c.ConnectedAddr()))
	for _, c := range p.committers {
		c.forgive(c.troubled()) // it was with another server, or with this one as it was before
	}
	p.connected.Store(true)
	p.lastConnectError.Store(nil)
	wake(p.provision)
}

func (p *Publisher) onDisconnected(err error) {
	p.connected.Store(false)
	if !p.stopping.Load() {
		p.log.Warn("NATS connection lost; reconnecting", zap.Error(err))
	}
	// The acknowledgements under way will never come: let each webhook be sent again within its deadline.
	for _, c := range p.committers {
		c.connectionLost()
	}
}

// onConnectFailed reports the first failure of an outage; the rest say nothing new.
func (p *Publisher) onConnectFailed(err error) {
	if p.lastConnectError.Swap(&err) == nil && !p.stopping.Load() {
		p.log.Warn("NATS cannot be reached; trying again for ever", zap.Error(err))
	}
}

// wake fills a channel of capacity one: its reader will look again, once.
func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
