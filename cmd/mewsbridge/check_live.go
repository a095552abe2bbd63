package main

import (
	"context"
	"fmt"
	"strings"

	"mewsbridge/publisher"
	"mewsbridge/publisher/embedded"
	"mewsbridge/schema"
)

// What a 202 is worth. sync_interval is a setting of the server that it tells no client: only its system account and its own
// monitoring see it (nats-server, server/monitor.go, Varz).
const (
	durableEmbedded = "a 202 means that the embedded server has written the events to its disk (sync_interval: always), so they survive a crash and a " +
		"power cut, as far as the disk keeps its word, and not the loss of the disk"
	durableAlone = "a 202 means that one server has taken the events; whether it writes them to the disk first (sync_interval: always) it tells no client, and by " +
		"default it does so every 2 minutes, so unless you know better it is not power-safe: a power cut can take the last two minutes of what was answered 202"
	durableReplicas = "a 202 means that %d of %d servers have taken the events, so they survive the loss of %s for good; whether the servers write them to the disk " +
		"first (sync_interval: always) they tell no client, and by default they do so every 2 minutes, so unless you know better a power cut of most of them at once can " +
		"take the last two minutes of what was answered 202"
)

// spaceNearlyUsed is how much of a limit is used when it is time to say so.
const spaceNearlyUsed = 0.8

// checkLive asks NATS and adds what it says. The error is that NATS cannot be reached.
func (c *Config) checkLive(ctx context.Context, l *checklist) error {
	replicas, ours := c.Replicas, c.Embedded()
	for i, prefix := range c.prefixes() {
		cfg := c.publisherConfig(prefix)
		cfg.SharedLedger = c.SharedLedger && i == 0 // all prefixes share that of the first
		if c.Embedded() {
			address, err := localAddress(c.NATSListen)
			if err != nil {
				return withCode(exitConfig, fmt.Errorf("nats.listen: %w", err))
			}
			cfg.URLs = []string{"nats://" + address}
		}
		found, err := publisher.Inspect(ctx, cfg)
		if err != nil && c.Embedded() {
			return fmt.Errorf("%w; the embedded server runs only while mewsbridge serve does: start it and check again", err)
		}
		if err != nil {
			return fmt.Errorf("%w; is it running, is nats.url right, and are these the credentials that it knows?", err)
		}
		if i == 0 {
			c.checkServer(l, found)
			c.checkAccount(l, found)
		}
		c.checkPermissions(l, prefix, found)
		for _, s := range found.Streams {
			c.checkStream(l, s)
			if s.Found {
				replicas = min(replicas, s.Replicas)
			}
		}
		ours = ours && found.Server.Name == embedded.Name
	}
	switch majority := replicas/2 + 1; {
	case ours:
		l.add(stateNote, "durability", durableEmbedded)
	case replicas == 1:
		l.add(stateNote, "durability", durableAlone)
	default:
		l.add(stateNote, "durability", durableReplicas, majority, replicas, plural(majority-1, "server", "servers"))
	}
	return nil
}

// checkServer looks at the server itself.
func (c *Config) checkServer(l *checklist, found *publisher.Inspection) {
	s := found.Server
	where := fmt.Sprintf("%q at %s", s.Name, s.Address)
	if s.Cluster != "" {
		where += fmt.Sprintf(" of cluster %s, %s known", s.Cluster, plural(s.Known, "server", "servers"))
	}
	l.add(stateOK, "server", "nats-server %s, %s", s.Version, where)
	if c.Embedded() && s.Name != embedded.Name {
		l.add(stateWarning, "server", "this is not the embedded server of a mewsbridge: another NATS has its address %s", c.NATSListen)
	}
	if s.Batches {
		l.add(stateOK, "atomic publish", "the server has it")
	} else {
		l.add(stateWarning, "atomic publish", "the server does not have it, 2.12 or newer does: where each write goes to the disk, webhooks are stored more slowly")
	}
	limit := c.bodyLimit(s.MaxPayload)
	switch {
	case c.MaxBody > limit && c.MaxBody > 0:
		l.add(stateProblem, "max_payload", "%s leaves room for webhooks of %s, and max_body is %s: set max_payload of the server to %d or more, or lower max_body",
			humanSize(s.MaxPayload), humanSize(limit), humanSize(c.MaxBody), c.stored(c.MaxBody+schema.MaxMessageOverhead))
	case c.MaxBody > 0:
		l.add(stateOK, "max_payload", "%s, enough for webhooks of max_body, %s", humanSize(s.MaxPayload), humanSize(c.MaxBody))
	default:
		l.add(stateOK, "max_payload", "%s, which takes webhooks of up to %s", humanSize(s.MaxPayload), humanSize(limit))
	}
	if c.Replicas > 1 && s.Cluster == "" {
		l.add(stateProblem, "replicas", "%d need a cluster, and this server is alone", c.Replicas)
	}
	if c.Replicas == 1 && s.Cluster != "" {
		l.add(stateWarning, "replicas", "1 in a cluster: when the one server that has a stream is away, nothing is stored; set replicas: 3")
	}
	if c.Replicas == 2 || c.Replicas == 4 {
		l.add(stateWarning, "replicas", "%d survive the loss of no more servers than %d do: set an odd number", c.Replicas, c.Replicas-1)
	}
}

