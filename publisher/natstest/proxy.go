package natstest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Frame is one message on the wire, in either direction.
type Frame struct {
	ToServer       bool // published by the client; else delivered to it
	Subject, Reply string
	Header         textproto.MIMEHeader // empty without one
	Data           []byte
}

// Fate is what a Proxy does with a frame.
type Fate uint8

// The fates of a frame.
const (
	Pass    Fate = iota
	Drop         // the other side never sees it; the connection lives on
	Cut          // the connection ends before it
	PassCut      // the connection ends right after it
	HalfCut      // the connection ends in the middle of it
)

// Proxy stands between clients and one server and knows where a message begins and ends, so that a test can break the
// connection at a chosen message rather than at a moment. It passes everything on until told otherwise. Its
// methods may be called concurrently, also from a judge.
type Proxy struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu      sync.Mutex
	judge   func(Frame) Fate
	refuses bool
	stalled chan struct{} // closed when bytes flow; nil while they do
	links   map[*link]struct{}
	clients int // connections taken so far
	closed  bool
}

// link is one client's connection and its continuation to the server.
type link struct {
	client, server net.Conn
	ending         atomic.Bool // nothing more gets through in either direction
}

func (l *link) close() {
	_ = l.client.Close() // either may be closed already
	_ = l.server.Close()
}

// StartProxy runs a proxy to the server until the test ends.
func StartProxy(tb testing.TB, s *Server) *Proxy {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("start proxy: %v", err)
	}
	p := &Proxy{listener: listener, target: strings.TrimPrefix(s.ClientURL(), "nats://"), links: map[*link]struct{}{}}
	p.running.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// URL is where clients connect.
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

// Judge has judge decide on every frame from now on; nil passes all. It is called by one goroutine for each direction
// of each connection.
func (p *Proxy) Judge(judge func(Frame) Fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.judge = judge
}

// Cut ends every connection. New ones get through unless refused.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

// Refuse ends every new connection at once. Those that are there stay.
func (p *Proxy) Refuse() { p.refuse(true) }

// Accept undoes Refuse.
func (p *Proxy) Accept() { p.refuse(false) }

func (p *Proxy) refuse(refuses bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = refuses
}

// Clients returns how many connections were made so far, those refused or failed included.
func (p *Proxy) Clients() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.clients
}

// Stall keeps every connection open and passes no byte on until Resume, as a server does that was sent SIGSTOP.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled == nil {
		p.stalled = make(chan struct{})
	}
}

// Resume undoes Stall.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resume()
}

func (p *Proxy) resume() {
	if p.stalled != nil {
		close(p.stalled)
		p.stalled = nil
	}
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.resume()
	_ = p.listener.Close()
	for l := range p.links {
		l.close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.mu.Lock()
		p.clients++
		p.mu.Unlock()
		p.running.Go(func() { p.connect(client) })
	}
}

// connect carries one client's bytes in both directions until either side ends.
func (p *Proxy) connect(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{client: client, server: server}
	defer l.close()
	if !p.add(l) {
		return
	}
	defer p.remove(l)
	var directions sync.WaitGroup
	directions.Go(func() { defer l.close(); p.carry(l, server, client, true) })
	directions.Go(func() { defer l.close(); p.carry(l, client, server, false) })
	directions.Wait()
}

func (p *Proxy) add(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuses || p.closed {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// errCut ends a direction at a frame's fate.
var errCut = errors.New("cut")

func (p *Proxy) carry(l *link, to io.Writer, from io.Reader, toServer bool) {
	r := bufio.NewReader(from)
	for {
		raw, frame, err := readFrame(r, toServer)
		if err != nil {
			return
		}
		p.awaitFlow()
		if err := p.pass(l, to, raw, frame); err != nil {
			return
		}
	}
}

func (p *Proxy) awaitFlow() {
	p.mu.Lock()
	stalled := p.stalled
	p.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
}

// pass gives raw its fate. frame is nil for what is no message.
func (p *Proxy) pass(l *link, to io.Writer, raw []byte, frame *Frame) error {
	if l.ending.Load() {
		return nil
	}
	fate := Pass
	p.mu.Lock()
	judge := p.judge
	p.mu.Unlock()
	if frame != nil && judge != nil {
		fate = judge(*frame)
	}
	switch fate {
	case Drop:
		return nil
	case Cut:
		return errCut
	case HalfCut:
		raw = raw[:len(raw)/2]
	}
	if fate == PassCut || fate == HalfCut {
		l.ending.Store(true) // an answer to it could be faster than the end of the connection
	}
	if _, err := to.Write(raw); err != nil {
		return err
	}
	if fate == PassCut || fate == HalfCut {
		return errCut
	}
	return nil
}

// readFrame reads one protocol line with what belongs to it.
func readFrame(r *bufio.Reader, toServer bool) (raw []byte, frame *Frame, err error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, nil, err
	}
	words := strings.Fields(string(line))
	if len(words) == 0 {
		return line, nil, nil
	}
	switch verb := strings.ToUpper(words[0]); verb {
	case "PUB", "HPUB", "MSG", "HMSG":
		return readMessage(r, line, words, toServer)
	}
	return line, nil, nil
}

// readMessage reads a message whose first line, words, was
//
//	PUB|HPUB <subject> [reply] [header bytes] <bytes>
//	MSG|HMSG <subject> <sid> [reply] [header bytes] <bytes>
func readMessage(r *bufio.Reader, line []byte, words []string, toServer bool) ([]byte, *Frame, error) {
	size, err := strconv.Atoi(words[len(words)-1])
	if err != nil {
		return nil, nil, err
	}
	frame := &Frame{ToServer: toServer, Subject: words[1]}
	rest, headerSize := words[2:len(words)-1], 0
	if words[0][0] == 'H' || words[0][0] == 'h' {
		if headerSize, err = strconv.Atoi(rest[len(rest)-1]); err != nil {
			return nil, nil, err
		}
		rest = rest[:len(rest)-1]
	}
	if !toServer {
		rest = rest[1:]
	}
	if len(rest) > 0 {
		frame.Reply = rest[0]
	}
	body := make([]byte, size+len("\r\n"))
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, nil, err
	}
	if _, header, found := bytes.Cut(body[:headerSize], []byte("\r\n")); found {
		// What cannot be read is no header; the proxy does not judge.
		frame.Header, _ = textproto.NewReader(bufio.NewReader(bytes.NewReader(header))).ReadMIMEHeader()
	}
	frame.Data = body[headerSize:size]
	return append(line, body...), frame, nil
}
