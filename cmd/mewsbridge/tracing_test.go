package main

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector is an OTLP receiver.
type collector struct {
	mu       sync.Mutex
	services []string
	spans    map[string]*tracepb.Span
	raw      strings.Builder
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	unpacked, err := gzip.NewReader(r.Body)
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Api-Key") != "k" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	body, err := io.ReadAll(unpacked)
	var data tracepb.TracesData
	if err != nil || proto.Unmarshal(body, &data) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.raw.Write(body)
	for _, resource := range data.ResourceSpans {
		for _, attribute := range resource.Resource.Attributes {
			if attribute.Key == "service.name" {
				c.services = append(c.services, attribute.Value.GetStringValue())
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				c.spans[span.Name] = span
			}
		}
	}
}

// TestTracing runs the real process with the standard variables; what it has not sent yet it sends when it is stopped.
func TestTracing(t *testing.T) {
	c := &collector{spans: map[string]*tracepb.Span{}}
	server := httptest.NewServer(c)
	defer server.Close()
	p := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS="+testToken, "OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL, "OTEL_EXPORTER_OTLP_HEADERS=api-key=k",
		"OTEL_EXPORTER_OTLP_COMPRESSION=gzip", "OTEL_SERVICE_NAME=hotel-events", "OTEL_TRACES_SAMPLER=always_on")
	if status, answer := post(t, p.webhooks+"?Token="+testToken, body("r1")); status != 202 {
		t.Fatalf("webhook: %d %s", status, answer)
	}
	p.signal(t, syscall.SIGTERM)
	if err := p.wait(t); err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, p.out)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	receive, publish := c.spans["receive webhook"], c.spans["publish events"]
	if len(c.spans) != 3 || string(receive.GetSpanId()) != string(publish.GetParentSpanId()) || len(c.services) == 0 || c.services[0] != "hotel-events" {
		t.Errorf("the collector got %v of %v\n%s", c.spans, c.services, p.out)
	}
	if strings.Contains(c.raw.String(), testToken) || strings.Contains(c.raw.String(), "Token") {
		t.Error("the token is in a span")
	}
}

// TestTracingWithoutACollector: nothing waits for a collector that is not there, and its absence is no failure.
func TestTracingWithoutACollector(t *testing.T) {
	p := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS="+testToken, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_HEADERS=api-key=secret-of-the-collector")
	if status, answer := post(t, p.webhooks+"?Token="+testToken, body("r1")); status != 202 {
		t.Errorf("webhook: %d %s", status, answer)
	}
	p.signal(t, syscall.SIGTERM)
	if err := p.wait(t); err != nil {
		t.Errorf("SIGTERM: %v", err)
	}
	if out := p.out.String(); !strings.Contains(out, "the last spans were not sent") || strings.Contains(out, "secret-of-the-collector") {
		t.Errorf("output:\n%s", out)
	}
}
