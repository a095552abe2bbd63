package nats_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// client is a connection as one of the users.
type client struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	problems chan error // what the server reports, such as a violation of permissions
}

// as connects until the test ends. A user with an inbox of its own is told so.
func (d deployment) as(t *testing.T, user, password, inbox string) *client {
	t.Helper()
	c := &client{problems: make(chan error, 100)}
	options := []nats.Option{
		nats.UserInfo(user, password), nats.RootCAs(d.ca),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.problems <- err }),
	}
	if inbox != "" {
		options = append(options, nats.CustomInboxPrefix(inbox))
	}
	var err error
	if c.conn, err = nats.Connect(d.urls[0], options...); err != nil {
		t.Fatalf("connect as %s: %v", user, err)
	}
	t.Cleanup(c.conn.Close)
	if c.js, err = jetstream.New(c.conn); err != nil {
		t.Fatal(err)
	}
	return c
}

// bridge returns the configuration of the user bridge.
func (d deployment) bridge(replicas int) publisher.Config {
	return publisher.Config{
		URLs: d.urls, Username: "bridge", Password: passwords["MEWS_BRIDGE_PASSWORD"], TLSCA: d.ca,
		Prefix: "mews", Replicas: replicas, Manage: true, Latest: true, MaxAge: 24 * time.Hour, DuplicateWindow: time.Hour,
	}
}

// startPublisher runs the bridge's own publisher, as the user bridge, until stop, and waits until it has made its streams.
func (d deployment) startPublisher(t *testing.T, replicas int, log *zap.Logger) (p *publisher.Publisher, stop func()) {
	t.Helper()
	p, err := publisher.New(d.bridge(replicas), log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Error(err)
		}
	}
	natstest.Eventually(t, "the streams", func() bool { return p.Ready(ctx) == nil })
	return p, stop
}

// store has the bridge's own publisher make the streams and store one message in each.
func (d deployment) store(t *testing.T, replicas int) {
	t.Helper()
	p, stop := d.startPublisher(t, replicas, zap.NewNop())
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var messages []schema.Message
	for i, body := range []string{
		`{"EnterpriseId":"e1","Events":[{"Discriminator":"ServiceOrderUpdated","Value":{"Id":"r1"}}]}`,
		`{"Action":"IntegrationCreated","Data":{"Integration":{"Id":"i1"},"AccessToken":"secret"}}`,
		`{"New":"kind","AccessToken":"secret"}`,
	} {
		w, err := schema.Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, w.Messages(schema.Receipt{
			Delivery: schema.DeliveryID(fmt.Sprint("d", i)), Received: time.Now(), Endpoint: "mews", Prefix: "mews"})...)
	}
	if err := p.Publish(ctx, messages); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, "the history that the bridge learns from", func() bool { // a cluster may be choosing a leader
		heard := ""
		err := p.History(ctx, time.Now().Add(-time.Hour), func(eventType, enterprise string, _ time.Time) { heard += eventType + " " + enterprise })
		return err == nil && heard == "ServiceOrderUpdated e1"
	})
	shareLedger(ctx, t, p)
}

// shareLedger has the bridge write to the bucket that it shares with others, and watch it.
func shareLedger(ctx context.Context, t *testing.T, p *publisher.Publisher) {
	t.Helper()
	ledger := p.Ledger(time.Hour)
	natstest.Eventually(t, "the bucket", func() bool { _, err := ledger.Create(ctx, "first", nil); return err == nil })
	if created, err := ledger.Create(ctx, "first", nil); created || err != nil {
		t.Errorf("a key is made twice: %v %v", created, err)
	}
	watching, stop := context.WithCancel(ctx)
	var seen []string
	ledger.Watch(watching, func(key string, _ []byte) { seen = append(seen, key); stop() })
	if len(seen) != 1 || seen[0] != "first" {
		t.Errorf("seen in the bucket: %v", seen)
	}
}

