package schema

import "errors"

// The ways in which a publish can fail. A publisher returns errors that wrap exactly one of them; the
// bridge maps each to one answer. After any of them the events may or may not be stored: the same
// message ids must be used when they are sent again.
var (
	// ErrUnavailable is returned when NATS cannot be reached or JetStream does not answer.
	ErrUnavailable = errors.New("NATS is unavailable")
	// ErrStreamMissing is returned when no stream takes the subject.
	ErrStreamMissing = errors.New("stream is missing")
	// ErrRefused is returned when JetStream refuses to store: stream full or sealed, storage exhausted.
	ErrRefused = errors.New("stream refuses the message")
	// ErrNotAcknowledged is returned when the context ended before every acknowledgement came.
	ErrNotAcknowledged = errors.New("not acknowledged in time")
	// ErrOverloaded is returned, at once, when the queue says that the deadline cannot be met.
	ErrOverloaded = errors.New("overloaded")
	// ErrStopping is returned when the publisher is being stopped.
	ErrStopping = errors.New("stopping")
)
