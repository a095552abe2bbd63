package bridge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"mewsbridge/schema"
)

// errPanic is what a webhook came to whose handler panics.
var errPanic = errors.New("the handler panicked")

// receive handles one webhook and measures it.
func (e *endpoint) receive(c echo.Context) error {
	o := observation{arrived: time.Now()}
	err := errPanic
	e.metrics.inFlight.Inc()
	defer func() {
		e.metrics.inFlight.Dec()
		outcome, status := o.result(err)
		e.metrics.done(&o, outcome, e.cfg.Now())
		o.trace.end(outcome, status)
	}()
	err = e.handle(c, &o)
	return err
}

// handle authenticates, reads, parses, splits, delivers and answers. Nothing is read, looked up or parsed before the sender is
// known.
func (e *endpoint) handle(c echo.Context, o *observation) error {
	r := c.Request()
	if err := e.authenticate(r); err != nil {
		return err
	}
	o.authenticated, o.trace = true, e.beginTrace(r)
	zipped, ok := compression(r.Header)
	if !ok {
		return &failure{kind: badEncoding}
	}
	limit := e.cfg.MaxBody()
	reserved, ok := reservation(r, zipped, limit)
	if !ok {
		return &failure{kind: tooLarge, limit: limit}
	}
	if !e.bodies.reserve(reserved) {
		return &failure{kind: overloaded, cause: errors.New("too many bodies at a time")}
	}
	defer e.bodies.release(reserved)

	packed, err := e.read(c, o.arrived, limit)
	if err != nil {
		return err
	}
	body, damaged := packed, error(nil)
	if zipped {
		body, damaged = inflate(packed, limit)
	}
	switch {
	case errors.Is(damaged, errTooLarge):
		return &failure{kind: tooLarge, limit: limit}
	case damaged != nil:
		body = packed
	}
	received := e.cfg.Now()
	// A sender that hangs up stops nothing: what was begun may as well be stored, and the ledger remembers that the sender was not told.
	deadline := o.arrived.Add(e.cfg.AckDeadline)
	ctx, cancel := context.WithDeadline(context.WithoutCancel(r.Context()), deadline)
	defer cancel()
	claim := e.sharing.begin(ctx, key{digest: sha256.Sum256(body), endpoint: e.Name}, received)
	o.retry = claim.attempts > 1
	defer func() {
		if o.moved {
			e.ledger.move(claim, e.cfg.Now())
			return
		}
		e.sharing.end(claim, o.told, e.cfg.Now())
	}()

	if err := e.Publisher.Admit(time.Until(deadline)); err != nil {
		return e.notStored(c, o, claim, err)
	}
	receipt := schema.Receipt{Delivery: claim.delivery, Received: received, Endpoint: e.Name, Prefix: e.Prefix, Traceparent: o.trace.parent}
	o.trace.set(spanDelivery.String(string(claim.delivery)), spanAttempt.Int(claim.attempts), spanBodySize.Int(len(body)))
	parsing := o.trace.step("parse webhook", trace.SpanKindInternal)
	d := split(body, damaged, receipt)
	o.kind = d.kind()
	e.heard(d.webhook)
	endStep(parsing, d.word())

	publishing := o.trace.step("publish events", trace.SpanKindProducer, spanMessaging.String("nats"), spanMessages.Int(len(d.messages)))
	if err := e.deliver(ctx, d.messages); err != nil {
		endStep(publishing, publishFailure(err).word)
		return e.notStored(c, o, claim, err)
	}
	endStep(publishing, "")
	claim.stored, o.stored, o.delivery = true, true, d
	if d.failure != nil {
		return d.failure // stored in quarantine, and refused
	}
	o.told = e.accept(c, claim, d)
	return nil
}

// notStored returns the answer to a webhook that the publisher did not store because of err: to send it to the standby where that
// helps.
func (e *endpoint) notStored(c echo.Context, o *observation, claim claim, err error) error {
	f := &failure{kind: publishFailure(err), cause: err, delivery: claim.delivery, attempt: claim.attempts}
	if o.moved = e.failsOver(c.Request(), f.kind); o.moved {
		f.kind = failedOver
		e.standby(c)
	}
	return f
}

// authenticate returns an answer when r does not come from an allowed network with a live token.
func (e *endpoint) authenticate(r *http.Request) error {
	refused := e.admit(r)
	if refused == nil && !e.Tokens.authenticate(r, e.cfg.Now()) {
		refused = &failure{kind: unauthorized}
	}
	if refused == nil {
		return nil
	}
	refused.flood = e.strangers.refused(r, e.cfg.Now())
	return refused
}

