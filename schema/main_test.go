package schema_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, natstest.OutlivesShutdown()...)
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
