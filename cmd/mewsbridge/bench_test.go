package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"mewsbridge/bridge"
	"mewsbridge/cmd/mewsbridge/internal/simulator"
	"mewsbridge/publisher"
	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

// BenchmarkIngest measures webhooks over real HTTP on loopback into a real server in the same process, so that only the ratios
// within one run say something. Each cell is measured for the bridge and for two handlers of a few lines, event by event and
// pipelined; raw/s is what JetStream alone stores of messages of the same size, in atomic batches of 1000 by four publishers.
func BenchmarkIngest(b *testing.B) {
	for _, nats := range benchServerKinds() {
		b.Run(nats.name, func(b *testing.B) {
			var raw float64
			for _, cell := range benchCells() {
				for _, handler := range []string{"bridge", "plain", "pipelined", "echo"} {
					name := fmt.Sprintf("events=%d/conns=%d/%s", cell.events, cell.conns, handler)
					b.Run(name, func(b *testing.B) {
						servers := nats.start(b)
						if raw == 0 {
							raw = rawRate(b, servers, nats.replicas)
						}
						h := benchHandler(b, handler, servers[0], nats.replicas)
						rate := drive(b, h, cell.events, cell.conns)
						b.ReportMetric(rate/raw, "of-raw")
					})
				}
			}
		})
	}
}

// benchServerKind is how NATS runs.
type benchServerKind struct {
	name     string
	replicas int
	options  []natstest.Option
}

func benchServerKinds() []benchServerKind {
	return []benchServerKind{
		{"always", 1, []natstest.Option{natstest.SyncAlways}},
		{"lazy", 1, nil},
		{"replicas3", 3, nil},
		{"replicas3always", 3, []natstest.Option{natstest.SyncAlways}},
	}
}

// start starts one server, or as many as there are replicas.
func (k benchServerKind) start(b *testing.B) []*natstest.Server {
	b.Helper()
	if k.replicas == 1 {
		return []*natstest.Server{natstest.Start(b, k.options...)}
	}
	return natstest.Cluster(b, k.replicas, k.options...)
}

type benchCell struct{ events, conns int }

// benchCells are every number of events with every number of connections, and two in between for which there are figures elsewhere.
func benchCells() []benchCell {
	var cells []benchCell
	for _, events := range []int{1, 10, 100, 500} {
		for _, conns := range []int{1, 16, 128, 512} {
			cells = append(cells, benchCell{events, conns})
		}
	}
	return append(cells, benchCell{10, 64}, benchCell{100, 32})
}

const (
	benchPath    = "/webhooks/mews"
	benchToken   = "a-token-of-32-characters-0123456"
	benchMaxBody = 4 << 20
)

// benchHandler returns the handler to measure, ready to store. Those that are compared are to connect to the same server, from which the leader is
// as far for each.
func benchHandler(b *testing.B, name string, server *natstest.Server, replicas int) http.Handler {
	b.Helper()
	p, err := publisher.New(publisher.Config{
		URLs: natstest.URLs(server), Prefix: "mews", Replicas: replicas, Manage: true, MaxAge: 720 * time.Hour, DuplicateWindow: time.Hour,
	}, zap.NewNop())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			b.Error(err)
		}
	})
	if err := p.Start(context.Background()); err != nil {
		b.Fatal(err)
	}
	natstest.Eventually(b, "the publisher to be ready", func() bool { return p.Ready(context.Background()) == nil })
	switch name {
	case "bridge", "echo":
		tokens, err := bridge.NewTokenSet(bridge.NewToken("mews", benchToken))
		if err != nil {
			b.Fatal(err)
		}
		cfg := bridge.Config{
			Endpoints: []bridge.Endpoint{{Name: "mews", Path: benchPath, Prefix: "mews", Tokens: tokens, Publisher: p}},
			MaxBody:   func() int64 { return benchMaxBody }, AckDeadline: 4 * time.Second, RetryWindow: 30 * time.Minute,
			Ready: p.Ready, Log: zap.NewNop(),
		}
		if name == "echo" {
			cfg.Endpoints[0].Publisher = storesNothing{}
		}
		br, err := bridge.New(cfg)
		if err != nil {
			b.Fatal(err)
		}
		return br.Handler()
	default:
		return plainHandler(b, natstest.JetStream(b, server).Conn(), name == "pipelined")
	}
}

// storesNothing answers at once: what remains is the cost of HTTP, reading, splitting and building.
type storesNothing struct{}

func (storesNothing) Publish(context.Context, []schema.Message) error { return nil }
func (storesNothing) Admit(context.Context) error                     { return nil }

