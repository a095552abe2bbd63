package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/publisher/natstest"
)

// output is what a process has written so far.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// process is a running mewsbridge serve.
type process struct {
	cmd            *exec.Cmd
	out            *output
	webhooks, nats string // URLs; webhooks without the token
	admin          string
	done           chan error
}

// startServe runs the binary in dir with every port free, and waits until it listens.
func startServe(t *testing.T, dir string, env ...string) *process {
	t.Helper()
	return startServeArgs(t, dir, nil, env...)
}

// startServeArgs is startServe with arguments.
func startServeArgs(t *testing.T, dir string, args []string, env ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, append([]string{"serve"}, args...)...), out: &output{}, done: make(chan error, 1)}
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), "MEWSBRIDGE_LISTEN=127.0.0.1:0", "MEWSBRIDGE_ADMIN_LISTEN=127.0.0.1:0", "MEWSBRIDGE_NATS_LISTEN=127.0.0.1:0")
	p.cmd.Env = append(p.cmd.Env, env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // fails when it has ended
		select {
		case <-p.done:
		case <-time.After(10 * time.Second):
			t.Error("the process does not end")
		}
	})
	listening := regexp.MustCompile(`"taking webhooks","address":"([^"]+)","path":"([^"]+)","admin":"([^"]+)","nats":"([^"]*)"`)
	var found []string
	natstest.Eventually(t, "mewsbridge to listen:\n"+p.out.String(), func() bool {
		found = listening.FindStringSubmatch(p.out.String())
		return found != nil
	})
	p.webhooks, p.admin, p.nats = "http://"+found[1]+found[2], "http://"+found[3], found[4]
	return p
}

// wait returns how the process ended.
func (p *process) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.done:
		p.done <- err
		return err
	case <-time.After(20 * time.Second):
		t.Fatalf("the process does not end:\n%s", p.out)
		return nil
	}
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

const testToken = "a-configured-token-0123456789"

func body(id string) string {
	return fmt.Sprintf(`{"EnterpriseId":"hotel","IntegrationId":"app","Events":[{"Discriminator":"ServiceOrderUpdated","Value":{"Id":%q}}]}`, id)
}

// post sends a webhook and returns the status and the answer.
func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	response, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(t, request)
}

