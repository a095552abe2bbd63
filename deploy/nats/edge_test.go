package nats_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"mewsbridge/publisher"
	"mewsbridge/publisher/embedded"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// leafNode is an embedded server that is a leaf node of a hub, with its publisher.
type leafNode struct {
	server    *embedded.Server
	publisher *publisher.Publisher
	domain    string
}

// startLeaf runs one in domain until the test ends.
func (d deployment) startLeaf(t *testing.T, domain string, leafPort int) *leafNode {
	t.Helper()
	s, err := embedded.Start(embedded.Config{
		StoreDir: t.TempDir(), Listen: "127.0.0.1:0",
		Leaf: &embedded.Leaf{
			URLs:   []string{fmt.Sprintf("tls://edge:%s@127.0.0.1:%d", passwords["MEWS_EDGE_PASSWORD"], leafPort)},
			CAFile: d.ca, Domain: domain, Prefixes: []string{"mews"},
		},
	}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown() })
	return &leafNode{server: s, domain: domain}
}

// open starts the publisher, which has the hub fetch what is stored when it is told of it.
func (l *leafNode) open(t *testing.T, hub *publisher.Hub) {
	t.Helper()
	p, err := publisher.New(publisher.Config{
		InProcess: l.server, Prefix: "mews", Replicas: 1, Manage: true, MaxAge: 24 * time.Hour, DuplicateWindow: time.Hour, Hub: hub,
	}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.close(t) })
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.publisher = p
}

