// Package embedded runs a real nats-server with JetStream inside the process, so that one command is a whole
// installation. It fsyncs every write before it acknowledges it (sync_interval: always), and it never listens beyond
// loopback without authentication.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

// DefaultMaxPayload takes a webhook body of 4 MiB with room for what its message adds.
const DefaultMaxPayload = 4<<20 + 64<<10

const startTimeout = 30 * time.Second

// Config says where the server keeps its streams and where it listens for downstream services.
type Config struct {
	// StoreDir holds the streams. Only one process may use it at a time.
	StoreDir string
	// Listen is host:port for downstream services; port 0 means any free port.
	Listen string
	// Username and Password, or Token, are asked of every client. Beyond loopback one of them is required.
	Username string
	Password string
	Token    string
	// MaxPayload is the largest message in bytes; 0 means DefaultMaxPayload.
	MaxPayload int32
	// Leaf makes the server a leaf node of a hub; nil leaves it alone.
	Leaf *Leaf
}

// Server is a running nats-server. It is safe for concurrent use.
type Server struct {
	options *server.Options
	log     *zap.Logger
	url     string
	lock    *flock.Flock

	watching sync.WaitGroup
	end      context.CancelFunc // of watching

	mu     sync.Mutex
	server *server.Server // another after a restart; nil while there is none
}

// Name is the server's name, by which clients can tell it from another.
const Name = "mewsbridge"

// Start runs a server and returns when it takes connections. When its store fails, most often because the disk is full, the server is
// started again once there is room. Errors name the setting that is at fault: an address in use, a data folder in use, or a listener
// beyond loopback without authentication.
func Start(cfg Config, log *zap.Logger) (*Server, error) {
	options, err := cfg.options()
	if err != nil {
		return nil, err
	}
	lock, err := lockStore(cfg.StoreDir)
	if err != nil {
		return nil, err
	}
	running, err := run(options.Clone(), log) // the server changes what it is given
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	s := &Server{options: options, log: log, url: running.ClientURL(), lock: lock, server: running}
	if tcp, ok := running.Addr().(*net.TCPAddr); ok {
		options.Port = tcp.Port // the one that was free stays ours through a restart
	}
	ctx, end := context.WithCancel(context.Background())
	s.end = end
	s.watching.Go(func() { s.watch(ctx) })
	return s, nil
}

// current returns the running server, or nil while there is none.
func (s *Server) current() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// swap puts another server, or none, in place of the one it returns.
func (s *Server) swap(other *server.Server) *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.server
	s.server = other
	return old
}

func (c Config) options() (*server.Options, error) {
	host, portText, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("nats listen %q: not host:port", c.Listen)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("nats listen %q: the port is not a number from 0 to 65535", c.Listen)
	}
	if !loopback(host) && c.Username == "" && c.Token == "" {
		return nil, fmt.Errorf("nats listen %q is not a loopback address: set a NATS token or a user and password, or listen on 127.0.0.1", c.Listen)
	}
	if c.StoreDir == "" {
		return nil, errors.New("nats store dir: empty")
	}
	options := &server.Options{
		ServerName: Name, Host: host, Port: int(port),
		JetStream: true, StoreDir: c.StoreDir, SyncAlways: true,
		MaxPayload: c.MaxPayload, NoSigs: true,
		Username: c.Username, Password: c.Password, Authorization: c.Token,
	}
	if options.Port == 0 {
		options.Port = server.RANDOM_PORT
	}
	if options.MaxPayload == 0 {
		options.MaxPayload = DefaultMaxPayload
	}
	if c.Leaf != nil {
		if err := c.Leaf.apply(options); err != nil {
			return nil, err
		}
	}
	return options, nil
}

// loopback reports whether only this machine can reach host. An empty host means every address.
func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// lockStore keeps a second process from the same streams: two servers on one store destroy it.
func lockStore(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make store dir: %w", err)
	}
	lock := flock.New(filepath.Join(dir, "lock"))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock store dir: %w", err)
	}
	if !locked {
		return nil, fmt.Errorf("store dir %s is in use by another mewsbridge: stop it, or set another data dir", dir)
	}
	return lock, nil
}

func run(options *server.Options, log *zap.Logger) (*server.Server, error) {
	// The server ends the process when it cannot listen: find out before.
	address := net.JoinHostPort(options.Host, strconv.Itoa(max(options.Port, 0)))
	probe, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("nats listen: %w; free the address or set another one", err)
	}
	if err := probe.Close(); err != nil {
		return nil, fmt.Errorf("nats listen: %w", err)
	}
	s, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("make nats-server: %w", err)
	}
	logger := &serverLog{log: log, failed: make(chan string, 1)}
	s.SetLoggerV2(logger, false, false, false)
	s.Start()
	if err := waitReady(s, logger); err != nil {
		stop(s)
		return nil, err
	}
	return s, nil
}

func waitReady(s *server.Server, logger *serverLog) error {
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		select {
		case reason := <-logger.failed:
			return fmt.Errorf("start nats-server: %s", reason)
		default:
		}
		if s.ReadyForConnections(100 * time.Millisecond) {
			return nil
		}
	}
	return fmt.Errorf("start nats-server: not ready within %v", startTimeout)
}

func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// ClientURL returns the URL at which downstream services reach the server. It holds no credentials.
func (s *Server) ClientURL() string { return s.url }

// InProcessConn returns a connection that uses no socket; it makes Server an in-process provider for nats.go.
func (s *Server) InProcessConn() (net.Conn, error) {
	running := s.current()
	if running == nil {
		return nil, errors.New("the NATS server is being started again")
	}
	return running.InProcessConn()
}

// StorageLimit returns how many bytes the server may store in all: three quarters of what was free when it started.
func (s *Server) StorageLimit() int64 {
	if running := s.current(); running != nil {
		if config := running.JetStreamConfig(); config != nil {
			return config.MaxStore
		}
	}
	return 0
}

// Shutdown stops the server, waits until it has written everything, and frees the store.
func (s *Server) Shutdown() error {
	s.end()
	s.watching.Wait()
	if running := s.swap(nil); running != nil {
		stop(running)
	}
	if err := s.lock.Unlock(); err != nil {
		return fmt.Errorf("unlock store dir: %w", err)
	}
	return nil
}
