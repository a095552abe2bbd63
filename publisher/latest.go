package publisher

import (
	"context"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"mewsbridge/schema"
)

// latestConfig is the stream of the newest event of each subject. JetStream fills it from the stream of events, whose history it does not
// touch; the subjects stay the same, so that it has none of its own.
func (c Config) latestConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              schema.LatestStream(c.Prefix),
		Description:       "the newest event of each type and entity, sourced from " + schema.KindEvent.Stream(c.Prefix),
		Sources:           []*jetstream.StreamSource{{Name: schema.KindEvent.Stream(c.Prefix)}},
		MaxMsgsPerSubject: 1,
		Retention:         jetstream.LimitsPolicy,
		Storage:           jetstream.FileStorage,
		Replicas:          c.Replicas,
		MaxAge:            c.MaxAge,
		AllowDirect:       true,
	}
}

// checkLatest makes the stream of the newest events what it should be, or notes and logs what is wrong. Webhooks do not wait for it, and
// neither does readiness: they can be stored without it.
func (p *Publisher) checkLatest(ctx context.Context) {
	if !p.cfg.Latest {
		return
	}
	_, err := p.ensureStream(ctx, p.cfg.latestConfig())
	if err == nil {
		if p.latestProblem.Swap(nil) != nil {
			p.log.Info("the stream of the newest events is as it should be")
		}
		return
	}
	before := p.latestProblem.Swap(&err)
	if before == nil || (*before).Error() != err.Error() {
		p.log.Warn("the stream of the newest events is not as it should be; webhooks are stored all the same", zap.Error(err))
	}
}

// sources returns the names of the streams that a stream is filled from, sorted.
func sources(c jetstream.StreamConfig) []string {
	names := []string{}
	for _, s := range c.Sources {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return names
}