// TestUsers connects as each user to a server with single.conf, and proves what is allowed and what is refused.
func TestUsers(t *testing.T) {
	d := startSingle(t)
	d.store(t, 1)
	consumer := d.as(t, "consumer", passwords["MEWS_CONSUMER_PASSWORD"], "_INBOX_consumer")
	integrations := d.as(t, "integrations", passwords["MEWS_INTEGRATIONS_PASSWORD"], "_INBOX_integrations")
	bridge := d.as(t, "bridge", passwords["MEWS_BRIDGE_PASSWORD"], "")
	operator := d.as(t, "operator", passwords["MEWS_OPERATOR_PASSWORD"], "")

	t.Run("a consumer reads events", func(t *testing.T) { consumer.reads(t, "MEWS_EVENTS"); consumer.reads(t, "MEWS_LATEST") })
	t.Run("a consumer reads nothing else", func(t *testing.T) {
		consumer.cannotRead(t, "MEWS_INTEGRATIONS", "mews.integrations.IntegrationCreated.i1")
		consumer.cannotRead(t, "MEWS_QUARANTINE", "mews.quarantine.unknown-kind")
		consumer.cannotSmuggle(t, "MEWS_EVENTS", "MEWS_INTEGRATIONS", "mews.integrations.IntegrationCreated.i1")
	})
	t.Run("a consumer reads with the command, too", func(t *testing.T) {
		binary := buildBridge(t)
		tail := func(inbox string, args ...string) (string, error) {
			cmd := exec.Command(binary, append([]string{"tail", "--since", "1h", "--count", "1", "--json"}, args...)...)
			cmd.Env = append(os.Environ(), "NATS_URL="+d.urls[0], "MEWSBRIDGE_NATS_USER=consumer", "MEWSBRIDGE_NATS_PASSWORD="+passwords["MEWS_CONSUMER_PASSWORD"],
				"MEWSBRIDGE_NATS_TLS_CA="+d.ca, "MEWSBRIDGE_NATS_INBOX_PREFIX="+inbox)
			out, err := cmd.CombinedOutput()
			return string(out), err
		}
		var runs sync.WaitGroup // together: what is refused waits for an answer
		runs.Go(func() {
			if out, err := tail("_INBOX_consumer"); err != nil || !strings.Contains(out, "com.mews.ServiceOrderUpdated") {
				t.Errorf("tail: %v\n%s", err, out)
			}
		})
		runs.Go(func() {
			cmd := exec.Command(binary, "tail", "--since", "1h", "--count", "1", "--nats", d.urls[0])
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "set MEWSBRIDGE_NATS_TLS_CA") {
				t.Errorf("tail without the authority: %v\n%s", err, out)
			}
		})
		runs.Go(func() {
			if out, err := tail("_INBOX_consumer", "--integrations"); err == nil {
				t.Errorf("tail --integrations shows %s", out)
			}
		})
		runs.Go(func() {
			if out, err := tail(""); err == nil {
				t.Errorf("tail without the inbox prefix shows %s", out)
			}
		})
		runs.Wait()
	})
	t.Run("a consumer changes nothing", func(t *testing.T) {
		consumer.cannotChange(t, "MEWS_EVENTS", "MEWS_LATEST", "MEWS_INTEGRATIONS", "MEWS_QUARANTINE")
	})
	t.Run("a consumer listens only to its own inboxes", func(t *testing.T) {
		consumer.cannotSubscribe(t, ">", "*", "mews.>", "mews.events.>", "mews.integrations.>", "_INBOX.>", "_INBOX_integrations.>", "$JS.>", "$SYS.>")
	})

	t.Run("integrations reads integrations", func(t *testing.T) { integrations.reads(t, "MEWS_INTEGRATIONS") })
	t.Run("integrations reads nothing else", func(t *testing.T) {
		integrations.cannotRead(t, "MEWS_EVENTS", "mews.events.ServiceOrderUpdated.e1.r1")
		integrations.cannotRead(t, "MEWS_LATEST", "mews.events.ServiceOrderUpdated.e1.r1")
		integrations.cannotRead(t, "MEWS_QUARANTINE", "mews.quarantine.unknown-kind")
		integrations.cannotSmuggle(t, "MEWS_INTEGRATIONS", "MEWS_QUARANTINE", "mews.quarantine.unknown-kind")
		integrations.cannotChange(t, "MEWS_EVENTS", "MEWS_INTEGRATIONS", "MEWS_QUARANTINE")
		integrations.cannotSubscribe(t, ">", "mews.>", "_INBOX.>", "_INBOX_consumer.>")
	})

	// That the bridge stores and keeps its streams is what store has shown.
	t.Run("the bridge reads only events, and deletes nothing", func(t *testing.T) {
		for _, attempt := range [][2]string{
			{"$JS.API.STREAM.MSG.GET.MEWS_EVENTS", `{"seq":1}`},
			{"$JS.API.DIRECT.GET.MEWS_EVENTS", `{"seq":1}`},
			{"$JS.API.CONSUMER.DURABLE.CREATE.MEWS_EVENTS.spy", `{"stream_name":"MEWS_EVENTS","config":{"durable_name":"spy","ack_policy":"explicit"}}`},
			{"$JS.API.CONSUMER.DELETE.MEWS_EVENTS.reader", ""},
			{"$JS.API.STREAM.SNAPSHOT.MEWS_EVENTS", `{"deliver_subject":"x"}`},
		} {
			bridge.refused(t, attempt[0], attempt[1])
		}
		answer, err := bridge.conn.Request("$JS.API.CONSUMER.CREATE.MEWS_EVENTS.spy",
			[]byte(`{"stream_name":"MEWS_INTEGRATIONS","config":{"name":"spy","ack_policy":"none"}}`), 10*time.Second)
		if err != nil || !failed(answer.Data) {
			t.Errorf("a consumer of another stream by the name of this one: %v, %v", answer, err)
		}
		bridge.cannotRead(t, "MEWS_QUARANTINE", "mews.quarantine.unknown-kind", "INFO", "LIST")
		bridge.cannotRead(t, "MEWS_LATEST", "mews.events.ServiceOrderUpdated.e1.r1", "INFO", "LIST")
		bridge.cannotRead(t, "MEWS_INTEGRATIONS", "mews.integrations.IntegrationCreated.i1", "INFO", "LIST")
		for _, stream := range []string{"MEWS_EVENTS", "MEWS_INTEGRATIONS", "MEWS_QUARANTINE"} {
			bridge.refused(t, "$JS.API.STREAM.DELETE."+stream, "")
			bridge.refused(t, "$JS.API.STREAM.PURGE."+stream, "")
			bridge.refused(t, "$JS.API.STREAM.MSG.DELETE."+stream, `{"seq":1}`)
		}
		bridge.refused(t, "$JS.API.STREAM.CREATE.COPY", `{"name":"COPY","sources":[{"name":"MEWS_INTEGRATIONS"}]}`)
		bridge.refused(t, "other.subject", "x")
		bridge.cannotSubscribe(t, ">", "mews.>", "$JS.>", "_INBOX_consumer.>")
	})
	t.Run("the bridge sees streams and their consumers", func(t *testing.T) {
		bridge.sees(t, "$JS.API.INFO", "$JS.API.STREAM.INFO.MEWS_EVENTS", "$JS.API.CONSUMER.LIST.MEWS_EVENTS", "$JS.API.CONSUMER.LIST.MEWS_INTEGRATIONS",
			"$JS.API.CONSUMER.LIST.MEWS_QUARANTINE", "$JS.API.CONSUMER.LIST.MEWS_LATEST")
	})

	t.Run("an operator does everything in the account, and nothing outside", func(t *testing.T) {
		for _, stream := range []string{"MEWS_EVENTS", "MEWS_INTEGRATIONS", "MEWS_QUARANTINE"} {
			operator.reads(t, stream)
		}
		if _, err := operator.js.Publish(t.Context(), "mews.events.ServiceOrderUpdated.e1.r2", []byte("replayed")); err != nil {
			t.Errorf("publish: %v", err)
		}
		quarantine, err := operator.js.Stream(t.Context(), "MEWS_QUARANTINE")
		if err == nil {
			err = quarantine.Purge(t.Context())
		}
		if err != nil {
			t.Errorf("purge: %v", err)
		}
		if _, err := operator.conn.Request("$SYS.REQ.SERVER.PING.STATSZ", nil, time.Second); err == nil {
			t.Error("an operator asks the system account")
		}
	})
	t.Run("sys watches the servers and has no streams", func(t *testing.T) {
		sys := d.as(t, "sys", passwords["NATS_SYS_PASSWORD"], "")
		if _, err := sys.conn.Request("$SYS.REQ.SERVER.PING.STATSZ", nil, 10*time.Second); err != nil {
			t.Errorf("ask for statistics: %v", err)
		}
		if _, err := sys.js.Stream(t.Context(), "MEWS_INTEGRATIONS"); err == nil {
			t.Error("sys sees a stream")
		}
	})
	t.Run("nobody comes in without a password or without TLS", func(t *testing.T) {
		for user, password := range map[string]string{"": "", "bridge": "wrong", "operator": os.Getenv("MEWS_OPERATOR_PASSWORD"), "consumer": ""} {
			if conn, err := nats.Connect(d.urls[0], nats.UserInfo(user, password), nats.RootCAs(d.ca)); err == nil {
				conn.Close()
				t.Errorf("%q comes in", user)
			}
		}
		if conn, err := nats.Connect(d.urls[0], nats.UserInfo("bridge", passwords["MEWS_BRIDGE_PASSWORD"])); err == nil {
			conn.Close()
			t.Error("the server's certificate is not looked at")
		}
		if answer := inTheClear(t, d.servers[0].Addr().String()); strings.Contains(answer, "PONG") {
			t.Errorf("a client without TLS is answered %q", answer)
		}
	})
}

