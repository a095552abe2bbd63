package silence

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// MaxReported bounds the enterprises of a report.
const MaxReported = 1000

// Report is what a Detector knows. In JSON:
//
//	{"prefix":"mews","learned":true,"since":"2026-01-01T12:00:00Z","enterprises_known":2,"enterprises_silent":1,
//	 "enterprises":[{"name":"851df8c8-90f2-4c4a-8e01-a4fc46b25178","last":"2026-01-30T08:00:00Z","silence_seconds":90000,
//	   "usual_gap_seconds":21600,"silent":true}, …],
//	 "types":[{"name":"ServiceOrderUpdated","last":"2026-01-31T09:00:00Z","silence_seconds":12,"usual_gap_seconds":3600,"silent":false}, …]}
type Report struct {
	Prefix  string    `json:"prefix"`
	Learned bool      `json:"learned"`        // the history of the stream has been read
	Since   time.Time `json:"since,omitzero"` // the oldest message of that history; absent when there is none
	// EnterprisesKnown and EnterprisesSilent count all; Enterprises lists at most MaxReported.
	EnterprisesKnown  int     `json:"enterprises_known"`
	EnterprisesSilent int     `json:"enterprises_silent"`
	Enterprises       []Voice `json:"enterprises"` // the silent ones first, then by who was heard last
	Types             []Voice `json:"types"`       // in the same order
}

// Voice is one who is heard: an enterprise or a type of event.
type Voice struct {
	Name            string    `json:"name"`
	Last            time.Time `json:"last"`
	SilenceSeconds  float64   `json:"silence_seconds"`   // since then, without the time in which the bridge did not run
	UsualGapSeconds float64   `json:"usual_gap_seconds"` // longest that is usual; 0 while too little is known
	Silent          bool      `json:"silent"`            // far beyond it
}

// Report returns what is known now.
func (d *Detector) Report() Report {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.cfg.Now()
	r := Report{Prefix: d.cfg.Prefix, Learned: d.learned, Since: d.oldest, EnterprisesKnown: len(d.enterprises.known)}
	r.Enterprises, r.EnterprisesSilent = d.report(&d.enterprises, now)
	r.Types, _ = d.report(&d.types, now)
	r.Enterprises = r.Enterprises[:min(len(r.Enterprises), MaxReported)]
	return r
}

func (d *Detector) report(v *voices, now time.Time) (all []Voice, silent int) {
	all = make([]Voice, 0, len(v.known))
	for name, r := range v.known {
		silence := d.silenceOf(r, now)
		voice := Voice{
			Name: name, Last: r.last.UTC(), SilenceSeconds: silence.Seconds(), UsualGapSeconds: r.usual(now).Seconds(), Silent: r.quiet(silence, now),
		}
		if voice.Silent {
			silent++
		}
		all = append(all, voice)
	}
	slices.SortFunc(all, func(a, b Voice) int {
		if a.Silent != b.Silent {
			if a.Silent {
				return -1
			}
			return 1
		}
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Name, b.Name))
	})
	return all, silent
}

// Handler serves the reports of the detectors as a JSON array.
func Handler(detectors ...*Detector) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reports := make([]Report, len(detectors))
		for i, d := range detectors {
			reports[i] = d.Report()
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(reports) // the reader may have gone
	})
}

// metrics are those of a Detector: numbers, not a series for each enterprise.
type metrics struct{ known, silent, types, firsts, learned *prometheus.Desc }

func newMetrics(prefix string) *metrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, nil, prometheus.Labels{"prefix": prefix})
	}
	return &metrics{
		known:   desc("mewsbridge_enterprises", "Enterprises that were heard within the last 30 days."),
		silent:  desc("mewsbridge_enterprises_silent", "Of these, the ones that have gone quiet far beyond their usual rhythm; /silence names them."),
		types:   desc("mewsbridge_event_types_silent", "Types of events that have gone quiet far beyond their usual rhythm."),
		firsts:  desc("mewsbridge_enterprises_first_heard_total", "Enterprises that were heard for the first time."),
		learned: desc("mewsbridge_history_learned", "1 when the rhythm was learned from the history of the stream, 0 while it is told from what is heard since the start."),
	}
}

// Describe makes the detector a prometheus.Collector.
func (d *Detector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{d.metrics.known, d.metrics.silent, d.metrics.types, d.metrics.firsts, d.metrics.learned} {
		ch <- desc
	}
}

// Collect makes the detector a prometheus.Collector.
func (d *Detector) Collect(ch chan<- prometheus.Metric) {
	d.mu.Lock()
	now := d.cfg.Now()
	known, silent, types, firsts, learned := len(d.enterprises.known), d.count(&d.enterprises, now), d.count(&d.types, now), d.firsts, 0.0
	if d.learned {
		learned = 1
	}
	d.mu.Unlock()
	send := func(desc *prometheus.Desc, t prometheus.ValueType, v float64) {
		ch <- prometheus.MustNewConstMetric(desc, t, v)
	}
	send(d.metrics.known, prometheus.GaugeValue, float64(known))
	send(d.metrics.silent, prometheus.GaugeValue, float64(silent))
	send(d.metrics.types, prometheus.GaugeValue, float64(types))
	send(d.metrics.firsts, prometheus.CounterValue, float64(firsts))
	send(d.metrics.learned, prometheus.GaugeValue, learned)
}

// count returns how many are silent.
func (d *Detector) count(v *voices, now time.Time) int {
	n := 0
	for _, r := range v.known {
		if r.quiet(d.silenceOf(r, now), now) {
			n++
		}
	}
	return n
}
