package embedded_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"mewsbridge/publisher/embedded"
	"mewsbridge/publisher/natstest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, natstest.OutlivesShutdown()...)
}

func mustStart(t *testing.T, cfg embedded.Config) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(cfg, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func mustJetStream(t *testing.T, url string, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestStreamsSurviveARestart(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	dir := t.TempDir()
	first, err := embedded.Start(embedded.Config{StoreDir: dir, Listen: "127.0.0.1:0"}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	js := mustJetStream(t, first.ClientURL())
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	if err := first.Shutdown(); err != nil {
		t.Fatal(err)
	}

	second := mustStart(t, embedded.Config{StoreDir: dir, Listen: "127.0.0.1:0"})
	stream, err := mustJetStream(t, "", nats.InProcessServer(second)).Stream(ctx, "S")
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetMsg(ctx, 1)
	if err != nil || string(m.Data) != "kept" {
		t.Errorf("message 1 is %v (%v), want kept", m, err)
	}
}

func TestStartErrorsSayWhatToDo(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	shared := t.TempDir()
	mustStart(t, embedded.Config{StoreDir: shared, Listen: "127.0.0.1:0"})

	for _, test := range []struct {
		name string
		cfg  embedded.Config
		want string
	}{
		{"beyond loopback", embedded.Config{StoreDir: t.TempDir(), Listen: "0.0.0.0:0"}, "set a NATS token"},
		{"every address", embedded.Config{StoreDir: t.TempDir(), Listen: ":0"}, "set a NATS token"},
		{"not an address", embedded.Config{StoreDir: t.TempDir(), Listen: "4222"}, "not host:port"},
		{"bad port", embedded.Config{StoreDir: t.TempDir(), Listen: "127.0.0.1:nats"}, "port is not a number"},
		{"address in use", embedded.Config{StoreDir: t.TempDir(), Listen: taken.Addr().String()}, "address already in use"},
		{"store in use", embedded.Config{StoreDir: shared, Listen: "127.0.0.1:0"}, "in use by another mewsbridge"},
		{"no store", embedded.Config{Listen: "127.0.0.1:0"}, "store dir: empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := embedded.Start(test.cfg, zap.NewNop())
			if err == nil {
				_ = s.Shutdown()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q does not say %q", err, test.want)
			}
		})
	}
}

func TestCredentialsAreAskedOfEveryClient(t *testing.T) {
	s := mustStart(t, embedded.Config{StoreDir: t.TempDir(), Listen: "0.0.0.0:0", Token: "a-long-token"})
	if conn, err := nats.Connect(s.ClientURL()); err == nil {
		conn.Close()
		t.Error("connected without the token")
	}
	mustJetStream(t, s.ClientURL(), nats.Token("a-long-token"))
}