// inTheClear returns all that the server says to a client that knows a password and does not encrypt.
func inTheClear(t *testing.T, address string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(conn, "CONNECT {\"user\":\"bridge\",\"pass\":%q}\r\nPING\r\n", passwords["MEWS_BRIDGE_PASSWORD"]) // it may hang up
	var answer bytes.Buffer
	_, _ = io.Copy(&answer, conn)
	return answer.String()
}

// TestCluster runs three servers with cluster.conf: what is stored on three replicas is read as a consumer after one server is gone.
func TestCluster(t *testing.T) {
	d := startCluster(t)
	d.store(t, 3)
	operator := d.as(t, "operator", passwords["MEWS_OPERATOR_PASSWORD"], "")
	for _, name := range []string{"MEWS_EVENTS", "MEWS_INTEGRATIONS", "MEWS_QUARANTINE"} {
		stream, err := operator.js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if info := stream.CachedInfo(); info.Config.Replicas != 3 || info.Cluster == nil || len(info.Cluster.Replicas) != 2 {
			t.Errorf("%s is kept by %+v", name, info.Cluster)
		}
	}
	natstest.Stop(d.servers[0])
	d.urls = d.urls[1:]
	consumer := d.as(t, "consumer", passwords["MEWS_CONSUMER_PASSWORD"], "_INBOX_consumer")
	natstest.Eventually(t, "leaders of the cluster and of the stream", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, clusterErr := consumer.js.AccountInfo(ctx)
		stream, err := consumer.js.Stream(ctx, "MEWS_EVENTS")
		return err == nil && clusterErr == nil && stream.CachedInfo().Cluster.Leader != ""
	})
	consumer.reads(t, "MEWS_EVENTS")
	consumer.cannotRead(t, "MEWS_INTEGRATIONS", "mews.integrations.IntegrationCreated.i1")
}

