package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"mewsbridge/publisher"
	"mewsbridge/schema"
	"mewsbridge/schema/seal"
)

// republishTimeout bounds the publishing of what one quarantined message became.
const republishTimeout = 30 * time.Second

// quarantineReplayOptions are the flags of quarantine replay.
type quarantineReplayOptions struct {
	nats                    natsFlags
	choice                  selection
	sealed                  sealedFlags
	enterprise, integration string
	yes                     bool
}

func newQuarantineReplayCommand(env *environment) *cobra.Command {
	o := &quarantineReplayOptions{}
	cmd := &cobra.Command{
		Use:   "replay [SEQUENCE...]",
		Short: "Publish what is understood by now",
		Long: `Put quarantined messages through the parser of this version, publish what it understands, and
take that out of quarantine once NATS has acknowledged it. What it does not understand stays.
Without --yes it only shows what it would do.

The time of the events is when the webhook was first received. Their ids come from the id of
the quarantined message, so a replay that is interrupted can be run again within the
duplicate window of the streams (1h by default) and stores nothing twice.

Of a single event of a webhook, quarantine keeps the event's own bytes and not what the webhook said
of all its events. EnterpriseId and IntegrationId are then taken from another event of the same webhook that
was stored; where there is none, the event stays until they are given with --enterprise and --integration.
Other members of the webhook, and an entity of its Entities, are lost for such an event.

What is sealed is opened with the private key, and what becomes of it is sealed again where
it has to be.`,
		Example: `  mewsbridge quarantine replay --all
  mewsbridge quarantine replay 12 13 --yes
  mewsbridge quarantine replay --reason invalid-discriminator --since 24h --yes`,
		RunE: func(cmd *cobra.Command, args []string) error { return runQuarantineReplay(cmd.Context(), env, o, args) },
	}
	o.choice.register(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&o.choice.all, "all", false, "everything in quarantine")
	flags.StringVar(&o.enterprise, "enterprise", "", "EnterpriseId of single events of which no other tells it")
	flags.StringVar(&o.integration, "integration", "", "IntegrationId of such events")
	flags.BoolVar(&o.yes, "yes", false, "do it")
	o.sealed.register(cmd)
	o.nats.register(cmd, env)
	return cmd
}

func (o *quarantineReplayOptions) validate(args []string) error {
	if err := o.choice.read(args); err != nil {
		return err
	}
	if err := o.choice.given(); err != nil {
		return err
	}
	for flag, value := range map[string]string{"enterprise": o.enterprise, "integration": o.integration} {
		if value != "" && !schema.IsToken(value) {
			return fmt.Errorf("--%s takes an id as Mews sends it: 1 to 128 of A-Z a-z 0-9 - _", flag)
		}
	}
	if o.integration != "" && o.enterprise == "" {
		return errors.New("--integration goes with --enterprise")
	}
	return nil
}

func runQuarantineReplay(ctx context.Context, env *environment, o *quarantineReplayOptions, args []string) error {
	if err := o.validate(args); err != nil {
		return withCode(exitUsage, err)
	}
	opener, err := newOpener(env, o.sealed.keyFile)
	if err != nil {
		return err
	}
	conn, js, stream, err := openQuarantine(ctx, &o.nats)
	if err != nil {
		return err
	}
	defer conn.Close()
	events, err := o.nats.stream(ctx, js, schema.KindEvent)
	if err != nil {
		return err
	}
	r := &requeue{options: o, env: env, opener: opener, quarantine: stream, events: events}
	if o.yes {
		stop, err := r.openPublisher(ctx)
		if err != nil {
			return err
		}
		defer stop()
	}
	err = o.choice.each(ctx, stream, o.nats.prefix, true, func(h held) error { return r.one(ctx, h) })
	if printed := r.printEnd(); err == nil {
		err = printed
	}
	return err
}

// requeue puts quarantined messages through today's parser, one after the other.
type requeue struct {
	options            *quarantineReplayOptions
	env                *environment
	opener             *seal.Opener // nil: there is no key
	quarantine, events jetstream.Stream
	publisher          *publisher.Publisher // nil when it is only to be shown

	seen, understood, published int
}

// openPublisher publishes as the bridge does. It neither makes nor changes a stream.
func (r *requeue) openPublisher(ctx context.Context) (stop func(), err error) {
	config := r.options.nats.connection
	config.Replicas, config.DuplicateWindow = 1, time.Hour // required, and not used: the streams are not managed
	p, err := publisher.New(config, zap.NewNop())
	if err != nil {
		return nil, withCode(exitUnavailable, err)
	}
	if err := p.Start(ctx); err != nil {
		return nil, withCode(exitUnavailable, err)
	}
	r.publisher = p
	return func() {
		stopping, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		_ = p.Stop(stopping) // every publish has been acknowledged or reported
	}, nil
}

