package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"mewsbridge/bridge/silence"
	"mewsbridge/publisher/natstest"
)

// silenceOf asks the admin listener who is heard.
func silenceOf(t *testing.T, p *process) silence.Report {
	t.Helper()
	status, answer := get(t, p.admin+"/silence")
	var reports []silence.Report
	if err := json.Unmarshal([]byte(answer), &reports); status != 200 || err != nil || len(reports) != 1 {
		t.Fatalf("/silence: %d %v %s", status, err, answer)
	}
	return reports[0]
}

// TestWhoIsHeard: an enterprise is new once, and known after a restart from the stream alone.
func TestWhoIsHeard(t *testing.T) {
	dir := t.TempDir()
	p := startServe(t, dir, "MEWSBRIDGE_TOKENS="+testToken)
	natstest.Eventually(t, "the empty history", func() bool { return silenceOf(t, p).Learned })
	if status, answer := post(t, p.webhooks+"?Token="+testToken, body("r1")); status != 202 {
		t.Fatalf("webhook: %d %s", status, answer)
	}
	check := func(r silence.Report) {
		t.Helper()
		if r.Prefix != "mews" || r.EnterprisesKnown != 1 || r.EnterprisesSilent != 0 || len(r.Enterprises) != 1 || r.Enterprises[0].Name != "hotel" ||
			r.Enterprises[0].Last.IsZero() || len(r.Types) != 1 || r.Types[0].Name != "ServiceOrderUpdated" {
			t.Errorf("report: %+v", r)
		}
	}
	check(silenceOf(t, p))
	if m := series(scrape(t, p)["mewsbridge_enterprises_first_heard_total"], map[string]string{"prefix": "mews"}); m.GetCounter().GetValue() != 1 {
		t.Errorf("first heard: %v", m)
	}
	p.signal(t, syscall.SIGTERM)
	if err := p.wait(t); err != nil {
		t.Fatal(err)
	}

	p = startServe(t, dir, "MEWSBRIDGE_TOKENS="+testToken)
	natstest.Eventually(t, "the history", func() bool { return silenceOf(t, p).Learned })
	check(silenceOf(t, p))
	if m := series(scrape(t, p)["mewsbridge_enterprises_first_heard_total"], map[string]string{"prefix": "mews"}); m.GetCounter().GetValue() != 0 {
		t.Errorf("after a restart it is heard for the first time again: %v", m)
	}
	if strings.Contains(p.out.String(), "heard for the first time") {
		t.Errorf("log:\n%s", p.out)
	}
}
