package bridge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"mewsbridge/schema"
)

// errPanic is what a webhook came to whose handler panics.
var errPanic = errors.New("the handler panicked")

// receive handles one webhook and measures it.
func (e *endpoint) receive(c echo.Context) error {
	o := observation{arrived: time.Now(), received: e.cfg.Now()}
	err := errPanic
	e.metrics.inFlight.Inc()
	defer func() {
		e.metrics.inFlight.Dec()
		outcome, status := o.result(err)
		e.metrics.done(&o, outcome)
		o.trace.end(outcome, status)
	}()
	err = e.handle(c, &o)
	return err
}

// handle authenticates, reads, parses, splits, delivers and answers. Nothing is read, looked up or parsed before the sender is
// known. What answers is called from here, not from deeper: net/http needs much stack for it, which every connection would have to keep.
func (e *endpoint) handle(c echo.Context, o *observation) error {
	if err := e.authenticate(c.Request(), o.received); err != nil {
		return err
	}
	o.authenticated, o.trace = true, e.beginTrace(c.Request())
	b, err := e.take(c, o.arrived)
	if err != nil {
		return err
	}
	defer e.bodies.release(b.reserved)
	// A sender that hangs up stops nothing: what was begun may as well be stored, and the ledger remembers that the sender was not told.
	ctx, cancel := context.WithDeadline(context.Background(), o.arrived.Add(e.cfg.AckDeadline))
	defer cancel()
	claim := e.sharing.begin(ctx, key{digest: sha256.Sum256(b.data), endpoint: e.Name}, o.received)
	defer e.endAttempt(&claim, o)
	o.retry = claim.attempts > 1
	if err := e.store(ctx, &b, &claim, o); err != nil {
		return e.notStored(c, o, &claim, err)
	}
	if o.delivery.failure != nil {
		return o.delivery.failure // stored in quarantine, and refused
	}
	o.told = e.accept(c, &claim, &o.delivery)
	return nil
}

// store makes the messages of a body and has them stored; what came of it is noted in claim and o. An error is the publisher's.
func (e *endpoint) store(ctx context.Context, b *body, claim *claim, o *observation) error {
	if err := e.Publisher.Admit(ctx); err != nil {
		return err
	}
	o.trace.received(claim, len(b.data))
	parsing := o.trace.parsing()
	o.delivery = split(b, schema.Receipt{Delivery: claim.delivery, Received: o.received, Endpoint: e.Name, Prefix: e.Prefix, Traceparent: o.trace.parent})
	o.kind = o.delivery.kind()
	e.heard(o.delivery.webhook)
	endStep(parsing, o.delivery.word())

	publishing := o.trace.publishing(len(o.delivery.messages))
	if err := e.deliver(ctx, o.delivery.messages); err != nil {
		endStep(publishing, publishFailure(err).word)
		return err
	}
	endStep(publishing, "")
	claim.stored, o.stored = true, true
	return nil
}

// endAttempt tells the ledger what became of an attempt.
func (e *endpoint) endAttempt(claim *claim, o *observation) {
	if o.moved {
		e.ledger.move(*claim, e.cfg.Now())
		return
	}
	e.sharing.end(*claim, o.told, e.cfg.Now())
}

// notStored returns the answer to a webhook that the publisher did not store because of err: to send it to the standby where that
// helps.
func (e *endpoint) notStored(c echo.Context, o *observation, claim *claim, err error) error {
	f := &failure{kind: publishFailure(err), cause: err, delivery: claim.delivery, attempt: claim.attempts}
	if o.moved = e.failsOver(c.Request(), f.kind); o.moved {
		f.kind = failedOver
		e.standby(c)
	}
	return f
}

// authenticate returns an answer when r does not come from an allowed network with a live token.
func (e *endpoint) authenticate(r *http.Request, now time.Time) error {
	refused := e.admit(r)
	if refused == nil && !e.Tokens.authenticate(r, now) {
		refused = &failure{kind: unauthorized}
	}
	if refused == nil {
		return nil
	}
	refused.flood = e.strangers.refused(r, now)
	return refused
}

