package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/schema"
)

// recentEvents is how many of the newest events are looked at for the last webhook of each enterprise.
const recentEvents = 20_000

// natsStatus is the server that was asked.
type natsStatus struct {
	Server  string `json:"server,omitempty"` // its address, without credentials; empty when it could not be asked
	Version string `json:"version,omitempty"`
}

// streamStatus is one stream.
type streamStatus struct {
	Name       string     `json:"name"`
	Messages   uint64     `json:"messages"`
	Bytes      uint64     `json:"bytes"`
	Oldest     *time.Time `json:"oldest"` // null: the stream is empty
	Newest     *time.Time `json:"newest"`
	LastMinute uint64     `json:"last_minute"` // messages stored since then
	LastHour   uint64     `json:"last_hour"`
}

// enterpriseStatus is the newest event of an enterprise.
type enterpriseStatus struct {
	EnterpriseID string    `json:"enterprise_id"` // _ when webhooks do not tell it
	Last         time.Time `json:"last"`
	Type         string    `json:"type"`
	Events       int       `json:"events"` // among the newest events that were looked at
}

// reasonStatus is what is in quarantine for one reason.
type reasonStatus struct {
	Reason   string `json:"reason"`
	Messages uint64 `json:"messages"`
}

// askNATS fills in what the streams say. One that is missing is noted, and the others are asked all the same.
func (o *statusOptions) askNATS(ctx context.Context, r *statusReport) error {
	r.Streams, r.Enterprises, r.Consumers, r.Quarantine = []streamStatus{}, []enterpriseStatus{}, []consumerState{}, []reasonStatus{}
	conn, js, err := o.nats.connect()
	if err != nil {
		r.missing("streams, enterprises, consumers, quarantine: %v", err)
		return err
	}
	defer conn.Close()
	r.NATS = natsStatus{Server: conn.ConnectedUrlRedacted(), Version: conn.ConnectedServerVersion()}
	var first error
	for _, kind := range schema.Kinds() {
		if err := o.askStream(ctx, js, kind, r); err != nil {
			r.missing("%s: %v", kind.Stream(o.nats.prefix), err)
			first = cmp.Or(first, err)
		}
	}
	return first
}

func (o *statusOptions) askStream(ctx context.Context, js jetstream.JetStream, kind schema.Kind, r *statusReport) error {
	stream, err := o.nats.stream(ctx, js, kind)
	if err != nil {
		return err
	}
	s, err := streamStatusOf(ctx, stream, r.At)
	if err != nil {
		return err
	}
	r.Streams = append(r.Streams, s)
	consumers, err := consumersOf(ctx, stream)
	if err != nil {
		return err
	}
	r.Consumers = append(r.Consumers, consumers...)
	switch kind {
	case schema.KindEvent:
		return o.askEnterprises(ctx, stream, r)
	case schema.KindQuarantine:
		return o.askQuarantine(ctx, stream, r)
	default:
		return nil
	}
}

func streamStatusOf(ctx context.Context, stream jetstream.Stream, now time.Time) (streamStatus, error) {
	info := stream.CachedInfo()
	s := streamStatus{Name: info.Config.Name, Messages: info.State.Msgs, Bytes: info.State.Bytes}
	if s.Messages == 0 {
		return s, nil
	}
	s.Oldest, s.Newest = &info.State.FirstTime, &info.State.LastTime
	for ago, count := range map[time.Duration]*uint64{time.Minute: &s.LastMinute, time.Hour: &s.LastHour} {
		since := now.Add(-ago)
		var err error
		if *count, _, err = countFrom(ctx, stream, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since}); err != nil {
			return s, err
		}
	}
	return s, nil
}

// askEnterprises goes through the newest events: an enterprise that is not among them is not shown.
func (o *statusOptions) askEnterprises(ctx context.Context, stream jetstream.Stream, r *statusReport) error {
	state := stream.CachedInfo().State
	if o.enterprises == 0 || state.Msgs == 0 {
		return nil
	}
	config := jetstream.OrderedConsumerConfig{
		HeadersOnly: true, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(state.FirstSeq, state.LastSeq-min(state.LastSeq, recentEvents)+1),
	}
	byID := map[string]*enterpriseStatus{}
	err := readStream(ctx, stream, config, state.LastSeq, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		tokens := strings.Split(strings.TrimPrefix(msg.Subject(), o.nats.prefix+"."), ".")
		if len(tokens) != 4 {
			return nil // not a message of the bridge
		}
		r.eventsRead++
		e := byID[tokens[2]]
		if e == nil {
			e = &enterpriseStatus{EnterpriseID: tokens[2]}
			byID[tokens[2]] = e
		}
		e.Last, e.Type = meta.Timestamp.UTC(), tokens[1]
		e.Events++
		return nil
	})
	if err != nil {
		return err
	}
	for _, e := range byID {
		r.Enterprises = append(r.Enterprises, *e)
	}
	slices.SortFunc(r.Enterprises, func(a, b enterpriseStatus) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.EnterpriseID, b.EnterpriseID))
	})
	r.enterprisesSeen = len(r.Enterprises)
	r.Enterprises = r.Enterprises[:min(len(r.Enterprises), o.enterprises)]
	return nil
}

// askQuarantine counts by subject: there are as many as reasons.
func (o *statusOptions) askQuarantine(ctx context.Context, stream jetstream.Stream, r *statusReport) error {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(schema.KindQuarantine.Subjects(o.nats.prefix)))
	if err != nil {
		return withCode(exitUnavailable, fmt.Errorf("count by reason: %w", err))
	}
	for subject, n := range info.State.Subjects {
		r.Quarantine = append(r.Quarantine, reasonStatus{Reason: subject[strings.LastIndexByte(subject, '.')+1:], Messages: n})
	}
	slices.SortFunc(r.Quarantine, func(a, b reasonStatus) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Reason, b.Reason))
	})
	return nil
}
