package simulator_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mewsbridge/cmd/mewsbridge/internal/simulator"
)

const secret = "the-secret-token-of-this-test"

// recorder answers requests with the statuses in turn and keeps what it was sent.
type recorder struct {
	mu       sync.Mutex
	statuses []int
	requests []string
	bodies   [][]byte
	referers []string
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, req.Method+" "+req.URL.Path)
	r.bodies = append(r.bodies, body)
	r.referers = append(r.referers, req.Referer())
	status := r.statuses[min(len(r.requests), len(r.statuses))-1]
	if status/100 == 3 {
		w.Header().Set("Location", "/moved")
	}
	w.WriteHeader(status)
}

func serve(t *testing.T, handler http.Handler) (*simulator.Sender, *httptest.Server) {
	t.Helper()
	server := httptest.NewServer(handler)
	client := simulator.NewClient(4)
	t.Cleanup(func() { client.CloseIdleConnections(); server.Close() })
	return &simulator.Sender{Client: client, URL: server.URL + "/hook?Token=" + secret, RetryAfter: -1}, server
}

func TestSendKeepsTheContract(t *testing.T) {
	for _, tc := range []struct {
		name     string
		statuses []int
		want     []int
		dropped  bool
		requests []string
	}{
		{"success", []int{202}, []int{202}, false, []string{"POST /hook"}},
		{"204 is success", []int{204}, []int{204}, false, []string{"POST /hook"}},
		{"success at last", []int{503, 500, 202}, []int{503, 500, 202}, false, []string{"POST /hook", "POST /hook", "POST /hook"}},
		{"dropped after three", []int{503}, []int{503, 503, 503}, true, []string{"POST /hook", "POST /hook", "POST /hook"}},
		{"4xx is tried again", []int{401, 202}, []int{401, 202}, false, []string{"POST /hook", "POST /hook"}},
		{"307", []int{307, 202}, []int{202}, false, []string{"POST /hook", "POST /moved"}},
		{"308", []int{308, 202}, []int{202}, false, []string{"POST /hook", "POST /moved"}},
		{"302 is not followed", []int{302}, []int{302, 302, 302}, true, []string{"POST /hook", "POST /hook", "POST /hook"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := &recorder{statuses: tc.statuses}
			sender, _ := serve(t, r)
			body := []byte(`{"Events":[]}`)
			outcome := sender.Send(t.Context(), body)
			var statuses []int
			for _, a := range outcome.Attempts {
				statuses = append(statuses, a.Status)
			}
			if diff := cmp.Diff(tc.want, statuses); diff != "" {
				t.Errorf("statuses: %s", diff)
			}
			if outcome.Dropped != tc.dropped || outcome.Interrupted {
				t.Errorf("outcome %+v, want dropped %v", outcome, tc.dropped)
			}
			if diff := cmp.Diff(tc.requests, r.requests); diff != "" {
				t.Errorf("requests: %s", diff)
			}
			for _, got := range r.bodies {
				if !bytes.Equal(got, body) {
					t.Errorf("sent %q, want %q", got, body)
				}
			}
			for _, referer := range r.referers {
				if referer != "" {
					t.Error("a request carries a Referer, and with it the token")
				}
			}
		})
	}
}

func TestSendGivesUpAfterItsTimeout(t *testing.T) {
	sender, _ := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the server sees that the client is gone only after the body
		<-r.Context().Done()
	}))
	sender.Timeout, sender.Attempts = 20*time.Millisecond, 2
	outcome := sender.Send(t.Context(), []byte(`{}`))
	if !outcome.Dropped || len(outcome.Attempts) != 2 || outcome.Attempts[1].Err != simulator.ErrorTimeout {
		t.Errorf("outcome %+v, want two timeouts, dropped", outcome)
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	sender, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		cancel()
	}))
	sender.RetryAfter = time.Hour
	outcome := sender.Send(ctx, []byte(`{}`))
	if !outcome.Interrupted || outcome.Dropped {
		t.Errorf("outcome %+v, want interrupted", outcome)
	}
}

func TestNothingRepeatsTheToken(t *testing.T) {
	sender, server := serve(t, &recorder{statuses: []int{307}})
	loop := sender.Send(t.Context(), []byte(`{}`))
	server.Close()
	refused := sender.Send(t.Context(), []byte(`{}`))
	invalid := *sender
	invalid.URL = "http://[broken/?Token=" + secret
	for name, o := range map[string]simulator.Outcome{
		"loop": loop, "refused": refused, "invalid": invalid.Send(t.Context(), nil),
	} {
		if !o.Dropped || o.Attempts[0].Err == simulator.ErrorNone {
			t.Errorf("%s: outcome %+v, want an error", name, o)
		}
		if strings.Contains(fmt.Sprintf("%+v", o), secret) {
			t.Errorf("%s: the outcome repeats the token", name)
		}
	}
	if got := loop.Attempts[0].Err; got != simulator.ErrorRedirects {
		t.Errorf("redirect loop: %q", got)
	}
	if got := refused.Attempts[2].Err; got != simulator.ErrorRefused {
		t.Errorf("closed server: %q", got)
	}
}
