package main

import (
	"strings"
	"testing"

	"mewsbridge/publisher/natstest"
)

// TestFailoverToStandby sends to a bridge that has lost its NATS, as Mews does: the standby stores everything within the first
// attempts. When NATS is back, the first bridge stores again.
func TestFailoverToStandby(t *testing.T) {
	s := natstest.Start(t)
	standby := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS="+testToken)
	p := startServe(t, t.TempDir(), "NATS_URL="+s.ClientURL(), "MEWSBRIDGE_TOKENS="+testToken, "MEWSBRIDGE_FAILOVER_URL="+standby.webhooks, "MEWSBRIDGE_LOG_LEVEL=debug")
	natstest.Eventually(t, "readiness", func() bool { status, _ := get(t, p.admin+"/readyz"); return status == 200 })
	natstest.Stop(s)
	natstest.Eventually(t, "the bridge to notice", func() bool { status, _ := get(t, p.admin+"/readyz"); return status == 503 })

	send := []string{"send", "--url", p.webhooks + "?Token=" + testToken, "--webhooks=50", "--events=4", "--retry-after=1ms", "--verify"}
	out := mustExecute(t, standby.nats, append(send, "--seed=1")...)
	contains(t, out, "sent 200, stored 200, duplicates 0, lost 0")
	if strings.Contains(out, "503") {
		t.Errorf("attempts failed:\n%s", out)
	}
	natstest.Eventually(t, "the webhooks to be counted", func() bool { // just after they are answered
		_, metrics := get(t, p.admin+"/metrics")
		return strings.Contains(metrics, `mewsbridge_webhooks_total{endpoint="mews",kind="general",outcome="failed-over",status="307"} 50`)
	})

	natstest.Restart(t, s)
	natstest.Eventually(t, "readiness again", func() bool { status, _ := get(t, p.admin+"/readyz"); return status == 200 })
	contains(t, mustExecute(t, s.ClientURL(), append(send, "--seed=1")...), "sent 200, stored 200, duplicates 0, lost 0") // the same bodies
	if log := p.out.String(); strings.Contains(log, testToken) || !strings.Contains(log, "sent to the standby") {
		t.Errorf("the log tells the token, or nothing:\n%s", log)
	}
}

func TestFailoverSetting(t *testing.T) {
	for _, url := range []string{"standby.example.com", "https://h/x?Token=" + testToken, "https://u:p@h/x", "ftp://h/x"} {
		_, errs, code := execute(t, "", "serve", "--failover-url", url)
		if code != exitConfig || !strings.Contains(errs, "failover_url (--failover-url): not a URL such as") || strings.Contains(errs, testToken) {
			t.Errorf("%s: exit code %d, %s", url, code, errs)
		}
	}
}
