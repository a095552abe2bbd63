package rehearsal

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

const patience = 20 * time.Second

// echoServer sends back what it gets until the test ends.
func echoServer(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String()
}

func mustProxy(t *testing.T) *proxy {
	t.Helper()
	p, err := newProxy()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	p.lead(echoServer(t))
	return p
}

func mustDial(t *testing.T, p *proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// echoed sends text and reports whether it comes back.
func echoed(c net.Conn, text string) bool {
	if _, err := io.WriteString(c, text); err != nil {
		return false
	}
	back := make([]byte, len(text))
	_, err := io.ReadFull(c, back)
	return err == nil && string(back) == text
}

func TestProxyStallsAndGoesOn(t *testing.T) {
	p := mustProxy(t)
	c := mustDial(t, p)
	if !echoed(c, "one") {
		t.Fatal("nothing came back")
	}
	p.set(stalls)
	back := make(chan bool, 2)
	go func() { back <- echoed(c, "two") }()
	fresh := mustDial(t, p)
	go func() { back <- echoed(fresh, "three") }()
	select {
	case <-back:
		t.Fatal("something passed")
	case <-time.After(100 * time.Millisecond): // that nothing comes can only be seen by waiting
	}
	p.set(passes)
	for range 2 {
		if !<-back {
			t.Error("what was held back was lost")
		}
	}
}

func TestProxyRefuses(t *testing.T) {
	p := mustProxy(t)
	c := mustDial(t, p)
	if !echoed(c, "one") {
		t.Fatal("nothing came back")
	}
	p.set(refuses)
	if echoed(c, "two") || echoed(mustDial(t, p), "three") {
		t.Error("something passed")
	}
	p.set(passes)
	if !echoed(mustDial(t, p), "four") {
		t.Error("nothing passes again")
	}
}

func TestProxyCutsAtAByte(t *testing.T) {
	p := mustProxy(t)
	open := mustDial(t, p)
	if !echoed(open, "before") {
		t.Fatal("nothing came back")
	}
	const most, sent = 1000, 2000
	p.setCut(&cutter{random: rand.New(rand.NewPCG(1, 1)), most: most, back: true})
	lengths := map[int]bool{}
	for _, c := range []net.Conn{open, mustDial(t, p), mustDial(t, p)} {
		if _, err := c.Write(bytes.Repeat([]byte{'x'}, sent)); err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(c) // may end with a reset
		if len(got) >= most {
			t.Errorf("%d bytes came back", len(got))
		}
		lengths[len(got)] = true
	}
	if len(lengths) < 2 {
		t.Errorf("cut at the same byte each time: %v", lengths)
	}
	p.setCut(nil)
	if !echoed(mustDial(t, p), "after") {
		t.Error("still cut")
	}
}

func TestProxyWithNobodyBehindIt(t *testing.T) {
	p := mustProxy(t)
	p.lead("")
	if echoed(mustDial(t, p), "x") {
		t.Error("something answered")
	}
}
