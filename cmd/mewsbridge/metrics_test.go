package main

import (
	"net/http"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"mewsbridge/publisher/natstest"
)

// scrape reads the metrics as Prometheus does.
func scrape(t *testing.T, p *process) map[string]*dto.MetricFamily {
	t.Helper()
	response, err := http.Get(p.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("/metrics: %s", response.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// series returns the one series of a family with these label values, or nil.
func series(family *dto.MetricFamily, labels map[string]string) *dto.Metric {
	for _, m := range family.GetMetric() {
		matching := 0
		for _, l := range m.Label {
			if labels[l.GetName()] == l.GetValue() {
				matching++
			}
		}
		if matching == len(labels) {
			return m
		}
	}
	return nil
}

// TestServeMetrics scrapes the real process.
func TestServeMetrics(t *testing.T) {
	dir := t.TempDir()
	p := startServe(t, dir, "MEWSBRIDGE_TOKENS=first:"+testToken)
	if status, answer := post(t, p.webhooks+"?Token="+testToken, body("r1")); status != 202 {
		t.Fatalf("webhook: %d %s", status, answer)
	}
	var families map[string]*dto.MetricFamily
	natstest.Eventually(t, "the stream's figures, and the event to be counted", func() bool { // a webhook is counted just after it is answered
		families = scrape(t, p)
		stored := series(families["mewsbridge_stream_messages"], map[string]string{"prefix": "mews", "stream": "MEWS_EVENTS"})
		events := series(families["mewsbridge_events_total"], map[string]string{"endpoint": "mews", "type": "ServiceOrderUpdated"})
		return stored.GetGauge().GetValue() == 1 && events.GetCounter().GetValue() == 1
	})
	if m := series(families["mewsbridge_token_last_used_timestamp_seconds"], map[string]string{"endpoint": "mews", "token": "first"}); m.GetGauge().GetValue() == 0 {
		t.Errorf("token: %v", m)
	}
	for _, name := range []string{"mewsbridge_build_info", "go_goroutines", "process_start_time_seconds", "mewsbridge_nats_connected", "mewsbridge_commit_events"} {
		if len(families[name].GetMetric()) == 0 {
			t.Errorf("%s is missing", name)
		}
	}
}
