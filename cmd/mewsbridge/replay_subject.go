package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/time/rate"

	"mewsbridge/schema"
)

// replayWindow bounds the messages that were sent and are not yet acknowledged.
const replayWindow = 256

// republish publishes stored messages on another subject.
func (o *replayOptions) republish(ctx context.Context, env *environment, conn *nats.Conn, js jetstream.JetStream, stream jetstream.Stream) error {
	target, err := o.target(ctx, js)
	if err != nil {
		return err
	}
	r := &resend{options: o, conn: conn, js: js, toStream: target != nil, last: stream.CachedInfo().State.LastSeq}
	config := jetstream.ConsumerConfig{FilterSubjects: o.filters()}
	o.place(&config)
	count, first, err := o.countRange(ctx, stream, config)
	if err != nil {
		return err
	}
	if err := o.showRange(env, target, count, first); err != nil {
		return withCode(exitInternal, err)
	}
	if !o.yes {
		_, err := fmt.Fprintln(env.Stdout, "\nNothing was published; add --yes to do it.")
		return withCode(exitInternal, err)
	}
	r.bar = o.progress(env, count)
	err = r.run(ctx, stream, config)
	_ = r.bar.Clear() // a bar that cannot be drawn is no reason to fail
	fmt.Fprintf(env.Stdout, "\n%s published%s.\n", plural(r.sent, "message", "messages"), r.duplicatesText())
	switch {
	case ctx.Err() != nil:
		return withCode(exitUnavailable, errors.New("interrupted; run it again with the same flags to do the rest"))
	case err != nil:
		return withCode(exitUnavailable, fmt.Errorf("%w; run it again with the same flags to do the rest", err))
	}
	return nil
}

// target returns the stream that takes the subject, or nil when none does. It refuses those of a bridge.
func (o *replayOptions) target(ctx context.Context, js jetstream.JetStream) (*jetstream.StreamInfo, error) {
	own := errors.New("--to is a subject of a bridge's own streams: a replay there would look like new webhooks; give another subject, or use --consumer")
	for _, kind := range schema.Kinds() {
		root := strings.TrimSuffix(kind.Subjects(o.nats.prefix), ">")
		to := strings.TrimSuffix(o.to, ">")
		if strings.HasPrefix(to+".", root) || strings.HasPrefix(root, to) && strings.HasSuffix(o.to, ">") {
			return nil, withCode(exitUsage, own)
		}
	}
	lister := js.ListStreams(ctx, jetstream.WithStreamListSubject(o.to))
	var found *jetstream.StreamInfo
	bridges := false
	for info := range lister.Info() {
		found = info
		bridges = bridges || isBridgeStream(info.Config)
	}
	if err := lister.Err(); err != nil {
		return nil, withCode(exitUnavailable, fmt.Errorf("look for the stream of --to: %w", err))
	}
	if bridges {
		return nil, withCode(exitUsage, own)
	}
	return found, nil
}

// isBridgeStream reports whether a stream is one of a bridge's, of whatever prefix.
func isBridgeStream(c jetstream.StreamConfig) bool {
	return slices.ContainsFunc(schema.Kinds(), func(kind schema.Kind) bool {
		return slices.ContainsFunc(c.Subjects, func(subject string) bool {
			prefix, ok := strings.CutSuffix(subject, "."+kind.String()+".>")
			return ok && c.Name == kind.Stream(prefix)
		})
	})
}

// countRange returns how many messages there are from the start until the end, and the first sequence.
func (o *replayOptions) countRange(ctx context.Context, stream jetstream.Stream, config jetstream.ConsumerConfig) (count, first uint64, err error) {
	count, before, err := countFrom(ctx, stream, config)
	if err != nil || o.until.IsZero() {
		return count, before + 1, err
	}
	config.DeliverPolicy, config.OptStartSeq, config.OptStartTime = jetstream.DeliverByStartTimePolicy, 0, o.until.start()
	beyond, _, err := countFrom(ctx, stream, config)
	return count - min(beyond, count), before + 1, err
}

func (o *replayOptions) showRange(env *environment, target *jetstream.StreamInfo, count, first uint64) error {
	show := newFacts(env.Stdout)
	to := o.to + ", which no stream keeps: only who listens now gets them"
	if target != nil {
		to = fmt.Sprintf("%s, kept by stream %s", o.to, target.Config.Name)
	}
	from := o.kind().Stream(o.nats.prefix)
	if filters := o.filters(); len(filters) > 0 {
		from += ", " + strings.Join(filters, " ")
	}
	start := o.start(first)
	if !o.until.IsZero() {
		start += ", until " + o.until.UTC().Format(time.DateTime) + " UTC"
	}
	ids := "kept"
	if target != nil {
		ids += fmt.Sprintf(": %s drops what it was given within %v", target.Config.Name, target.Config.Duplicates)
	}
	if o.withoutIDs {
		ids = "left out: everything is stored, again or not"
	}
	show.add("from", from)
	show.add("start", start)
	show.add("to", to)
	show.add("ids", ids)
	show.add("messages", fmt.Sprintf("%s, at %v a second: about %v", grouped(count), o.rate, time.Duration(math.Ceil(float64(count)/o.rate))*time.Second))
	if o.integrations {
		show.add("beware", "these carry credentials: whoever may read "+o.to+" can read them, unless they are sealed")
	}
	return show.write()
}