// read takes the body off the connection by the time the events would have to be acknowledged.
func (e *endpoint) read(c echo.Context, arrived time.Time, limit int64) ([]byte, error) {
	control := http.NewResponseController(c.Response().Writer)
	if err := control.SetReadDeadline(arrived.Add(e.cfg.AckDeadline)); err != nil {
		return nil, fmt.Errorf("bound reading: %w", err)
	}
	body, err := readBody(c.Request(), limit)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, &failure{kind: tooLarge, limit: limit}
	case err != nil:
		return nil, &failure{kind: bodyIncomplete, cause: errors.New("the sender did not send the whole body")}
	}
	// Else the deadline would look like a sender that has gone.
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		return nil, &failure{kind: bodyIncomplete, cause: errors.New("the connection is gone")}
	}
	return body, nil
}

// delivery is what a body became.
type delivery struct {
	webhook                *schema.Webhook // nil when it could not be parsed
	messages               []schema.Message
	published, quarantined int
	failure                *failure // the answer when it is not 202, even after all messages are stored
}

// split makes the messages of a body. What cannot be read is one message for quarantine and a failure; damaged says that
// the body could not be inflated, and is kept as it came.
func split(body []byte, damaged error, receipt schema.Receipt) delivery {
	if damaged != nil {
		return refuse(body, schema.ReasonInvalidGzip, 0, damaged, receipt)
	}
	w, err := schema.Parse(body)
	if err != nil {
		if parse, ok := errors.AsType[*schema.ParseError](err); ok {
			return refuse(body, parse.Reason, parse.Offset, err, receipt)
		}
		return refuse(body, schema.ReasonNotJSON, 0, err, receipt)
	}
	return delivery{webhook: w, messages: w.Messages(receipt), published: w.Published(), quarantined: w.Quarantined()}
}

// distinctTypes is how many types of one webhook are told apart for the detector of silence; Mews documents fewer.
const distinctTypes = 16

// heard tells the detector of silence who has sent what, whether or not it can be stored.
func (e *endpoint) heard(w *schema.Webhook) {
	if e.Silence == nil || w == nil || w.Kind != schema.KindEvent {
		return
	}
	if schema.IsToken(w.EnterpriseID) {
		e.Silence.HeardEnterprise(w.EnterpriseID)
	}
	var told [distinctTypes]schema.Discriminator
	n := 0
	for i := range w.Events {
		d := w.Events[i].Discriminator
		if d == "" || n == len(told) || slices.Contains(told[:n], d) {
			continue
		}
		told[n] = d
		n++
		e.Silence.HeardType(string(d))
	}
}

// kind returns what the body was.
func (d *delivery) kind() bodyKind {
	switch {
	case d.webhook == nil:
		return bodyUnread
	case d.webhook.Kind == schema.KindEvent:
		return bodyGeneral
	case d.webhook.Kind == schema.KindIntegration:
		return bodyIntegration
	}
	return bodyUnknown
}

// word returns the stable word of what is wrong with the body, or nothing.
func (d *delivery) word() string {
	if d.failure == nil {
		return ""
	}
	return d.failure.kind.word
}

func refuse(body []byte, reason schema.Reason, offset int64, cause error, receipt schema.Receipt) delivery {
	return delivery{
		messages: []schema.Message{schema.QuarantineBody(body, reason, offset, receipt)},
		failure:  &failure{kind: notJSON, cause: cause, delivery: receipt.Delivery, offset: offset},
	}
}

// deliver stores the messages; a body can have none.
func (e *endpoint) deliver(ctx context.Context, msgs []schema.Message) error {
	if len(msgs) == 0 {
		return nil
	}
	return e.Publisher.Publish(ctx, msgs)
}

// accept answers 202 and reports whether the answer was written to a sender that was still there.
func (e *endpoint) accept(c echo.Context, claim claim, d delivery) bool {
	body := make([]byte, 0, 96)
	body = append(body, `{"delivery":"`...)
	body = append(body, claim.delivery...)
	body = append(body, `","published":`...)
	body = strconv.AppendInt(body, int64(d.published), 10)
	body = append(body, `,"quarantined":`...)
	body = strconv.AppendInt(body, int64(d.quarantined), 10)
	body = append(body, '}')

	gone := c.Request().Context().Err()
	c.Response().Header().Set("Content-Length", strconv.Itoa(len(body)))
	err := c.Blob(http.StatusAccepted, "application/json", body)
	if err == nil {
		err = http.NewResponseController(c.Response().Writer).Flush()
	}
	if err = errors.Join(gone, err); err != nil {
		e.log.Log(e.failures.level(outcomeSenderGone, e.cfg.Now()), "webhook stored, sender not told", zap.String(logReason, outcomeSenderGone),
			zap.String(logEndpoint, e.Name), zap.String(logDelivery, string(claim.delivery)))
		return false
	}
	if entry := e.log.Check(zap.DebugLevel, "webhook stored"); entry != nil {
		entry.Write(zap.String(logEndpoint, e.Name), zap.String(logDelivery, string(claim.delivery)),
			zap.Int(logAttempt, claim.attempts), zap.Int("published", d.published), zap.Int("quarantined", d.quarantined))
	}
	return true
}
