package schema_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"mewsbridge/schema"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// nats-server keeps two goroutines of its own that outlive Shutdown.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*Server).startGoRoutine.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
		// A stream that is filled from another waits up to 30 s to hear from it, also after Shutdown.
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"),
	)
}

// receipt returns a receipt with a trace.
func receipt() schema.Receipt {
	return schema.Receipt{
		Delivery:    "01JD",
		Received:    time.Date(2026, 3, 1, 13, 4, 5, 678900000, time.FixedZone("CET", 3600)),
		Endpoint:    "main",
		Prefix:      "mews",
		Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
}

func mustParse(tb testing.TB, body string) *schema.Webhook {
	tb.Helper()
	w, err := schema.Parse([]byte(body))
	if err != nil {
		tb.Fatalf("Parse: %v", err)
	}
	return w
}
