package bridge_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mewsbridge/bridge"
	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

func zipped(t *testing.T, body string) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// chunked hides a reader's length, so that it is sent without Content-Length.
type chunked struct{ io.Reader }

// TestAnswers is the table of answers: for each request the status, the body, and what is in the streams.
func TestAnswers(t *testing.T) {
	t.Run("one server", func(t *testing.T) { testAnswers(t, []*natstest.Server{natstest.Start(t)}) })
	t.Run("three replicas", func(t *testing.T) { testAnswers(t, natstest.Cluster(t, 3)) })
}

func testAnswers(t *testing.T, servers []*natstest.Server) {
	two := general(event("ServiceOrderUpdated", "r1"), event("CustomerAdded", "c1"))
	gzipHeader := http.Header{"Content-Encoding": {"gzip"}}
	tooDeep := strings.Repeat("[", 100_000)
	manyEvents := make([]string, 10_000)
	for i := range manyEvents {
		manyEvents[i] = event("ResourceUpdated", fmt.Sprint(i))
	}
	bomb := strings.Repeat(" ", 64<<20)

	for _, test := range []struct {
		name   string
		method string // default POST
		target string // default the path with the token
		header http.Header
		body   io.Reader
		status int
		word   string // of a problem
		counts [2]int // published, quarantined of a 202
		stored []string
	}{
		{
			name: "general", body: strings.NewReader(two), status: 202, counts: [2]int{2, 0},
			stored: []string{"mews.events.ServiceOrderUpdated.hotel.r1", "mews.events.CustomerAdded.hotel.c1"},
		},
		{
			name: "integration", body: strings.NewReader(`{"Action":"IntegrationEnabled","Data":{"Integration":{"Id":"i1","Name":"n"}}}`),
			status: 202, counts: [2]int{1, 0}, stored: []string{"mews.integrations.IntegrationEnabled.i1"},
		},
		{name: "no events", body: strings.NewReader(general()), status: 202},
		{
			name: "one bad event", body: strings.NewReader(general(event("ServiceOrderUpdated", "r1"), `17`, event("a.b", "x"), event("New", "n1"))),
			status: 202, counts: [2]int{2, 2},
			stored: []string{
				"mews.events.ServiceOrderUpdated.hotel.r1", "mews.events.New.hotel.n1",
				"mews.quarantine.not-object", "mews.quarantine.invalid-discriminator",
			},
		},
		{name: "unknown kind", body: strings.NewReader(`{"Ping":1}`), status: 202, counts: [2]int{0, 1}, stored: []string{"mews.quarantine.unknown-kind"}},
		{name: "JSON but no object", body: strings.NewReader(`[1]`), status: 202, counts: [2]int{0, 1}, stored: []string{"mews.quarantine.unknown-kind"}},
		{name: "gzip", header: gzipHeader, body: zipped(t, two), status: 202, counts: [2]int{2, 0}, stored: []string{"mews.events.ServiceOrderUpdated.hotel.r1", "mews.events.CustomerAdded.hotel.c1"}},
		{name: "without content length", body: chunked{strings.NewReader(general(event("New", "n1")))}, status: 202, counts: [2]int{1, 0}, stored: []string{"mews.events.New.hotel.n1"}},
		{name: "10,000 events", body: strings.NewReader(general(manyEvents...)), status: 202, counts: [2]int{10_000, 0}, stored: []string{"10000 messages"}},

		{name: "empty", body: strings.NewReader(""), status: 400, word: "not-json", stored: []string{"mews.quarantine.not-json"}},
		{name: "not JSON", body: strings.NewReader(`{"Events":[}`), status: 400, word: "not-json", stored: []string{"mews.quarantine.not-json"}},
		{name: "too deep", body: strings.NewReader(tooDeep), status: 400, word: "not-json", stored: []string{"mews.quarantine.too-deep"}},
		{name: "not gzip", header: gzipHeader, body: strings.NewReader("plain"), status: 400, word: "not-json", stored: []string{"mews.quarantine.invalid-gzip"}},

		{name: "no token", target: path, body: strings.NewReader(two), status: 401, word: "unauthorized"},
		{name: "wrong token", target: path + "?Token=" + token[1:] + "x", body: strings.NewReader(two), status: 401, word: "unauthorized"},
		{name: "empty token", target: path + "?Token=", body: strings.NewReader(two), status: 401, word: "unauthorized"},
		{name: "token cut short", target: path + "?Token=" + token[:31], body: strings.NewReader(two), status: 401, word: "unauthorized"},
		{name: "two tokens", target: path + "?Token=" + token + "&token=" + token, body: strings.NewReader(two), status: 401, word: "unauthorized"},
		{name: "token as a header", target: path, header: http.Header{"Token": {token}, "Authorization": {"Bearer " + token}}, body: strings.NewReader(two), status: 401, word: "unauthorized"},
		{name: "broken query", target: path + "?Token=" + token + "&%zz", body: strings.NewReader(two), status: 401, word: "unauthorized"},
		{name: "token in lower case", target: path + "?tOkEn=" + token, body: strings.NewReader(general()), status: 202},
		{name: "other parameters", target: path + "?a=b&Token=" + token, body: strings.NewReader(general()), status: 202},

		{name: "other path", target: "/?Token=" + token, body: strings.NewReader(two), status: 404, word: "not-found"},
		{name: "path below", target: path + "/" + token, body: strings.NewReader(two), status: 404, word: "not-found"},
		{name: "GET", method: http.MethodGet, status: 405, word: "method-not-allowed"},
		{name: "HEAD", method: http.MethodHead, status: 405},
		{name: "OPTIONS", method: http.MethodOptions, status: 405, word: "method-not-allowed"},
		{name: "unknown encoding", header: http.Header{"Content-Encoding": {"br"}}, body: strings.NewReader(two), status: 415, word: "unsupported-encoding"},
		{name: "over the limit", body: strings.NewReader(strings.Repeat(" ", limit+1)), status: 413, word: "too-large"},
		{name: "over the limit without content length", body: chunked{strings.NewReader(strings.Repeat(" ", limit+1))}, status: 413, word: "too-large"},
		{name: "gzip bomb", header: gzipHeader, body: zipped(t, bomb), status: 413, word: "too-large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRigOn(t, servers, func(c *bridge.Config) { c.AckDeadline = 20 * time.Second }) // it is not about time
			target := test.target
			if target == "" {
				target = path + "?Token=" + token
			}
			method := test.method
			if method == "" {
				method = http.MethodPost
			}
			request, err := http.NewRequest(method, r.http.URL+target, test.body)
			if err != nil {
				t.Fatal(err)
			}
			for name, values := range test.header {
				request.Header[name] = values
			}
			a := r.do(t, request)
			if a.status != test.status {
				t.Fatalf("status %d, want %d: %v", a.status, test.status, a.body)
			}
			checkBody(t, a, test.word, test.counts)
			got := r.subjects(t)
			if len(got) > 100 {
				got = []string{fmt.Sprintf("%d messages", len(got))}
			}
			if diff := cmp.Diff(test.stored, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
		})
	}
}