// one shows what is made of a message and, when it is to be done, does it: publish, wait for the
// acknowledgements, and only then remove it.
func (r *requeue) one(ctx context.Context, h held) error {
	r.seen++
	h, closed := h.unsealed(r.opener)
	found, err := stays("%v", closed), error(nil)
	if closed == nil {
		found, err = r.understand(ctx, h)
	}
	if err != nil {
		return err
	}
	line := fmt.Sprintf("%8d  %-22s %s", h.Sequence, shortened(printable(h.Reason), 22), found.verdict)
	if !found.understood {
		fmt.Fprintln(r.env.Stdout, line+"; stays")
		return nil
	}
	r.understood++
	r.published += found.published
	if r.publisher == nil {
		fmt.Fprintln(r.env.Stdout, line)
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, republishTimeout)
	defer cancel()
	messages, err := r.sealedAgain(found.messages, h)
	if err != nil {
		return withCode(exitInternal, fmt.Errorf("message %d stays in quarantine: %w", h.Sequence, err))
	}
	if err := r.publisher.Publish(limited, messages); err != nil {
		return withCode(exitUnavailable, fmt.Errorf("message %d stays in quarantine: %w", h.Sequence, err))
	}
	if err := r.quarantine.SecureDeleteMsg(limited, h.Sequence); err != nil {
		return withCode(exitUnavailable, fmt.Errorf("message %d is published and could not be taken out of quarantine: %w; run it again within the duplicate window, nothing is stored twice", h.Sequence, err))
	}
	fmt.Fprintln(r.env.Stdout, line+"; done")
	return nil
}

// sealedAgain seals msgs as the bridge would: to the key that h was sealed to, or else to that of the settings.
func (r *requeue) sealedAgain(msgs []schema.Message, h held) ([]schema.Message, error) {
	sealer := r.options.nats.sealer
	if h.sealedTo != "" {
		var err error
		if sealer, err = seal.NewSealer(h.sealedTo); err != nil {
			return nil, err
		}
	}
	if sealer == nil {
		return msgs, nil
	}
	return sealer.Messages(msgs)
}

func (r *requeue) printEnd() error {
	var err error
	switch {
	case r.seen == 0:
		_, err = fmt.Fprintln(r.env.Stdout, "Nothing is in quarantine that this asks for.")
	case r.publisher == nil:
		_, err = fmt.Fprintf(r.env.Stdout, "%d of %s would be replayed: %s.\nNothing was changed; add --yes to do it.\n",
			r.understood, plural(r.seen, "message", "messages"), plural(r.published, "event", "events"))
	default:
		_, err = fmt.Fprintf(r.env.Stdout, "%d of %s replayed: %s.\n", r.understood, plural(r.seen, "message", "messages"), plural(r.published, "event", "events"))
	}
	return withCode(exitInternal, err)
}

// reading is what today's parser makes of a quarantined message.
type reading struct {
	understood bool
	verdict    string           // for people
	messages   []schema.Message // when it is understood
	published  int              // how many of messages are not for quarantine again
}

func stays(format string, args ...any) reading { return reading{verdict: fmt.Sprintf(format, args...)} }

// understand parses a message as a whole body or as a single event, by its reason; two reasons can be of either, and then
// it is taken for a body when it can be read as one.
func (r *requeue) understand(ctx context.Context, h held) (reading, error) {
	switch schema.Reason(h.Reason) {
	case schema.ReasonNotObject, schema.ReasonNoDiscriminator, schema.ReasonInvalidDiscriminator:
		return r.element(ctx, h)
	case schema.ReasonInvalidUTF8, schema.ReasonDuplicateMember:
		if found := r.body(h); found.understood {
			return found, nil
		}
		return r.element(ctx, h)
	default:
		return r.body(h), nil
	}
}

func (r *requeue) body(h held) reading {
	w, err := schema.Parse(h.data)
	if parse, ok := errors.AsType[*schema.ParseError](err); ok {
		return stays("still %s at byte %d", parse.Reason, parse.Offset)
	}
	if err != nil {
		return stays("cannot be read")
	}
	if w.Kind == schema.KindQuarantine {
		return stays("still %s", w.Reason)
	}
	verdict := plural(w.Published(), "event", "events")
	if w.Kind == schema.KindIntegration {
		verdict = string(w.Action)
	}
	if n := w.Quarantined(); n > 0 {
		verdict += fmt.Sprintf(", %d to quarantine one by one", n)
	}
	return reading{understood: true, verdict: verdict, messages: w.Messages(r.receipt(h)), published: w.Published()}
}

