package publisher

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/schema"
)

// inspectTimeout is how long Inspect waits for the answers to its questions, which it asks all at once.
const inspectTimeout = 3 * time.Second

// Inspection is what a NATS says of itself and of the streams of one prefix, as seen by the bridge's own user.
type Inspection struct {
	Server  InspectedServer
	Account *jetstream.AccountInfo // nil when it was not told
	// JetStream is nil when JetStream is on for this user's account, or the account may not be asked about.
	JetStream error
	Streams   []InspectedStream
	// Denied are the subjects that the user may not use and the bridge does: "publish to x", "subscribe to x".
	Denied []Denied
	// Silent are the subjects that were asked and did not answer within 3 s.
	Silent []string
}

// InspectedServer is the server that the inspection was connected to.
type InspectedServer struct {
	Name, Version, Address string
	Cluster                string // empty when it is alone
	Known                  int    // servers that the client was told of, this one included
	MaxPayload             int64
	Batches                bool // knows atomic batches
}

// InspectedStream is one stream as it is.
type InspectedStream struct {
	Name     string
	Subject  string // what it is to hold; empty for one that is filled from another stream
	Optional bool   // webhooks are stored without it
	Found    bool
	// Taken says that the stream is missing and another one has its subjects.
	Taken bool
	// Differences are the fields that are not as the configuration has them: "max_age is 1h0m0s and should be 720h0m0s".
	Differences []string
	// Fixed are those of Differences that NATS lets nobody change.
	Fixed             []string
	AtomicPublish     bool
	Replicas, Current int // configured; and up to date, the leader included
	Messages, Bytes   uint64
	MaxBytes          int64 // 0 or less is no limit
}

// Denied is a permission that is missing.
type Denied struct {
	What     string
	Optional bool // without it the bridge does less, and stores all the same
}

// Inspect asks the NATS of cfg for everything that the bridge needs of it. It stores and changes nothing: to find out whether it may
// publish it sends messages that say they are for another stream, which JetStream refuses, and requests that no server
// can read. The error wraps schema.ErrUnavailable when NATS cannot be reached, and repeats no credential.
func Inspect(ctx context.Context, cfg Config) (*Inspection, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configure publisher: %w", err)
	}
	questions := cfg.questions()
	conn, err := cfg.connectOnce(questions.refuse)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", schema.ErrUnavailable, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	questions.ask(ctx, conn)

	found := &Inspection{Server: InspectedServer{
		Name: conn.ConnectedServerName(), Version: conn.ConnectedServerVersion(), Address: conn.ConnectedAddr(), Cluster: conn.ConnectedClusterName(),
		Known: len(conn.Servers()), MaxPayload: conn.MaxPayload(), Batches: knowsBatches(conn.ConnectedServerVersion()),
	}}
	questions.report(found)
	for _, kind := range schema.Kinds() {
		want := cfg.streamConfig(kind)
		want.AllowAtomicPublish = cfg.Manage && found.Server.Batches
		found.Streams = append(found.Streams, questions.stream(want))
	}
	if cfg.Latest {
		latest := questions.stream(cfg.latestConfig())
		latest.Optional = true
		found.Streams = append(found.Streams, latest)
	}
	return found, nil
}

// connectOnce connects without trying again. What the server refuses later goes to refused.
func (c Config) connectOnce(refused func(error)) (*nats.Conn, error) {
	options, err := c.ConnectOptions()
	if err != nil {
		return nil, err
	}
	if c.InProcess != nil {
		options = append(options, nats.InProcessServer(c.InProcess))
	}
	options = append(options, nats.Name("mewsbridge check"), nats.Timeout(defaultPace().connectTimeout), nats.NoReconnect(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused(err) }))
	conn, err := nats.Connect(strings.Join(c.URLs, ","), options...)
	if err != nil {
		return nil, withoutURL(err)
	}
	return conn, nil
}

// question is a request that shows, by whether and how it is answered, what the user may do.
type question struct {
	subject  string
	what     string // the permission, as people write it; empty means subject
	header   nats.Header
	payload  []byte
	optional bool

	answer []byte
	err    error
	denied bool
	stop   context.CancelFunc
}

