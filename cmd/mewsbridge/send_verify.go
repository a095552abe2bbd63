package main

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/cmd/mewsbridge/internal/eventtally"
	"mewsbridge/cmd/mewsbridge/internal/simulator"
	"mewsbridge/schema"
)

// verification counts in the stream what was sent. It takes one byte for each event.
type verification struct {
	options   *natsFlags
	conn      *nats.Conn
	js        jetstream.JetStream
	kind      schema.Kind
	generator *simulator.Generator
	from      uint64 // the stream's last sequence before sending

	settled []bool // by webhook: delivered or dropped, not interrupted
	tally   *eventtally.Tally
}

// verdictLine is the result of a verification, in events.
type verdictLine struct{ sent, stored, duplicates, lost int }

func (v verdictLine) String() string {
	return fmt.Sprintf("sent %d, stored %d, duplicates %d, lost %d", v.sent, v.stored, v.duplicates, v.lost)
}

func newVerification(ctx context.Context, o *sendOptions, g *simulator.Generator) (*verification, error) {
	conn, js, err := o.nats.connect()
	if err != nil {
		return nil, err
	}
	v := &verification{options: &o.nats, conn: conn, js: js, kind: schema.KindEvent, generator: g,
		settled: make([]bool, o.webhooks), tally: eventtally.New(g.Seed, o.webhooks*g.PerWebhook())}
	if g.Integration {
		v.kind = schema.KindIntegration
	}
	stream, err := o.nats.stream(ctx, js, v.kind)
	if err != nil {
		conn.Close()
		return nil, err
	}
	v.from = stream.CachedInfo().State.LastSeq
	return v, nil
}

func (v *verification) close() { v.conn.Close() }

// sent notes the outcome of a webhook. An interrupted one may be stored or not, and is not counted.
func (v *verification) sent(number int, o simulator.Outcome) { v.settled[number] = !o.Interrupted }

// run reads the stream from where it was before sending to where it is now.
func (v *verification) run(ctx context.Context) (verdictLine, error) {
	stream, err := v.options.stream(ctx, v.js, v.kind)
	if err != nil {
		return verdictLine{}, err
	}
	if _, err := v.tally.Read(ctx, stream, v.from, stream.CachedInfo().State.LastSeq); err != nil {
		return verdictLine{}, withCode(exitUnavailable, fmt.Errorf("verify: %w", err))
	}
	return v.count(), nil
}

func (v *verification) count() verdictLine {
	var line verdictLine
	for webhook, settled := range v.settled {
		if !settled {
			continue
		}
		per := v.generator.PerWebhook()
		for event := webhook * per; event < (webhook+1)*per; event++ {
			n := v.tally.Times(event)
			line.sent++
			if n == 0 {
				line.lost++
				continue
			}
			line.stored++
			line.duplicates += n - 1
		}
	}
	return line
}
