package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/publisher/natstest"
)

// statusOf runs status --json and returns the report and the exit code.
func statusOf(t *testing.T, natsURL string, args ...string) (statusReport, int) {
	t.Helper()
	out, errs, code := execute(t, natsURL, append([]string{"status", "--json"}, args...)...)
	var r statusReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	return r, code
}

// TestStatus asks while all is well, without the bridge, and without NATS.
func TestStatus(t *testing.T) {
	s := natstest.Start(t)
	p := startServe(t, t.TempDir(), "NATS_URL="+s.ClientURL(), "MEWSBRIDGE_TOKENS="+testToken)
	hook := p.webhooks + "?Token=" + testToken
	natstest.Eventually(t, "readiness", func() bool { status, _ := get(t, p.admin+"/readyz"); return status == 200 })
	post(t, hook, body("r1"))
	post(t, hook, `{"EnterpriseId":"second","Events":[{"Discriminator":"PaymentUpdated","Value":{"Id":"p1"}},17]}`)
	post(t, hook, `{`)
	js := natstest.JetStream(t, s)
	if _, err := js.CreateConsumer(t.Context(), "MEWS_EVENTS", jetstream.ConsumerConfig{Durable: "house"}); err != nil {
		t.Fatal(err)
	}

	r, code := statusOf(t, s.ClientURL(), "--admin", p.admin)
	if code != 0 || r.Bridge.Status != "ready" || len(r.NotAsked) != 0 || r.NATS.Server == "" {
		t.Errorf("exit code %d, %+v", code, r)
	}
	if e := r.Bridge.Endpoints; len(e) != 1 || e[0].Stored != 2 || e[0].NotStored != 1 || e[0].LastWebhook == nil || e[0].AtRisk != 0 {
		t.Errorf("endpoints %+v", e)
	}
	if st := r.Streams; len(st) != 3 || st[0].Messages != 2 || st[0].LastMinute != 2 || st[0].LastHour != 2 || st[1].Oldest != nil || st[2].Messages != 2 {
		t.Errorf("streams %+v", st)
	}
	if e := r.Enterprises; len(e) != 2 || e[0].EnterpriseID != "second" || e[0].Type != "PaymentUpdated" || time.Since(e[0].Last) > time.Minute || e[1].EnterpriseID != "hotel" {
		t.Errorf("enterprises %+v", e)
	}
	if c := r.Consumers; len(c) != 1 || c[0].Name != "house" || c[0].Pending != 2 {
		t.Errorf("consumers %+v", c)
	}
	if diff := cmp.Diff([]reasonStatus{{"not-json", 1}, {"not-object", 1}}, r.Quarantine); diff != "" {
		t.Errorf("quarantine (-want +got):\n%s", diff)
	}
	contains(t, mustExecute(t, s.ClientURL(), "status", "--admin", p.admin, "--enterprises=1"), p.admin+" ready", "at risk     0 deliveries", "silent      none of 2 enterprises", "second ",
		"1 of 2 enterprises in the newest 2 events", "CONSUMERS OF MEWS_EVENTS", "not-object")

	r, code = statusOf(t, s.ClientURL(), "--admin", "http://127.0.0.1:1")
	if code != 0 || len(r.Streams) != 3 || len(r.NotAsked) != 1 || !strings.Contains(r.NotAsked[0], "say with --admin") {
		t.Errorf("without the bridge: exit code %d, %+v", code, r)
	}
	natstest.Stop(s)
	natstest.Eventually(t, "the bridge to notice", func() bool { status, _ := get(t, p.admin+"/readyz"); return status == 503 })
	post(t, hook, body("r2"))
	r, code = statusOf(t, s.ClientURL(), "--admin", p.admin)
	if code != exitUnavailable || r.Bridge.Status != "not ready" || r.Bridge.Cause == "" || r.Bridge.Endpoints[0].AtRisk != 1 || r.Bridge.Endpoints[0].SecondsUntilLoss == nil || len(r.NotAsked) != 1 {
		t.Errorf("without NATS: exit code %d, %+v", code, r)
	}
	out, _, _ := execute(t, s.ClientURL(), "status", "--admin", p.admin)
	contains(t, out, "not ready", "1 delivery, the first is lost in", "not asked", "NATS does not answer")
}

// TestStatusWatch reads two reports of one command, and ends it as Ctrl-C does.
func TestStatusWatch(t *testing.T) {
	s := natstest.Start(t)
	makeStreams(t, natstest.JetStream(t, s), nil)
	cmd := exec.Command(binary, "status", "--json", "--watch=1s", "--admin=http://127.0.0.1:1")
	cmd.Env = append(os.Environ(), "NATS_URL="+s.ClientURL())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for range 2 {
		var r statusReport
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &r) != nil || len(r.Streams) != 3 {
			t.Fatalf("read %q, %v", lines.Text(), lines.Err())
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
}

func TestStatusBadInput(t *testing.T) {
	s := natstest.Start(t)
	for args, want := range map[string]string{
		"--watch=1ms":          "--watch must be at least 1s",
		"--enterprises=-1":     "--enterprises must not be negative",
		"--admin=here":         "--admin takes the URL",
		"--admin=http://u:p@h": "--admin takes the URL",
		"--admin=http://[h":    "--admin takes the URL",
	} {
		out, errs, code := execute(t, s.ClientURL(), "status", args)
		if code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("status %s: exit code %d; %q not in %s%s", args, code, want, out, errs)
		}
	}
	out, _, code := execute(t, s.ClientURL(), "status", "--admin=http://127.0.0.1:1")
	if code != exitUnavailable || !strings.Contains(out, "NATS has no stream MEWS_EVENTS: start `mewsbridge serve`") {
		t.Errorf("without streams: exit code %d, %s", code, out)
	}
}