// questions are asked at the same time. refuse may be called while they are.
type questions struct {
	inbox string // begins the subjects of the answers

	mu           sync.Mutex
	all          []*question
	inboxRefused bool
}

// Subjects of the JetStream API (nats-server, server/jetstream_api.go).
const (
	apiInfo           = "$JS.API.INFO"
	apiStreamInfo     = "$JS.API.STREAM.INFO."
	apiStreamCreate   = "$JS.API.STREAM.CREATE."
	apiStreamUpdate   = "$JS.API.STREAM.UPDATE."
	apiConsumerList   = "$JS.API.CONSUMER.LIST."
	apiConsumerCreate = "$JS.API.CONSUMER.CREATE."
	apiConsumerDelete = "$JS.API.CONSUMER.DELETE."
	apiDirectGet      = "$JS.API.DIRECT.GET."
	flowControl       = "$JS.FC."
)

// What a question carries so that nothing comes of it: a message for another stream, and a request that asks for what no server has
// and is not JSON.
const (
	headerExpectedStream = "Nats-Expected-Stream"
	noStream             = "MEWSBRIDGE_CHECK"
	headerAPILevel       = "Nats-Required-Api-Level"
	impossibleAPILevel   = "1000000"
	unreadable           = "-"
)

// questions returns one question for each permission that the bridge uses.
func (c Config) questions() *questions {
	q := &questions{inbox: cmp.Or(c.InboxPrefix, strings.TrimSuffix(nats.InboxPrefix, ".")) + "."}
	add := func(one question) { q.all = append(q.all, &one) }
	look := func(stream string, optional bool) {
		add(question{subject: apiStreamInfo + stream, optional: optional})
		if !c.Manage {
			return
		}
		for _, api := range []string{apiStreamCreate, apiStreamUpdate} {
			add(question{subject: api + stream, header: nats.Header{headerAPILevel: {impossibleAPILevel}}, payload: []byte(unreadable), optional: optional})
		}
	}
	add(question{subject: apiInfo, optional: true})
	for _, kind := range schema.Kinds() {
		stream, subjects := kind.Stream(c.Prefix), kind.Subjects(c.Prefix)
		add(question{subject: apiConsumerList + stream, optional: true})
		add(question{subject: strings.TrimSuffix(subjects, ">") + "check", what: subjects, header: nats.Header{headerExpectedStream: {noStream}}})
		look(stream, false)
	}
	if c.Latest {
		look(schema.LatestStream(c.Prefix), true)
	}
	if c.SharedLedger {
		look(ledgerStream(c.Prefix), true)
		for _, one := range c.ledgerQuestions() {
			add(one)
		}
	}
	return q
}

// ledgerQuestions returns those for the permissions that a bucket needs beside those of its stream.
func (c Config) ledgerQuestions() []question {
	stream, keys := ledgerStream(c.Prefix), "$KV."+ledgerBucket(c.Prefix)+"."
	impossible := nats.Header{headerAPILevel: {impossibleAPILevel}}
	all := []question{
		{subject: keys + "check", what: keys + ">", header: nats.Header{headerExpectedStream: {noStream}}},
		{subject: apiDirectGet + stream + "." + keys + "check", what: apiDirectGet + stream + ".>"},
		{ // names no stream, so no server takes it; one that it cannot read it would log
			subject: apiConsumerCreate + stream + "." + noStream + "." + keys + "check", what: apiConsumerCreate + stream + ".>",
			header: impossible, payload: []byte("{}"),
		},
		{subject: apiConsumerDelete + stream + "." + noStream, what: apiConsumerDelete + stream + ".>", header: impossible, payload: []byte(unreadable)},
		{subject: flowControl + stream + "." + noStream, what: flowControl + stream + ".>"},
	}
	for i := range all {
		all[i].optional = true
	}
	return all
}

