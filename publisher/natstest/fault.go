package natstest

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// MaxStore limits what all streams of a server may keep on disk, in bytes.
func MaxStore(bytes int64) Option {
	return func(o *server.Options) { o.JetStreamMaxStore = bytes }
}

// MaxPayload limits the size of a message, in bytes.
func MaxPayload(bytes int32) Option {
	return func(o *server.Options) { o.MaxPayload = bytes }
}

// Token is asked of every client.
func Token(token string) Option {
	return func(o *server.Options) { o.Authorization = token }
}

// User lets in one user, who may publish to the given subjects and listen for answers.
func User(name, password string, publish ...string) Option {
	return func(o *server.Options) {
		o.Users = []*server.User{{Username: name, Password: password, Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}}}
	}
}

// StopJetStream has the server go on without JetStream, as it does by itself after a write has failed. Restart undoes it: a running
// server that is given JetStream again races with the requests that it is asked meanwhile.
func StopJetStream(tb testing.TB, s *Server) {
	tb.Helper()
	if err := s.ShutdownJetStream(); err != nil {
		tb.Fatalf("stop JetStream: %v", err)
	}
}

// Reload changes the options of a running server.
func Reload(tb testing.TB, s *Server, change Option) {
	tb.Helper()
	change(&s.options)
	if err := s.ReloadOptions(s.options.Clone()); err != nil {
		tb.Fatalf("reload: %v", err)
	}
}

// LameDuck has the server stop as an operator's rolling update does: JetStream first, its clients after a grace period of 10 s. It
// returns when JetStream has ended.
func LameDuck(tb testing.TB, s *Server) {
	tb.Helper()
	ended := make(chan struct{})
	go func() { defer close(ended); s.LameDuckShutdown() }()
	tb.Cleanup(func() { Stop(s); <-ended })
	Eventually(tb, "JetStream to end", func() bool { return !s.JetStreamEnabled() })
}

// LimitAccount limits what the account that everybody uses may store, in bytes.
func LimitAccount(tb testing.TB, s *Server, bytes int64) {
	tb.Helper()
	limits := map[string]server.JetStreamAccountLimits{
		"": {MaxMemory: -1, MaxStore: bytes, MaxStreams: -1, MaxConsumers: -1, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1},
	}
	if err := s.GlobalAccount().UpdateJetStreamLimits(limits); err != nil {
		tb.Fatalf("limit the account: %v", err)
	}
}

// Fill takes up the storage with a stream of its own, until it takes no more; Empty gives it back.
func Fill(tb testing.TB, js jetstream.JetStream) {
	tb.Helper()
	ctx := tb.Context()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: filler, Subjects: []string{"filler"}}); err != nil {
		tb.Fatalf("create filler: %v", err)
	}
	// First with large messages, then with ever smaller ones into what they leave.
	for size := 64 << 10; size > 0; size /= 4 {
		data := make([]byte, size)
		deadline := time.Now().Add(patience)
		for {
			if _, err := js.Publish(ctx, "filler", data); err != nil {
				break
			}
			if time.Now().After(deadline) {
				tb.Fatal("the storage does not fill up")
			}
		}
	}
}

// filler is the name of the stream of Fill.
const filler = "FILLER"

// Empty undoes Fill.
func Empty(tb testing.TB, js jetstream.JetStream) {
	tb.Helper()
	if err := js.DeleteStream(tb.Context(), filler); err != nil {
		tb.Fatalf("delete filler: %v", err)
	}
}
