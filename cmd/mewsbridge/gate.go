package main

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
)

// gate bounds the connections of a listener and lets a new one in all the same: in place of the one that has waited longest without a
// request being handled. Idle connections and those that dribble their headers are many in an attack and cost a sender nothing;
// a sender that means it has sent its request within moments. One that has had an answer and is kept for the next request gives way only
// when there is none that never had one: its sender might be writing just then. While every connection has a request in
// hand, new ones wait for the first to end.
type gate struct {
	net.Listener
	limit int

	mu      sync.Mutex
	changed *sync.Cond // a connection has ended or waits, or the listener is closed
	open    int
	fresh   list.List // of *gatedConn that have had no answer yet, the longest waiting first
	idle    list.List // of *gatedConn that wait for their next request, the longest waiting first
	closed  bool
}

// gatedConn is a connection that counts. All but Conn is guarded by the gate's mutex.
type gatedConn struct {
	net.Conn
	gate  *gate
	list  *list.List    // of the gate's, while it waits
	place *list.Element // in list; nil while a request is in hand, until its answer is written
	ended bool
}

func newGate(l net.Listener, limit int) *gate {
	g := &gate{Listener: l, limit: limit}
	g.changed = sync.NewCond(&g.mu)
	return g
}

// Accept returns the next connection once there is room for it.
func (g *gate) Accept() (net.Conn, error) {
	conn, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.open >= g.limit && !g.closed {
		if longest := g.longest(); longest != nil {
			g.end(longest)
			continue
		}
		g.changed.Wait()
	}
	if g.closed {
		_ = conn.Close() // nobody will serve it
		return nil, net.ErrClosed
	}
	c := &gatedConn{Conn: conn, gate: g}
	g.put(c, &g.fresh)
	g.open++
	return c, nil
}

// longest returns the connection that gives way next, or nil while all have a request in hand.
func (g *gate) longest() *gatedConn {
	for _, waiting := range []*list.List{&g.fresh, &g.idle} {
		if first := waiting.Front(); first != nil {
			return first.Value.(*gatedConn)
		}
	}
	return nil
}

// put has c wait in l, behind all others.
func (g *gate) put(c *gatedConn, l *list.List) { c.list, c.place = l, l.PushBack(c) }

// take takes c out of those that wait, if it is there.
func (g *gate) take(c *gatedConn) {
	if c.place != nil {
		c.list.Remove(c.place)
		c.list, c.place = nil, nil
	}
}

// Close closes the listener. Connections stay.
func (g *gate) Close() error {
	g.mu.Lock()
	g.closed = true
	g.changed.Broadcast()
	g.mu.Unlock()
	return g.Listener.Close()
}

// end closes c and forgets it.
func (g *gate) end(c *gatedConn) {
	if c.ended {
		return
	}
	c.ended = true
	g.take(c)
	g.open--
	g.changed.Signal()
	_ = c.Conn.Close() // its server finds out by itself
}

// Close ends the connection.
func (c *gatedConn) Close() error {
	c.gate.mu.Lock()
	defer c.gate.mu.Unlock()
	c.gate.end(c)
	return nil
}

// keep takes c out of those that wait: a request of it is in hand.
func (g *gate) keep(c *gatedConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.take(c)
}

// wait puts c back, behind all others that have had an answer.
func (g *gate) wait(c *gatedConn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.place == nil && !c.ended {
		g.put(c, &g.idle)
		g.changed.Signal()
	}
}

// connState is told by http.Server. A connection is idle once its last answer has been written, which is after the handler's end.
func (g *gate) connState(conn net.Conn, state http.ConnState) {
	if c, ok := gated(conn); ok && state == http.StateIdle {
		g.wait(c)
	}
}

// gated returns the connection that the gate made, of itself or of the TLS on it.
func gated(conn net.Conn) (*gatedConn, bool) {
	if inner, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = inner.NetConn()
	}
	c, ok := conn.(*gatedConn)
	return c, ok
}

// connKey is the context key of a request's *gatedConn.
type connKey struct{}

// connContext makes the connection known to guard; http.Server calls it.
func (g *gate) connContext(ctx context.Context, conn net.Conn) context.Context {
	if c, ok := gated(conn); ok {
		return context.WithValue(ctx, connKey{}, c)
	}
	return ctx
}

// guard keeps the connection of a request that next handles.
func (g *gate) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*gatedConn); ok {
			g.keep(c)
		}
		next.ServeHTTP(w, r)
	})
}
