package bridge_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mewsbridge/bridge"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// wantSeries waits until some series are what they should be: a webhook is counted just after it is answered.
func wantSeries(t *testing.T, r prometheus.Gatherer, want map[string]float64) {
	t.Helper()
	var wrong []string
	for range 1000 {
		wrong = wrong[:0]
		got := natstest.Series(t, r)
		for name, value := range want {
			if have, there := got[name]; !there || have != value {
				wrong = append(wrong, fmt.Sprintf("%s is %v (there: %v), want %v", name, have, there, value))
			}
		}
		if len(wrong) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error(strings.Join(wrong, "\n"))
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	var fail atomic.Bool
	r := newRig(t, func(c *bridge.Config) {
		c.Metrics = registry
		publisher := c.Endpoints[0].Publisher
		c.Endpoints[0].Publisher = publisherFunc(func(ctx context.Context, msgs []schema.Message) error {
			if fail.Load() {
				return schema.ErrUnavailable
			}
			return publisher.Publish(ctx, msgs)
		})
	})
	before := natstest.Series(t, registry)
	for _, name := range []string{
		`mewsbridge_webhooks_total{endpoint="mews",kind="general",outcome="stored",status="202"}`,
		`mewsbridge_webhooks_total{endpoint="mews",kind="general",outcome="overloaded",status="503"}`,
		`mewsbridge_events_total{endpoint="mews",type="other"}`,
		`mewsbridge_quarantined_total{endpoint="mews",reason="not-json"}`,
		`mewsbridge_deliveries_at_risk{endpoint="mews"}`,
		`mewsbridge_deliveries_lost_total{cause="attempts",endpoint="mews"}`,
		`mewsbridge_requests_refused_total{reason="not-found"}`,
		`mewsbridge_answer_duration_seconds{endpoint="mews"}`,
		`mewsbridge_token_last_used_timestamp_seconds{endpoint="mews",token="mews"}`,
	} {
		if value, there := before[name]; !there || value != 0 {
			t.Errorf("%s does not start at 0: %v, %v", name, value, there)
		}
	}
	r.post(t, general(event("ServiceOrderUpdated", "a"), event("ServiceOrderUpdated", "b"), event("CustomerAdded", "c"),
		event("SomethingNew", "d"), event("SomethingElse", "e"), `{"Value":{"Id":"f"}}`, event("ServiceOrderUpdated", "g")))
	r.post(t, `{"Action":"IntegrationCreated","Data":{"Integration":{"Id":"i"}}}`)
	r.post(t, `{"Hello":"there"}`)
	r.post(t, `{"Hello":`)
	stranger, err := http.Post(r.http.URL+path+"?Token=wrong", "", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	_ = stranger.Body.Close()
	lost, err := http.Get(r.http.URL + "/elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	_ = lost.Body.Close()
	fail.Store(true)
	r.post(t, general(event("ServiceOrderUpdated", "h")))
	fail.Store(false)
	r.post(t, general(event("ServiceOrderUpdated", "h")))
	wantSeries(t, registry, map[string]float64{
		`mewsbridge_webhooks_total{endpoint="mews",kind="general",outcome="stored",status="202"}`:           2,
		`mewsbridge_webhooks_total{endpoint="mews",kind="general",outcome="nats-unavailable",status="503"}`: 1,
		`mewsbridge_webhooks_total{endpoint="mews",kind="integration",outcome="stored",status="202"}`:       1,
		`mewsbridge_webhooks_total{endpoint="mews",kind="unknown",outcome="stored",status="202"}`:           1,
		`mewsbridge_webhooks_total{endpoint="mews",kind="unread",outcome="not-json",status="400"}`:          1,
		`mewsbridge_webhooks_total{endpoint="mews",kind="unread",outcome="unauthorized",status="401"}`:      1,
		`mewsbridge_requests_refused_total{reason="not-found"}`:                                             1,
		`mewsbridge_events_total{endpoint="mews",type="ServiceOrderUpdated"}`:                               4,
		`mewsbridge_events_total{endpoint="mews",type="CustomerAdded"}`:                                     1,
		`mewsbridge_events_total{endpoint="mews",type="IntegrationCreated"}`:                                1,
		`mewsbridge_events_total{endpoint="mews",type="other"}`:                                             2,
		`mewsbridge_quarantined_total{endpoint="mews",reason="no-discriminator"}`:                           1,
		`mewsbridge_quarantined_total{endpoint="mews",reason="unknown-kind"}`:                               1,
		`mewsbridge_quarantined_total{endpoint="mews",reason="not-json"}`:                                   1,
		`mewsbridge_retries_total{endpoint="mews"}`:                                                         1,
		`mewsbridge_answer_duration_seconds{endpoint="mews"}`:                                               6,
		`mewsbridge_webhooks_in_flight{endpoint="mews"}`:                                                    0,
		`mewsbridge_body_bytes_in_flight{}`:                                                                 0,
		`mewsbridge_body_bytes_limit{}`:                                                                     bridge.DefaultMaxInflightBytes,
		`mewsbridge_open_deliveries{endpoint="mews"}`:                                                       1, // the 400, stored in quarantine
		`mewsbridge_deliveries_at_risk{endpoint="mews"}`:                                                    0,
		`mewsbridge_seconds_until_loss{endpoint="mews"}`:                                                    math.Inf(1),
	})
	after := natstest.Series(t, registry)
	if len(after) != len(before) {
		t.Errorf("%d series after the webhooks, %d before: a sender can make series", len(after), len(before))
	}
	if after[`mewsbridge_token_last_used_timestamp_seconds{endpoint="mews",token="mews"}`] == 0 ||
		after[`mewsbridge_last_webhook_timestamp_seconds{endpoint="mews"}`] == 0 {
		t.Error("the last use of the token or the last webhook is not known")
	}
}

// TestLossClock follows one webhook through three failed attempts, and another that is never sent again.
func TestLossClock(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	wait := func(d time.Duration) { now.Add(int64(d)) }
	registry := prometheus.NewRegistry()
	r := newRig(t, func(c *bridge.Config) {
		c.Metrics, c.RetrySpacing = registry, 4*time.Minute
		c.Now = func() time.Time { return time.Unix(0, now.Load()) }
		c.Endpoints[0].Publisher = publisherFunc(func(context.Context, []schema.Message) error { return schema.ErrUnavailable })
	})
	clock := func(what string, atRisk, untilLoss, attempts, silent float64) {
		t.Helper()
		wantSeries(t, registry, map[string]float64{
			`mewsbridge_deliveries_at_risk{endpoint="mews"}`:                     atRisk,
			`mewsbridge_seconds_until_loss{endpoint="mews"}`:                     untilLoss,
			`mewsbridge_deliveries_lost_total{cause="attempts",endpoint="mews"}`: attempts,
			`mewsbridge_deliveries_lost_total{cause="no-retry",endpoint="mews"}`: silent,
		})
		if t.Failed() {
			t.Fatal(what)
		}
	}
	hook, other := general(event("ServiceOrderUpdated", "a")), general(event("ServiceOrderUpdated", "b"))
	clock("at the start", 0, math.Inf(1), 0, 0)
	r.post(t, hook)
	clock("after the first attempt two are left", 1, 480, 0, 0)
	wait(3 * time.Minute)
	clock("three minutes later", 1, 300, 0, 0)
	r.post(t, other)
	r.post(t, hook)
	clock("after the second attempt of the first", 2, 240, 0, 0)
	wait(5 * time.Minute)
	clock("overdue", 2, 0, 0, 0)
	r.post(t, hook)
	clock("the third attempt has failed", 1, 180, 1, 0)
	wait(25 * time.Minute)
	clock("the retry window of the other has ended", 0, math.Inf(1), 1, 1)
}
