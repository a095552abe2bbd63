package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/publisher/natstest"
)

// check runs the command in an empty folder and returns its exit code and what it prints, each row on one line.
func check(t *testing.T, env []string, args ...string) (code int, out, errs string) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"check"}, args...)...)
	cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // its exit code is asked below
	left, err := os.ReadDir(cmd.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("check leaves %v behind (%v)", left, err)
	}
	return cmd.ProcessState.ExitCode(), unfolded(stdout.String()), stderr.String()
}

// unfolded puts continued lines behind the first and columns one space apart.
func unfolded(text string) string {
	var lines []string
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		words := strings.Join(strings.Fields(line), " ")
		if strings.HasPrefix(line, "   ") && len(lines) > 0 {
			lines[len(lines)-1] += " " + words
			continue
		}
		lines = append(lines, words)
	}
	return strings.Join(lines, "\n")
}

func expectLines(t *testing.T, out string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.Contains("\n"+out, "\n"+line) {
			t.Errorf("no line begins with %q:\n%s", line, out)
		}
	}
}

func TestCheckWithoutNetwork(t *testing.T) {
	code, out, errs := check(t, nil)
	if code != exitOK || errs != "" {
		t.Errorf("exit code %d: %s", code, errs)
	}
	expectLines(t, out,
		"ok endpoint mews /webhooks/mews; a token that is made and kept in the data dir; from any network; to MEWS_EVENTS, MEWS_INTEGRATIONS, MEWS_QUARANTINE",
		"note webhooks at :8080, without TLS", "ok admin at 127.0.0.1:8081, for this machine only", "ok NATS embedded, streams in data/nats",
		"note credentials stored in the clear",
		"note durability a 202 means that the embedded server has written the events to its disk")

	dir := t.TempDir()
	file, cert, key := filepath.Join(dir, "mewsbridge.yaml"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	replaceFile(t, file, "admin_listen: :8081\nadmin_insecure: true\ntrusted_proxies: [10.0.0.0/8]\n"+strings.Replace(endpointsYAML, "prefix: mews,", "prefix: mews, allow: [192.0.2.0/24],", 1))
	newAuthority(t).files(t, cert, key, 1, time.Now().Add(240*time.Hour))
	code, out, errs = check(t, []string{"NATS_URL=nats://me:a-secret-password@127.0.0.1:1", "MEWSBRIDGE_TLS_CERT=" + cert, "MEWSBRIDGE_TLS_KEY=" + key}, "--config", file)
	if code != exitOK || errs != "" {
		t.Errorf("exit code %d: %s", code, errs)
	}
	expectLines(t, out,
		"ok endpoint live /live; token live; from 192.0.2.0/24; to MEWS_EVENTS", "ok endpoint partner /partner; token partner; from any network; to DEMO_EVENTS",
		"warning webhooks at :8080, with TLS; the certificate for hooks.example.test ends on", "warning admin at :8081, without a token",
		"ok NATS nats://127.0.0.1:1, with the credentials in the URL, 1 replica", "note durability what a 202 is worth depends on that NATS")
	if strings.Contains(out, "secret") || strings.Contains(out, "the-token-of") {
		t.Errorf("a secret is printed:\n%s", out)
	}
}

func TestCheckNamesHubAndKey(t *testing.T) {
	_, public := newKeyFile(t)
	code, out, errs := check(t, []string{"MEWSBRIDGE_NATS_LEAF_URL=tls://edge:a-secret-password@hub:7422", "MEWSBRIDGE_SEAL_TO=" + public})
	if code != exitOK || errs != "" || strings.Contains(out, "a-secret") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	expectLines(t, out, "ok hub tls://hub:7422, whose domain hub fetches from domain edge here", "ok credentials sealed to "+public)
}

func TestCheckNamesAllProblems(t *testing.T) {
	code, out, errs := check(t, []string{"MEWSBRIDGE_TOKENS=short"}, "--replicas", "3", "--tls-cert", "missing", "--tls-key", "missing", "--admin-listen", ":1", "--live")
	if code != exitConfig || out != "" {
		t.Errorf("exit code %d, printed %q", code, out)
	}
	for _, want := range []string{"tokens (MEWSBRIDGE_TOKENS)", "replicas: 3 needs a NATS cluster", "tls.cert: open missing", "admin_listen:"} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is not said: %s", want, errs)
		}
	}
}

