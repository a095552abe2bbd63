package bridge

import (
	"context"
	"math"
	"time"

	"go.uber.org/zap"
)

// DefaultRetrySpacing is how long Mews is taken to wait before it sends a message again. Its documentation says "a few minutes".
const DefaultRetrySpacing = 3 * time.Minute

// Risk is what an endpoint may still lose. A delivery is at risk from its first failed attempt until it is stored, has failed
// three times, or the retry window has ended without its retry. What is stored and was only not answered is not at risk,
// and what another bridge was to store is at risk there.
type Risk struct {
	Endpoint string
	Open     int // deliveries that wait for their retry, those that are stored included
	AtRisk   int
	// UntilLoss is how long the first of them has until its last attempt is due, as far as the retry spacing tells; 0 when it
	// is overdue. It means nothing when none is at risk.
	UntilLoss time.Duration
	// LostAttempts counts deliveries whose third attempt failed, and LostSilent those whose retry did not come within the retry
	// window, both since the start. Behind a load balancer another bridge may have stored the latter.
	LostAttempts, LostSilent uint64
}

// losses counts what an endpoint has lost.
type losses struct{ attempts, silent uint64 }

func (l *ledger) lossesOf(endpoint string) *losses {
	lost := l.lost[endpoint]
	if lost == nil {
		lost = &losses{}
		l.lost[endpoint] = lost
	}
	return lost
}

// risk returns what the endpoints may lose, in their order.
func (l *ledger) risk(endpoints []string, spacing time.Duration, now time.Time) []Risk {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(now)
	risks := make([]Risk, len(endpoints))
	index := make(map[string]*Risk, len(endpoints))
	for i, name := range endpoints {
		lost := l.lossesOf(name)
		risks[i] = Risk{Endpoint: name, LostAttempts: lost.attempts, LostSilent: lost.silent}
		index[name] = &risks[i]
	}
	for _, e := range l.order[l.head:] {
		r := index[e.key.endpoint]
		if e.taken || r == nil {
			continue
		}
		r.Open++
		if e.stored || e.moved || e.foreign { // another bridge counts what it may lose itself
			continue
		}
		last := e.failed.Add(time.Duration(maxAttempts-e.attempts) * spacing) // when the last attempt is due
		left := max(last.Sub(now), 0)
		if r.AtRisk++; r.AtRisk == 1 || left < r.UntilLoss {
			r.UntilLoss = left
		}
	}
	return risks
}

// Risks returns what each endpoint may lose, in the order in which they are configured. It may be called at any time.
func (b *Bridge) Risks() []Risk {
	names := make([]string, len(b.cfg.Endpoints))
	for i, e := range b.cfg.Endpoints {
		names[i] = e.Name
	}
	return b.ledger.risk(names, b.cfg.RetrySpacing, b.cfg.Now())
}

// How often the risk is looked at, and how often the log speaks of it while it lasts.
const (
	riskTick  = 5 * time.Second
	riskEvery = time.Minute
)

// riskLog says in the log what is at risk, at once and then every riskEvery, and when it is over.
type riskLog struct {
	log  *zap.Logger
	last map[string]time.Time // by endpoint; absent when nothing is at risk
	lost map[string]uint64
}

func newRiskLog(log *zap.Logger) *riskLog {
	return &riskLog{log: log, last: map[string]time.Time{}, lost: map[string]uint64{}}
}

func (r *riskLog) note(risks []Risk, now time.Time) {
	for _, risk := range risks {
		endpoint := zap.String(logEndpoint, risk.Endpoint)
		if lost := risk.LostAttempts + risk.LostSilent; lost > r.lost[risk.Endpoint] {
			r.log.Error("webhooks lost: Mews does not send them again; fetch what changed from its API", endpoint,
				zap.Uint64("lost", lost-r.lost[risk.Endpoint]), zap.Uint64("since_start", lost))
			r.lost[risk.Endpoint] = lost
		}
		last, warned := r.last[risk.Endpoint]
		switch {
		case risk.AtRisk == 0 && warned:
			delete(r.last, risk.Endpoint)
			r.log.Info("no webhook is at risk any more", endpoint)
		case risk.AtRisk > 0 && (!warned || now.Sub(last) >= riskEvery):
			r.last[risk.Endpoint] = now
			r.log.Warn("webhooks at risk: they failed and will be lost unless an attempt of Mews is stored in time", endpoint,
				zap.Int("deliveries", risk.AtRisk), zap.Float64("seconds_until_loss", math.Round(risk.UntilLoss.Seconds())))
		}
	}
}

// Watch speaks in the log of what is at risk, and of failures that were too many to be logged one by one, until ctx ends.
func (b *Bridge) Watch(ctx context.Context) {
	ticker := time.NewTicker(riskTick)
	defer ticker.Stop()
	log := newRiskLog(b.log)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			log.note(b.Risks(), b.cfg.Now())
			b.failures.flush(b.log, b.cfg.Now())
		}
	}
}
