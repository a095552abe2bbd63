package schema

import "time"

// DeliveryID names one message of Mews across all its attempts. It is a valid subject token.
type DeliveryID string

// Receipt is what the bridge knows of a delivery and Mews does not say.
type Receipt struct {
	Delivery    DeliveryID
	Received    time.Time // when this attempt arrived
	Endpoint    string    // the endpoint's name; a valid subject token
	Prefix      string    // the first subject token, usually mews
	Traceparent string    // W3C trace context, empty when there is no trace
}

// Message is one message for JetStream. It is not changed once built.
type Message struct {
	Kind        Kind
	Subject     string
	ID          string // Nats-Msg-Id: "<delivery id>-<index>"
	Data        []byte
	Traceparent string      // header traceparent, empty when there is no trace
	Quarantine  *Quarantine // headers of a quarantined message; nil unless Kind is KindQuarantine
}

// Quarantine holds the headers of a quarantined message.
type Quarantine struct {
	Reason   Reason    // header Mews-Reason
	Offset   int64     // header Mews-Offset: byte offset of the fault within the message's own bytes
	Endpoint string    // header Mews-Endpoint
	Received time.Time // header Mews-Received, RFC 3339, UTC
}

// Reason is a stable word for why bytes are in quarantine; it is a valid subject token.
type Reason string