// reads proves every way of reading a stream: pull with explicit acknowledgement, ordered, and single messages.
func (c *client) reads(t *testing.T, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := c.js.Stream(ctx, name)
	if err != nil {
		t.Fatalf("look up %s: %v", name, err)
	}
	durable, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "mews.>"})
	if err != nil {
		t.Fatalf("create a consumer of %s: %v", name, err)
	}
	msg, err := durable.Next(jetstream.FetchMaxWait(10 * time.Second))
	if err == nil {
		err = msg.DoubleAck(ctx)
	}
	if err != nil {
		t.Errorf("read and acknowledge %s: %v", name, err)
	}
	ordered, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err == nil {
		_, err = ordered.Next(jetstream.FetchMaxWait(10 * time.Second))
	}
	if err != nil {
		t.Errorf("read %s in order: %v", name, err)
	}
	info, err := stream.Info(ctx)
	if err == nil {
		_, err = stream.GetMsg(ctx, info.State.FirstSeq)
	}
	if err != nil {
		t.Errorf("get the first message of %s: %v", name, err)
	}
	if msg != nil {
		if _, err := stream.GetLastMsgForSubject(ctx, msg.Subject()); err != nil {
			t.Errorf("get the last message of %s: %v", name, err)
		}
	}
	c.sees(t, "$JS.API.CONSUMER.LIST."+name, "$JS.API.CONSUMER.NAMES."+name)
	if err := stream.DeleteConsumer(ctx, "reader"); err != nil {
		t.Errorf("delete the consumer of %s: %v", name, err)
	}
	if len(c.problems) > 0 {
		t.Errorf("reading %s: %v", name, <-c.problems)
	}
}

