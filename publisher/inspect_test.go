package publisher_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

func inspectConfig(servers ...*natstest.Server) publisher.Config {
	return publisher.Config{
		URLs: natstest.URLs(servers...), Prefix: "mews", Replicas: 1, Manage: true, MaxAge: 24 * time.Hour, DuplicateWindow: time.Hour,
	}
}

func inspect(t *testing.T, cfg publisher.Config) *publisher.Inspection {
	t.Helper()
	found, err := publisher.Inspect(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestInspectChangesNothing looks at a server without streams, and at one with streams and a message.
func TestInspectChangesNothing(t *testing.T) {
	s := natstest.Start(t)
	js := natstest.JetStream(t, s)
	found := inspect(t, inspectConfig(s))
	want := []publisher.InspectedStream{
		{Name: "MEWS_EVENTS", Subject: "mews.events.>"}, {Name: "MEWS_INTEGRATIONS", Subject: "mews.integrations.>"}, {Name: "MEWS_QUARANTINE", Subject: "mews.quarantine.>"},
	}
	if diff := cmp.Diff(want, found.Streams); diff != "" || found.JetStream != nil || len(found.Denied)+len(found.Silent) != 0 {
		t.Errorf("without streams: %+v\n%s", found, diff)
	}
	if found.Server.Name != s.Name() || found.Server.Version != server.VERSION || found.Server.MaxPayload != 8<<20 || !found.Server.Batches || found.Server.Cluster != "" {
		t.Errorf("the server is %+v", found.Server)
	}
	names := js.StreamNames(context.Background())
	for name := range names.Name() {
		t.Errorf("there is a stream %s now", name)
	}

	for _, config := range []jetstream.StreamConfig{
		{Name: "MEWS_EVENTS", Subjects: []string{"mews.events.>"}, MaxAge: time.Hour, Duplicates: time.Hour, Storage: jetstream.MemoryStorage, MaxBytes: 1 << 20},
		{Name: "OTHER", Subjects: []string{"mews.integrations.>"}},
	} {
		if _, err := js.CreateStream(context.Background(), config); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.Publish(context.Background(), "mews.events.New.hotel.r1", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	found = inspect(t, inspectConfig(s))
	want[0] = publisher.InspectedStream{
		Name: "MEWS_EVENTS", Subject: "mews.events.>", Found: true, Replicas: 1, Current: 1, Messages: 1, Bytes: found.Streams[0].Bytes, MaxBytes: 1 << 20,
		Differences: []string{"storage is Memory and should be File", "max_age is 1h0m0s and should be 24h0m0s", "allow_atomic is false and should be true"},
		Fixed:       []string{"storage is Memory and should be File"},
	}
	want[1].Taken = true
	if diff := cmp.Diff(want, found.Streams); diff != "" {
		t.Errorf("streams (-want +got):\n%s", diff)
	}
	for name, messages := range map[string]uint64{"MEWS_EVENTS": 1, "OTHER": 0} {
		stream, err := js.Stream(context.Background(), name)
		if err != nil {
			t.Fatal(err)
		}
		if n := stream.CachedInfo().State.Msgs; n != messages {
			t.Errorf("%s has %d messages, want %d", name, n, messages)
		}
	}
}

// TestInspectNamesWhatIsDenied takes one permission after another from a user that has all.
func TestInspectNamesWhatIsDenied(t *testing.T) {
	everything := []string{"mews.events.>", "mews.integrations.>", "mews.quarantine.>", "$JS.API.INFO"}
	for _, kind := range schema.Kinds() {
		for _, api := range []string{"STREAM.INFO.", "STREAM.CREATE.", "STREAM.UPDATE.", "CONSUMER.LIST."} {
			everything = append(everything, "$JS.API."+api+kind.Stream("mews"))
		}
	}
	without := func(denied string) *server.Permissions {
		allowed := []string{}
		for _, subject := range everything {
			if subject != denied {
				allowed = append(allowed, subject)
			}
		}
		return &server.Permissions{Publish: &server.SubjectPermission{Allow: allowed}, Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}}}
	}
	var users []*server.User
	for i, subject := range append([]string{"none"}, everything...) {
		users = append(users, &server.User{Username: "u" + string(rune('a'+i)), Password: "p", Permissions: without(subject)})
	}
	deaf := &server.User{Username: "deaf", Password: "p", Permissions: &server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{">"}}}}
	s := natstest.Start(t, func(o *server.Options) { o.Users = append(users, deaf) })
	look := func(user string) *publisher.Inspection {
		cfg := inspectConfig(s)
		cfg.Username, cfg.Password = user, "p"
		return inspect(t, cfg)
	}
	if found := look("ua"); len(found.Denied)+len(found.Silent) != 0 {
		t.Errorf("with every permission: denied %v, silent %v", found.Denied, found.Silent)
	}
	for i, subject := range everything {
		want := []publisher.Denied{{What: "publish to " + subject, Optional: subject == "$JS.API.INFO" || strings.HasPrefix(subject, "$JS.API.CONSUMER.")}}
		if found := look(users[i+1].Username); !cmp.Equal(found.Denied, want) || len(found.Silent) != 0 {
			t.Errorf("without %s: denied %v, silent %v", subject, found.Denied, found.Silent)
		}
	}
	cfg := inspectConfig(s)
	cfg.Username, cfg.Password, cfg.InboxPrefix = "deaf", "p", "_INBOX_own"
	if found := inspect(t, cfg); !cmp.Equal(found.Denied, []publisher.Denied{{What: "subscribe to _INBOX_own.>"}}) || len(found.Silent) != 0 {
		t.Errorf("without an inbox of its own: denied %v, silent %v", found.Denied, found.Silent)
	}
	if found := look("deaf"); !cmp.Equal(found.Denied, []publisher.Denied{{What: "subscribe to _INBOX.>"}}) || len(found.Silent) != 0 {
		t.Errorf("without its inbox: denied %v, silent %v", found.Denied, found.Silent)
	}
}

