package publisher_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
)

func TestMetricsOfStreamsAndCommits(t *testing.T) {
	s := natstest.Start(t)
	registry := prometheus.NewRegistry()
	cfg := testConfig(s.ClientURL())
	cfg.Metrics, cfg.StorageLimit = registry, func() int64 { return 1 << 30 }
	p := mustStart(t, cfg)
	waitReady(t, p)
	demo := cfg
	demo.Prefix, demo.Latest = "demo", true // two environments in one process
	waitReady(t, mustStart(t, demo))
	if err := publish(t, p, webhook("d", 5)); err != nil {
		t.Fatal(err)
	}
	js := natstest.JetStream(t, s)
	stream := mustStream(t, js, "MEWS_EVENTS")
	for i := range publisher.MaxConsumerSeries + 5 {
		consumer, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: fmt.Sprintf("c%d", i), AckPolicy: jetstream.AckExplicitPolicy})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if _, err := consumer.Fetch(2); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Name: "a-consumer-of-one-run", AckPolicy: jetstream.AckNonePolicy}); err != nil {
		t.Fatal(err)
	}
	all := float64(publisher.MaxConsumerSeries + 6)
	var got map[string]float64
	natstest.Eventually(t, "fresh figures of the streams", func() bool {
		got = natstest.Series(t, registry)
		return got[`mewsbridge_stream_consumers{prefix="mews",stream="MEWS_EVENTS"}`] == all &&
			got[`mewsbridge_consumer_ack_pending_messages{consumer="c0",prefix="mews",stream="MEWS_EVENTS"}`] == 2
	})
	for name, want := range map[string]float64{
		`mewsbridge_nats_connected{prefix="mews"}`:                                               1,
		`mewsbridge_nats_connected{prefix="demo"}`:                                               1,
		`mewsbridge_streams_ready{prefix="mews"}`:                                                1,
		`mewsbridge_nats_reconnects_total{prefix="mews"}`:                                        0,
		`mewsbridge_stream_messages{prefix="mews",stream="MEWS_EVENTS"}`:                         5,
		`mewsbridge_stream_messages{prefix="demo",stream="DEMO_LATEST"}`:                         0,
		`mewsbridge_stream_messages{prefix="demo",stream="DEMO_EVENTS"}`:                         0,
		`mewsbridge_stream_limit_used_ratio{limit="bytes",prefix="mews",stream="MEWS_EVENTS"}`:   0,
		`mewsbridge_consumer_pending_messages{consumer="c0",prefix="mews",stream="MEWS_EVENTS"}`: 3,
		`mewsbridge_consumer_pending_messages{consumer="c1",prefix="mews",stream="MEWS_EVENTS"}`: 5,
		`mewsbridge_jetstream_storage_limit_bytes{prefix="mews"}`:                                1 << 30,
		`mewsbridge_publish_duration_seconds{stream="MEWS_EVENTS"}`:                              1,
		`mewsbridge_queue_duration_seconds{stream="MEWS_EVENTS"}`:                                1,
		`mewsbridge_queue_events{stream="MEWS_EVENTS"}`:                                          0,
		`mewsbridge_events_in_flight{stream="MEWS_EVENTS"}`:                                      0,
		`mewsbridge_publishes_shed_total{stream="MEWS_EVENTS"}`:                                  0,
		`mewsbridge_commit_failures_total{cause="refused",stream="MEWS_QUARANTINE"}`:             0,
		`mewsbridge_commit_failures_total{cause="duplicate",stream="MEWS_EVENTS"}`:               0,
	} {
		if value, there := got[name]; !there || value != want {
			t.Errorf("%s is %v (there: %v), want %v", name, value, there, want)
		}
	}
	commits := got[`mewsbridge_commit_events{mode="batch",stream="MEWS_EVENTS"}`] + got[`mewsbridge_commit_events{mode="plain",stream="MEWS_EVENTS"}`]
	if commits != 1 {
		t.Errorf("%v commits, want 1", commits)
	}
	own := 0
	for name := range got {
		if strings.Contains(name, "a-consumer-of-one-run") {
			t.Errorf("a consumer that is not durable has a series: %s", name)
		}
		if strings.HasPrefix(name, "mewsbridge_consumer_pending_messages") {
			own++
		}
	}
	if own != publisher.MaxConsumerSeries {
		t.Errorf("%d consumers have a series, want %d", own, publisher.MaxConsumerSeries)
	}
	// The same delivery again: a batch is refused for its known ids, and each message acknowledged as a duplicate.
	if err := publish(t, p, webhook("d", 5)); err != nil {
		t.Fatal(err)
	}
	if n := natstest.Series(t, registry)[`mewsbridge_publish_duration_seconds{stream="MEWS_EVENTS"}`]; n != 2 {
		t.Errorf("%v publishes, want 2", n)
	}
}

// TestMetricsWithoutNATS holds that a scrape is answered when NATS is gone, and that old figures do not stay for ever.
func TestMetricsWithoutNATS(t *testing.T) {
	s := natstest.Start(t)
	registry := prometheus.NewRegistry()
	cfg := testConfig(s.ClientURL())
	cfg.Metrics = registry
	waitReady(t, mustStart(t, cfg))
	natstest.Eventually(t, "figures", func() bool {
		_, there := natstest.Series(t, registry)[`mewsbridge_stream_messages{prefix="mews",stream="MEWS_EVENTS"}`]
		return there
	})
	natstest.Stop(s)
	natstest.Eventually(t, "the lost connection", func() bool { return natstest.Series(t, registry)[`mewsbridge_nats_connected{prefix="mews"}`] == 0 })
	got := natstest.Series(t, registry)
	if got[`mewsbridge_streams_ready{prefix="mews"}`] != 0 || got[`mewsbridge_streams_read_timestamp_seconds{prefix="mews"}`] == 0 {
		t.Errorf("without NATS: %v", got)
	}
	natstest.Restart(t, s)
	natstest.Eventually(t, "the reconnect", func() bool {
		got := natstest.Series(t, registry)
		return got[`mewsbridge_nats_connected{prefix="mews"}`] == 1 && got[`mewsbridge_nats_reconnects_total{prefix="mews"}`] == 1
	})
}

func TestMetricsAreRegisteredOnce(t *testing.T) {
	s := natstest.Start(t)
	cfg := testConfig(s.ClientURL())
	cfg.Metrics = prometheus.NewRegistry()
	mustStart(t, cfg)
	if _, err := publisher.New(cfg, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "register metrics") {
		t.Errorf("a second publisher of one prefix in one registry: %v", err)
	}
}
