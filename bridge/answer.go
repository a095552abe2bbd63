package bridge

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"mewsbridge/schema"
)

// retryAfter is what a 503 suggests, in seconds. Mews keeps a schedule of its own; other senders may heed it.
const retryAfter = "30"

// kind is one row of the table of answers: what a client is told of a failure. word is stable.
type kind struct {
	status int
	word   string
	detail string
}

// The answers other than 202. None holds anything of the request or of the fault's own text.
var (
	notJSON           = kind{http.StatusBadRequest, "not-json", "The body is not JSON. It is kept in quarantine; send a JSON object."}
	bodyIncomplete    = kind{http.StatusBadRequest, "body-incomplete", "The body ended early or did not arrive in time. Send it again."}
	unauthorized      = kind{http.StatusUnauthorized, "unauthorized", "The query parameter Token is missing or wrong."}
	adminUnauthorized = kind{http.StatusUnauthorized, "unauthorized", "Send the admin token as Authorization: Bearer."}
	notFound          = kind{http.StatusNotFound, "not-found", "There is nothing at this path. Check the URL."}
	badMethod         = kind{http.StatusMethodNotAllowed, "method-not-allowed", "This path does not take that method. Webhooks are sent with POST."}
	tooLarge          = kind{http.StatusRequestEntityTooLarge, "too-large", "The body is larger than the limit."}
	badEncoding       = kind{http.StatusUnsupportedMediaType, "unsupported-encoding", "Send the body as it is or with Content-Encoding gzip."}

	failedOver      = kind{http.StatusTemporaryRedirect, "failed-over", "NATS cannot be reached from here. Send the webhook to the standby bridge."}
	unavailable     = kind{http.StatusServiceUnavailable, "nats-unavailable", "NATS cannot be reached. Send the webhook again."}
	streamMissing   = kind{http.StatusServiceUnavailable, "stream-missing", "The stream for these events is missing. Send the webhook again."}
	storageRefused  = kind{http.StatusServiceUnavailable, "storage-refused", "JetStream refuses to store the events. Send the webhook again."}
	notAcknowledged = kind{http.StatusServiceUnavailable, "not-acknowledged", "The events were not acknowledged in time. Send the webhook again."}
	overloaded      = kind{http.StatusServiceUnavailable, "overloaded", "More arrives than can be stored in time. Send the webhook again."}
	shuttingDown    = kind{http.StatusServiceUnavailable, "shutting-down", "The bridge is stopping. Send the webhook again."}
	internal        = kind{http.StatusServiceUnavailable, "internal", "The webhook could not be handled. Send it again."}
)

// publishFailures maps what a Publisher returns to an answer, in this order.
var publishFailures = []struct {
	err  error
	kind kind
}{
	{schema.ErrStopping, shuttingDown},
	{schema.ErrOverloaded, overloaded},
	{schema.ErrStreamMissing, streamMissing},
	{schema.ErrRefused, storageRefused},
	{schema.ErrUnavailable, unavailable},
	{schema.ErrNotAcknowledged, notAcknowledged},
}

func publishFailure(err error) kind {
	for _, row := range publishFailures {
		if errors.Is(err, row.err) {
			return row.kind
		}
	}
	return internal
}

// contentTypeJSON is the value of a header, shared by all answers and never changed.
var contentTypeJSON = []string{echo.MIMEApplicationJSON}

// answerStored writes the 202 as far as the connection: net/http by itself would do so only after the handler, where nobody
// learns that the sender has gone.
func answerStored(c echo.Context, claim *claim, d *delivery) error {
	text := make([]byte, 0, 96)
	text = append(text, `{"delivery":"`...)
	text = append(text, claim.delivery...)
	text = append(text, `","published":`...)
	text = strconv.AppendInt(text, int64(d.published), 10)
	text = append(text, `,"quarantined":`...)
	text = strconv.AppendInt(text, int64(d.quarantined), 10)
	text = append(text, '}')

	header := c.Response().Header()
	header[echo.HeaderContentType] = contentTypeJSON
	header[echo.HeaderContentLength] = []string{strconv.Itoa(len(text))}
	if err := c.Blob(http.StatusAccepted, echo.MIMEApplicationJSON, text); err != nil {
		return err
	}
	return http.NewResponseController(c.Response().Writer).Flush()
}

