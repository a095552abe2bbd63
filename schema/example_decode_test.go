package schema_test

import (
	"context"
	"fmt"
	"time"

	"mewsbridge/schema"
)

// A message is decoded into a value of its type. What it is made of here is what the bridge would publish.
func ExampleDecode() {
	for _, body := range []string{
		`{"EnterpriseId":"hotel","IntegrationId":"app","Events":[{"Discriminator":"ServiceOrderUpdated","Value":{"Id":"r1"}}]}`,
		`{"Action":"IntegrationCreated","Data":{"Integration":{"Id":"app","Name":"App"},"Enterprise":{"Id":"hotel","Name":"Sample Hotel"},"AccessToken":"LIVE-TOKEN"}}`,
		`{"EnterpriseId":"hotel","IntegrationId":"app","Events":[{"Discriminator":"BillUpdated","Value":{"Id":"b1"}}]}`,
	} {
		webhook := must(schema.Parse([]byte(body)))
		for _, m := range webhook.Messages(schema.Receipt{Delivery: "D1", Received: time.Now(), Endpoint: "mews", Prefix: "mews"}) {
			event := must(schema.Decode(m.Data))
			fmt.Println(event.Type, onEvent(context.Background(), event))
		}
	}
	// Output:
	// fetching reservation r1 of hotel
	// com.mews.ServiceOrderUpdated <nil>
	// keeping [secret] for hotel
	// com.mews.IntegrationCreated <nil>
	// com.mews.BillUpdated <nil>
}

func onEvent(ctx context.Context, event schema.Decoded) error {
	switch v := event.Value.(type) {
	case schema.ServiceOrderUpdated:
		return fetchReservation(ctx, v.EnterpriseID, v.ID)
	case schema.IntegrationCreated:
		return keep(ctx, v.Enterprise, v.AccessToken) // v.AccessToken.Reveal() is the token itself
	default: // a type that is not of interest, or not known yet: schema.UnknownEvent, schema.UnknownIntegration
		return nil
	}
}

func fetchReservation(_ context.Context, enterprise, id string) error {
	fmt.Println("fetching reservation", id, "of", enterprise)
	return nil
}

func keep(_ context.Context, enterprise *schema.Named, token schema.Secret) error {
	if enterprise == nil {
		return nil
	}
	fmt.Println("keeping", token, "for", enterprise.ID)
	return nil
}
