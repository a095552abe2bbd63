package otlphttp

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

func TestUpload(t *testing.T) {
	for _, test := range []struct {
		name    string
		answers []int
		want    string // of the error; empty for none
	}{
		{"taken", []int{200}, ""},
		{"refused for now", []int{503, 200}, ""},
		{"refused for good", []int{400, 200}, "the collector answers 400"},
	} {
		t.Run(test.name, func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.answers[asked])
				asked++
			}))
			defer server.Close()
			client := New(Config{URL: server.URL, Timeout: time.Minute})
			defer func() { _ = client.Stop(context.Background()) }()
			err := client.UploadTraces(t.Context(), []*tracepb.ResourceSpans{{SchemaUrl: "x"}})
			if test.want == "" && (err != nil || asked != len(test.answers)) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v after %d requests", err, asked)
			}
		})
	}
}

func TestUploadErrorsHoldNoURL(t *testing.T) {
	client := New(Config{URL: "http://user:secret@127.0.0.1:1/v1/traces", Timeout: 100 * time.Millisecond})
	defer func() { _ = client.Stop(context.Background()) }()
	err := client.UploadTraces(t.Context(), nil)
	if err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "/v1/traces") {
		t.Errorf("error: %v", err)
	}
}