// sees proves that JetStream answers, and not with an error.
func (c *client) sees(t *testing.T, subjects ...string) {
	t.Helper()
	for _, subject := range subjects {
		answer, err := c.conn.Request(subject, nil, 10*time.Second)
		if err != nil || failed(answer.Data) {
			t.Errorf("%s: %v", subject, err)
		}
	}
}

// cannotRead proves that every way to a stream is refused, but for what is allowed: INFO of the stream, LIST of its consumers.
func (c *client) cannotRead(t *testing.T, stream, subject string, allowed ...string) {
	t.Helper()
	pull := fmt.Sprintf(`{"stream_name":%q,"config":{"name":"spy","ack_policy":"none"}}`, stream)
	push := fmt.Sprintf(`{"stream_name":%q,"config":{"name":"spy","ack_policy":"none","deliver_subject":%q}}`, stream, c.conn.NewInbox())
	durable := fmt.Sprintf(`{"stream_name":%q,"config":{"durable_name":"spy","ack_policy":"explicit"}}`, stream)
	for _, attempt := range [][2]string{
		{"$JS.API.STREAM.MSG.GET." + stream, `{"seq":1}`},
		{"$JS.API.STREAM.MSG.GET." + stream, fmt.Sprintf(`{"last_by_subj":%q}`, subject)},
		{"$JS.API.DIRECT.GET." + stream, `{"seq":1}`},
		{"$JS.API.DIRECT.GET." + stream, `{"batch":100,"multi_last":[">"]}`},
		{"$JS.API.DIRECT.GET." + stream + "." + subject, ""},
		{"$JS.API.CONSUMER.CREATE." + stream, pull},
		{"$JS.API.CONSUMER.CREATE." + stream + ".spy", pull},
		{"$JS.API.CONSUMER.CREATE." + stream + ".spy." + subject, pull},
		{"$JS.API.CONSUMER.CREATE." + stream + ".spy", push},
		{"$JS.API.CONSUMER.DURABLE.CREATE." + stream + ".spy", durable},
		{"$JS.API.CONSUMER.MSG.NEXT." + stream + ".spy", "1"},
		{"$JS.API.CONSUMER.INFO." + stream + ".spy", ""},
		{"$JS.API.CONSUMER.NAMES." + stream, ""},
		{"$JS.API.STREAM.SNAPSHOT." + stream, fmt.Sprintf(`{"deliver_subject":%q}`, c.conn.NewInbox())},
	} {
		c.refused(t, attempt[0], attempt[1])
	}
	if len(allowed) == 0 {
		c.refused(t, "$JS.API.STREAM.INFO."+stream, `{"subjects_filter":">"}`)
		c.refused(t, "$JS.API.CONSUMER.LIST."+stream, "")
		c.refused(t, "$JS.API.STREAM.LIST", "")
		c.refused(t, "$JS.API.STREAM.NAMES", "")
	}
}

