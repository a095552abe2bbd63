package rehearsal

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// flow is what a proxy does with connections.
type flow uint8

const (
	passes  flow = iota
	stalls       // nothing is passed on, and nothing is closed: as when packets are dropped
	refuses      // what is open is closed, and what comes too
)

// proxy passes TCP connections on to an address that may change, until it is told to do something else. Its own address
// stays the same.
type proxy struct {
	listener net.Listener
	running  sync.WaitGroup

	mu       sync.Mutex
	changed  *sync.Cond
	upstream string // nobody when empty
	flow     flow
	closed   bool
	cut      *cutter
	links    map[*link]struct{}
}

// cutter cuts connections after a random number of bytes.
type cutter struct {
	random *rand.Rand
	most   int  // bytes of one connection before the cut
	back   bool // only those from the upstream count
}

// link is one connection through the proxy.
type link struct {
	client, server net.Conn
	budget         int // bytes until the cut; negative is none
}

func newProxy() (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	p := &proxy{listener: listener, links: map[*link]struct{}{}}
	p.changed = sync.NewCond(&p.mu)
	p.running.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// close ends all connections and waits for the goroutines.
func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.closeLinks()
	p.mu.Unlock()
	p.running.Wait()
}

// lead sends connections to upstream from now on; those that are open stay.
func (p *proxy) lead(upstream string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = upstream
}

// set changes what happens to connections.
func (p *proxy) set(f flow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flow = f
	if f == refuses {
		p.closeLinks()
	}
	p.changed.Broadcast()
}

// setCut has c cut each connection, open or new, until it is called with nil.
func (p *proxy) setCut(c *cutter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = c
	for l := range p.links {
		l.budget = p.budget()
	}
}

func (p *proxy) budget() int {
	if p.cut == nil {
		return -1
	}
	return p.cut.random.IntN(p.cut.most)
}

// closeLinks closes every connection with a reset. The caller holds mu.
func (p *proxy) closeLinks() {
	for l := range p.links {
		l.close()
	}
	p.changed.Broadcast()
}

func (l *link) close() {
	for _, c := range []net.Conn{l.client, l.server} {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // what is cut is not delivered later
		}
		_ = c.Close()
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of file descriptors: some will come free
			continue
		}
		p.running.Go(func() { p.serve(client) })
	}
}

// serve passes one connection on until one side ends or it is cut.
func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	upstream, ok := p.await()
	if !ok {
		return
	}
	const dialTimeout = 2 * time.Second
	server, err := net.DialTimeout("tcp", upstream, dialTimeout)
	if err != nil {
		return
	}
	defer server.Close()
	l := &link{client: client, server: server}
	if !p.enter(l) {
		return
	}
	defer p.leave(l)
	var there sync.WaitGroup
	there.Go(func() { p.copy(l, server, client, false) })
	p.copy(l, client, server, true)
	there.Wait()
}

// await returns where a new connection goes, once it may; ok is false when it may not.
func (p *proxy) await() (upstream string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.flow == stalls && !p.closed {
		p.changed.Wait()
	}
	return p.upstream, p.flow == passes && !p.closed && p.upstream != ""
}

func (p *proxy) enter(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.flow == refuses {
		return false
	}
	l.budget = p.budget()
	p.links[l] = struct{}{}
	return true
}

// open returns how many connections there are.
func (p *proxy) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

func (p *proxy) leave(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// copy passes bytes on from one side to the other. The end of one direction ends the connection: neither HTTP nor NATS
// uses half of one.
func (p *proxy) copy(l *link, to io.Writer, from io.Reader, back bool) {
	defer func() {
		_ = l.client.Close()
		_ = l.server.Close()
	}()
	buffer := make([]byte, 16<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			n, whole := p.pass(l, n, back)
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
			if !whole {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass waits while the proxy stalls and returns how many of n bytes to pass on; whole is false when the connection is cut
// behind them.
func (p *proxy) pass(l *link, n int, back bool) (passed int, whole bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.flow == stalls && !p.closed {
		p.changed.Wait()
	}
	if l.budget < 0 || p.cut != nil && p.cut.back && !back {
		return n, true
	}
	if n > l.budget {
		return l.budget, false
	}
	l.budget -= n
	return n, true
}