// ask asks all and waits for the answers, for ctx, or for the server to refuse.
func (q *questions) ask(ctx context.Context, conn *nats.Conn) {
	var asked sync.WaitGroup
	for _, one := range q.all {
		ctx, cancel := context.WithCancel(ctx)
		q.mu.Lock()
		one.stop = cancel
		if q.inboxRefused {
			cancel()
		}
		q.mu.Unlock()
		asked.Go(func() {
			defer cancel()
			reply, err := conn.RequestMsgWithContext(ctx, &nats.Msg{Subject: one.subject, Header: one.header, Data: one.payload})
			q.mu.Lock()
			defer q.mu.Unlock()
			one.err = err
			if reply != nil {
				one.answer = reply.Data
			}
		})
	}
	asked.Wait()
}

// refuse takes in an error of the server. A permissions violation names the subject in quotes, and in nothing but its text.
func (q *questions) refuse(err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	parts := strings.Split(err.Error(), `"`)
	if len(parts) < 2 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if strings.HasPrefix(parts[1], q.inbox) { // nothing can be answered
		q.inboxRefused = true
		for _, one := range q.all {
			one.giveUp()
		}
		return
	}
	for _, one := range q.all {
		if one.subject == parts[1] {
			one.denied = true
			one.giveUp()
		}
	}
}

func (q *question) giveUp() {
	if q.stop != nil {
		q.stop()
	}
}

// report notes what the answers say of the account and of permissions.
func (q *questions) report(found *Inspection) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.inboxRefused {
		found.Denied = append(found.Denied, Denied{What: "subscribe to " + q.inbox + ">"})
	}
	for _, one := range q.all {
		what := one.what
		if what == "" {
			what = one.subject
		}
		switch {
		case one.denied:
			found.Denied = append(found.Denied, Denied{What: "publish to " + what, Optional: one.optional})
		case one.subject == apiInfo:
			found.Account, found.JetStream = one.account()
		case errors.Is(one.err, context.DeadlineExceeded) && !q.inboxRefused:
			found.Silent = append(found.Silent, what)
		}
	}
}

// account reads the answer about the account.
func (q *question) account() (*jetstream.AccountInfo, error) {
	switch {
	case errors.Is(q.err, nats.ErrNoResponders):
		return nil, jetstream.ErrJetStreamNotEnabled
	case q.err != nil:
		return nil, nil
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		jetstream.AccountInfo
	}
	if err := json.Unmarshal(q.answer, &answer); err != nil {
		return nil, fmt.Errorf("read %s: %w", apiInfo, err)
	}
	if answer.Error != nil {
		return nil, answer.Error
	}
	return &answer.AccountInfo, nil
}

// stream reads the answers about the stream that is to be as in want.
func (q *questions) stream(want jetstream.StreamConfig) InspectedStream {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := InspectedStream{Name: want.Name, Subject: strings.Join(want.Subjects, " ")}
	for _, one := range q.all {
		if s.Subject != "" && one.what == s.Subject && one.answer != nil {
			s.Taken = true
		}
		if one.subject != apiStreamInfo+s.Name || one.err != nil {
			continue
		}
		var answer struct {
			Error *jetstream.APIError `json:"error"`
			jetstream.StreamInfo
		}
		if err := json.Unmarshal(one.answer, &answer); err != nil || answer.Error != nil {
			continue
		}
		s.Found = true
		s.read(&answer.StreamInfo, want)
	}
	s.Taken = s.Taken && !s.Found
	return s
}

// read takes in what JetStream says of the stream.
func (s *InspectedStream) read(info *jetstream.StreamInfo, want jetstream.StreamConfig) {
	for _, d := range differences(info.Config, want) {
		s.Differences = append(s.Differences, d.String())
		if d.field == "storage" || d.field == "retention" {
			s.Fixed = append(s.Fixed, d.String())
		}
	}
	s.AtomicPublish, s.Replicas, s.Current = info.Config.AllowAtomicPublish, info.Config.Replicas, 1
	s.Messages, s.Bytes, s.MaxBytes = info.State.Msgs, info.State.Bytes, info.Config.MaxBytes
	if info.Cluster == nil {
		return
	}
	if info.Cluster.Leader == "" {
		s.Current = 0
	}
	for _, peer := range info.Cluster.Replicas {
		if peer.Current && !peer.Offline {
			s.Current++
		}
	}
}
