package bridge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"mewsbridge/bridge"
	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Tests that run in parallel wait for deadlines far more than they compute.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, natstest.OutlivesShutdown()...)
}

const (
	token = "a-token-of-32-characters-0123456"
	path  = "/webhooks/mews"
	limit = 1 << 20
)

// rig is a bridge over real HTTP, a real publisher and a real server.
type rig struct {
	server    *natstest.Server
	bridge    *bridge.Bridge
	publisher *publisher.Publisher
	http      *httptest.Server
	js        jetstream.JetStream
	seen      uint64 // sequence of the events stream up to which the model has looked
}

func newRig(t testing.TB, change func(*bridge.Config)) *rig {
	t.Helper()
	return newRigOn(t, []*natstest.Server{natstest.Start(t)}, change)
}

// newRigOn makes a rig over one server, or over a cluster with as many replicas. The streams are empty.
func newRigOn(t testing.TB, servers []*natstest.Server, change func(*bridge.Config)) *rig {
	t.Helper()
	return newRigWith(t, servers, nil, change)
}

// newRigWith is newRigOn with a change to the publisher too.
func newRigWith(t testing.TB, servers []*natstest.Server, changePublisher func(*publisher.Config), change func(*bridge.Config)) *rig {
	t.Helper()
	publishing := publisher.Config{
		URLs: natstest.URLs(servers...), Prefix: "mews", Replicas: len(servers), Manage: true,
		MaxAge: 24 * time.Hour, DuplicateWindow: time.Hour,
	}
	if changePublisher != nil {
		changePublisher(&publishing)
	}
	p, err := publisher.New(publishing, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := p.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, "the publisher to be ready", func() bool { return p.Ready(context.Background()) == nil })

	cfg := bridge.Config{
		Endpoints: []bridge.Endpoint{{Name: "mews", Path: path, Prefix: "mews", Publisher: p, Tokens: tokenSet(t,
			bridge.NewToken("another", "another-live-token-0123456789"), bridge.NewToken("mews", token))}},
		MaxBody: func() int64 { return limit }, AckDeadline: 4 * time.Second, RetryWindow: 30 * time.Minute,
		Ready: p.Ready, Log: zap.NewNop(),
	}
	if change != nil {
		change(&cfg)
	}
	b, err := bridge.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewUnstartedServer(b.Handler())
	h.Config.ReadHeaderTimeout, h.Config.MaxHeaderBytes = 2*time.Second, 16<<10
	h.Start()
	t.Cleanup(h.Close)
	r := &rig{server: servers[0], bridge: b, publisher: p, http: h, js: natstest.JetStream(t, servers...)}
	r.purge(t)
	return r
}

func tokenSet(t testing.TB, tokens ...bridge.Token) *bridge.TokenSet {
	t.Helper()
	set, err := bridge.NewTokenSet(tokens...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// purge empties the streams, which other tests on the same servers may have filled.
func (r *rig) purge(t testing.TB) {
	t.Helper()
	for _, kind := range schema.Kinds() {
		natstest.Eventually(t, "an empty stream "+kind.Stream("mews"), func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			stream, err := r.js.Stream(ctx, kind.Stream("mews"))
			return err == nil && stream.Purge(ctx) == nil
		})
	}
}

// readiness asks /readyz.
func (r *rig) readiness(t testing.TB) answer {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, "http://admin/readyz", nil)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, r.bridge.AdminHandler(), request)
}

// url is the webhook URL with the token.
func (r *rig) url() string { return r.http.URL + path + "?Token=" + token }

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

func (r *rig) post(t testing.TB, body string) answer {
	t.Helper()
	return r.postTo(t, path+"?Token="+token, body)
}

func (r *rig) postTo(t testing.TB, target, body string) answer {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, r.http.URL+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r.do(t, request)
}

func (r *rig) do(t testing.TB, request *http.Request) answer {
	t.Helper()
	response, err := r.http.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header}
	if request.Method != http.MethodHead {
		if err := json.NewDecoder(bytes.NewReader(data)).Decode(&a.body); err != nil {
			t.Fatalf("answer %d is not JSON: %q", response.StatusCode, data)
		}
	}
	return a
}

// stored returns what is in the streams, in order, streams one after another.
func (r *rig) stored(t testing.TB) []jetstream.Msg {
	t.Helper()
	var all []jetstream.Msg
	for _, kind := range schema.Kinds() {
		all = append(all, natstest.Messages(t, r.js, kind.Stream("mews"))...)
	}
	return all
}

func (r *rig) subjects(t testing.TB) []string {
	t.Helper()
	var subjects []string
	for _, m := range r.stored(t) {
		subjects = append(subjects, m.Subject())
	}
	return subjects
}

// general is a General webhook with the given elements of Events.
func general(elements ...string) string {
	return fmt.Sprintf(`{"EnterpriseId":"hotel","IntegrationId":"app","Events":[%s]}`, strings.Join(elements, ","))
}

func event(discriminator, id string) string {
	return fmt.Sprintf(`{"Discriminator":%q,"Value":{"Id":%q}}`, discriminator, id)
}

// publisherFunc is a Publisher for failures that no server can be brought to.
type publisherFunc func(context.Context, []schema.Message) error

func (f publisherFunc) Publish(ctx context.Context, msgs []schema.Message) error { return f(ctx, msgs) }

func (publisherFunc) Admit(context.Context) error { return nil }

func serve(t testing.TB, h http.Handler, request *http.Request) answer {
	t.Helper()
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	a := answer{status: recorder.Code, header: recorder.Header()}
	if err := json.Unmarshal(recorder.Body.Bytes(), &a.body); err != nil {
		t.Fatal(err)
	}
	return a
}
