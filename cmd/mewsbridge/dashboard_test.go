package main

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	dto "github.com/prometheus/client_model/go"
	"go.yaml.in/yaml/v3"

	"mewsbridge/publisher/natstest"
)

// query is one expression of a dashboard or of an alert.
type query struct{ where, expr string }

// dashboardQueries returns every query of the Grafana dashboard, its variables filled in.
func dashboardQueries(t *testing.T) []query {
	t.Helper()
	type panel struct {
		Title   string
		Targets []struct{ Expr string }
	}
	var dashboard struct {
		Panels     []panel
		Templating struct {
			List []struct{ Name, Type, Definition string }
		}
	}
	readFile(t, "../../deploy/grafana/mewsbridge.json", func(data []byte) error { return json.Unmarshal(data, &dashboard) })
	variables := strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$instance", ".*", "$endpoint", ".*")
	var all []query
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			all = append(all, query{"panel " + p.Title, variables.Replace(target.Expr)})
		}
	}
	labelValues := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`)
	for _, v := range dashboard.Templating.List {
		if v.Type == "query" {
			found := labelValues.FindStringSubmatch(v.Definition)
			if found == nil {
				t.Fatalf("variable %s: %q", v.Name, v.Definition)
			}
			all = append(all, query{"variable " + v.Name, found[1] + `{` + found[2] + `!=""}`})
		}
	}
	return all
}

// alertQueries returns the expression of every alert, and checks what else an alert needs.
func alertQueries(t *testing.T) []query {
	t.Helper()
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	readFile(t, "../../deploy/prometheus/alerts.yml", func(data []byte) error {
		decoder := yaml.NewDecoder(strings.NewReader(string(data)))
		decoder.KnownFields(true)
		return decoder.Decode(&rules)
	})
	var all []query
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			all = append(all, query{"alert " + rule.Alert, rule.Expr})
			if rule.For != "" {
				if _, err := time.ParseDuration(rule.For); err != nil {
					t.Errorf("%s: %v", rule.Alert, err)
				}
			}
			if !regexp.MustCompile(`^(critical|warning|info)$`).MatchString(rule.Labels["severity"]) || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
				t.Errorf("%s: severity %q, annotations %v", rule.Alert, rule.Labels["severity"], rule.Annotations)
			}
		}
	}
	return all
}

func readFile(t *testing.T, name string, decode func([]byte) error) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err == nil {
		err = decode(data)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// TestDashboardsAndAlertsNameRealMetrics scrapes a running bridge that has a consumer: each selector of each panel and alert must find a
// series there, by its name and its labels.
func TestDashboardsAndAlertsNameRealMetrics(t *testing.T) {
	p := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS=first:"+testToken)
	if status, answer := post(t, p.webhooks+"?Token="+testToken, body("r1")); status != 202 {
		t.Fatalf("webhook: %d %s", status, answer)
	}
	makeConsumer(t, p.nats)
	var families map[string]*dto.MetricFamily
	natstest.Eventually(t, "the consumer's figures", func() bool {
		families = scrape(t, p)
		return len(families["mewsbridge_consumer_pending_messages"].GetMetric()) > 0
	})
	dashboard, alerts := dashboardQueries(t), alertQueries(t)
	if len(dashboard) < 40 || len(alerts) < 15 {
		t.Errorf("%d queries in the dashboard and %d in the alerts were found", len(dashboard), len(alerts))
	}
	shown := map[string]bool{}
	for _, q := range append(dashboard, alerts...) {
		expr, err := metricsql.Parse(q.expr)
		if err != nil {
			t.Errorf("%s: %v", q.where, err)
			continue
		}
		metricsql.VisitAll(expr, func(e metricsql.Expr) {
			if selector, ok := e.(*metricsql.MetricExpr); ok {
				for _, filters := range selector.LabelFilterss {
					shown[checkSelector(t, q, families, filters)] = true
				}
			}
		})
	}
	for name := range families { // what is measured is of no use when nobody sees it
		if strings.HasPrefix(name, "mewsbridge_") && !shown[name] && !seenElsewhere[name] {
			t.Errorf("%s is in no panel and no alert", name)
		}
	}
}

// seenElsewhere are metrics that are there to be joined or asked for.
var seenElsewhere = map[string]bool{
	"mewsbridge_history_learned":                true,
	"mewsbridge_streams_read_timestamp_seconds": true,
}

func makeConsumer(t *testing.T, url string) {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := js.CreateConsumer(ctx, "MEWS_EVENTS", jetstream.ConsumerConfig{Durable: "housekeeping", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
}

// checkSelector looks for a series that the filters select, and returns the name of its family.
func checkSelector(t *testing.T, q query, families map[string]*dto.MetricFamily, filters []metricsql.LabelFilter) (name string) {
	t.Helper()
	if len(filters) == 0 || filters[0].Label != "__name__" {
		t.Errorf("%s: a selector has no name: %s", q.where, q.expr)
		return ""
	}
	if name = filters[0].Value; name == "up" { // Prometheus' own
		return name
	}
	family := families[name]
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		base := strings.TrimSuffix(name, suffix)
		if f := families[base]; f.GetType() == dto.MetricType_HISTOGRAM && base != name {
			name, family = base, f
		}
	}
	if family == nil {
		t.Errorf("%s: there is no metric %s", q.where, name)
		return name
	}
	for _, m := range family.Metric {
		if isSelected(t, filters[1:], m) {
			return name
		}
	}
	t.Errorf("%s: no series of %s has these labels: %s", q.where, name, q.expr)
	return name
}

func isSelected(t *testing.T, filters []metricsql.LabelFilter, m *dto.Metric) bool {
	t.Helper()
	labels := map[string]string{"instance": "bridge:8081", "job": "mewsbridge"} // as Prometheus adds them
	for _, l := range m.Label {
		labels[l.GetName()] = l.GetValue()
	}
	for _, f := range filters {
		value, there := labels[f.Label]
		matches := value == f.Value
		if f.IsRegexp {
			matches = regexp.MustCompile("^(?:" + f.Value + ")$").MatchString(value)
		}
		if !there || matches == f.IsNegative {
			return false
		}
	}
	return true
}