// do sends a request and returns the status and the answer.
func do(t *testing.T, request *http.Request) (int, string) {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

// jetStream connects to url until the test ends.
func jetStream(t *testing.T, url string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// storedSubjects reads the events stream at url.
func storedSubjects(t *testing.T, url string) map[string]int {
	t.Helper()
	return storedIn(t, url, "MEWS_EVENTS")
}

func storedIn(t *testing.T, url, name string) map[string]int {
	t.Helper()
	js := jetStream(t, url)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stream, err := js.Stream(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	subjects := map[string]int{}
	for subject, n := range info.State.Subjects {
		subjects[subject] = int(n)
	}
	return subjects
}

func TestServeWithoutConfiguration(t *testing.T) {
	dir := t.TempDir()
	p := startServe(t, dir)
	natstest.Eventually(t, "the URL with the token", func() bool { return strings.Contains(p.out.String(), "Webhook URL") })
	url := regexp.MustCompile(`http://\S+\?Token=\S+`).FindString(p.out.String())
	info, err := os.Stat(filepath.Join(dir, "data", "token"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("token file: %v, %v", info, err)
	}
	if status, answer := post(t, url, body("r1")); status != 202 || !strings.Contains(answer, `"published":1`) {
		t.Errorf("webhook: %d %s", status, answer)
	}
	if got := storedSubjects(t, p.nats); got["mews.events.ServiceOrderUpdated.hotel.r1"] != 1 {
		t.Errorf("stored %v", got)
	}
	if status, answer := get(t, p.admin+"/readyz"); status != 200 {
		t.Errorf("readyz: %d %s", status, answer)
	}
	p.signal(t, syscall.SIGINT)
	if err := p.wait(t); err != nil {
		t.Errorf("SIGINT: %v", err)
	}

	second := startServe(t, dir)
	natstest.Eventually(t, "the URL again", func() bool { return strings.Contains(second.out.String(), "Webhook URL") })
	token := url[strings.Index(url, "?"):]
	if !strings.Contains(second.out.String(), token) {
		t.Error("the second start has another token")
	}
	if got := storedSubjects(t, second.nats); got["mews.events.ServiceOrderUpdated.hotel.r1"] != 1 {
		t.Errorf("after a restart: stored %v", got)
	}
}

func TestServeWaitsForNATS(t *testing.T) {
	s := natstest.Start(t)
	url := s.ClientURL()
	natstest.Stop(s)
	p := startServe(t, t.TempDir(), "NATS_URL="+url, "MEWSBRIDGE_TOKENS="+testToken)
	hook := p.webhooks + "?token=" + testToken
	if status, answer := get(t, p.admin+"/readyz"); status != 503 || !strings.Contains(answer, "unavailable") {
		t.Errorf("readyz: %d %s", status, answer)
	}
	if status, answer := post(t, hook, body("r1")); status != 503 || !strings.Contains(answer, "nats-unavailable") {
		t.Errorf("webhook: %d %s", status, answer)
	}
	natstest.Restart(t, s)
	natstest.Eventually(t, "recovery", func() bool { status, _ := get(t, p.admin+"/readyz"); return status == 200 })
	if status, answer := post(t, hook, body("r1")); status != 202 {
		t.Errorf("webhook after recovery: %d %s", status, answer)
	}
	if got := storedSubjects(t, url); got["mews.events.ServiceOrderUpdated.hotel.r1"] != 1 {
		t.Errorf("stored %v", got)
	}
}

func TestServeOnACluster(t *testing.T) {
	servers := natstest.Cluster(t, 3)
	p := startServe(t, t.TempDir(), "NATS_URL="+strings.Join(natstest.URLs(servers...), ","), "MEWSBRIDGE_REPLICAS=3", "MEWSBRIDGE_TOKENS="+testToken)
	natstest.Eventually(t, "readiness", func() bool { status, _ := get(t, p.admin+"/readyz"); return status == 200 })
	var answers sync.WaitGroup
	var mu sync.Mutex
	accepted := map[string]bool{}
	var killed *natstest.Server
	for i := range 300 {
		if i == 150 { // in the middle of the load
			killed = servers[0]
			answers.Go(func() { natstest.Stop(killed) })
		}
		id := fmt.Sprint("r", i)
		answers.Go(func() {
			for range 3 { // as Mews does
				if status, _ := post(t, p.webhooks+"?Token="+testToken, body(id)); status == 202 {
					mu.Lock()
					defer mu.Unlock()
					accepted[id] = true
					return
				}
			}
		})
	}
	answers.Wait()
	var stored map[string]int
	natstest.Eventually(t, "the stream to be readable", func() bool {
		conn, err := nats.Connect(servers[1].ClientURL())
		if err != nil {
			return false
		}
		defer conn.Close()
		_, err = conn.Request("$JS.API.STREAM.INFO.MEWS_EVENTS", nil, time.Second)
		return err == nil
	})
	stored = storedSubjects(t, servers[1].ClientURL())
	if len(accepted) == 0 {
		t.Fatal("no webhook was accepted")
	}
	for id := range accepted {
		if n := stored["mews.events.ServiceOrderUpdated.hotel."+id]; n != 1 {
			t.Errorf("%s was answered 202 and is stored %d times", id, n)
		}
	}
}

// TestSIGTERMUnderLoad stops the process while webhooks arrive: what was answered 202 is there after a restart.
func TestSIGTERMUnderLoad(t *testing.T) {
	dir := t.TempDir()
	p := startServe(t, dir, "MEWSBRIDGE_TOKENS="+testToken)
	var mu sync.Mutex
	accepted := map[string]bool{}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(accepted) }
	var senders sync.WaitGroup
	for sender := range 8 {
		senders.Go(func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("s%d-%d", sender, i)
				response, err := http.Post(p.webhooks+"?Token="+testToken, "", strings.NewReader(body(id)))
				if err != nil {
					return // it has stopped
				}
				_ = response.Body.Close()
				if response.StatusCode == 202 {
					mu.Lock()
					accepted[id] = true
					mu.Unlock()
				}
			}
		})
	}
	natstest.Eventually(t, "load", func() bool { return count() > 200 })
	p.signal(t, syscall.SIGTERM)
	if err := p.wait(t); err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, p.out)
	}
	senders.Wait()
	stored := storedSubjects(t, startServe(t, dir, "MEWSBRIDGE_TOKENS="+testToken).nats)
	for id := range accepted {
		if stored["mews.events.ServiceOrderUpdated.hotel."+id] != 1 {
			t.Errorf("%s was answered 202 and is stored %d times", id, stored["mews.events.ServiceOrderUpdated.hotel."+id])
		}
	}
}