// progress returns a bar that is drawn on a terminal only.
func (o *replayOptions) progress(env *environment, count uint64) *progressbar.ProgressBar {
	_, terminal := terminalWidth(env.Stderr)
	return progressbar.NewOptions64(int64(min(count, math.MaxInt64)), progressbar.OptionSetWriter(env.Stderr), progressbar.OptionSetVisibility(terminal), //nolint:gosec // bounded
		progressbar.OptionSetDescription("messages"), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
		progressbar.OptionSetWidth(20), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
}

// resend publishes messages and waits for their acknowledgements, in the order of the stream.
type resend struct {
	options  *replayOptions
	conn     *nats.Conn
	js       jetstream.JetStream
	toStream bool
	last     uint64 // of the stream when it began: what is stored meanwhile is not replayed
	bar      *progressbar.ProgressBar

	open             []jetstream.PubAckFuture // oldest first
	sent, duplicates int
}

func (r *resend) run(ctx context.Context, stream jetstream.Stream, config jetstream.ConsumerConfig) error {
	limit := rate.NewLimiter(rate.Limit(r.options.rate), max(1, int(math.Min(r.options.rate/10, 1000))))
	ordered := jetstream.OrderedConsumerConfig{
		FilterSubjects: filtersOf(config), DeliverPolicy: config.DeliverPolicy, OptStartSeq: config.OptStartSeq, OptStartTime: config.OptStartTime,
	}
	err := readStream(ctx, stream, ordered, r.last, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if !r.options.until.IsZero() && !meta.Timestamp.Before(r.options.until.Time) {
			return errEnough
		}
		if err := limit.Wait(ctx); err != nil {
			return err
		}
		return r.one(ctx, msg)
	})
	for err == nil && len(r.open) > 0 {
		err = r.settle(ctx)
	}
	if err == nil && !r.toStream {
		err = r.conn.FlushTimeout(natsAPITimeout)
	}
	return err
}

// one publishes a message; what the stream took note of when it was stored, such as its batch, stays behind.
func (r *resend) one(ctx context.Context, msg jetstream.Msg) error {
	again := nats.NewMsg(r.subject(msg.Subject()))
	again.Data = msg.Data()
	for _, name := range []string{schema.HeaderMsgID, schema.HeaderContentType, schema.HeaderTraceparent} {
		if value := msg.Headers().Get(name); value != "" && !(name == schema.HeaderMsgID && r.options.withoutIDs) {
			again.Header.Set(name, value)
		}
	}
	if !r.toStream {
		if err := r.conn.PublishMsg(again); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		r.note()
		return nil
	}
	future, err := r.js.PublishMsgAsync(again)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	r.open = append(r.open, future)
	if len(r.open) < replayWindow {
		return nil
	}
	return r.settle(ctx)
}

func (r *resend) note() {
	r.sent++
	_ = r.bar.Add(1) // a bar that cannot be drawn is no reason to stop
}

// settle waits for the oldest acknowledgement.
func (r *resend) settle(ctx context.Context) error {
	oldest := r.open[0]
	r.open = r.open[1:]
	limited, cancel := context.WithTimeout(ctx, readPatience)
	defer cancel()
	select {
	case ack := <-oldest.Ok():
		if ack.Duplicate {
			r.duplicates++
		}
		r.note()
		return nil
	case err := <-oldest.Err():
		return fmt.Errorf("publish on %s: %w", oldest.Msg().Subject, err)
	case <-limited.Done():
		return fmt.Errorf("publish on %s: %w", oldest.Msg().Subject, limited.Err())
	}
}

func (r *resend) subject(from string) string {
	root, wild := strings.CutSuffix(r.options.to, ">")
	if !wild {
		return r.options.to
	}
	_, rest, _ := strings.Cut(strings.TrimPrefix(from, r.options.nats.prefix+"."), ".")
	return root + rest
}

func (r *resend) duplicatesText() string {
	if r.duplicates == 0 {
		return ""
	}
	return fmt.Sprintf(", %s of them dropped as known by their ids", grouped(r.duplicates))
}
