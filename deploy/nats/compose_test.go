package nats_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/publisher/natstest"
)

// TestComposeCluster runs three servers with compose.conf: the bridge's user can have a stream of three replicas on them.
func TestComposeCluster(t *testing.T) {
	for name, password := range passwords {
		t.Setenv(name, password)
	}
	servers := natstest.Cluster(t, 3, func(o *server.Options) {
		t.Setenv("NATS_NAME", o.ServerName)
		loaded, err := server.ProcessConfigFile("compose.conf")
		if err != nil {
			t.Fatal(err)
		}
		if !loaded.SyncAlways || !loaded.Cluster.NoAdvertise || len(loaded.Routes) != 3 || loaded.StoreDir != "/data" || loaded.ServerName != o.ServerName {
			t.Errorf("sync always %v, no advertise %v, %d routes, store dir %s, name %s",
				loaded.SyncAlways, loaded.Cluster.NoAdvertise, len(loaded.Routes), loaded.StoreDir, loaded.ServerName)
		}
		// The names and the folder are those of containers.
		loaded.Host, loaded.Port, loaded.StoreDir, loaded.Routes, loaded.NoSigs, loaded.NoLog = o.Host, o.Port, o.StoreDir, o.Routes, true, true
		loaded.Cluster.Host, loaded.Cluster.Port = o.Cluster.Host, o.Cluster.Port
		*o = *loaded
	})
	conn, err := nats.Connect(servers[0].ClientURL(), nats.UserInfo("bridge", passwords["MEWS_BRIDGE_PASSWORD"]))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "MEWS_EVENTS", Subjects: []string{"mews.events.>"}, Replicas: 3}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "mews.events.ServiceOrderUpdated.hotel.r1", []byte("{}")); err != nil {
		t.Error(err)
	}
}
