package embedded_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/publisher/embedded"
	"mewsbridge/publisher/natstest"
)

// limitFiles keeps this process from writing beyond size in any file: for the server the same as a full disk.
func limitFiles(t *testing.T, size uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = min(size, limit.Max)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
}

// TestStoresAgainAfterAFullDisk fills the disk, so to say, under a server, and empties it.
func TestStoresAgainAfterAFullDisk(t *testing.T) {
	s := mustStart(t, embedded.Config{StoreDir: t.TempDir(), Listen: "127.0.0.1:0"})
	js := mustJetStream(t, s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	if err != nil {
		t.Fatal(err)
	}
	stored := 0
	publish := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		_, err := js.Publish(ctx, "s", make([]byte, 1000), jetstream.WithMsgID(fmt.Sprint("m", stored)))
		if err == nil {
			stored++
		}
		return err
	}
	for range 10 {
		if err := publish(); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { limitFiles(t, ^uint64(0)) })
	limitFiles(t, 16<<10)
	natstest.Eventually(t, "the store to fail", func() bool { return publish() != nil })
	if _, err := stream.GetMsg(t.Context(), uint64(stored)); err != nil {
		t.Errorf("what is stored cannot be read while the disk is full: %v", err)
	}
	limitFiles(t, ^uint64(0))
	natstest.Eventually(t, "the store to take messages again", func() bool { return publish() == nil })
	info, err := stream.Info(t.Context())
	if err != nil || info.State.Msgs != uint64(stored) {
		t.Errorf("%d messages acknowledged, %+v stored (%v)", stored, info, err)
	}
	if got := js.Conn().ConnectedUrl(); got != s.ClientURL() {
		t.Errorf("the address changed from %s to %s", s.ClientURL(), got)
	}
}
