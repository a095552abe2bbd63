package publisher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"mewsbridge/schema"
)

// How often the streams are looked at: soon again while something is wrong.
const (
	apiTimeout      = 2 * time.Second
	checkHealthy    = 10 * time.Second
	checkUnhealthy  = time.Second
	checkAgain      = 50 * time.Millisecond // at the soonest; less than retryDelay
	createTimeLimit = 5 * time.Second
)

// streamConfig is what the bridge needs a stream to be on any server.
func (c Config) streamConfig(kind schema.Kind) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        kind.Stream(c.Prefix),
		Description: streamDescriptions[kind],
		Subjects:    []string{kind.Subjects(c.Prefix)},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Replicas:    c.Replicas,
		MaxAge:      c.MaxAge,
		Duplicates:  c.DuplicateWindow,
		AllowDirect: true,
	}
}

var streamDescriptions = [kinds]string{
	schema.KindEvent:       "events of Mews General webhooks",
	schema.KindIntegration: "events of Mews Integration webhooks; they may carry credentials",
	schema.KindQuarantine:  "webhooks and events that mewsbridge could not understand",
}

// difference is a field of a stream that is not as the bridge needs it.
type difference struct {
	field      string
	have, want any
}

func (d difference) String() string {
	return fmt.Sprintf("%s is %v and should be %v", d.field, d.have, d.want)
}

// differences lists the fields of have that are not as in want. What an operator set beyond them is theirs.
func differences(have, want jetstream.StreamConfig) []difference {
	var found []difference
	add := func(differs bool, field string, have, want any) {
		if differs {
			found = append(found, difference{field, have, want})
		}
	}
	add(!slices.Equal(have.Subjects, want.Subjects), "subjects", have.Subjects, want.Subjects)
	add(have.Retention != want.Retention, "retention", have.Retention, want.Retention)
	add(have.Storage != want.Storage, "storage", have.Storage, want.Storage)
	add(have.Replicas != want.Replicas, "replicas", have.Replicas, want.Replicas)
	add(have.MaxAge != want.MaxAge, "max_age", have.MaxAge, want.MaxAge)
	add(have.Duplicates != want.Duplicates, "duplicate_window", have.Duplicates, want.Duplicates)
	add(have.NoAck, "no_ack", have.NoAck, false)
	add(len(want.Sources) > 0 && !slices.Equal(sources(have), sources(want)), "sources", sources(have), sources(want))
	add(want.MaxMsgsPerSubject > 0 && have.MaxMsgsPerSubject != want.MaxMsgsPerSubject, "max_msgs_per_subject", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
	add(want.AllowAtomicPublish && !have.AllowAtomicPublish, "allow_atomic", have.AllowAtomicPublish, true)
	return found
}

// wanted returns what the stream of a kind should be on the server at hand. Atomic batches are faster and nothing depends on them: a
// stream that is not ours to change may do without, and so may a server before 2.12, which does not know them.
func (p *Publisher) wanted(kind schema.Kind) jetstream.StreamConfig {
	want := p.cfg.streamConfig(kind)
	want.AllowAtomicPublish = p.cfg.Manage && knowsBatches(p.conn.ConnectedServerVersion())
	return want
}

// knowsBatches reports whether a server of that version has atomic batches (nats-server 2.12).
func knowsBatches(version string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 2 || major == 2 && minor >= 12
}

// apply changes the fields that differ and keeps all others.
func apply(have, want jetstream.StreamConfig) jetstream.StreamConfig {
	have.Subjects, have.Retention, have.Storage = want.Subjects, want.Retention, want.Storage
	have.Replicas, have.MaxAge, have.Duplicates = want.Replicas, want.MaxAge, want.Duplicates
	have.NoAck, have.AllowAtomicPublish = false, have.AllowAtomicPublish || want.AllowAtomicPublish
	if len(want.Sources) > 0 {
		if !slices.Equal(sources(have), sources(want)) {
			have.Sources = want.Sources
		}
		have.MaxMsgsPerSubject = want.MaxMsgsPerSubject
	}
	return have
}

// keepStreams looks after the streams until the publisher stops: after each connect, and from time to time, so that
// a stream that was deleted or changed is noticed and made good.
func (p *Publisher) keepStreams() {
	timer := time.NewTimer(checkHealthy)
	defer timer.Stop()
	var deaf deafness
	for {
		if p.streamsProblem.Load() != nil || !p.connected.Load() {
			timer.Reset(checkUnhealthy)
		} else {
			timer.Reset(checkHealthy)
		}
		select {
		case <-p.lifetime.Done():
			return
		case <-p.provision:
		case <-timer.C:
		}
		if p.connected.Load() {
			began := time.Now()
			p.checkStreams(p.lifetime)
			deaf = p.moveOn(deaf, began)
		}
		// Every refused webhook asks for a look: one serves them all.
		select {
		case <-p.lifetime.Done():
			return
		case <-time.After(checkAgain):
		}
	}
}

// checkStreams makes each stream what it should be, or notes and logs what is wrong.
func (p *Publisher) checkStreams(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, createTimeLimit)
	defer cancel()
	var errs [kinds]error
	var looks sync.WaitGroup // at a time: one that is not answered takes long
	for _, kind := range schema.Kinds() {
		looks.Go(func() {
			var config jetstream.StreamConfig
			if config, errs[kind] = p.ensureStream(ctx, p.wanted(kind)); errs[kind] == nil {
				p.committers[kind].allowAtomic(config.AllowAtomicPublish)
			}
		})
	}
	looks.Wait()
	p.noteStreams(errors.Join(errs[:]...))
	p.checkLatest(ctx)
}

