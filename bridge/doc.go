// Package bridge is the HTTP side of mewsbridge: it authenticates a webhook, reads it within bounds, has package
// schema split it, hands the events to a Publisher, and answers 202 only after every one of them is stored. What
// it answered decides, in the retry ledger, whether the next identical body is a retry or a new message.
package bridge
