package main

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"mewsbridge/publisher/natstest"
)

// serviceManager is the socket on which systemd would be told.
func serviceManager(t *testing.T) (path string, next func() string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return path, func() string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		state := make([]byte, 4096)
		n, err := conn.Read(state)
		if err != nil {
			t.Fatalf("nothing more is told: %v", err)
		}
		return string(state[:n])
	}
}

// TestSystemdIsTold runs the real process under a socket like that of systemd.
func TestSystemdIsTold(t *testing.T) {
	socket, next := serviceManager(t)
	p := startServe(t, t.TempDir(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=300000")
	if state := next(); state != "READY=1" {
		t.Fatalf("told %q first", state)
	}
	for range 3 {
		if state := next(); state != "WATCHDOG=1" {
			t.Fatalf("told %q, want WATCHDOG=1", state)
		}
	}
	p.signal(t, syscall.SIGTERM)
	state := next()
	for state == "WATCHDOG=1" {
		state = next()
	}
	if state != "STOPPING=1" {
		t.Errorf("told %q at the end", state)
	}
	if err := p.wait(t); err != nil {
		t.Error(err)
	}
	if strings.Contains(p.out.String(), "watchdog") {
		t.Errorf("it says something is wrong:\n%s", p.out)
	}
}

// TestWatchdogStopsWhenTheBridgeDoesNotAnswer: systemd restarts what does not say that it is alive.
func TestWatchdogStopsWhenTheBridgeDoesNotAnswer(t *testing.T) {
	socket, next := serviceManager(t)
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "60000")
	var asked atomic.Int64
	s := notifyReady(zap.NewNop(), func(context.Context) error {
		if asked.Add(1) > 2 {
			return errors.New("no answer")
		}
		return nil
	})
	natstest.Eventually(t, "the watchdog to ask", func() bool { return asked.Load() > 5 })
	s.stopping()
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"} {
		if state := next(); state != want {
			t.Errorf("told %q, want %q", state, want)
		}
	}
}

// TestWatchdogGivesUpOnAHangingBridge holds the answer back: the watchdog gives up by itself, and its end is waited for.
func TestWatchdogGivesUpOnAHangingBridge(t *testing.T) {
	socket, next := serviceManager(t)
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "60000")
	var asked atomic.Int64
	s := notifyReady(zap.NewNop(), func(ctx context.Context) error {
		asked.Add(1)
		<-ctx.Done()
		return ctx.Err()
	})
	natstest.Eventually(t, "the watchdog to ask again", func() bool { return asked.Load() > 1 })
	s.stopping()
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		if state := next(); state != want {
			t.Errorf("told %q, want %q", state, want)
		}
	}
}