func TestInspectWithoutJetStreamOrNATS(t *testing.T) {
	s := natstest.Start(t, func(o *server.Options) { o.JetStream = false })
	if found := inspect(t, inspectConfig(s)); !errors.Is(found.JetStream, jetstream.ErrJetStreamNotEnabled) {
		t.Errorf("without JetStream: %+v", found)
	}
	natstest.Stop(s)
	cfg := inspectConfig(s)
	cfg.URLs = []string{strings.Replace(s.ClientURL(), "nats://", "nats://user:a-secret-password@", 1)}
	if _, err := publisher.Inspect(context.Background(), cfg); !errors.Is(err, schema.ErrUnavailable) || strings.Contains(err.Error(), "a-secret") {
		t.Errorf("without a server: %v", err)
	}
}

func TestInspectCluster(t *testing.T) {
	servers := natstest.Cluster(t, 3)
	cfg := inspectConfig(servers...)
	cfg.Replicas, cfg.SharedLedger = 3, true
	js := natstest.JetStream(t, servers...)
	if _, err := js.CreateStream(context.Background(), jetstream.StreamConfig{Name: "MEWS_EVENTS", Subjects: []string{"mews.events.>"}, Replicas: 3, MaxAge: 24 * time.Hour, Duplicates: time.Hour, AllowAtomicPublish: true}); err != nil {
		t.Fatal(err)
	}
	var found *publisher.Inspection
	natstest.Eventually(t, "three replicas", func() bool { found = inspect(t, cfg); return found.Streams[0].Current == 3 })
	if len(found.Denied)+len(found.Silent)+len(found.Streams[0].Differences) != 0 || found.Server.Cluster != "test" || !found.Streams[0].AtomicPublish {
		t.Errorf("the cluster is %+v", found)
	}
}

// TestInspectSharedLedger takes from a user everything that the ledger needs, and then nothing; neither changes the bucket.
func TestInspectSharedLedger(t *testing.T) {
	s := natstest.Start(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "admin", Password: "p"}, {Username: "without", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"$KV.>", "$JS.FC.>", "$JS.API.*.*.KV_MEWS_LEDGER", "$JS.API.*.*.KV_MEWS_LEDGER.>"}},
		}}}
		o.NoAuthUser = "admin"
	})
	cfg := inspectConfig(s)
	cfg.SharedLedger, cfg.Username, cfg.Password = true, "admin", "p"
	if found := inspect(t, cfg); len(found.Denied)+len(found.Silent) != 0 {
		t.Errorf("without the bucket: denied %v, silent %v", found.Denied, found.Silent)
	}
	p := mustStart(t, cfg)
	waitReady(t, p)
	if _, err := p.Ledger(time.Hour).Create(context.Background(), "k", nil); err != nil {
		t.Fatal(err)
	}
	if found := inspect(t, cfg); len(found.Denied)+len(found.Silent) != 0 {
		t.Errorf("with every permission: denied %v, silent %v", found.Denied, found.Silent)
	}
	cfg.Username = "without"
	var want []publisher.Denied
	for _, subject := range []string{
		"$JS.API.CONSUMER.CREATE.KV_MEWS_LEDGER.>", "$JS.API.CONSUMER.DELETE.KV_MEWS_LEDGER.>", "$JS.API.DIRECT.GET.KV_MEWS_LEDGER.>", "$JS.API.STREAM.CREATE.KV_MEWS_LEDGER",
		"$JS.API.STREAM.INFO.KV_MEWS_LEDGER", "$JS.API.STREAM.UPDATE.KV_MEWS_LEDGER", "$JS.FC.KV_MEWS_LEDGER.>", "$KV.MEWS_LEDGER.>",
	} {
		want = append(want, publisher.Denied{What: "publish to " + subject, Optional: true})
	}
	found := inspect(t, cfg)
	slices.SortFunc(found.Denied, func(a, b publisher.Denied) int { return strings.Compare(a.What, b.What) })
	if diff := cmp.Diff(want, found.Denied); diff != "" || len(found.Silent) != 0 {
		t.Errorf("without any: silent %v, denied (-want +got):\n%s", found.Silent, diff)
	}
	info := mustStream(t, natstest.JetStream(t, s), "KV_MEWS_LEDGER").CachedInfo()
	if info.State.Msgs != 1 || info.State.LastSeq != 1 || info.State.Consumers != 0 {
		t.Errorf("the bucket is %+v now", info.State)
	}
}