func TestCheckLive(t *testing.T) {
	s := natstest.Start(t)
	js := natstest.JetStream(t, s)
	env := []string{"NATS_URL=" + s.ClientURL(), "MEWSBRIDGE_TOKENS=" + testToken}
	code, out, errs := check(t, env, "--live")
	if code != exitOK || errs != "" {
		t.Errorf("exit code %d: %s", code, errs)
	}
	expectLines(t, out, "ok server nats-server "+server.VERSION, "ok atomic publish the server has it",
		"ok max_payload 8.0 MiB, which takes webhooks of up to 8.0 MiB", "ok JetStream on, 0 streams", "ok space 0 B used; the account sets no limit",
		"ok permissions all that the bridge uses", "ok stream MEWS_EVENTS it is not there yet: serve creates it with 1 replica",
		"note durability a 202 means that one server has taken the events; whether it writes them to the disk first")
	for name := range js.StreamNames(t.Context()).Name() {
		t.Errorf("check has made the stream %s", name)
	}

	// As serve has made it, nothing is amiss.
	p := startServe(t, t.TempDir(), env...)
	natstest.Eventually(t, "readiness", func() bool { status, _ := get(t, p.admin+"/readyz"); return status == 200 })
	post(t, p.webhooks+"?Token="+testToken, body("r1"))
	code, out, _ = check(t, env, "--live")
	if code != exitOK || strings.Contains(out, "warning") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	expectLines(t, out, "ok stream MEWS_EVENTS 1 message, ")
	code, out, errs = check(t, append(env, "MEWSBRIDGE_MAX_AGE=2h"), "--live")
	if code != exitOK {
		t.Errorf("exit code %d: %s", code, errs)
	}
	expectLines(t, out, "warning stream MEWS_EVENTS max_age is 720h0m0s and should be 2h0m0s: serve changes it")
	code, out, errs = check(t, append(env, "MEWSBRIDGE_MAX_AGE=2h", "MEWSBRIDGE_STREAMS_MANAGE=false"), "--live")
	if code != exitVerdict || !strings.Contains(errs, "3 problems") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	expectLines(t, out, "problem stream MEWS_QUARANTINE max_age is 720h0m0s and should be 2h0m0s: change it, or set streams.manage to true")
}

