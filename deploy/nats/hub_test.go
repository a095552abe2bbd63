package nats_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/publisher/natstest"
)

// The hub runs as a process of its own, so that it can be killed: this test binary, with hubPort set.
const (
	hubPort     = "MEWSBRIDGE_TEST_HUB_PORT"
	hubLeafPort = "MEWSBRIDGE_TEST_HUB_LEAF_PORT"
)

// runHub is the hub's process: a server with hub.conf on ports of 127.0.0.1.
func runHub() int {
	options, err := server.ProcessConfigFile("hub.conf")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	options.Host, options.HTTPPort, options.LeafNode.Host = "127.0.0.1", 0, "127.0.0.1"
	_, _ = fmt.Sscan(os.Getenv(hubPort), &options.Port)
	_, _ = fmt.Sscan(os.Getenv(hubLeafPort), &options.LeafNode.Port)
	s, err := server.NewServer(options)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s.ConfigureLogger()
	s.Start()
	s.WaitForShutdown()
	return 0
}

// killable is a process that a test kills.
type killable struct {
	cmd  *exec.Cmd
	logs *strings.Builder
	mu   sync.Mutex
	done chan struct{}
}

func start(t *testing.T, name string, env []string, args ...string) *killable {
	t.Helper()
	k := &killable{cmd: exec.Command(name, args...), logs: &strings.Builder{}, done: make(chan struct{})}
	k.cmd.Env = append(os.Environ(), env...)
	pipe, err := k.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(k.done)
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			k.mu.Lock()
			fmt.Fprintln(k.logs, lines.Text())
			k.mu.Unlock()
		}
		_ = k.cmd.Wait() // it is killed
	}()
	t.Cleanup(func() {
		k.kill()
		if t.Failed() {
			t.Logf("%s says:\n%s", filepath.Base(name), k.log())
		}
	})
	return k
}

func (k *killable) kill() {
	_ = k.cmd.Process.Kill() // SIGKILL; it may have ended
	<-k.done
}

func (k *killable) log() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.logs.String()
}

// buildBridge returns the program itself.
func buildBridge(t *testing.T) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "mewsbridge")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/mewsbridge").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// edge is a bridge with an embedded server, a leaf node of the hub.
type edge struct {
	*killable
	webhooks, admin, nats string
}

func startEdge(t *testing.T, binary, data, leafURL, ca string) *edge {
	t.Helper()
	e := &edge{killable: start(t, binary, []string{
		"MEWSBRIDGE_LISTEN=127.0.0.1:0", "MEWSBRIDGE_ADMIN_LISTEN=127.0.0.1:0", "MEWSBRIDGE_NATS_LISTEN=127.0.0.1:0", "MEWSBRIDGE_DATA_DIR=" + data,
		"MEWSBRIDGE_TOKENS=" + token, "MEWSBRIDGE_NATS_LEAF_URL=" + leafURL, "MEWSBRIDGE_NATS_LEAF_CA=" + ca, "MEWSBRIDGE_NATS_LEAF_DOMAIN=edge1",
	}, "serve")}
	natstest.Eventually(t, "the bridge to listen", func() bool {
		for line := range strings.Lines(e.log()) {
			var entry struct{ Message, Address, Path, Admin, NATS string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Message == "taking webhooks" {
				e.webhooks, e.admin, e.nats = "http://"+entry.Address+entry.Path+"?Token="+token, "http://"+entry.Admin, entry.NATS
				return true
			}
		}
		return false
	})
	return e
}

const token = "edge-token-0123456789"

// post sends the webhook number i and reports whether it was answered 202.
func (e *edge) post(i int) (accepted bool) {
	body := fmt.Sprintf(`{"EnterpriseId":"e1","Events":[{"Discriminator":"ServiceOrderUpdated","Value":{"Id":"r%d"}},{"Discriminator":"PaymentUpdated","Value":{"Id":"p%d"}}]}`, i, i)
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Post(e.webhooks, "application/json", strings.NewReader(body))
	if err != nil {
		return false
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode == http.StatusAccepted
}

// metric returns the value of a metric's first series that begins with name, or "".
func (e *edge) metric(t *testing.T, name string) string {
	t.Helper()
	response, err := http.Get(e.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), name) {
			return lines.Text()[strings.LastIndexByte(lines.Text(), ' ')+1:]
		}
	}
	return ""
}

