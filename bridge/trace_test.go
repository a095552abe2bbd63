package bridge_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"mewsbridge/bridge"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

const (
	senderTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	senderSpan  = "00f067aa0ba902b7"
)

// postTraced sends a webhook with a traceparent.
func (r *rig) postTraced(t *testing.T, url, body, traceparent string) answer {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("traceparent", traceparent)
	return r.do(t, request)
}

// TestSpans follows a webhook from its sender's trace into the messages.
func TestSpans(t *testing.T) {
	var fail atomic.Bool
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	r := newRig(t, func(c *bridge.Config) {
		c.Tracer = provider.Tracer("test")
		publisher := c.Endpoints[0].Publisher
		c.Endpoints[0].Publisher = publisherFunc(func(ctx context.Context, msgs []schema.Message) error {
			if fail.Load() {
				return schema.ErrUnavailable
			}
			return publisher.Publish(ctx, msgs)
		})
	})
	r.postTraced(t, r.http.URL+path+"?Token=wrong", general(), "00-"+senderTrace+"-"+senderSpan+"-01")
	if n := len(exporter.GetSpans()); n != 0 {
		t.Errorf("a stranger made %d spans", n)
	}
	a := r.postTraced(t, r.url(), general(event("ServiceOrderUpdated", "r1"), event("CustomerAdded", "c1")), "00-"+senderTrace+"-"+senderSpan+"-01")
	if a.status != 202 {
		t.Fatalf("%d %v", a.status, a.body)
	}
	spans := map[string]tracetest.SpanStub{}
	natstest.Eventually(t, "the span of the webhook, which ends after its answer", func() bool { return len(exporter.GetSpans()) == 3 })
	for _, s := range exporter.GetSpans() {
		spans[s.Name] = s
	}
	receive, parse, publish := spans["receive webhook"], spans["parse webhook"], spans["publish events"]
	if len(spans) != 3 || receive.Parent.SpanID().String() != senderSpan || parse.Parent.SpanID() != receive.SpanContext.SpanID() ||
		publish.Parent.SpanID() != receive.SpanContext.SpanID() {
		t.Errorf("spans are not one within the other: %v", spans)
	}
	for name, s := range spans {
		if s.SpanContext.TraceID().String() != senderTrace {
			t.Errorf("%s is of trace %s, not of the sender's", name, s.SpanContext.TraceID())
		}
		for _, attribute := range s.Attributes {
			if text := attribute.Value.String(); strings.Contains(text, token) || strings.Contains(text, "Token") || strings.Contains(text, "?") {
				t.Errorf("%s: attribute %s holds of the URL: %s", name, attribute.Key, text)
			}
		}
	}
	attributes := map[string]string{}
	for _, attribute := range receive.Attributes {
		attributes[string(attribute.Key)] = attribute.Value.String()
	}
	want := map[string]string{
		"mewsbridge.endpoint": "mews", "mewsbridge.delivery": fmt.Sprint(a.body["delivery"]), "mewsbridge.attempt": "1", "mewsbridge.outcome": "stored",
		"http.request.method": "POST", "http.route": path, "http.response.status_code": "202", "http.request.body.size": attributes["http.request.body.size"],
	}
	if diff := cmp.Diff(want, attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
	header := "00-" + senderTrace + "-" + receive.SpanContext.SpanID().String() + "-01"
	for _, m := range r.stored(t) {
		if got := m.Headers().Get("traceparent"); got != header || !strings.Contains(string(m.Data()), `"traceparent":"`+header+`"`) {
			t.Errorf("%s has traceparent %q, want %q in header and attribute", m.Subject(), got, header)
		}
	}

	exporter.Reset()
	fail.Store(true)
	r.post(t, general(event("ServiceOrderUpdated", "r2")))
	natstest.Eventually(t, "two spans that say why, receive and publish", func() bool {
		failed := 0
		for _, s := range exporter.GetSpans() {
			if s.Status.Description == "nats-unavailable" {
				failed++
			}
		}
		return failed == 2
	})
}

// TestTraceparentWithoutTracing: a bridge that makes no spans hands on the sender's, when it is one.
func TestTraceparentWithoutTracing(t *testing.T) {
	good := "00-" + senderTrace + "-" + senderSpan + "-01"
	for sent, want := range map[string]string{
		good: good, "": "", "00-" + strings.Repeat("0", 32) + "-" + senderSpan + "-01": "", "Token=" + token: "", good + `","x":"`: "",
	} {
		r := newRig(t, nil)
		r.postTraced(t, r.url(), general(event("ServiceOrderUpdated", "r1")), sent)
		for _, m := range r.stored(t) {
			if got := m.Headers().Get("traceparent"); got != want {
				t.Errorf("sent %q, message has %q, want %q", sent, got, want)
			}
		}
	}
}