// element parses a single event, by itself and then in an envelope like that in which it came.
func (r *requeue) element(ctx context.Context, h held) (reading, error) {
	w, err := schema.Parse(inEnvelope(h.data, envelope{}))
	if err != nil {
		return stays("cannot be read as an event"), nil
	}
	if w.Kind != schema.KindEvent || len(w.Events) != 1 {
		return stays("still not an event"), nil
	}
	if e := w.Events[0]; e.Quarantined() {
		return stays("still %s at byte %d", e.Reason, e.Offset), nil
	}
	around, from, err := r.envelopeOf(ctx, h)
	if err != nil {
		return reading{}, err
	}
	if around == (envelope{}) {
		return stays("%s, but no stored event tells its EnterpriseId: give --enterprise", w.Events[0].Discriminator), nil
	}
	if w, err = schema.Parse(inEnvelope(h.data, around)); err != nil {
		return stays("cannot be read as an event"), nil
	}
	verdict := fmt.Sprintf("%s of %s (%s)", w.Events[0].Discriminator, around.EnterpriseID, from)
	return reading{understood: true, verdict: verdict, messages: w.Messages(r.receipt(h)), published: 1}, nil
}

// receipt makes ids that are the same in each replay of h and that no other message has.
func (r *requeue) receipt(h held) schema.Receipt {
	delivery := h.ID
	if !schema.IsToken(delivery) || len(delivery) > schema.MaxToken-8 {
		delivery = "quarantine-" + strconv.FormatUint(h.Sequence, 10) + "-" + strconv.FormatInt(h.stored.UnixNano(), 36)
	}
	endpoint := h.Endpoint
	if !schema.IsToken(endpoint) {
		endpoint = "mews"
	}
	return schema.Receipt{Delivery: schema.DeliveryID(delivery), Received: h.Received, Endpoint: endpoint, Prefix: r.options.nats.prefix}
}

// envelope is what a webhook says of all its events, as far as it can be found again.
type envelope struct {
	EnterpriseID  string `json:"EnterpriseId,omitempty"`
	IntegrationID string `json:"IntegrationId,omitempty"`
}

// inEnvelope returns the body of a webhook with that one event.
func inEnvelope(event []byte, e envelope) []byte {
	body, err := json.Marshal(e)
	if err != nil {
		return event // two strings always marshal
	}
	body = body[:len(body)-1]
	if len(body) > 1 {
		body = append(body, ',')
	}
	return append(append(append(body, `"Events":[`...), event...), `]}`...)
}

// envelopeOf returns the envelope of a stored event of the same webhook or, without one, that which was given; and where it is from.
func (r *requeue) envelopeOf(ctx context.Context, h held) (found envelope, from string, err error) {
	sequence, err := r.sibling(ctx, h)
	if err != nil {
		return envelope{}, "", err
	}
	if sequence > 0 {
		if found, err = r.envelopeAt(ctx, sequence); err != nil || found != (envelope{}) {
			return found, fmt.Sprintf("as event %d of the same webhook", sequence), err
		}
	}
	return envelope{r.options.enterprise, r.options.integration}, "--enterprise", nil
}

// envelopeAt returns what the event of that sequence says of its webhook; nothing when it has aged out or is not one of the bridge's.
func (r *requeue) envelopeAt(ctx context.Context, sequence uint64) (envelope, error) {
	msg, err := r.events.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return envelope{}, nil
	}
	if err != nil {
		return envelope{}, withCode(exitUnavailable, fmt.Errorf("read event %d: %w", sequence, err))
	}
	var event struct {
		Data envelope `json:"data"`
	}
	if json.Unmarshal(msg.Data, &event) != nil {
		return envelope{}, nil
	}
	return event.Data, nil
}

// siblingWindow is how far apart the parts of one webhook are stored in the two streams, by an attempt that stores both.
const siblingWindow = 15 * time.Second

// sibling returns the sequence of a stored event of the same webhook, or 0. It has the same delivery in its id.
func (r *requeue) sibling(ctx context.Context, h held) (uint64, error) {
	at := strings.LastIndexByte(h.ID, '-')
	if at < 0 {
		return 0, nil
	}
	delivery := h.ID[:at+1]
	state, err := r.events.Info(ctx)
	if err != nil {
		return 0, withCode(exitUnavailable, fmt.Errorf("look up events: %w", err))
	}
	if state.State.Msgs == 0 {
		return 0, nil
	}
	start := h.stored.Add(-siblingWindow)
	config := jetstream.OrderedConsumerConfig{HeadersOnly: true, DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &start}
	var found uint64
	err = readStream(ctx, r.events, config, state.State.LastSeq, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
		if meta.Timestamp.After(h.stored.Add(siblingWindow)) {
			return errEnough
		}
		if strings.HasPrefix(msg.Headers().Get(schema.HeaderMsgID), delivery) {
			found = meta.Sequence.Stream
			return errEnough
		}
		return nil
	})
	return found, err
}
