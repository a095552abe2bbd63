package publisher

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"mewsbridge/schema"
)

// deafness says since when the streams cannot be reached.
type deafness struct {
	since    time.Time // zero: they can
	landings uint64    // stored until then
}

// moveOn has the connection leave its server when for a while the streams could not be reached through it and nothing was stored; began
// is when they were last looked at. A server that is cut off from its cluster keeps its clients, and would keep them deaf for as
// long as it is.
func (p *Publisher) moveOn(deaf deafness, began time.Time) deafness {
	landings := p.landings()
	problem := p.streamsProblem.Load()
	switch {
	case problem == nil || !errors.Is(*problem, schema.ErrUnavailable) || !p.conn.IsConnected():
		return deafness{}
	case deaf.since.IsZero() || landings != deaf.landings: // who may not ask for the streams may well store in them
		return deafness{began, landings}
	case time.Since(deaf.since) < p.cfg.pace.deafTime || len(p.conn.Servers()) < 2:
		return deaf
	}
	p.log.Warn("JetStream cannot be reached through this server: trying another", zap.String("server", p.conn.ConnectedServerName()))
	if err := p.conn.ForceReconnect(); err != nil {
		p.log.Warn("the connection cannot be moved", zap.Error(err))
	}
	return deafness{}
}

// landings returns how many commits were stored.
func (p *Publisher) landings() uint64 {
	var n uint64
	for _, c := range p.committers {
		c.mu.Lock()
		n += c.landings
		c.mu.Unlock()
	}
	return n
}