// plainHandler is what one writes by hand: check the token, decode within bounds, publish each event, wait for the acknowledgements.
func plainHandler(b *testing.B, conn *nats.Conn, pipelined bool) http.Handler {
	b.Helper()
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(256_000)) // else it refuses webhooks of 500 events
	if err != nil {
		b.Fatal(err)
	}
	type message struct {
		EnterpriseID  string `json:"EnterpriseId"`
		IntegrationID string `json:"IntegrationId"`
	}
	type event struct {
		message
		Discriminator string
		Value         struct {
			ID string `json:"Id"`
		}
	}
	type general struct {
		message
		Events []event
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.URL.Query().Get("Token")), []byte(benchToken)) == 0 {
			http.Error(w, "not allowed", http.StatusUnauthorized)
			return
		}
		var g general
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, benchMaxBody)).Decode(&g); err != nil {
			http.Error(w, "not JSON", http.StatusBadRequest)
			return
		}
		delivery := rand.Text()
		var futures []jetstream.PubAckFuture
		for i, e := range g.Events {
			e.message = g.message
			data, err := json.Marshal(map[string]any{
				"specversion": "1.0", "id": delivery + "-" + strconv.Itoa(i), "source": "/mews/enterprises/" + g.EnterpriseID + "/integrations/" + g.IntegrationID, "type": "com.mews." + e.Discriminator,
				"subject": e.Value.ID, "time": time.Now(), "datacontenttype": "application/json", "data": e,
			})
			if err != nil {
				b.Error(err)
			}
			m := nats.NewMsg("mews.events." + e.Discriminator + "." + g.EnterpriseID + "." + e.Value.ID)
			m.Data = data
			m.Header.Set("Nats-Msg-Id", delivery+"-"+strconv.Itoa(i))
			m.Header.Set("Content-Type", "application/cloudevents+json")
			if !pipelined {
				if _, err := js.PublishMsg(r.Context(), m); err != nil {
					http.Error(w, "not stored", http.StatusServiceUnavailable)
					return
				}
				continue
			}
			future, err := js.PublishMsgAsync(m)
			if err != nil {
				http.Error(w, "not stored", http.StatusServiceUnavailable)
				return
			}
			futures = append(futures, future)
		}
		for _, f := range futures {
			select {
			case <-f.Ok():
			case <-f.Err():
				http.Error(w, "not stored", http.StatusServiceUnavailable)
				return
			}
		}
		w.WriteHeader(http.StatusAccepted)
	})
}

// drive sends b.N webhooks over conns connections and reports; it returns events per second.
func drive(b *testing.B, h http.Handler, events, conns int) float64 {
	b.Helper()
	s := httptest.NewServer(h)
	defer s.Close()
	requests := benchRequests(events)
	address := s.Listener.Addr().String()
	var next, refused atomic.Int64
	latencies := make([][]time.Duration, conns)
	var senders sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuTime(b)
	for i := range conns {
		senders.Go(func() { latencies[i] = sendAll(b, address, requests, &next, &refused) })
	}
	senders.Wait()
	elapsed := b.Elapsed().Seconds()
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-cpu).Microseconds())/float64(b.N), "cpu-µs/op")
	all := slices.Concat(latencies...)
	slices.Sort(all)
	rate := float64(b.N*events) / elapsed
	b.ReportMetric(rate, "events/s")
	b.ReportMetric(float64(b.N)/elapsed, "webhooks/s")
	b.ReportMetric(float64(refused.Load())/float64(b.N), "refused/op")
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
	return rate
}

// benchRequests returns whole requests for webhooks of so many events.
func benchRequests(events int) [][]byte {
	g := simulator.Generator{Seed: 1, Events: events}
	requests := make([][]byte, 64)
	for i := range requests {
		body := g.Body(i)
		requests[i] = append(fmt.Appendf(nil, "POST %s?Token=%s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n", benchPath, benchToken, len(body)), body...)
	}
	return requests
}

// sendSolo sends b.N webhooks of one event over one connection.
func sendSolo(b *testing.B, s *httptest.Server) []time.Duration {
	var next, refused atomic.Int64
	return sendAll(b, s.Listener.Addr().String(), benchRequests(1), &next, &refused)
}

// benchMessage returns the data of a message as the bridge makes it of one event, and its subject without the last token.
func benchMessage(b *testing.B, prefix string) (data []byte, subjects string) {
	b.Helper()
	g := simulator.Generator{Seed: 1, Events: 1}
	w, err := schema.Parse(g.Body(0))
	if err != nil {
		b.Fatal(err)
	}
	m := w.Messages(schema.Receipt{Delivery: schema.DeliveryID(rand.Text()), Received: time.Now(), Prefix: prefix})[0]
	return m.Data, m.Subject[:strings.LastIndex(m.Subject, ".")]
}

