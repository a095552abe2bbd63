package schema_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"mewsbridge/publisher"
	"mewsbridge/publisher/embedded"
	"mewsbridge/schema"
)

// exampleBridge is what the examples read from: a NATS server with the streams of the bridge.
type exampleBridge struct {
	js         jetstream.JetStream
	publisher  *publisher.Publisher
	deliveries atomic.Int64
	undo       []func()
}

// startExampleBridge panics when something fails: an example has nobody to tell.
func startExampleBridge() *exampleBridge {
	b := &exampleBridge{}
	dir := must(os.MkdirTemp("", "mewsbridge-example"))
	b.undo = append(b.undo, func() { check(os.RemoveAll(dir)) })
	server := must(embedded.Start(embedded.Config{StoreDir: dir, Listen: "127.0.0.1:0"}, zap.NewNop()))
	b.undo = append(b.undo, func() { check(server.Shutdown()) })
	b.publisher = must(publisher.New(publisher.Config{
		InProcess: server, Prefix: "mews", Replicas: 1, Manage: true, Latest: true, MaxAge: time.Hour, DuplicateWindow: time.Hour,
	}, zap.NewNop()))
	b.undo = append(b.undo, func() { check(b.publisher.Stop(context.Background())) })
	check(b.publisher.Start(context.Background()))
	conn := must(nats.Connect("", nats.InProcessServer(server)))
	b.undo = append(b.undo, conn.Close)
	b.js = must(jetstream.New(conn))
	return b
}

func (b *exampleBridge) stop() {
	for i := len(b.undo) - 1; i >= 0; i-- {
		b.undo[i]()
	}
}

// receive stores a webhook of one hotel with one event for each pair of discriminator and entity.
func (b *exampleBridge) receive(pairs ...string) {
	body := `{"EnterpriseId":"hotel","IntegrationId":"app","Events":[`
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			body += ","
		}
		body += fmt.Sprintf(`{"Discriminator":%q,"Value":{"Id":%q}}`, pairs[i], pairs[i+1])
	}
	webhook := must(schema.Parse([]byte(body + "]}")))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	check(b.publisher.Publish(ctx, webhook.Messages(schema.Receipt{
		Delivery: schema.DeliveryID(fmt.Sprintf("D%d", b.deliveries.Add(1))), Received: time.Now(), Endpoint: "mews", Prefix: "mews",
	})))
}

// waitLatest waits until MEWS_LATEST has a message of that subject, and so all that were stored before it.
func (b *exampleBridge) waitLatest(ctx context.Context, subject string) {
	latest := must(b.js.Stream(ctx, "MEWS_LATEST"))
	for {
		_, err := latest.GetLastMsgForSubject(ctx, subject)
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			check(err)
			return
		}
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