func checkBody(t *testing.T, a answer, word string, counts [2]int) {
	t.Helper()
	if a.body == nil {
		return
	}
	if a.status == http.StatusAccepted {
		if a.body["published"] != float64(counts[0]) || a.body["quarantined"] != float64(counts[1]) || a.body["delivery"] == "" {
			t.Errorf("body %v, want %d published, %d quarantined", a.body, counts[0], counts[1])
		}
		return
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	if a.body["error"] != word || a.body["status"] != float64(a.status) {
		t.Errorf("body %v, want error %q", a.body, word)
	}
	if _, has := a.body["offset"]; has != (a.status == http.StatusBadRequest) {
		t.Errorf("body %v: an offset belongs to 400 alone", a.body)
	}
	if a.status == http.StatusRequestEntityTooLarge && a.body["limit"] != float64(limit) {
		t.Errorf("body %v does not name the limit", a.body)
	}
	if a.status == http.StatusMethodNotAllowed && !strings.Contains(a.header.Get("Allow"), "POST") {
		t.Errorf("Allow is %q", a.header.Get("Allow"))
	}
}

func TestPublishFailures(t *testing.T) {
	secret := errors.New("nats://user:password@10.0.0.1 says AccessToken")
	for word, err := range map[string]error{
		"nats-unavailable": schema.ErrUnavailable, "stream-missing": schema.ErrStreamMissing, "storage-refused": schema.ErrRefused,
		"not-acknowledged": schema.ErrNotAcknowledged, "overloaded": schema.ErrOverloaded, "shutting-down": schema.ErrStopping,
		"internal": errors.New("something else"),
	} {
		t.Run(word, func(t *testing.T) {
			r := newRig(t, func(c *bridge.Config) {
				c.Endpoints[0].Publisher = publisherFunc(func(context.Context, []schema.Message) error { return fmt.Errorf("%w: %w", err, secret) })
			})
			for _, body := range []string{general(event("New", "n1")), "not JSON"} {
				a := r.post(t, body)
				if a.status != 503 || a.body["error"] != word || a.header.Get("Retry-After") == "" {
					t.Errorf("answer %d %v, Retry-After %q", a.status, a.body, a.header.Get("Retry-After"))
				}
				if strings.Contains(fmt.Sprint(a.body), "password") || strings.Contains(fmt.Sprint(a.body), "10.0.0.1") {
					t.Errorf("the answer repeats the error: %v", a.body)
				}
			}
		})
	}
}

func TestNotAcknowledgedByTheDeadline(t *testing.T) {
	r := newRig(t, func(c *bridge.Config) {
		c.AckDeadline = 50 * time.Millisecond
		c.Endpoints[0].Publisher = publisherFunc(func(ctx context.Context, _ []schema.Message) error {
			<-ctx.Done()
			return schema.ErrNotAcknowledged
		})
	})
	if a := r.post(t, general(event("New", "n1"))); a.status != 503 || a.body["error"] != "not-acknowledged" {
		t.Errorf("answer %d %v", a.status, a.body)
	}
}

func TestPanicIsAnAnswer(t *testing.T) {
	r := newRig(t, func(c *bridge.Config) {
		c.Endpoints[0].Publisher = publisherFunc(func(context.Context, []schema.Message) error { panic("AccessToken") })
	})
	if a := r.post(t, general(event("New", "n1"))); a.status != 503 || a.body["error"] != "internal" {
		t.Errorf("answer %d %v", a.status, a.body)
	}
}

func TestTooManyBodiesAtATime(t *testing.T) {
	r := newRig(t, func(c *bridge.Config) { c.MaxInflightBytes = 10 })
	if a := r.post(t, general(event("New", "n1"))); a.status != 503 || a.body["error"] != "overloaded" {
		t.Errorf("answer %d %v", a.status, a.body)
	}
}

func TestStreamGoneAndServerGone(t *testing.T) {
	s := natstest.Start(t)
	makeStreams(t, natstest.JetStream(t, s), true)
	// Else it would be made again.
	r := newRigWith(t, []*natstest.Server{s}, func(c *publisher.Config) { c.Manage = false }, nil)
	if err := r.js.DeleteStream(context.Background(), "MEWS_EVENTS"); err != nil {
		t.Fatal(err)
	}
	if a := r.post(t, general(event("New", "n1"))); a.status != 503 || a.body["error"] != "stream-missing" {
		t.Errorf("without the stream: answer %d %v", a.status, a.body)
	}
	natstest.Stop(r.server)
	natstest.Eventually(t, "503 nats-unavailable", func() bool {
		a := r.post(t, general(event("New", "n2")))
		return a.status == 503 && a.body["error"] == "nats-unavailable"
	})
}

func TestRetryTakesOverAndRepeatIsNew(t *testing.T) {
	r := newRig(t, nil)
	body := general(event("ServiceOrderUpdated", "r1"))
	first, second := r.post(t, body), r.post(t, body)
	if first.body["delivery"] == second.body["delivery"] {
		t.Error("an identical later message has the same delivery id")
	}
	if got := r.subjects(t); len(got) != 2 {
		t.Errorf("stored %v, want both", got)
	}
	bad := `{"Events":`
	third, fourth := r.post(t, bad), r.post(t, bad)
	if third.body["delivery"] != fourth.body["delivery"] {
		t.Error("the retry of a refused body has another delivery id")
	}
	if got := r.subjects(t); len(got) != 3 {
		t.Errorf("stored %v, want the refused body once", got)
	}
}

// TestGzipIsNotPartOfAMessage sends one body twice, packed differently: the second is the retry of the first.
func TestGzipIsNotPartOfAMessage(t *testing.T) {
	fail := true
	r := newRig(t, func(c *bridge.Config) {
		real := c.Endpoints[0].Publisher
		c.Endpoints[0].Publisher = publisherFunc(func(ctx context.Context, msgs []schema.Message) error {
			if err := real.Publish(ctx, msgs); err != nil || !fail {
				return err
			}
			return schema.ErrNotAcknowledged
		})
	})
	body := general(event("New", "n1"))
	if a := r.post(t, body); a.status != 503 {
		t.Fatalf("answer %d", a.status)
	}
	fail = false
	request, err := http.NewRequest(http.MethodPost, r.url(), zipped(t, body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Encoding", "gzip")
	if a := r.do(t, request); a.status != 202 {
		t.Fatalf("answer %d %v", a.status, a.body)
	}
	if got := r.subjects(t); len(got) != 1 {
		t.Errorf("stored %v, want it once", got)
	}
}

// TestHangingUpDoesNotStopThePublish closes the connection while the publish is under way; the events are stored all the same.
func TestHangingUpDoesNotStopThePublish(t *testing.T) {
	begun, goOn, result := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	r := newRig(t, func(c *bridge.Config) {
		real := c.Endpoints[0].Publisher
		c.Endpoints[0].Publisher = publisherFunc(func(ctx context.Context, msgs []schema.Message) error {
			close(begun)
			<-goOn
			err := real.Publish(ctx, msgs)
			result <- err
			return err
		})
	})
	gone := make(chan struct{})
	observed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		go func() { <-q.Context().Done(); close(gone) }()
		r.bridge.Handler().ServeHTTP(w, q)
	}))
	defer observed.Close()
	ctx, hangUp := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, observed.URL+path+"?Token="+token, strings.NewReader(general(event("New", "n1"))))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
		}
	}()
	<-begun
	hangUp()
	<-gone
	close(goOn)
	if err := <-result; err != nil {
		t.Errorf("publish: %v", err)
	}
	<-ended
	if got := r.subjects(t); len(got) != 1 {
		t.Errorf("stored %v, want it once", got)
	}
	natstest.Eventually(t, "the delivery to wait for its retry", func() bool { return r.bridge.OpenDeliveries() == 1 })
}

func TestHealth(t *testing.T) {
	cause := errors.New("stream MEWS_EVENTS: not there")
	var down error
	r := newRig(t, func(c *bridge.Config) { c.Ready = func(context.Context) error { return down } })
	get := func(path string) answer {
		request, err := http.NewRequest(http.MethodGet, "http://admin"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return serve(t, r.bridge.AdminHandler(), request)
	}
	if a := get("/readyz"); a.status != 200 {
		t.Errorf("readyz: %d %v", a.status, a.body)
	}
	down = cause
	if a := get("/readyz"); a.status != 503 || a.body["cause"] != cause.Error() {
		t.Errorf("readyz without a stream: %d %v", a.status, a.body)
	}
	down = nil
	r.bridge.BeginStop()
	if a := get("/readyz"); a.status != 503 || a.body["cause"] != "stopping" {
		t.Errorf("readyz while stopping: %d %v", a.status, a.body)
	}
	if a := get("/livez"); a.status != 200 {
		t.Errorf("livez: %d %v", a.status, a.body)
	}
	if a := get("/"); a.status != 404 {
		t.Errorf("other path: %d", a.status)
	}
}