// cannotSmuggle proves that what is allowed for the stream own gives nothing of another stream, whatever is asked for.
func (c *client) cannotSmuggle(t *testing.T, own, other, subject string) {
	t.Helper()
	for _, attempt := range [][2]string{
		{"$JS.API.CONSUMER.CREATE." + own + ".spy", fmt.Sprintf(`{"stream_name":%q,"config":{"name":"spy","ack_policy":"none"}}`, other)},
		{"$JS.API.CONSUMER.CREATE." + own, fmt.Sprintf(`{"stream_name":%q,"config":{"ack_policy":"none"}}`, other)},
		{"$JS.API.CONSUMER.DURABLE.CREATE." + own + ".spy", fmt.Sprintf(`{"stream_name":%q,"config":{"durable_name":"spy","ack_policy":"explicit"}}`, other)},
		{"$JS.API.STREAM.MSG.GET." + own, fmt.Sprintf(`{"last_by_subj":%q}`, subject)},
		{"$JS.API.CONSUMER.MSG.NEXT." + own + "." + other, "1"},
	} {
		answer, err := c.conn.Request(attempt[0], []byte(attempt[1]), 2*time.Second)
		if err == nil && !failed(answer.Data) && answer.Header.Get("Status") == "" {
			t.Errorf("%s %s is answered %s", attempt[0], attempt[1], answer.Data)
		}
	}
	answer, err := c.conn.Request("$JS.API.DIRECT.GET."+own+"."+subject, nil, 10*time.Second)
	if err != nil || answer.Header.Get("Status") != "404" {
		t.Errorf("the last message of %s in %s: %v, %v", subject, own, answer, err)
	}
	// A filter for subjects of another stream: there is a consumer, and nothing for it.
	request := fmt.Sprintf(`{"stream_name":%q,"config":{"name":"spy","ack_policy":"none","filter_subject":%q}}`, own, subject)
	if _, err := c.conn.Request("$JS.API.CONSUMER.CREATE."+own+".spy."+subject, []byte(request), 10*time.Second); err != nil {
		t.Error(err)
	}
	answer, err = c.conn.Request("$JS.API.CONSUMER.MSG.NEXT."+own+".spy", []byte(`{"batch":1,"no_wait":true}`), 10*time.Second)
	if err == nil && answer.Header.Get("Status") == "" {
		t.Errorf("a consumer of %s that asks for %s gets %s", own, subject, answer.Data)
	}
	if len(c.problems) > 0 {
		t.Errorf("smuggling was refused before JetStream saw it: %v", <-c.problems)
	}
}

// cannotChange proves that streams are neither made, changed nor written to.
func (c *client) cannotChange(t *testing.T, streams ...string) {
	t.Helper()
	for _, stream := range streams {
		for verb, request := range map[string]string{
			"UPDATE": fmt.Sprintf(`{"name":%q,"subjects":["mews.>"]}`, stream), "DELETE": "", "PURGE": "", "MSG.DELETE": `{"seq":1}`, "RESTORE": "{}",
			"PEER.REMOVE": `{"peer":"node1"}`, "LEADER.STEPDOWN": "",
		} {
			c.refused(t, "$JS.API.STREAM."+verb+"."+stream, request)
		}
		c.refused(t, "$JS.API.STREAM.CREATE.COPY", fmt.Sprintf(`{"name":"COPY","sources":[{"name":%q}]}`, stream))
		c.refused(t, "$JS.API.STREAM.CREATE.COPY", fmt.Sprintf(`{"name":"COPY","mirror":{"name":%q}}`, stream))
	}
	for _, subject := range []string{"mews.events.ServiceOrderUpdated.e1.r1", "mews.integrations.IntegrationCreated.i1", "mews.quarantine.unknown-kind", "other"} {
		c.refused(t, subject, "forged")
	}
}

// refused proves that the server lets nothing through to subject.
func (c *client) refused(t *testing.T, subject, request string) {
	t.Helper()
	reply := c.conn.NewInbox()
	answers, err := c.conn.SubscribeSync(reply)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answers.Unsubscribe() }()
	if err := c.conn.PublishRequest(subject, reply, []byte(request)); err != nil {
		t.Fatal(err)
	}
	c.violation(t, "publish to "+subject, `permissions violation for publish to "`+subject+`"`)
	if n, _, err := answers.Pending(); err != nil || n > 0 {
		t.Errorf("%s is answered", subject)
	}
}

// cannotSubscribe proves that the server does not take a subscription.
func (c *client) cannotSubscribe(t *testing.T, subjects ...string) {
	t.Helper()
	for _, subject := range subjects {
		if _, err := c.conn.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		c.violation(t, "subscribe to "+subject, `permissions violation for subscription to "`+subject+`"`)
	}
}

// violation waits until the server has reported what it refuses. It answers in order: when it has answered the flush, it has reported.
func (c *client) violation(t *testing.T, what, want string) {
	t.Helper()
	if err := c.conn.FlushTimeout(10 * time.Second); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	select {
	case problem := <-c.problems:
		if !strings.Contains(strings.ToLower(problem.Error()), strings.ToLower(want)) {
			t.Errorf("%s: %v", what, problem)
		}
	case <-time.After(5 * time.Second):
		t.Errorf("%s is allowed", what)
	}
}

// failed reports whether JetStream has answered with an error.
func failed(answer []byte) bool {
	var a struct {
		Error *struct{ Code int } `json:"error"`
	}
	return json.Unmarshal(answer, &a) != nil || a.Error != nil
}
