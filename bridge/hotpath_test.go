package bridge

import (
	"testing"
	"time"

	"go.uber.org/zap"

	"mewsbridge/schema"
)

// TestMeasuringAllocatesNothing keeps the metrics off the garbage collector's back, however many events a webhook has.
func TestMeasuringAllocatesNothing(t *testing.T) {
	w, err := schema.Parse([]byte(`{"EnterpriseId":"e","Events":[{"Discriminator":"ServiceOrderUpdated","Value":{"Id":"a"}},` +
		`{"Discriminator":"New","Value":{"Id":"b"}},{"Discriminator":"New","Value":{"Id":"b"}},{"Value":1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	m := newMetrics().endpoint("mews", newDrift(zap.NewNop()))
	o := observation{
		arrived: time.Now(), authenticated: true, kind: bodyGeneral, told: true, stored: true,
		delivery: delivery{webhook: w, messages: w.Messages(schema.Receipt{Delivery: "d", Endpoint: "mews", Prefix: "mews"})},
	}
	if n := testing.AllocsPerRun(100, func() { m.done(&o, outcomeStored) }); n != 0 {
		t.Errorf("%v allocations for a webhook, want none", n)
	}
}
