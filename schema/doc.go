// Package schema is the domain of mewsbridge: what Mews sends and what is published for it.
//
// It parses a webhook's body into single events, names the subject of each, and builds the messages
// that go to JetStream. For a consumer it decodes a message into a typed value, and holds the JSON Schemas of all
// that comes and goes. It holds plain types and pure functions: no I/O, no logging and no clock, so
// that a consumer can import it alone. Nothing that arrives is dropped: what cannot be understood
// becomes a message for quarantine with the reason and the place in the bytes.
package schema
