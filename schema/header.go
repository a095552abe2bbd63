package schema

// The names of the NATS headers that a message can have.
const (
	HeaderMsgID       = "Nats-Msg-Id"  // Message.ID; JetStream drops a second message with it
	HeaderContentType = "Content-Type" // ContentType, unless the message is quarantined
	HeaderTraceparent = "traceparent"  // Message.Traceparent, when there is one
	HeaderReason      = "Mews-Reason"  // Quarantine.Reason
	HeaderOffset      = "Mews-Offset"  // Quarantine.Offset, decimal
	HeaderEndpoint    = "Mews-Endpoint"
	HeaderReceived    = "Mews-Received" // Quarantine.Received, RFC 3339, UTC
)

// ContentType is the content type of every message that is not quarantined.
const ContentType = "application/cloudevents+json"

// The limits that keep a small body from becoming much memory. Beyond either, the whole body is one
// quarantined message.
const (
	// MaxEvents is the greatest number of elements of Events that are split. Mews itself stays in the
	// order of hundreds.
	MaxEvents = 16384
	// MaxExpansion bounds the bytes of all messages of one webhook: the members that all events share are
	// repeated in each of them. Parse reckons with an upper bound of each message's size.
	MaxExpansion = 64 << 20
)

// MaxMessageOverhead bounds, in bytes, by how much a message with its NATS headers can be larger than the body
// it came from, given a Receipt of subject tokens. It leaves 512 bytes for headers that a publisher adds. So
// a body of at most max_payload - MaxMessageOverhead never makes a message that the server refuses.
const MaxMessageOverhead = 2048
