package natstest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/gofrs/flock"
)

// Ports that no system hands out by itself: Linux's and the IANA's dynamic ranges begin above.
const (
	firstPort = 10240
	endPort   = 32768
)

// reservePort returns a port of 127.0.0.1 that is the test's own until it ends, even while nothing listens on it. A port chosen
// by the system would be handed out again while a test has its server down, and that test's clients would then
// reconnect to the server of another.
func reservePort(tb testing.TB) int {
	tb.Helper()
	dir := filepath.Join(os.TempDir(), "mewsbridge-natstest")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		tb.Fatalf("reserve a port: %v", err)
	}
	const attempts = 1000
	for range attempts {
		port := firstPort + rand.IntN(endPort-firstPort)
		lock := flock.New(filepath.Join(dir, strconv.Itoa(port)))
		if locked, err := lock.TryLock(); err != nil || !locked {
			continue
		}
		if !isFree(port) {
			_ = lock.Unlock()
			continue
		}
		tb.Cleanup(func() { _ = lock.Unlock() })
		return port
	}
	tb.Fatalf("reserve a port: none free in %d attempts", attempts)
	return 0
}

// Ports returns n ports of 127.0.0.1 that are the test's own until it ends.
func Ports(tb testing.TB, n int) []int {
	tb.Helper()
	ports := make([]int, n)
	for i := range ports {
		ports[i] = reservePort(tb)
	}
	return ports
}

func isFree(port int) bool {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	return listener.Close() == nil
}
