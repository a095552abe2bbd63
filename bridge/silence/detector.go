// Package silence notices that Mews no longer sends what it used to send. Mews does not show its webhook configuration, so that a hotel
// whose webhooks were switched off looks like a hotel where nothing happens. The detector learns from the stream in which rhythm each
// enterprise, and each type of event, is heard, and says once when one has gone quiet far beyond it.
package silence

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Bounds of memory. An entry takes about 300 bytes.
const (
	MaxEnterprises = 20_000
	MaxTypes       = 200
	// namesLogged is how many names one record of the log holds.
	namesLogged = 10
)

// How often the detector looks, and how long it waits before it asks for a history again that it did not get.
const (
	lookEvery  = time.Minute
	retryFirst = 10 * time.Second
	retryLast  = 10 * time.Minute
)

// History calls heard for what the stream holds since a time, oldest first; it may leave some out when there is much.
type History func(ctx context.Context, since time.Time, heard func(eventType, enterprise string, at time.Time)) error

// Config is what a Detector needs.
type Config struct {
	Prefix string // of the streams that it watches, for log, metrics and report
	Log    *zap.Logger
	Now    func() time.Time // nil means time.Now
}

// Detector watches the enterprises and types of one prefix. Its methods may be called concurrently.
type Detector struct {
	cfg     Config
	started time.Time
	metrics *metrics

	mu          sync.Mutex
	enterprises voices
	types       voices
	learned     bool
	oldest      time.Time     // of the history
	down        time.Duration // before the start: nobody listened, so nobody was silent
	firsts      uint64
}

// voices are those who are heard, by name.
type voices struct {
	what  string
	limit int
	known map[string]*rhythm
	full  bool     // it has been said that there is no room
	new   []string // heard for the first time since the last look; at most namesLogged
	fresh int      // how many there were
	back  []string // heard again
	again int
}

func newVoices(what string, limit int) voices {
	return voices{what: what, limit: limit, known: map[string]*rhythm{}}
}

// New returns a Detector that knows nothing yet.
func New(cfg Config) *Detector {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Detector{
		cfg: cfg, started: cfg.Now(), metrics: newMetrics(cfg.Prefix),
		enterprises: newVoices("enterprise", MaxEnterprises), types: newVoices("type", MaxTypes),
	}
}

// HeardEnterprise takes in a webhook of an enterprise.
func (d *Detector) HeardEnterprise(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.enterprises.hear(id, d.cfg.Now()) && d.learned {
		d.firsts++
		d.enterprises.isNew(id)
	}
}

// HeardType takes in an event of a type.
func (d *Detector) HeardType(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.types.hear(name, d.cfg.Now()) && d.learned {
		d.types.isNew(name)
	}
}

// hear reports whether the voice is a new one.
func (v *voices) hear(name string, at time.Time) (first bool) {
	r := v.known[name]
	if r == nil {
		if len(v.known) >= v.limit {
			return false
		}
		r, first = &rhythm{}, true
		v.known[name] = r
	}
	r.hear(at)
	if r.silent {
		r.silent = false
		if v.again++; len(v.back) < namesLogged {
			v.back = append(v.back, name)
		}
	}
	return first
}

func (v *voices) isNew(name string) {
	if v.fresh++; len(v.new) < namesLogged {
		v.new = append(v.new, name)
	}
}

// learn reads the history and puts it under what has been heard since the start.
func (d *Detector) learn(ctx context.Context, history History) error {
	enterprises, types := newVoices(d.enterprises.what, MaxEnterprises), newVoices(d.types.what, MaxTypes)
	var oldest, before time.Time // before: the last one before the start
	err := history(ctx, d.cfg.Now().Add(-Window), func(eventType, enterprise string, at time.Time) {
		if oldest.IsZero() {
			oldest = at
		}
		if at.Before(d.started) {
			before = at
		}
		if enterprise != "" {
			enterprises.hear(enterprise, at)
		}
		types.hear(eventType, at)
	})
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, r := range enterprises.known {
		if !r.first.Before(d.started) {
			d.firsts++
			enterprises.isNew(name)
		}
	}
	enterprises.join(&d.enterprises)
	types.join(&d.types)
	d.enterprises, d.types, d.oldest, d.learned = enterprises, types, oldest, true
	if !before.IsZero() {
		d.down = d.started.Sub(before)
	}
	return nil
}

// join adds what was heard meanwhile.
func (v *voices) join(live *voices) {
	for name, r := range live.known {
		v.hear(name, r.last)
	}
}

// silenceOf returns for how long a voice has been silent while somebody listened.
func (d *Detector) silenceOf(r *rhythm, now time.Time) time.Duration {
	silence := now.Sub(r.last)
	if r.last.Before(d.started) {
		silence -= d.down
	}
	return max(silence, 0)
}

// look says who has gone quiet, who is heard again and who is new, since the last look.
func (d *Detector) look() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.cfg.Now()
	d.lookAt(&d.enterprises, now)
	d.lookAt(&d.types, now)
}

func (d *Detector) lookAt(v *voices, now time.Time) {
	log := d.cfg.Log.With(zap.String("prefix", d.cfg.Prefix), zap.String("what", v.what))
	var gone []string
	for name, r := range v.known {
		if now.Sub(r.last) > Window {
			delete(v.known, name)
			continue
		}
		if !r.silent && r.quiet(d.silenceOf(r, now), now) {
			r.silent = true
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	if len(gone) > 0 {
		longest := v.known[gone[0]]
		log.Warn("gone quiet, far beyond the usual rhythm; ask Mews whether its webhooks are still on", zap.Int("count", len(gone)),
			zap.Strings("names", gone[:min(len(gone), namesLogged)]), zap.Time("last_heard", longest.last),
			zap.Float64("usual_gap_seconds", longest.usual(now).Seconds()))
	}
	if v.again > 0 {
		log.Info("heard again", zap.Int("count", v.again), zap.Strings("names", v.back))
	}
	if v.fresh > 0 {
		log.Info("heard for the first time", zap.Int("count", v.fresh), zap.Strings("names", v.new))
	}
	if !v.full && len(v.known) >= v.limit {
		v.full = true
		log.Warn("too many to watch; those that come now are not", zap.Int("limit", v.limit))
	}
	v.back, v.again, v.new, v.fresh = nil, 0, nil, 0
}

// Watch learns from the history, as soon as that can be had, and then looks once a minute until ctx ends.
func (d *Detector) Watch(ctx context.Context, history History) {
	looking := time.NewTicker(lookEvery)
	defer looking.Stop()
	learning := time.NewTimer(0)
	defer learning.Stop()
	for pause := retryFirst; ; {
		select {
		case <-ctx.Done():
			return
		case <-looking.C:
			d.look()
		case <-learning.C:
			err := d.learn(ctx, history)
			if err != nil && ctx.Err() == nil {
				if pause == retryFirst {
					d.cfg.Log.Info("the history of the stream cannot be read yet; silence is told from what is heard from now on",
						zap.String("prefix", d.cfg.Prefix), zap.Error(err))
				}
				learning.Reset(pause)
				pause = min(2*pause, retryLast)
				continue
			}
			d.look()
		}
	}
}