// TestSecondSignalEndsAtOnce holds a webhook open, so that the first signal waits for it.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS="+testToken)
	address := strings.TrimPrefix(p.webhooks, "http://")
	address, path, _ := strings.Cut(address, "/")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST /%s?Token=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", path, testToken); err != nil {
		t.Fatal(err)
	}
	post(t, p.webhooks+"?Token="+testToken, body("r1")) // by now the other request is being read
	p.signal(t, syscall.SIGTERM)
	natstest.Eventually(t, "the first signal", func() bool { return strings.Contains(p.out.String(), `"stopping"`) })
	p.signal(t, syscall.SIGTERM)
	if err := p.wait(t); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("ended with %v, want the signal", err)
	}
}

func TestStartErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	badTokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(badTokens, []byte("a:short\n\nb b:"+testToken+"\nc:"+testToken+"1\nc:"+testToken+"2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		env  map[string]string
		code int
		want []string
	}{
		{"unknown command", []string{"serv"}, nil, exitUsage, []string{"unknown command", "`mewsbridge --help`"}},
		{"unknown flag", []string{"serve", "--bogus"}, nil, exitUsage, []string{"unknown flag", "`mewsbridge serve --help`"}},
		{"argument", []string{"serve", "extra"}, nil, exitUsage, []string{"serve takes flags and no arguments"}},
		{"value apart from its flag", []string{"serve", "--streams-manage", "false"}, nil, exitUsage, []string{"joined to its flag with ="}},
		{"neither true nor false", []string{"serve", "--admin-pprof=maybe"}, nil, exitUsage, []string{"--admin-pprof"}},
		{"no file for the key", []string{"seal-key"}, nil, exitUsage, []string{"name one new file"}},
		{"data dir is a file", []string{"serve", "--data-dir", os.Args[0]}, nil, exitConfig, []string{"data_dir: "}},
		{"tokens file", []string{"serve", "--tokens-file", badTokens}, nil, exitConfig, []string{"tokens_file: token 1 has fewer", "token 2 has a name", "tokens 3 and 4 have the same name"}},
		{"bad settings", []string{"serve", "--ack-deadline", "6s", "--replicas", "3"}, nil, exitConfig, []string{"ack_deadline", "replicas"}},
		{"missing file", []string{"serve", "--config", "missing.yaml"}, nil, exitConfig, []string{"missing.yaml"}},
		{"missing file of health", []string{"health", "--config", "missing.yaml"}, nil, exitConfig, []string{"missing.yaml"}},
		{"missing credentials", []string{"serve", "--nats-url", "nats://127.0.0.1:1", "--nats-creds", "missing.creds"}, nil, exitConfig, []string{"nats: read creds file", "missing.creds"}},
		{"address in use", []string{"serve", "--listen", taken.Addr().String()}, nil, exitConfig, []string{"listen:", "address already in use"}},
		{"NATS address in use", []string{"serve", "--nats-listen", taken.Addr().String()}, nil, exitConfig, []string{"nats listen:", "address already in use"}},
		{"NATS open to all", []string{"serve", "--nats-listen", "0.0.0.0:0"}, nil, exitConfig, []string{"set a NATS token"}},
		{"tracing by gRPC", []string{"serve"}, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
			exitConfig, []string{"OTEL_EXPORTER_OTLP_PROTOCOL", "use http/protobuf"}},
		{"token for no URL", []string{"token", "--url", "bridge"}, nil, exitUsage, []string{"--url"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			defaults := map[string]string{"MEWSBRIDGE_LISTEN": "127.0.0.1:0", "MEWSBRIDGE_ADMIN_LISTEN": "127.0.0.1:0", "MEWSBRIDGE_NATS_LISTEN": "127.0.0.1:0"}
			maps.Copy(defaults, test.env)
			var out, errs bytes.Buffer
			env := &environment{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(key string) string { return defaults[key] }}
			if code := run(t.Context(), env, test.args); code != test.code {
				t.Errorf("exit code %d, want %d: %s", code, test.code, errs.String())
			}
			for _, want := range test.want {
				if !strings.Contains(errs.String(), want) {
					t.Errorf("%q is not said: %s", want, errs.String())
				}
			}
		})
	}
}