// checkAccount looks at JetStream and at the space that is left.
func (c *Config) checkAccount(l *checklist, found *publisher.Inspection) {
	if found.JetStream != nil {
		l.add(stateProblem, "JetStream", "it is off for this user: add jetstream {} to the server's configuration and jetstream: enabled to the account (%v)", found.JetStream)
		return
	}
	if found.Account == nil {
		l.add(stateNote, "space", "the account does not say, see permissions")
		return
	}
	l.add(stateOK, "JetStream", "on, %s in the account", plural(found.Account.Streams, "stream", "streams"))
	used, limit := found.Account.Store, found.Account.Limits.MaxStore
	switch {
	case limit <= 0:
		l.add(stateOK, "space", "%s used; the account sets no limit; what the server's own max_file_store and its disk leave, no client is told", humanSize(used))
	case float64(used) > spaceNearlyUsed*float64(limit):
		l.add(stateWarning, "space", "%s of the account's %s used: nothing more is stored when it is full", humanSize(used), humanSize(limit))
	default:
		l.add(stateOK, "space", "%s of the account's %s used", humanSize(used), humanSize(limit))
	}
}

// checkPermissions names what the user may not do.
func (c *Config) checkPermissions(l *checklist, prefix string, found *publisher.Inspection) {
	what := "permissions"
	if len(c.prefixes()) > 1 {
		what += " " + prefix
	}
	for _, denied := range found.Denied {
		if denied.Optional {
			l.add(stateWarning, what, "the user may not %s: webhooks are stored all the same, and metrics, the newest events or the shared ledger miss it", denied.What)
		} else {
			l.add(stateProblem, what, "the user may not %s: allow it", denied.What)
		}
	}
	if len(found.Silent) > 0 && found.JetStream == nil {
		l.add(stateProblem, what, "no answer about %s: JetStream is perhaps choosing a leader, check again", strings.Join(found.Silent, ", "))
	}
	if len(found.Denied)+len(found.Silent) == 0 {
		l.add(stateOK, what, "all that the bridge uses")
	}
}

// checkStream says what a stream is and what serve would do about it.
func (c *Config) checkStream(l *checklist, s publisher.InspectedStream) {
	what, problem := "stream "+s.Name, stateProblem
	if s.Optional {
		problem = stateWarning
	}
	differing := strings.Join(s.Differences, ", ")
	switch {
	case s.Taken:
		l.add(stateProblem, what, "it is not there, and another stream has its subjects %s: take them from that one, or set another prefix", s.Subject)
		return
	case !s.Found && c.Manage:
		l.add(stateOK, what, "it is not there yet: serve creates it with %s", plural(c.Replicas, "replica", "replicas"))
		return
	case !s.Found:
		l.add(problem, what, "it is not there: create it, or set streams.manage to true")
		return
	case len(s.Fixed) > 0:
		l.add(problem, what, "%s: NATS lets nobody change that, so set another prefix or delete the stream", strings.Join(s.Fixed, ", "))
	case differing != "" && c.Manage:
		l.add(stateWarning, what, "%s: serve changes it", differing)
	case differing != "":
		l.add(problem, what, "%s: change it, or set streams.manage to true", differing)
	}
	state, size := stateOK, humanSize(s.Bytes)
	if s.MaxBytes > 0 {
		size += " of " + humanSize(s.MaxBytes)
		if float64(s.Bytes) > spaceNearlyUsed*float64(s.MaxBytes) {
			state = stateWarning
		}
	}
	if s.Current < s.Replicas {
		state = stateWarning
	}
	publish := ""
	switch {
	case s.Subject == "":
	case s.AtomicPublish:
		publish = ", atomic publish"
	default:
		publish = ", no atomic publish"
	}
	l.add(state, what, "%s, %s, %d of %s up to date%s", plural(s.Messages, "message", "messages"), size, s.Current, plural(s.Replicas, "replica", "replicas"), publish)
}