// failure is an error with its answer. cause is for the log alone.
type failure struct {
	kind     kind
	cause    error
	delivery schema.DeliveryID
	attempt  int   // of the delivery, from 1; 0 before it is known
	offset   int64 // of notJSON
	limit    int64 // of tooLarge
	flood    bool  // of unauthorized: one of very many
}

func (f *failure) Error() string {
	if f.cause == nil {
		return f.kind.word
	}
	return f.kind.word + ": " + f.cause.Error()
}

func (f *failure) Unwrap() error { return f.cause }

// problem is the body of an answer other than 202 (RFC 9457). Error is the stable word.
type problem struct {
	Type     string            `json:"type"`
	Title    string            `json:"title"`
	Status   int               `json:"status"`
	Detail   string            `json:"detail"`
	Error    string            `json:"error"`
	Delivery schema.DeliveryID `json:"delivery,omitempty"`
	Offset   *int64            `json:"offset,omitempty"`
	Limit    int64             `json:"limit,omitempty"`
}

// failureOf turns any error of a handler or of echo into a failure. It is the only place where that happens.
func failureOf(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if h, ok := errors.AsType[*echo.HTTPError](err); ok {
		switch h.Code {
		case http.StatusNotFound:
			return &failure{kind: notFound}
		case http.StatusMethodNotAllowed:
			return &failure{kind: badMethod}
		}
	}
	return &failure{kind: internal, cause: err}
}

// answerError writes the answer to an error; echo calls it for every error of a handler and of its own.
func (b *Bridge) answerError(err error, c echo.Context) {
	f := failureOf(err)
	if !f.flood {
		b.logFailure(c, f)
	}
	if f.kind == notFound || f.kind == badMethod {
		b.metrics.refused.WithLabelValues(f.kind.word).Inc()
	}
	if c.Response().Committed {
		return
	}
	p := problem{
		Type: "about:blank", Title: http.StatusText(f.kind.status), Status: f.kind.status,
		Detail: f.kind.detail, Error: f.kind.word, Delivery: f.delivery, Limit: f.limit,
	}
	if f.kind == notJSON {
		p.Offset = &f.offset
	}
	header := c.Response().Header()
	if f.kind.status == http.StatusServiceUnavailable {
		header.Set("Retry-After", retryAfter)
	}
	if f.flood {
		header.Set("Connection", "close")
	}
	if c.Request().ContentLength != 0 && f.delivery == "" {
		// The body was not read: reading what a stranger sends, only to keep the connection, is not worth it.
		header.Set("Connection", "close")
		b.stopReading(c)
	}
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte("{}") // a struct of strings and numbers always marshals
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if err := c.Blob(f.kind.status, "application/problem+json", body); err != nil {
		b.log.Debug("answer not written", zap.Error(err))
	}
}

// stopReading keeps net/http from waiting for the rest of an unread chunked body before it closes the connection.
func (b *Bridge) stopReading(c echo.Context) {
	if err := http.NewResponseController(c.Response().Writer).SetReadDeadline(time.Unix(1, 0)); err != nil {
		b.log.Debug("reading not stopped", zap.Error(err))
	}
}

// logFailure writes one record for each webhook that was not stored, at warn while they are few; and for a stranger's request only at
// debug. Nothing of the URL is in it but the pattern of the route.
func (b *Bridge) logFailure(c echo.Context, f *failure) {
	fields := []zap.Field{
		zap.String(logReason, f.kind.word), zap.Int(logStatus, f.kind.status),
		zap.String(logEndpoint, b.endpointOf(c.Path())), zap.String(logRoute, c.Path()),
	}
	if f.delivery != "" {
		fields = append(fields, zap.String(logDelivery, string(f.delivery)))
	}
	if f.attempt > 0 {
		fields = append(fields, zap.Int(logAttempt, f.attempt))
	}
	if f.cause != nil {
		fields = append(fields, zap.Error(f.cause))
	}
	if f.kind.status == http.StatusUnauthorized || f.kind == notFound || f.kind == badMethod {
		b.log.Debug("request refused", fields...)
		return
	}
	message := "webhook not stored"
	switch f.kind {
	case failedOver:
		message = "webhook not stored here: its sender is sent to the standby bridge"
	case notJSON:
		message = "webhook is not JSON: its body is in quarantine"
	}
	b.log.Log(b.failures.level(f.kind.word, b.cfg.Now()), message, fields...)
}
