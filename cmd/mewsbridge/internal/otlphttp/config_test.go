package otlphttp

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFromEnvironment(t *testing.T) {
	for _, test := range []struct {
		name string
		env  map[string]string
		on   bool
		want Config
	}{
		{name: "nothing set"},
		{name: "other signals only", env: map[string]string{"OTEL_SERVICE_NAME": "x", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c"}},
		{name: "none", env: map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}},
		{name: "disabled", env: map[string]string{"OTEL_SDK_DISABLED": "True", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}},
		{name: "exporter alone", env: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, on: true,
			want: Config{URL: "http://localhost:4318/v1/traces", Headers: http.Header{}, Timeout: 10 * time.Second}},
		{name: "endpoint alone", env: map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/base/"}, on: true,
			want: Config{URL: "https://c/base/v1/traces", Headers: http.Header{}, Timeout: 10 * time.Second}},
		{name: "traces first", env: map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/own",
			"OTEL_EXPORTER_OTLP_HEADERS": "a=b", "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "authorization=Bearer%20x, api-key = k",
			"OTEL_EXPORTER_OTLP_TIMEOUT": "500", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
		}, on: true, want: Config{URL: "http://t/own", Timeout: 500 * time.Millisecond, Gzip: true,
			Headers: http.Header{"Authorization": {"Bearer x"}, "Api-Key": {"k"}}}},
	} {
		cfg, on, err := FromEnvironment(func(name string) string { return test.env[name] })
		if err != nil || on != test.on {
			t.Errorf("%s: on %v, error %v", test.name, on, err)
		}
		if diff := cmp.Diff(test.want, cfg); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestEveryProblemIsNamedAndNoSecretIs(t *testing.T) {
	env := map[string]string{
		"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "10s",
		"OTEL_EXPORTER_OTLP_COMPRESSION": "zstd", "OTEL_EXPORTER_OTLP_ENDPOINT": "secret-host:4317", "OTEL_EXPORTER_OTLP_HEADERS": "secret-header",
		"OTEL_EXPORTER_OTLP_CERTIFICATE": "/does/not/exist",
	}
	_, _, err := FromEnvironment(func(name string) string { return env[name] })
	if err == nil {
		t.Fatal("no error")
	}
	for name := range env {
		if !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s is not named: %v", name, err)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error repeats a secret: %v", err)
	}
}
