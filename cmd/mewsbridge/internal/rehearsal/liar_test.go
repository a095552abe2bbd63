package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"mewsbridge/publisher"
	"mewsbridge/publisher/embedded"
	"mewsbridge/schema"
)

// lie is a bridge that answers one of every ten webhooks without storing it, and stores another twice. The rehearsal has to find
// both.
func lie() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := serveLies(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serveLies(ctx context.Context) error {
	server, err := embedded.Start(embedded.Config{StoreDir: filepath.Join(os.Getenv("MEWSBRIDGE_DATA_DIR"), "nats"), Listen: "127.0.0.1:0"}, zap.NewNop())
	if err != nil {
		return err
	}
	p, err := publisher.New(publisher.Config{InProcess: server, Prefix: prefix, Replicas: 1, Manage: true, DuplicateWindow: time.Hour}, zap.NewNop())
	if err != nil {
		return err
	}
	if err := p.Start(ctx); err != nil {
		return err
	}
	var received atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/webhooks/mews", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		number := received.Add(1)
		webhook, err := schema.Parse(body)
		store := func(copyNumber int) {
			id := schema.DeliveryID(fmt.Sprintf("d%d-%d", number, copyNumber))
			err = errors.Join(err, p.Publish(ctx, webhook.Messages(schema.Receipt{Delivery: id, Received: time.Now(), Endpoint: "mews", Prefix: prefix})))
		}
		if err == nil && number%10 != 0 {
			store(0)
		}
		if err == nil && number%10 == 1 {
			store(1)
		}
		if err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: mux}
	context.AfterFunc(ctx, func() { _ = web.Close() })
	fmt.Fprintf(os.Stderr, `{"message":"taking webhooks","address":%q,"admin":%q,"nats":%q}`+"\n", listener.Addr(), listener.Addr(), server.ClientURL())
	if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	stopCtx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return errors.Join(p.Stop(stopCtx), server.Shutdown())
}