// TestCheckLiveFindsWhatIsMissing sees each kind of problem that a server can have.
func TestCheckLiveFindsWhatIsMissing(t *testing.T) {
	s := natstest.Start(t, func(o *server.Options) {
		o.MaxPayload = 1 << 20
		o.Users = []*server.User{{Username: "admin", Password: "p"}, {Username: "bridge", Password: "p", Permissions: &server.Permissions{Publish: &server.SubjectPermission{
			Allow: []string{"$JS.API.>", "mews.>"}, Deny: []string{"mews.integrations.>", "$JS.API.STREAM.UPDATE.>", "$JS.API.CONSUMER.>"},
		}}}}
	})
	js := jetStream(t, strings.Replace(s.ClientURL(), "nats://", "nats://admin:p@", 1))
	for _, config := range []jetstream.StreamConfig{
		{Name: "MEWS_EVENTS", Subjects: []string{"mews.events.>"}, Storage: jetstream.MemoryStorage, MaxBytes: 1000},
		{Name: "TAKES", Subjects: []string{"mews.quarantine.>"}},
	} {
		if _, err := js.CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"NATS_URL=" + s.ClientURL(), "MEWSBRIDGE_NATS_USER=bridge", "MEWSBRIDGE_NATS_PASSWORD=p", "MEWSBRIDGE_MAX_BODY=4MiB", "MEWSBRIDGE_REPLICAS=3", "MEWSBRIDGE_TOKENS=" + testToken,
		"MEWSBRIDGE_LEDGER_SHARED=true"}
	code, out, errs := check(t, env, "--live")
	if code != exitVerdict || !strings.Contains(errs, "8 problems: the bridge would not store webhooks as it is configured") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	expectLines(t, out,
		"problem max_payload 1.0 MiB leaves room for webhooks of 1022.0 KiB, and max_body is 4.0 MiB: set max_payload of the server to 4196352 or more",
		"problem replicas 3 need a cluster, and this server is alone",
		"problem permissions the user may not publish to mews.integrations.>: allow it",
		"problem permissions the user may not publish to $JS.API.STREAM.UPDATE.MEWS_EVENTS: allow it",
		"warning permissions the user may not publish to $JS.API.CONSUMER.LIST.MEWS_EVENTS: webhooks are stored all the same",
		"warning permissions the user may not publish to $KV.MEWS_LEDGER.>: webhooks are stored all the same, and metrics, the newest events or the shared ledger miss it",
		"problem stream MEWS_EVENTS storage is Memory and should be File: NATS lets nobody change that",
		"problem stream MEWS_QUARANTINE it is not there, and another stream has its subjects mews.quarantine.>",
	)

	off := natstest.Start(t, func(o *server.Options) { o.JetStream = false })
	code, out, _ = check(t, []string{"NATS_URL=" + off.ClientURL(), "MEWSBRIDGE_TOKENS=" + testToken}, "--live")
	if code != exitVerdict {
		t.Errorf("without JetStream: exit code %d", code)
	}
	expectLines(t, out, "problem JetStream it is off for this user")

	url := strings.Replace(off.ClientURL(), "nats://", "nats://user:a-secret-password@", 1)
	natstest.Stop(off)
	code, out, errs = check(t, []string{"NATS_URL=" + url, "MEWSBRIDGE_TOKENS=" + testToken}, "--live")
	if code != exitUnavailable || !strings.Contains(errs, "no servers available") || strings.Contains(out+errs, "a-secret") {
		t.Errorf("without NATS: exit code %d: %s", code, errs)
	}
}

func TestCheckLiveEmbeddedAndCluster(t *testing.T) {
	p := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS="+testToken)
	env := []string{"MEWSBRIDGE_TOKENS=" + testToken, "MEWSBRIDGE_NATS_LISTEN=" + strings.TrimPrefix(p.nats, "nats://")}
	code, out, errs := check(t, append(env, "MEWSBRIDGE_STREAMS_LATEST=true"), "--live")
	expectLines(t, out, "ok stream MEWS_LATEST it is not there yet")
	if code != exitOK || strings.Contains(out, "warning") {
		t.Errorf("embedded: exit code %d: %s\n%s", code, errs, out)
	}
	expectLines(t, out, "ok stream MEWS_EVENTS 0 messages", "note durability a 202 means that the embedded server has written the events to its disk")
	p.signal(t, os.Interrupt)
	if err := p.wait(t); err != nil {
		t.Error(err)
	}
	if code, _, errs = check(t, env, "--live"); code != exitUnavailable || !strings.Contains(errs, "the embedded server runs only while mewsbridge serve does") {
		t.Errorf("embedded, not running: exit code %d: %s", code, errs)
	}

	servers := natstest.Cluster(t, 3)
	env = []string{"NATS_URL=" + strings.Join(natstest.URLs(servers...), ","), "MEWSBRIDGE_TOKENS=" + testToken}
	code, out, _ = check(t, env, "--live")
	if code != exitOK {
		t.Errorf("cluster: exit code %d\n%s", code, out)
	}
	expectLines(t, out, "warning replicas 1 in a cluster", "note durability a 202 means that one server has taken the events")
	code, out, _ = check(t, append(env, "MEWSBRIDGE_REPLICAS=3"), "--live")
	if code != exitOK || strings.Contains(out, "warning") {
		t.Errorf("cluster: exit code %d\n%s", code, out)
	}
	expectLines(t, out, "note durability a 202 means that 2 of 3 servers have taken the events, so they survive the loss of 1 server for good")
}