// messages returns the ids of all messages of the stream, in order.
func messages(t *testing.T, url, name string, options ...nats.Option) (ids []string) {
	t.Helper()
	conn, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := js.Stream(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for range consumer.CachedInfo().NumPending {
		msg, err := consumer.Next(jetstream.FetchMaxWait(10 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, msg.Subject()+" "+msg.Headers().Get(nats.MsgIdHdr))
	}
	return ids
}

// TestEdgeStoresAndForwards kills the hub, keeps sending while it is away, kills the bridge as well, and brings both back: what was
// answered 202 is in the hub's stream once and in the order of the bridge's.
func TestEdgeStoresAndForwards(t *testing.T) {
	ca := setEnvironment(t)
	dir := t.TempDir()
	binary := buildBridge(t)
	ports := natstest.Ports(t, 2)
	hubEnv := []string{
		fmt.Sprintf("%s=%d", hubPort, ports[0]), fmt.Sprintf("%s=%d", hubLeafPort, ports[1]), "NATS_STORE_DIR=" + filepath.Join(dir, "hub"),
	}
	hubURL := fmt.Sprintf("tls://127.0.0.1:%d", ports[0])
	operator := []nats.Option{nats.UserInfo("operator", passwords["MEWS_OPERATOR_PASSWORD"]), nats.RootCAs(ca)}
	leafURL := fmt.Sprintf("tls://edge:%s@127.0.0.1:%d", passwords["MEWS_EDGE_PASSWORD"], ports[1])
	data := filepath.Join(dir, "edge")

	hub := start(t, os.Args[0], hubEnv)
	bridge := startEdge(t, binary, data, leafURL, ca)
	sent := map[string]int{}
	send := func(from, to int) {
		for i := from; i < to; i++ {
			if bridge.post(i) {
				sent[fmt.Sprintf("mews.events.ServiceOrderUpdated.e1.r%d", i)]++
			}
		}
	}
	send(0, 20)
	lag := `mewsbridge_hub_lag_messages{prefix="mews",stream="MEWS_EVENTS"}`
	natstest.Eventually(t, "the hub to have everything", func() bool {
		return bridge.metric(t, "mewsbridge_hub_reached{") == "1" && bridge.metric(t, lag) == "0"
	})

	hub.kill()
	send(20, 60)
	if len(sent) != 60 {
		t.Errorf("%d of 60 webhooks were stored although only the hub is away", len(sent))
	}
	natstest.Eventually(t, "the lag to be seen", func() bool {
		return bridge.metric(t, "mewsbridge_hub_reached{") == "0" && bridge.metric(t, lag) == "80"
	})
	for flag, want := range map[string]string{"--json=false": "80 messages to fetch", "--json=true": `"lag_messages":80`} {
		status := exec.Command(binary, "status", flag, "--nats", bridge.nats, "--admin", bridge.admin)
		if out, err := status.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("status %s: %v\n%s", flag, err, out)
		}
	}
	bridge.kill()
	bridge = startEdge(t, binary, data, leafURL, ca)
	send(60, 80)
	start(t, os.Args[0], hubEnv)
	send(80, 100) // while the hub catches up
	waitForHub(t, hubURL, operator, 200)

	here, there := messages(t, bridge.nats, "MEWS_EVENTS"), messages(t, hubURL, "MEWS_EVENTS", operator...)
	if strings.Join(here, "\n") != strings.Join(there, "\n") {
		t.Errorf("the bridge has\n%q, the hub\n%q", here, there)
	}
	stored := map[string]int{}
	for _, message := range there {
		subject, _, _ := strings.Cut(message, " ")
		stored[subject]++
	}
	for subject := range sent {
		if stored[subject] != 1 {
			t.Errorf("%s was accepted and is %d times in the hub's stream", subject, stored[subject])
		}
	}
}

// waitForHub waits until the hub's stream has n messages. JetStream asks for a source again after 30 s without an answer.
func waitForHub(t *testing.T, url string, options []nats.Option, n uint64) {
	t.Helper()
	conn, err := nats.Connect(url, append(options, nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1))...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	const patience = 3 * time.Minute
	var have uint64
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		stream, err := js.Stream(ctx, "MEWS_EVENTS")
		cancel()
		if err != nil {
			continue
		}
		if have = stream.CachedInfo().State.Msgs; have >= n {
			return
		}
	}
	t.Fatalf("the hub has %d of %d messages", have, n)
}
