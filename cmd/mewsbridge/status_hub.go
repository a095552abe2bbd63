package main

import (
	"io"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// hubStatus is what a bridge at the edge says of its hub.
type hubStatus struct {
	Reached     bool       `json:"reached"`
	LastReached *time.Time `json:"last_reached"` // null: never since the bridge started
	Lag         uint64     `json:"lag_messages"` // what the hub does not have yet, of all streams
}

// hubOf returns nil when the bridge has no hub.
func hubOf(families map[string]*dto.MetricFamily) *hubStatus {
	reached := families["mewsbridge_hub_reached"].GetMetric()
	if len(reached) == 0 {
		return nil
	}
	h := &hubStatus{Reached: true}
	for _, m := range reached { // one for each prefix
		h.Reached = h.Reached && m.GetGauge().GetValue() == 1
	}
	for _, m := range families["mewsbridge_hub_reached_timestamp_seconds"].GetMetric() {
		if seconds := m.GetGauge().GetValue(); seconds > 0 {
			at := time.UnixMilli(int64(seconds * 1000)).UTC()
			if h.LastReached == nil || at.Before(*h.LastReached) {
				h.LastReached = &at
			}
		}
	}
	for _, m := range families["mewsbridge_hub_lag_messages"].GetMetric() {
		h.Lag += uint64(m.GetGauge().GetValue())
	}
	return h
}

// hub says how far the hub is behind.
func (r *statusReport) hub(out io.Writer) string {
	h := r.Bridge.Hub
	lag := plural(h.Lag, "message", "messages") + " to fetch"
	switch {
	case h.Reached:
		return "reached, " + lag
	case h.LastReached == nil:
		return painted(out, colourFault, "not reached yet, "+lag)
	default:
		return painted(out, colourFault, "last reached "+r.ago(h.LastReached, "")+", "+lag)
	}
}
