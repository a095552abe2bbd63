package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

const readerToken = "token-that-must-not-be-shown"

// fakeBridge is the least that answers as the bridge does: it parses, stores in real streams, and answers.
type fakeBridge struct {
	url, nats string
	server    *natstest.Server
	received  atomic.Int64
	swallow   atomic.Bool // answer 202 without storing
	refuse    atomic.Bool // answer 503
}

func startFakeBridge(t *testing.T) *fakeBridge {
	t.Helper()
	s := &fakeBridge{server: natstest.Start(t)}
	s.nats = s.server.ClientURL()
	p, err := publisher.New(publisher.Config{URLs: []string{s.nats}, Prefix: "mews", Replicas: 1, Manage: true,
		MaxAge: time.Hour, DuplicateWindow: time.Minute}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, p) }))
	t.Cleanup(func() {
		server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = p.Stop(ctx)
	})
	s.url = server.URL + "/?Token=" + readerToken
	return s
}

func (s *fakeBridge) serve(w http.ResponseWriter, r *http.Request, p *publisher.Publisher) {
	body, _ := io.ReadAll(r.Body)
	id := schema.DeliveryID(fmt.Sprintf("d%d", s.received.Add(1)))
	webhook, err := schema.Parse(body)
	if err == nil && !s.swallow.Load() && !s.refuse.Load() {
		err = p.Publish(r.Context(), webhook.Messages(schema.Receipt{Delivery: id, Received: time.Now(), Endpoint: "mews", Prefix: "mews"}))
	}
	if err != nil || s.refuse.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// runReader runs a command and returns what it printed; the token must be nowhere in it.
func runReader(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &environment{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	cmd := newSendCommand(env)
	if name == "tail" {
		cmd = newTailCommand(env)
	}
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	if all := fmt.Sprint(out.String(), errs.String(), err); strings.Contains(all, readerToken) {
		t.Error("the output repeats the token")
	}
	return out.String(), err
}

func TestSendVerifiesWhatIsStored(t *testing.T) {
	s := startFakeBridge(t)
	for _, kind := range []string{"--events=7", "--integration"} {
		out, err := runReader(t, "send", "--url", s.url, "--nats", s.nats, "--webhooks=20", "--verify", kind)
		want := map[string]string{"--events=7": "sent 140, stored 140, duplicates 0, lost 0", "--integration": "sent 20, stored 20, duplicates 0, lost 0"}[kind]
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v\n%s", kind, err, out)
		}
	}
	s.swallow.Store(true)
	out, err := runReader(t, "send", "--url", s.url, "--nats", s.nats, "--webhooks=2", "--events=3", "--verify")
	if err == nil || !strings.Contains(out, "sent 6, stored 0, duplicates 0, lost 6") {
		t.Errorf("swallowed: %v\n%s", err, out)
	}
	s.refuse.Store(true)
	out, err = runReader(t, "send", "--url", s.url, "--retry-after=0s")
	if err == nil || !strings.Contains(out, "503") {
		t.Errorf("refused: %v\n%s", err, out)
	}
}

// TestSendSaysWhyItWaits: a wrong token makes send wait for minutes, so it says so at once, and once.
func TestSendSaysWhyItWaits(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer server.Close()
	var out, errs bytes.Buffer
	env := &environment{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	code := run(t.Context(), env, []string{"send", "--url", server.URL + "/?Token=" + readerToken, "--webhooks=5", "--retry-after=1ms"})
	const want = "an attempt ended with 401 (the bridge does not know the token of the URL); the next follows after 1ms (--retry-after)\nmewsbridge: 5 webhooks were dropped\n"
	if code != exitVerdict || errs.String() != want {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
}

func TestTailReadsWhatIsStored(t *testing.T) {
	s := startFakeBridge(t)
	if out, err := runReader(t, "send", "--url", s.url, "--webhooks=20", "--events=2", "--types=PaymentUpdated"); err != nil {
		t.Fatalf("send: %v\n%s", err, out)
	}
	if out, err := runReader(t, "send", "--url", s.url, "--integration", "--types=IntegrationCreated,IntegrationApiKeyCreated", "--webhooks=20"); err != nil {
		t.Fatalf("send: %v\n%s", err, out)
	}
	for _, start := range []string{"--since=1h", "--since=2020-01-01T00:00:00Z", "--last-per-entity"} {
		out, err := runReader(t, "tail", "--nats", s.nats, start, "--count=40", "--type=PaymentUpdated")
		if err != nil || strings.Count(out, `"type":"com.mews.PaymentUpdated"`) != 40 || strings.Count(out, "\n") != 40 {
			t.Errorf("tail %s: %v\n%s", start, err, out)
		}
	}
	out, err := runReader(t, "tail", "--nats", s.nats, "--integrations", "--since=1h", "--count=20")
	if err != nil || strings.Count(out, "\n") != 20 || strings.Contains(out, "SIMULATED") || strings.Contains(out, "person@") {
		t.Errorf("integrations: %v\n%s", err, out)
	}
	js := natstest.JetStream(t, s.server)
	for _, kind := range []string{"MEWS_EVENTS", "MEWS_INTEGRATIONS"} {
		stream, err := js.Stream(t.Context(), kind)
		if err != nil {
			t.Fatal(err)
		}
		if n := stream.CachedInfo().State.Consumers; n != 0 {
			t.Errorf("%d consumers of %s are left behind", n, kind)
		}
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	s := natstest.Start(t).ClientURL()
	for want, args := range map[string][]string{
		"no stream MEWS_EVENTS":   {"tail", "--nats", s},
		"NATS does not answer":    {"tail", "--nats", "nats://user:" + readerToken + "@127.0.0.1:1"},
		"NATS does not speak TLS": {"tail", "--nats", strings.Replace(s, "nats://", "tls://", 1)},
		"--verify does not go":    {"send", "--verify", "--file", "x", "--url", "http://h/?Token=" + readerToken},
		"not a valid http":        {"send", "--url", "http://[h/?Token=" + readerToken},
		"no token in":             {"send", "--data-dir", t.TempDir()},
		"are different places":    {"tail", "--since=1h", "--last-per-entity"},
		"are different streams":   {"tail", "--integrations", "--quarantine"},
		"--webhooks is too small": {"send", "--webhooks=0"},
	} {
		_, err := runReader(t, args[0], args[1:]...)
		if err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args[0], err, want)
		}
	}
}