// noteStreams logs a problem when it is new, and its end.
func (p *Publisher) noteStreams(problem error) {
	if problem == nil {
		if p.streamsProblem.Swap(nil) != nil {
			p.log.Info("the streams are as they should be")
		}
		return
	}
	before := p.streamsProblem.Swap(&problem)
	if before == nil || (*before).Error() != problem.Error() {
		p.log.Warn("the streams are not as they should be", zap.Error(problem))
	}
}

// ensureStream returns the configuration of the stream, created or brought up to date when the bridge manages
// streams. Otherwise the error names each field that differs.
func (p *Publisher) ensureStream(ctx context.Context, want jetstream.StreamConfig) (jetstream.StreamConfig, error) {
	stream, err := p.reach(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) && p.cfg.Manage {
		stream, err = p.create(ctx, want)
	}
	if err != nil {
		return want, err
	}
	have := stream.CachedInfo().Config
	differing := differences(have, want)
	if len(differing) == 0 {
		return have, nil
	}
	if !p.cfg.Manage {
		return have, fmt.Errorf("stream %s: %s", want.Name, join(differing))
	}
	stream, err = p.js.UpdateStream(ctx, apply(have, want))
	if err != nil {
		return have, fmt.Errorf("stream %s: %s; update: %w", want.Name, join(differing), err)
	}
	p.log.Info("stream brought up to date", zap.String("stream", want.Name), zap.String("changed", join(differing)))
	return stream.CachedInfo().Config, nil
}

// reach returns the stream, or an error also when an answer comes and nobody can store in it: a replica that has heard of no leader for a while
// answers for the stream as it knows it, and so does the server that is cut off from its cluster.
func (p *Publisher) reach(ctx context.Context, name string) (jetstream.Stream, error) {
	stream, err := p.js.Stream(ctx, name)
	if err != nil {
		return nil, streamError(name, err)
	}
	if cluster := stream.CachedInfo().Cluster; cluster != nil && cluster.Leader == "" {
		return nil, fmt.Errorf("%w: stream %s has no leader", schema.ErrUnavailable, name)
	}
	return stream, nil
}

func (p *Publisher) create(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	stream, err := p.js.CreateStream(ctx, want)
	if err != nil {
		return nil, streamError(want.Name, err)
	}
	p.log.Info("stream created", zap.String("stream", want.Name), zap.Int("replicas", want.Replicas))
	return stream, nil
}

func join(differing []difference) string {
	texts := make([]string, len(differing))
	for i, d := range differing {
		texts[i] = d.String()
	}
	return strings.Join(texts, ", ")
}

func streamError(name string, err error) error {
	kind := schema.ErrUnavailable
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		kind = schema.ErrStreamMissing
	}
	return fmt.Errorf("%w: stream %s: %w", kind, name, err)
}