// close stops the publisher; it may be called more than once.
func (l *leafNode) close(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := l.publisher.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func (l *leafNode) hub() *publisher.Hub {
	return &publisher.Hub{Domain: "hub", EdgeDomain: l.domain, Replicas: 1}
}

// store publishes the events from to to-1 and one integration.
func (l *leafNode) store(t *testing.T, from, to int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	bodies := []string{`{"Action":"IntegrationCreated","Data":{"Integration":{"Id":"i1"},"AccessToken":"secret"}}`}
	for i := from; i < to; i++ {
		bodies = append(bodies, fmt.Sprintf(`{"EnterpriseId":%q,"Events":[{"Discriminator":"ServiceOrderUpdated","Value":{"Id":"r%d"}}]}`, l.domain, i))
	}
	for i, body := range bodies {
		w, err := schema.Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		receipt := schema.Receipt{Delivery: schema.DeliveryID(fmt.Sprintf("%s-%d-%d", l.domain, from, i)), Received: time.Now(), Endpoint: "mews", Prefix: "mews"}
		if err := l.publisher.Publish(ctx, w.Messages(receipt)); err != nil {
			t.Fatal(err)
		}
	}
}

// forwarded waits until the hub says that it has everything.
func (l *leafNode) forwarded(t *testing.T) {
	t.Helper()
	natstest.Eventually(t, "the hub to fetch", func() bool {
		status, ok := l.publisher.Hub()
		total := uint64(0)
		for _, lag := range status.Lag {
			total += lag
		}
		return ok && status.Problem == nil && total == 0 && !status.Reached.IsZero()
	})
}

// TestHub has two bridges at the edge store in the streams of one hub, and proves what the edge may not do there.
func TestHub(t *testing.T) {
	leafPort := 0
	ca := setEnvironment(t)
	d := newDeployment(ca, natstest.Start(t, configuredBy(t, "hub.conf"), func(o *server.Options) { leafPort = o.LeafNode.Port }))
	operator := d.as(t, "operator", passwords["MEWS_OPERATOR_PASSWORD"], "")

	first, second := d.startLeaf(t, "edge1", leafPort), d.startLeaf(t, "edge2", leafPort)
	second.open(t, nil)
	second.store(t, 0, 50)
	second.close(t)
	first.open(t, first.hub())
	first.store(t, 0, 50)
	first.forwarded(t)
	// The hub's stream has lost its beginning, and what it has is younger than what the second edge has: that must be fetched all the same.
	hub, err := operator.js.Stream(t.Context(), "MEWS_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	if err := hub.Purge(t.Context(), jetstream.WithPurgeKeep(10)); err != nil {
		t.Fatal(err)
	}
	second.open(t, second.hub())
	second.forwarded(t)
	first.store(t, 50, 60)

	want := map[string]int{"edge1": 20, "edge2": 50}
	natstest.Eventually(t, "both in the hub's stream", func() bool {
		info, err := hub.Info(t.Context())
		return err == nil && info.State.Msgs == 70
	})
	next := map[string]int{"edge1": 40}
	for _, message := range messages(t, d.urls[0], "MEWS_EVENTS", nats.UserInfo("operator", passwords["MEWS_OPERATOR_PASSWORD"]), nats.RootCAs(ca)) {
		domain := strings.Split(message, ".")[3]
		if subject := fmt.Sprintf("mews.events.ServiceOrderUpdated.%s.r%d ", domain, next[domain]); !strings.HasPrefix(message, subject) {
			t.Errorf("%s where %s was to come", message, subject)
		}
		next[domain]++
		want[domain]--
	}
	if want["edge1"] != 0 || want["edge2"] != 0 {
		t.Errorf("missing in the hub's stream: %v", want)
	}

	t.Run("users of the hub", func(t *testing.T) {
		consumer := d.as(t, "consumer", passwords["MEWS_CONSUMER_PASSWORD"], "_INBOX_consumer")
		consumer.reads(t, "MEWS_EVENTS")
		consumer.cannotRead(t, "MEWS_INTEGRATIONS", "mews.integrations.IntegrationCreated.i1")
		consumer.refused(t, "$JS.edge1.API.STREAM.MSG.GET.MEWS_INTEGRATIONS", `{"seq":1}`)
		if err := consumer.conn.PublishRequest("$JS.hub.API.STREAM.MSG.GET.MEWS_INTEGRATIONS", consumer.conn.NewInbox(), []byte(`{"seq":1}`)); err != nil {
			t.Fatal(err)
		}
		consumer.violation(t, "the API by its domain", `permissions violation for publish to "$JS.API.STREAM.MSG.GET.MEWS_INTEGRATIONS"`)
		if conn, err := nats.Connect(d.urls[0], nats.UserInfo("edge", passwords["MEWS_EDGE_PASSWORD"]), nats.RootCAs(ca)); err == nil {
			conn.Close()
			t.Error("edge comes in as a client")
		}
	})
	t.Run("the edge reads and deletes nothing of the hub", func(t *testing.T) { edgeIsBounded(t, second, operator) })
}

// TestHubOfThree is cluster.conf with what hub.conf adds: three replicas of what was stored at the edge.
func TestHubOfThree(t *testing.T) {
	ca := setEnvironment(t)
	ports := natstest.Ports(t, 3)
	started := 0
	servers := natstest.Cluster(t, 3, configuredBy(t, "cluster.conf"), func(o *server.Options) {
		o.JetStreamDomain = "hub"
		o.LeafNode.Host, o.LeafNode.Port, o.LeafNode.TLSConfig = "127.0.0.1", ports[started], o.TLSConfig.Clone()
		started++
	})
	d := newDeployment(ca, servers...)
	edge := d.startLeaf(t, "edge1", ports[0])
	hub := edge.hub()
	hub.Replicas = 3
	edge.open(t, hub)
	edge.store(t, 0, 20)
	edge.forwarded(t)
	operator := d.as(t, "operator", passwords["MEWS_OPERATOR_PASSWORD"], "")
	for name, want := range map[string]uint64{"MEWS_EVENTS": 20, "MEWS_INTEGRATIONS": 1, "MEWS_QUARANTINE": 0} {
		stream, err := operator.js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if info := stream.CachedInfo(); info.State.Msgs != want || info.Config.Replicas != 3 || len(info.Config.Subjects) != 0 {
			t.Errorf("%s at the hub has %d messages on %d replicas, subjects %v", name, info.State.Msgs, info.Config.Replicas, info.Config.Subjects)
		}
	}
}

// edgeIsBounded tries from the edge what only the hub may, and listens there for what is the hub's.
func edgeIsBounded(t *testing.T, l *leafNode, operator *client) {
	t.Helper()
	conn, err := nats.Connect(l.server.ClientURL(), nats.CustomInboxPrefix("_INBOX_edge"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func(subject, request string) ([]byte, error) {
		answer, err := conn.Request(subject, []byte(request), time.Second)
		if err != nil {
			return nil, err
		}
		return answer.Data, nil
	}
	// The way there is open: the rest is refused for want of a permission.
	natstest.Eventually(t, "the hub to answer", func() bool {
		answer, err := ask("$JS.hub.API.STREAM.INFO.MEWS_INTEGRATIONS", "")
		return err == nil && !failed(answer)
	})
	var attempts sync.WaitGroup // together: each is over when its time is
	for _, attempt := range [][2]string{
		{"$JS.hub.API.STREAM.MSG.GET.MEWS_INTEGRATIONS", `{"seq":1}`},
		{"$JS.hub.API.DIRECT.GET.MEWS_INTEGRATIONS", `{"seq":1}`},
		{"$JS.hub.API.CONSUMER.CREATE.MEWS_INTEGRATIONS", `{"stream_name":"MEWS_INTEGRATIONS","config":{"ack_policy":"none"}}`},
		{"$JS.hub.API.STREAM.DELETE.MEWS_EVENTS", ""},
		{"$JS.hub.API.STREAM.PURGE.MEWS_EVENTS", ""},
		{"$JS.hub.API.STREAM.NAMES", ""},
		{"$JS.edge1.API.STREAM.INFO.MEWS_EVENTS", ""},
	} {
		attempts.Go(func() {
			if answer, err := ask(attempt[0], attempt[1]); err == nil {
				t.Errorf("%s is answered %s", attempt[0], answer)
			}
		})
	}
	attempts.Wait()

	overheard := make(chan *nats.Msg, 100)
	for _, subject := range []string{"mews.>", "_INBOX.>", "_INBOX_consumer.>", "other.>"} {
		if _, err := conn.ChanSubscribe(subject, overheard); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"mews.events.A.b.c", "_INBOX.x", "_INBOX_consumer.x", "other.x"} {
		if err := operator.conn.Publish(subject, []byte("the hub's")); err != nil {
			t.Fatal(err)
		}
	}
	if err := operator.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	// What the hub says goes to the edge in order: after an answer of the hub, all of the above would have come.
	if _, err := ask("$JS.hub.API.STREAM.INFO.MEWS_EVENTS", ""); err != nil {
		t.Error(err)
	}
	if len(overheard) > 0 {
		t.Errorf("the edge hears %s", (<-overheard).Subject)
	}
}
