package main

import (
	"context"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"mewsbridge/cmd/mewsbridge/internal/otlphttp"
)

// flushTimeout bounds how long stopping waits for the last spans: a collector that is away must not hold up the rest.
const flushTimeout = 2 * time.Second

// openTracing sets up tracing when the standard OTEL_… variables ask for it; otherwise there is no tracer and nothing runs.
func (a *app) openTracing() error {
	cfg, on, err := otlphttp.FromEnvironment(a.getenv)
	if err != nil {
		return withCode(exitConfig, err)
	}
	if !on {
		return nil
	}
	// The command line is no attribute: flags may hold secrets.
	described, err := resource.New(context.Background(), resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "mewsbridge"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return withCode(exitConfig, err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { a.log.Warn("tracing", zap.Error(err)) }))
	exporter := otlptrace.NewUnstarted(otlphttp.New(cfg))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))
	a.tracer = provider.Tracer("mewsbridge", trace.WithInstrumentationVersion(version))
	a.onStop("tracing", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, flushTimeout)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			a.log.Warn("the last spans were not sent", zap.Error(err))
		}
		return nil
	})
	a.log.Info("tracing is on")
	return nil
}
