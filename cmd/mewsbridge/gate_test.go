package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"mewsbridge/publisher/natstest"
)

// gateRig is a server behind a gate. Its handler answers /quick at once; any other path is sent to arrived and waits for release.
type gateRig struct {
	*gate
	arrived chan string
	release chan struct{}
}

func startGate(t *testing.T, limit int) *gateRig {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gateRig{newGate(socket, limit), make(chan string), make(chan struct{})}
	server := &http.Server{ConnContext: g.connContext, ConnState: g.connState, Handler: g.guard(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/quick" {
			g.arrived <- r.URL.Path
			<-g.release
		}
	}))}
	served := make(chan error, 1)
	go func() { served <- server.Serve(g) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return g
}

func (g *gateRig) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", g.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func ask(t *testing.T, conn net.Conn, path string) {
	t.Helper()
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", path); err != nil {
		t.Error(err)
	}
}

func answered(conn net.Conn) error {
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil {
		_ = response.Body.Close()
	}
	return err
}

// waitingAre waits until so many connections have had no answer yet, and so many wait for their next request.
func (g *gateRig) waitingAre(t *testing.T, fresh, idle int) {
	t.Helper()
	natstest.Eventually(t, fmt.Sprintf("%d fresh and %d idle connections", fresh, idle), func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.fresh.Len() == fresh && g.idle.Len() == idle
	})
}

// TestGateKeepsWhoHasHadAnAnswer has strangers fill the gate: they give way to each other, and the known sender's connection stays.
func TestGateKeepsWhoHasHadAnAnswer(t *testing.T) {
	g := startGate(t, 2)
	known := g.dial(t)
	ask(t, known, "/quick")
	if err := answered(known); err != nil {
		t.Fatal(err)
	}
	g.waitingAre(t, 0, 1)
	for range 3 {
		stranger := g.dial(t)
		g.waitingAre(t, 1, 1)
		g.dial(t)
		if _, err := stranger.Read(make([]byte, 1)); err == nil {
			t.Error("the stranger who was first stays")
		}
	}
	ask(t, known, "/quick")
	if err := answered(known); err != nil {
		t.Errorf("the known sender: %v", err)
	}
}

// TestGateMakesRoom fills a gate of two: what waits gives way, what has a request in hand never does.
func TestGateMakesRoom(t *testing.T) {
	g := startGate(t, 2)
	arrived, release := g.arrived, g.release
	dial := func() net.Conn { return g.dial(t) }
	ask := func(conn net.Conn, path string) { ask(t, conn, path) }

	first := dial()
	ask(first, "/first")
	<-arrived
	idle := dial()
	ask(idle, "/quick")
	if err := answered(idle); err != nil {
		t.Fatal(err)
	}
	second := dial() // in place of the idle one
	ask(second, "/second")
	<-arrived
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("the idle connection stays")
	}
	third := dial() // both have a request in hand: it waits
	ask(third, "/third")
	select {
	case path := <-arrived:
		t.Fatalf("%s is handled beside two others", path)
	case release <- struct{}{}: // one of the two ends
	}
	if path := <-arrived; path != "/third" {
		t.Errorf("%s is handled next", path)
	}
	close(release)
	for name, conn := range map[string]net.Conn{"first": first, "second": second} {
		// One of them gave way to the third, but not before its answer was written.
		if err := answered(conn); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := answered(third); err != nil {
		t.Errorf("third: %v", err)
	}
}

// TestThousandsOfIdleConnections keeps a new sender from nothing: not with connections that say nothing, not with headers that never
// end, not with bodies that never come from those who have no token.
func TestThousandsOfIdleConnections(t *testing.T) {
	p := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS="+testToken, "MEWSBRIDGE_HTTP_MAX_CONNECTIONS=300")
	address, path, _ := strings.Cut(strings.TrimPrefix(p.webhooks, "http://"), "/")
	openings := []string{
		"", "POST /" + path + "?Token=" + testToken + " HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"POST /" + path + "?Token=wrong HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
	}
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for i := range 3000 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		if _, err := io.WriteString(conn, openings[i%len(openings)]); err != nil {
			t.Fatal(err)
		}
		if i%500 == 499 {
			if status, answer := post(t, p.webhooks+"?Token="+testToken, body(fmt.Sprint("r", i))); status != 202 {
				t.Errorf("beside %d connections: %d %s", i+1, status, answer)
			}
		}
	}
	// They were closed, rather than kept somewhere.
	natstest.Eventually(t, "the first connections to be closed", func() bool {
		if err := conns[0].SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err := conns[0].Read(make([]byte, 1))
		return err == io.EOF || strings.Contains(fmt.Sprint(err), "reset")
	})
}
