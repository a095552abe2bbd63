package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// adminTimeout is longer than /readyz takes to ask JetStream.
const adminTimeout = 4 * time.Second

// maxMetrics bounds what is read of /metrics.
const maxMetrics = 16 << 20

// bridgeStatus is what one bridge says of itself.
type bridgeStatus struct {
	Admin     string           `json:"admin"`
	Status    string           `json:"status,omitempty"` // ready, not ready; empty when it could not be asked
	Cause     string           `json:"cause,omitempty"`
	Endpoints []endpointStatus `json:"endpoints"`
	Hub       *hubStatus       `json:"hub,omitempty"` // of a bridge at the edge
}

// endpointStatus is one endpoint, since its bridge started.
type endpointStatus struct {
	Name             string     `json:"name"`
	LastWebhook      *time.Time `json:"last_webhook"` // null: none yet
	Stored           uint64     `json:"stored"`
	NotStored        uint64     `json:"not_stored"`
	AtRisk           uint64     `json:"at_risk"`
	SecondsUntilLoss *float64   `json:"seconds_until_loss"` // null: nothing is at risk
}

// adminClient asks a bridge's admin listener.
type adminClient struct {
	base  string
	token secret
	http  http.Client
}

// adminClient returns a client of the listener that the flag names, or else the settings.
func (o *statusOptions) adminClient() (*adminClient, error) {
	base := o.admin
	if base == "" {
		listen, _ := settingOf("admin_listen").text(o.nats.from)
		address, err := localAddress(listen)
		if err != nil {
			address = listen // asking it says what is wrong
		}
		base = "http://" + address
	}
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, errors.New("--admin takes the URL of the admin listener, such as http://127.0.0.1:8081")
	}
	token, _ := settingOf("admin_token").text(o.nats.from)
	return &adminClient{
		base: u.Scheme + "://" + u.Host, token: secret(token),
		http: http.Client{Timeout: adminTimeout, Transport: &http.Transport{DisableKeepAlives: true}}, // and no proxy
	}, nil
}

// ask fills in what the bridge says, and notes what it does not.
func (a *adminClient) ask(ctx context.Context, r *statusReport) {
	r.Bridge = bridgeStatus{Admin: a.base, Endpoints: []endpointStatus{}}
	if err := a.readiness(ctx, &r.Bridge); err != nil {
		r.missing("readiness, endpoints, at risk, silence: %v", err)
		return
	}
	if err := a.metrics(ctx, &r.Bridge); err != nil {
		r.missing("endpoints, at risk, silence: %v", err)
		return
	}
	if err := a.silence(ctx, r); err != nil {
		r.missing("silence: %v", err)
	}
}

// get returns the answer to a path of the admin listener. The caller closes its body.
func (a *adminClient) get(ctx context.Context, path string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	if a.token != "" {
		request.Header.Set("Authorization", "Bearer "+string(a.token))
	}
	response, err := a.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no bridge answers at %s: say with --admin where its admin listener is", a.base)
	}
	return response, nil
}

func (a *adminClient) readiness(ctx context.Context, b *bridgeStatus) error {
	response, err := a.get(ctx, "/readyz")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var answer struct{ Status, Cause string }
	if json.NewDecoder(io.LimitReader(response.Body, maxMetrics)).Decode(&answer) != nil || answer.Status == "" {
		return fmt.Errorf("what answers at %s is not a bridge's admin listener: give --admin", a.base)
	}
	b.Status, b.Cause = answer.Status, answer.Cause
	return nil
}

// open returns what the listener shows at a path. The caller closes it.
func (a *adminClient) open(ctx context.Context, path string) (io.ReadCloser, error) {
	response, err := a.get(ctx, path)
	if err != nil {
		return nil, err
	}
	switch response.StatusCode {
	case http.StatusOK:
		return response.Body, nil
	case http.StatusUnauthorized, http.StatusForbidden:
		err = fmt.Errorf("%s%s asks for a token: set MEWSBRIDGE_ADMIN_TOKEN", a.base, path)
	default:
		err = fmt.Errorf("%s%s answers %d", a.base, path, response.StatusCode)
	}
	return nil, errors.Join(err, response.Body.Close())
}

func (a *adminClient) metrics(ctx context.Context, b *bridgeStatus) error {
	body, err := a.open(ctx, "/metrics")
	if err != nil {
		return err
	}
	defer body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(body, maxMetrics))
	if err != nil {
		return fmt.Errorf("%s/metrics cannot be read", a.base)
	}
	b.Endpoints, b.Hub = endpointsOf(families), hubOf(families)
	return nil
}

// endpointsOf reads the series that have an endpoint.
func endpointsOf(families map[string]*dto.MetricFamily) []endpointStatus {
	byName := map[string]*endpointStatus{}
	each := func(family string, do func(e *endpointStatus, m *dto.Metric, outcome string)) {
		for _, m := range families[family].GetMetric() {
			labels := map[string]string{}
			for _, pair := range m.GetLabel() {
				labels[pair.GetName()] = pair.GetValue()
			}
			name := labels["endpoint"]
			if name == "" {
				continue
			}
			if byName[name] == nil {
				byName[name] = &endpointStatus{Name: name}
			}
			do(byName[name], m, labels["outcome"])
		}
	}
	each("mewsbridge_webhooks_total", func(e *endpointStatus, m *dto.Metric, outcome string) {
		if outcome == "stored" || outcome == "sender-gone" {
			e.Stored += uint64(m.GetCounter().GetValue())
		} else {
			e.NotStored += uint64(m.GetCounter().GetValue())
		}
	})
	each("mewsbridge_last_webhook_timestamp_seconds", func(e *endpointStatus, m *dto.Metric, _ string) {
		if at := m.GetGauge().GetValue(); at > 0 {
			last := time.Unix(0, int64(at*float64(time.Second))).UTC()
			e.LastWebhook = &last
		}
	})
	each("mewsbridge_deliveries_at_risk", func(e *endpointStatus, m *dto.Metric, _ string) {
		e.AtRisk = uint64(m.GetGauge().GetValue())
	})
	each("mewsbridge_seconds_until_loss", func(e *endpointStatus, m *dto.Metric, _ string) {
		if left := m.GetGauge().GetValue(); !math.IsInf(left, 0) && !math.IsNaN(left) {
			e.SecondsUntilLoss = &left
		}
	})
	all := []endpointStatus{}
	for _, e := range byName {
		all = append(all, *e)
	}
	slices.SortFunc(all, func(x, y endpointStatus) int { return cmp.Compare(strings.ToLower(x.Name), strings.ToLower(y.Name)) })
	return all
}
