package bridge

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Attributes of spans. None holds anything of the URL or of a body.
const (
	spanEndpoint  = attribute.Key("mewsbridge.endpoint")
	spanDelivery  = attribute.Key("mewsbridge.delivery")
	spanAttempt   = attribute.Key("mewsbridge.attempt")
	spanOutcome   = attribute.Key("mewsbridge.outcome")
	spanMessages  = attribute.Key("messaging.batch.message_count")
	spanMessaging = attribute.Key("messaging.system")
	spanMethod    = attribute.Key("http.request.method")
	spanRoute     = attribute.Key("http.route")
	spanStatus    = attribute.Key("http.response.status_code")
	spanBodySize  = attribute.Key("http.request.body.size")
)

// webhookTrace is the trace of one webhook. Without a tracer it only carries on what the sender sent.
type webhookTrace struct {
	tracer trace.Tracer // nil: no spans
	ctx    context.Context
	span   trace.Span
	// parent is the W3C traceparent for the messages: of the receive span or, without a tracer, the sender's; empty when there is none.
	parent string
}

// beginTrace continues the trace of an authenticated request: a stranger has no say in what is traced.
func (e *endpoint) beginTrace(r *http.Request) webhookTrace {
	t := webhookTrace{tracer: e.cfg.Tracer}
	if t.tracer == nil && r.Header.Get("traceparent") == "" {
		return t
	}
	t.ctx = propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(r.Header))
	if t.tracer != nil {
		t.ctx, t.span = t.tracer.Start(t.ctx, "receive webhook", trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			spanEndpoint.String(e.Name), spanMethod.String(http.MethodPost), spanRoute.String(e.Path)))
	}
	t.parent = traceparent(trace.SpanContextFromContext(t.ctx))
	return t
}

// traceparent writes a span context as W3C's header, version 00; empty when it is not valid.
func traceparent(c trace.SpanContext) string {
	if !c.IsValid() {
		return ""
	}
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + (c.TraceFlags() & trace.FlagsSampled).String()
}

// received adds what is known of the webhook once it is read.
func (t *webhookTrace) received(claim *claim, bodySize int) {
	if t.span != nil {
		t.span.SetAttributes(spanDelivery.String(string(claim.delivery)), spanAttempt.Int(claim.attempts), spanBodySize.Int(bodySize))
	}
}

// parsing and publishing begin the spans within that of the webhook. They are ended by endStep.
func (t *webhookTrace) parsing() trace.Span {
	if t.span == nil {
		return nil
	}
	return t.step("parse webhook", trace.SpanKindInternal)
}

func (t *webhookTrace) publishing(messages int) trace.Span {
	if t.span == nil {
		return nil
	}
	return t.step("publish events", trace.SpanKindProducer, spanMessaging.String("nats"), spanMessages.Int(messages))
}

func (t *webhookTrace) step(name string, kind trace.SpanKind, attributes ...attribute.KeyValue) trace.Span {
	_, span := t.tracer.Start(t.ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
	return span
}

// endStep ends such a span; word is the stable word of its failure, or empty.
func endStep(span trace.Span, word string) {
	if span == nil {
		return
	}
	if word != "" {
		span.SetStatus(codes.Error, word)
	}
	span.End()
}

// end ends the trace with what became of the webhook.
func (t *webhookTrace) end(outcome string, status int) {
	if t.span == nil {
		return
	}
	t.span.SetAttributes(spanOutcome.String(outcome), spanStatus.Int(status))
	if status >= http.StatusInternalServerError {
		t.span.SetStatus(codes.Error, outcome)
	}
	t.span.End()
}