// benchRetry is how long a sender that was refused waits.
const benchRetry = 500 * time.Millisecond

// sendAll sends webhooks over one connection until b.N have been sent by all, and returns how long each answer 202 took. One that is
// refused, because more is sent at a time than can be stored by the deadline, is counted and sent again. It speaks just enough
// HTTP: a whole client would take the cores that are to be measured.
func sendAll(b *testing.B, address string, requests [][]byte, next, refused *atomic.Int64) []time.Duration {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Error(err)
		return nil
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	var latencies []time.Duration
	for n := next.Add(1); n <= int64(b.N); {
		start := time.Now()
		if _, err := conn.Write(requests[n%int64(len(requests))]); err != nil {
			b.Error(err)
			return latencies
		}
		switch status, err := readAnswer(r); {
		case err == nil && status == "202":
			latencies = append(latencies, time.Since(start))
			n = next.Add(1)
		case err == nil && status == "503":
			refused.Add(1)
			time.Sleep(benchRetry) // the pace, not a wait for something
		default:
			b.Errorf("answer %s: %v", status, err)
			return latencies
		}
	}
	return latencies
}

// readAnswer reads one answer to its end and returns its status.
func readAnswer(r *bufio.Reader) (status string, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	if len(line) < len("HTTP/1.1 202") {
		return "", io.ErrUnexpectedEOF
	}
	status = string(line[len("HTTP/1.1 "):len("HTTP/1.1 202")])
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return status, err
		}
		if len(line) <= 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	_, err = r.Discard(length)
	return status, err
}

// rawRate is what JetStream alone stores: atomic batches of 1000 messages of the size of ours, four publishers, for 2 s.
func rawRate(b *testing.B, servers []*natstest.Server, replicas int) float64 {
	b.Helper()
	js := natstest.JetStream(b, servers...)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "RAW", Subjects: []string{"raw.>"}, Replicas: replicas, AllowAtomicPublish: true, AllowDirect: true, Duplicates: time.Hour}); err != nil {
		b.Fatal(err)
	}
	_, subjects := benchMessage(b, "raw")
	rate := rawRateOn(b, servers[0], subjects)
	if err := js.DeleteStream(ctx, "RAW"); err != nil {
		b.Fatal(err)
	}
	return rate
}

// rawRateOn is rawRate on a stream that is there, on subjects below prefix.
func rawRateOn(b *testing.B, server *natstest.Server, prefix string) float64 {
	b.Helper()
	start := time.Now()
	end := start.Add(2 * time.Second)
	stored := rawBatches(b, server, prefix, rand.Text(), func(int) bool { return time.Now().Before(end) })
	return float64(stored) / time.Since(start).Seconds()
}

// rawBatches stores batches by four publishers, each on a connection of its own, while more says so of the number of the next one, and returns
// how many messages they are.
func rawBatches(b *testing.B, server *natstest.Server, prefix, run string, more func(batch int) bool) int64 {
	b.Helper()
	data, _ := benchMessage(b, "mews")
	var next, stored atomic.Int64
	var publishers sync.WaitGroup
	for range 4 {
		conn, err := nats.Connect(server.ClientURL())
		if err != nil {
			b.Fatal(err)
		}
		publishers.Go(func() {
			defer conn.Close()
			for n := int(next.Add(1)) - 1; more(n); n = int(next.Add(1)) - 1 {
				if err := rawBatch(conn, prefix, run+strconv.Itoa(n), data); err != nil {
					b.Error(err)
					return
				}
				stored.Add(1000)
			}
		})
	}
	publishers.Wait()
	return stored.Load()
}

// rawBatch stores 1000 messages as one atomic batch, each on a subject of its own below prefix.
func rawBatch(conn *nats.Conn, prefix, id string, data []byte) error {
	m := nats.NewMsg("")
	m.Data = data
	m.Header.Set("Content-Type", "application/cloudevents+json")
	m.Header.Set("Nats-Batch-Id", id)
	for i := 1; i <= 1000; i++ {
		m.Subject = prefix + "." + id + "-" + strconv.Itoa(i)
		m.Header["Nats-Msg-Id"] = []string{id + "-" + strconv.Itoa(i)}
		m.Header["Nats-Batch-Sequence"] = []string{strconv.Itoa(i)}
		if i == 1000 {
			break
		}
		if err := conn.PublishMsg(m); err != nil {
			return err
		}
	}
	m.Header.Set("Nats-Batch-Commit", "1")
	answer, err := conn.RequestMsg(m, 10*time.Second)
	if err != nil {
		return err
	}
	if bytes.Contains(answer.Data, []byte(`"error"`)) {
		return fmt.Errorf("raw batch: %s", answer.Data)
	}
	return nil
}
