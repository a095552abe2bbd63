// Package natstest runs real nats-servers inside tests: one server, or a cluster of several. It also holds what the tests of several packages
// read results with.
package natstest

import (
	"fmt"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const patience = 20 * time.Second

// Option changes a server's options before it starts.
type Option func(*server.Options)

// SyncAlways has the server fsync each write before it acknowledges.
func SyncAlways(o *server.Options) { o.SyncAlways = true }

// Server is a running nats-server and the options it was started with.
type Server struct {
	*server.Server
	options server.Options
}

// Start runs one server with JetStream until the test ends, on a port that stays the test's own while the server is down.
func Start(tb testing.TB, options ...Option) *Server {
	tb.Helper()
	o := server.Options{
		Host: "127.0.0.1", Port: reservePort(tb), JetStream: true, StoreDir: tb.TempDir(),
		NoSigs: true, NoLog: true, MaxPayload: 8 << 20,
	}
	return run(tb, o, options)
}

func run(tb testing.TB, o server.Options, options []Option) *Server {
	tb.Helper()
	for _, option := range options {
		option(&o)
	}
	s, err := server.NewServer(o.Clone()) // the server changes what it is given
	if err != nil {
		tb.Fatalf("make nats-server: %v", err)
	}
	s.Start()
	tb.Cleanup(func() { stop(s) })
	if !s.ReadyForConnections(patience) {
		tb.Fatal("nats-server is not ready")
	}
	return &Server{s, o}
}

// Stop ends the server and waits for it. It may be called more than once.
func Stop(s *Server) { stop(s.Server) }

func stop(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// Restart stops s, if it still runs, and starts a server with its options: the same port and the same streams.
func Restart(tb testing.TB, s *Server, options ...Option) *Server {
	tb.Helper()
	Stop(s)
	return run(tb, s.options, options)
}

// Cluster runs n servers with JetStream as one cluster until the test ends.
func Cluster(tb testing.TB, n int, options ...Option) []*Server {
	tb.Helper()
	ports := make([]int, n)
	var routes []*url.URL
	for i := range ports {
		ports[i] = reservePort(tb)
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", ports[i])})
	}
	dir := tb.TempDir()
	servers := make([]*Server, n)
	for i := range servers {
		name := fmt.Sprintf("node%d", i+1)
		servers[i] = Start(tb, append([]Option{func(o *server.Options) {
			o.ServerName, o.StoreDir = name, filepath.Join(dir, name)
			o.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: ports[i]}
			o.Routes = routes
		}}, options...)...)
	}
	WaitForLeader(tb, servers)
	return servers
}

// WaitForLeader waits until the cluster can create streams.
func WaitForLeader(tb testing.TB, servers []*Server) {
	tb.Helper()
	Eventually(tb, "a JetStream meta leader with all peers", func() bool {
		for _, s := range servers {
			if s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == len(servers) {
				return true
			}
		}
		return false
	})
}

// URLs returns the client URLs of the servers.
func URLs(servers ...*Server) []string {
	urls := make([]string, len(servers))
	for i, s := range servers {
		urls[i] = s.ClientURL()
	}
	return urls
}

// JetStream connects to the servers until the test ends.
func JetStream(tb testing.TB, servers ...*Server) jetstream.JetStream {
	tb.Helper()
	var urls string
	for _, u := range URLs(servers...) {
		urls += "," + u
	}
	conn, err := nats.Connect(urls[1:], nats.MaxReconnects(-1))
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	tb.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		tb.Fatalf("use JetStream: %v", err)
	}
	return js
}

// Eventually waits until condition holds and fails the test if it does not within 20 s.
func Eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(patience); !condition(); {
		if time.Now().After(deadline) {
			tb.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