// take reads the body of a request within the bounds of memory and time, and unpacks it. The caller gives back what is reserved for it.
func (e *endpoint) take(c echo.Context, arrived time.Time) (b body, err error) {
	r := c.Request()
	zipped, ok := compression(r.Header)
	if !ok {
		return body{}, &failure{kind: badEncoding}
	}
	limit := e.cfg.MaxBody()
	reserved, ok := reservation(r, zipped, limit)
	if !ok {
		return body{}, &failure{kind: tooLarge, limit: limit}
	}
	if !e.bodies.reserve(reserved) {
		return body{}, &failure{kind: overloaded, cause: errors.New("too many bodies at a time")}
	}
	taken := false
	defer func() {
		if !taken { // even when unpacking panics
			e.bodies.release(reserved)
		}
	}()
	b, err = e.read(c, arrived, limit)
	if err == nil && zipped {
		err = b.unpack(limit)
	}
	switch {
	case errors.Is(err, errTooLarge):
		return body{}, &failure{kind: tooLarge, limit: limit}
	case err != nil:
		return body{}, err
	}
	b.reserved, taken = reserved, true
	return b, nil
}

// read takes the body off the connection by the time the events would have to be acknowledged.
func (e *endpoint) read(c echo.Context, arrived time.Time, limit int64) (body, error) {
	control := http.NewResponseController(c.Response().Writer)
	if err := control.SetReadDeadline(arrived.Add(e.cfg.AckDeadline)); err != nil {
		return body{}, fmt.Errorf("bound reading: %w", err)
	}
	data, err := readBody(c.Request(), limit)
	switch {
	case errors.Is(err, errTooLarge):
		return body{}, err
	case err != nil:
		return body{}, &failure{kind: bodyIncomplete, cause: errors.New("the sender did not send the whole body")}
	}
	// Else the deadline would look like a sender that has gone.
	if err := control.SetReadDeadline(time.Time{}); err != nil {
		return body{}, &failure{kind: bodyIncomplete, cause: errors.New("the connection is gone")}
	}
	return body{data: data}, nil
}

// delivery is what a body became.
type delivery struct {
	webhook                *schema.Webhook // nil when it could not be parsed
	messages               []schema.Message
	published, quarantined int
	failure                *failure // the answer when it is not 202, even after all messages are stored
}

// split makes the messages of a body. What cannot be read is one message for quarantine and a failure.
func split(b *body, receipt schema.Receipt) delivery {
	if b.damaged != nil {
		return refuse(b.data, schema.ReasonInvalidGzip, 0, b.damaged, receipt)
	}
	w, err := schema.Parse(b.data)
	if err != nil {
		if parse, ok := errors.AsType[*schema.ParseError](err); ok {
			return refuse(b.data, parse.Reason, parse.Offset, err, receipt)
		}
		return refuse(b.data, schema.ReasonNotJSON, 0, err, receipt)
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
func (e *endpoint) accept(c echo.Context, claim *claim, d *delivery) bool {
	gone := c.Request().Context().Err()
	if err := answerStored(c, claim, d); gone != nil || err != nil {
		e.logSenderGone(claim)
		return false
	}
	e.logStored(claim, d)
	return true
}

func (e *endpoint) logSenderGone(claim *claim) {
	e.log.Log(e.failures.level(outcomeSenderGone, e.cfg.Now()), "webhook stored, sender not told", zap.String(logReason, outcomeSenderGone),
		zap.String(logEndpoint, e.Name), zap.String(logDelivery, string(claim.delivery)))
}

func (e *endpoint) logStored(claim *claim, d *delivery) {
	if entry := e.log.Check(zap.DebugLevel, "webhook stored"); entry != nil {
		entry.Write(zap.String(logEndpoint, e.Name), zap.String(logDelivery, string(claim.delivery)),
			zap.Int(logAttempt, claim.attempts), zap.Int("published", d.published), zap.Int("quarantined", d.quarantined))
	}
}