func TestTokenAndVersion(t *testing.T) {
	var out, errs bytes.Buffer
	env := &environment{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: os.Getenv}
	if code := run(t.Context(), env, []string{"token", "--url", "https://hooks.example.com/mews"}); code != 0 {
		t.Fatalf("token: %d %s", code, errs.String())
	}
	if !regexp.MustCompile(`^token  ([\w-]{43})\nurl    https://hooks.example.com/mews\?Token=[\w-]{43}\n$`).MatchString(out.String()) {
		t.Errorf("token printed %q", out.String())
	}
	out.Reset()
	if code := run(t.Context(), env, []string{"version"}); code != 0 || !strings.HasPrefix(out.String(), "mewsbridge ") {
		t.Errorf("version: %d %q", code, out.String())
	}
}

// TestNoSecretsInOutput runs a hostile session at the most talkative level and searches everything that was written.
func TestNoSecretsInOutput(t *testing.T) {
	p := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS="+testToken, "MEWSBRIDGE_LOG_LEVEL=debug", "MEWSBRIDGE_MAX_BODY=100KiB")
	const credential = "hotel-credential-XYZ"
	bodies := []string{
		`{"Action":"IntegrationCreated","Data":{"Integration":{"Id":"i"},"AccessToken":"` + credential + `"}}`,
		`{"Action":"Integration Created","Data":{"ApiKey":"` + credential + `"}}`,
		`{"AccessToken":"` + credential + `"`, `{"` + credential + `":1,"` + credential + `":2}`, `"` + credential + `"`,
		`{"Events":[{"Discriminator":"` + credential + `.","Value":{"Id":"` + credential + `"}}]}`,
		credential + strings.Repeat("x", 200<<10), "\xff" + credential,
	}
	for _, query := range []string{"?Token=" + testToken, "?Token=" + testToken + "x", "?Token=" + testToken + "&Token=" + testToken, "/" + testToken, "?%zz&Token=" + testToken} {
		for _, b := range bodies {
			response, err := http.Post(p.webhooks+query, "", strings.NewReader(b))
			if err == nil { // a refused body may end the connection while it is being sent
				_ = response.Body.Close()
			}
		}
	}
	address, path, _ := strings.Cut(strings.TrimPrefix(p.webhooks, "http://"), "/")
	for _, raw := range []string{
		"POST /" + path + "?Token=" + testToken + " HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n" + credential,
		"POST /" + path + "?Token=" + testToken + " HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz" + credential,
		"GET /" + testToken + "\x00 " + credential + "\r\n\r\n", credential + "\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, raw) // the server may have hung up
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
	if status, _ := post(t, p.webhooks+"?Token="+testToken, body("r1")); status != 202 {
		t.Errorf("after the session: %d", status)
	}
	p.signal(t, syscall.SIGTERM)
	if err := p.wait(t); err != nil {
		t.Error(err)
	}
	text := p.out.String()
	for _, trace := range []string{"webhook not stored", "webhook stored", "webhook is not JSON: its body is in quarantine"} {
		if !strings.Contains(text, trace) {
			t.Errorf("the session left no %q in the log:\n%s", trace, text)
		}
	}
	for _, s := range []string{testToken, testToken[:20], credential, "Token="} {
		if strings.Contains(text, s) {
			t.Errorf("the output holds %q", s)
		}
	}
}
