package bridge_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mewsbridge/bridge"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// postAsIs sends a webhook and does not follow a redirect.
func postAsIs(t *testing.T, target, body string) answer {
	t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Post(target, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return answer{status: response.StatusCode, header: response.Header}
}

// TestFailover has two bridges that are each other's standby, and takes away the NATS of one and then of both.
func TestFailover(t *testing.T) {
	metrics := prometheus.NewRegistry()
	toSecond := &url.URL{Scheme: "http", Host: "set.below"}
	first := newRig(t, func(c *bridge.Config) { c.Endpoints[0].Failover, c.Metrics = toSecond, metrics })
	toFirst, err := url.Parse(first.http.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	second := newRig(t, func(c *bridge.Config) { c.Endpoints[0].Failover = toFirst })
	standby, err := url.Parse(second.http.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	*toSecond = *standby // nothing was sent yet

	if a := first.post(t, general(event("ServiceOrderUpdated", "r0"))); a.status != 202 || len(first.subjects(t)) != 1 {
		t.Errorf("with NATS: %d %v", a.status, a.body)
	}
	natstest.Stop(first.server)
	natstest.Eventually(t, "the first bridge to notice", func() bool { return first.readiness(t).status == 503 })

	a := postAsIs(t, first.url(), general(event("ServiceOrderUpdated", "r1")))
	if want := second.http.URL + path + "?Token=" + token + "&failover=1"; a.status != 307 || a.header.Get("Location") != want || a.header.Get("Retry-After") != "" {
		t.Errorf("without NATS: %d, %v, want Location %s", a.status, a.header, want)
	}
	for _, target := range []string{path, path + "?Token=wrong" + token} {
		if a := postAsIs(t, first.http.URL+target, general()); a.status != 401 || a.header.Get("Location") != "" {
			t.Errorf("a stranger: %d, %v", a.status, a.header)
		}
	}
	if a := first.post(t, general(event("ServiceOrderUpdated", "r1"), `17`)); a.status != 202 || fmt.Sprint(second.subjects(t)) != "[mews.events.ServiceOrderUpdated.hotel.r1 mews.quarantine.not-object]" {
		t.Errorf("followed: %d %v, stored %v", a.status, a.body, second.subjects(t))
	}
	if a := first.post(t, `{`); a.status != 400 {
		t.Errorf("not JSON: %d %v", a.status, a.body)
	}
	wantSeries(t, metrics, map[string]float64{
		`mewsbridge_webhooks_total{endpoint="mews",kind="general",outcome="failed-over",status="307"}`: 2,
		`mewsbridge_webhooks_total{endpoint="mews",kind="unread",outcome="failed-over",status="307"}`:  1,
		`mewsbridge_deliveries_at_risk{endpoint="mews"}`:                                               0,
	})

	natstest.Stop(second.server)
	natstest.Eventually(t, "the second bridge to notice", func() bool { return second.readiness(t).status == 503 })
	if a := first.post(t, general(event("ServiceOrderUpdated", "r2"))); a.status != 503 || a.body["error"] != "nats-unavailable" {
		t.Errorf("without both: %d %v", a.status, a.body)
	}
	if risk := second.bridge.Risks()[0]; risk.AtRisk != 1 {
		t.Errorf("at the standby: %+v", risk)
	}
}

// TestFailoverSwallowsNoRepeat has the first bridge store a webhook and believe that it did not, so that the standby stores it
// too. The identical webhook that is sent later is a new message, and must be stored.
func TestFailoverSwallowsNoRepeat(t *testing.T) {
	var fail atomic.Bool
	var clock atomic.Int64
	r := newRig(t, func(c *bridge.Config) {
		real := c.Endpoints[0].Publisher
		c.Endpoints[0].Failover = &url.URL{Scheme: "https", Host: "standby.example", Path: "/webhooks"}
		c.Now = func() time.Time { return time.Unix(clock.Load(), 0) }
		c.Endpoints[0].Publisher = publisherFunc(func(ctx context.Context, msgs []schema.Message) error {
			if err := real.Publish(ctx, msgs); err != nil {
				return err
			}
			if fail.Load() { // the connection was lost before the acknowledgement came
				return schema.ErrUnavailable
			}
			return nil
		})
	})
	b := general(event("ServiceOrderUpdated", "r1"))
	for round := range 3 { // also when the ledger has seen it before
		fail.Store(true)
		if a := postAsIs(t, r.url(), b); a.status != 307 {
			t.Fatalf("round %d: %d", round, a.status)
		}
		clock.Add(60)
		fail.Store(false)
		if a := postAsIs(t, r.url(), b); a.status != 202 {
			t.Fatalf("round %d: %d", round, a.status)
		}
		clock.Add(60)
		if n := len(r.subjects(t)); n != 2*(round+1) {
			t.Errorf("round %d: %d stored; the repeat was taken for what the first attempt had stored", round, n)
		}
	}

	// Three attempts that were all sent away, and nothing after: this bridge neither waits for a retry nor calls it lost.
	fail.Store(true)
	for range 3 {
		postAsIs(t, r.url(), b)
	}
	if risk := r.bridge.Risks()[0]; risk.Open != 0 || risk.AtRisk != 0 || risk.LostAttempts != 0 {
		t.Errorf("after three attempts: %+v", risk)
	}
	postAsIs(t, r.url(), b)
	clock.Add(int64(time.Hour / time.Second))
	if risk := r.bridge.Risks()[0]; risk.Open != 0 || risk.LostSilent != 0 {
		t.Errorf("after the window: %+v", risk)
	}
}

func TestFailoverURL(t *testing.T) {
	for _, text := range []string{"ftp://h/x", "https:///x", "https://u:p@h/x", "https://h/x?Token=" + token, "https://h/x#f", "/x"} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		_, err = bridge.New(bridge.Config{Endpoints: []bridge.Endpoint{{Name: "mews", Path: path, Prefix: "mews", Failover: u}}})
		if err == nil || !strings.Contains(err.Error(), "failover: must be") || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
