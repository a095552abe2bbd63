package schema_test

import (
	"fmt"
	"time"

	"mewsbridge/schema"
)

func Example() {
	body := []byte(`{"EnterpriseId":"hotel","IntegrationId":"app","Events":[
		{"Discriminator":"ServiceOrderUpdated","Value":{"Id":"reservation"}},
		{"Value":{"Id":"nobody knows"}},
		{"Discriminator":"CustomerAdded","Value":{"Id":"guest"}}]}`)
	w, err := schema.Parse(body)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range w.Messages(schema.Receipt{Delivery: "D1", Received: time.Now(), Endpoint: "main", Prefix: "mews"}) {
		fmt.Println(m.ID, m.Subject)
	}
	// Output:
	// D1-0 mews.events.ServiceOrderUpdated.hotel.reservation
	// D1-1 mews.quarantine.no-discriminator
	// D1-2 mews.events.CustomerAdded.hotel.guest
}
