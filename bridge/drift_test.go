package bridge_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"mewsbridge/bridge"
)

// TestContractDrift sends each thing that is not documented twice: it is stored, counted each time, and said once, by its name alone.
func TestContractDrift(t *testing.T) {
	registry := prometheus.NewRegistry()
	core, logs := observer.New(zap.WarnLevel)
	r := newRig(t, func(c *bridge.Config) { c.Metrics, c.Log = registry, zap.New(core) })
	const value = "a-value-that-stays-inside"
	long := strings.Repeat("long", 30)
	for range 2 {
		for _, body := range []string{
			general(event("ServiceOrderUpdated", value), event("RoomSinged", value), event("RoomSinged", value), event(long, value)),
			`{"EnterpriseId":"e","IntegrationId":"i","CorrelationId":"` + value + `","guest@example.com":1,"Entities":{},"Events":[]}`,
			`{"Action":"IntegrationRenamed","Data":{"Integration":{"Id":"i"}},"Version":"` + value + `"}`,
			`{"Ping":"` + value + `","a b":true}`,
			`["` + value + `"]`,
		} {
			if a := r.post(t, body); a.status != 202 {
				t.Fatalf("%s: %d %v", body, a.status, a.body)
			}
		}
	}
	wantSeries(t, registry, map[string]float64{
		`mewsbridge_contract_drift_total{endpoint="mews",what="discriminator"}`: 6,
		`mewsbridge_contract_drift_total{endpoint="mews",what="action"}`:        2,
		`mewsbridge_contract_drift_total{endpoint="mews",what="member"}`:        6,
		`mewsbridge_contract_drift_total{endpoint="mews",what="kind"}`:          4,
		`mewsbridge_quarantined_total{endpoint="mews",reason="unknown-kind"}`:   4,
		`mewsbridge_events_total{endpoint="mews",type="other"}`:                 8,
	})
	said := map[string]int{}
	for _, entry := range logs.FilterMessageSnippet("not documented").All() {
		fields := entry.ContextMap()
		said[fields["what"].(string)+" "+fields["name"].(string)]++
		for name, field := range fields {
			if text, _ := field.(string); strings.Contains(text, value) || strings.Contains(text, "guest") {
				t.Errorf("%s holds %q", name, text)
			}
		}
	}
	want := []string{
		"discriminator RoomSinged", "discriminator (not shown)", "action IntegrationRenamed",
		"member CorrelationId", "member (not shown)", "member Version", "kind Ping,(not shown)", "kind (no members)",
	}
	if len(said) != len(want) {
		t.Errorf("said: %v", said)
	}
	for _, what := range want {
		if said[what] != 1 {
			t.Errorf("%q was said %d times", what, said[what])
		}
	}
}
