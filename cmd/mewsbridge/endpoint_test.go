package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mewsbridge/publisher/natstest"
)

const endpointsYAML = `endpoints:
  - {name: live, path: /live, prefix: mews, tokens: [live:the-token-of-live-0123456789]}
  - {name: demo, path: /demo, prefix: demo, tokens: [demo:the-token-of-demo-0123456789]}
  - {name: partner, path: /partner, prefix: demo, tokens: [partner:the-token-of-partner-0123456789]}
`

// TestSeveralEndpoints runs three endpoints on two prefixes: each takes its own token, and fills the streams of its prefix.
func TestSeveralEndpoints(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "mewsbridge.yaml")
	if err := os.WriteFile(file, []byte(endpointsYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startServeArgs(t, dir, []string{"--config", file})
	base, _, _ := strings.Cut(p.webhooks, "/live")
	natstest.Eventually(t, "readiness", func() bool { status, _ := get(t, p.admin+"/readyz"); return status == 200 })
	for _, test := range []struct {
		path, token string
		status      int
	}{
		{"/live", "live", 202}, {"/demo", "demo", 202}, {"/partner", "partner", 202},
		{"/live", "demo", 401}, {"/demo", "partner", 401}, {"/partner", "live", 401}, {"/webhooks/mews", "live", 404},
	} {
		if status, answer := post(t, base+test.path+"?Token=the-token-of-"+test.token+"-0123456789", body("at"+test.path[1:])); status != test.status {
			t.Errorf("%s with the token of %s: %d %s, want %d", test.path, test.token, status, answer, test.status)
		}
	}
	if got := storedSubjects(t, p.nats); len(got) != 1 || got["mews.events.ServiceOrderUpdated.hotel.atlive"] != 1 {
		t.Errorf("MEWS_EVENTS holds %v", got)
	}
	if got := storedIn(t, p.nats, "DEMO_EVENTS"); len(got) != 2 || got["demo.events.ServiceOrderUpdated.hotel.atdemo"] != 1 || got["demo.events.ServiceOrderUpdated.hotel.atpartner"] != 1 {
		t.Errorf("DEMO_EVENTS holds %v", got)
	}

	// One whose streams are not as they should be is enough not to be ready.
	js := jetStream(t, p.nats)
	if err := js.DeleteStream(t.Context(), "DEMO_QUARANTINE"); err != nil {
		t.Fatal(err)
	}
	if status, answer := get(t, p.admin+"/readyz"); status != 503 || !strings.Contains(answer, "DEMO_QUARANTINE") {
		t.Errorf("readyz without a stream of demo: %d %s", status, answer)
	}
	natstest.Eventually(t, "the stream to be made again", func() bool { status, _ := get(t, p.admin+"/readyz"); return status == 200 })
}
