package main

import (
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// maxScrapes bounds the scrapes at a time.
const maxScrapes = 5

// newRegistry returns a registry with the figures of the process; the parts of the bridge register their own.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "mewsbridge_build_info", Help: "1, with the versions that are in this binary.",
		ConstLabels: prometheus.Labels{
			"version": version, "go": runtime.Version(),
			"nats_server": moduleVersion("github.com/nats-io/nats-server/v2"), "nats_go": moduleVersion("github.com/nats-io/nats.go"),
		},
	})
	build.Set(1)
	r.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// metricsHandler serves what is registered. A part that fails is left out and logged.
func metricsHandler(r *prometheus.Registry, log *zap.Logger) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog: scrapeLog{log}, ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: maxScrapes,
	})
}

// scrapeLog takes promhttp's errors.
type scrapeLog struct{ log *zap.Logger }

// Println logs the error that is among v.
func (l scrapeLog) Println(v ...any) {
	for _, part := range v {
		if err, ok := part.(error); ok {
			l.log.Warn("metrics not complete", zap.Error(err))
		}
	}
}
