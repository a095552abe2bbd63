// Package publisher is the NATS side of mewsbridge: the connection, the streams, and the durable publish.
//
// Its promise is that of [Publisher.Publish]: nil means that every message is in its stream and
// acknowledged by JetStream. What concurrent webhooks bring is committed together, one committer for
// each stream, as an atomic batch (ADR-50 of the NATS architecture) or as pipelined publishes, whichever
// the commits seen so far show to be faster on this server.
package publisher
