package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"mewsbridge/schema"
)

// sample is one message with its headers.
type sample struct {
	payload json.RawMessage
	headers map[string]any
}

// samples are the examples: webhooks by kind, and what the bridge publishes for them, by discriminator, action and reason.
type samples struct {
	general, integration, quarantine string
	messages                         map[string]sample
}

// The examples' names are those of nobody, and their credentials open nothing.
const (
	enterpriseID  = "851df8c8-90f2-4c4a-8e01-a4fc46b25178"
	integrationID = "c8bee838-7fb1-4f4e-8fac-ac87008b2f90"
	entityID      = "bfee2c44-1f84-4326-a862-5289598f6e2d"
	serviceID     = "9745ce3a-8dbb-4cc0-a550-55f9ff67b242"
	exampleKey    = "EXAMPLE000000000000000000000000-000000000000000000000000000000000"
	exampleTrace  = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
)

// exampleMembers are the members that an action's Data has besides Integration.
var exampleMembers = map[schema.Action]string{
	schema.ActionIntegrationCreated: `"Enterprise":{"Id":"` + enterpriseID + `","Name":"Sample Hotel"},"Service":{"Id":"` + serviceID + `","Name":"Stay"},` +
		`"Requestor":{"Name":"Sample Person","Email":"person@example.com"},"AccessToken":"` + exampleKey + `","CreatedUtc":"2026-01-01T12:00:00Z","IsEnabled":true,`,
	schema.ActionIntegrationDeleted:       `"DeletedUtc":"2026-01-01T12:00:00Z",`,
	schema.ActionIntegrationAPIKeyCreated: `"ApiKey":"` + exampleKey + `",`,
}

func generalBody(discriminator string) string {
	return `{"EnterpriseId":"` + enterpriseID + `","IntegrationId":"` + integrationID + `","Events":[{"Discriminator":"` + discriminator +
		`","Value":{"Id":"` + entityID + `"}}]}`
}

func integrationBody(action schema.Action) string {
	return `{"Action":"` + string(action) + `","Data":{` + exampleMembers[action] + `"Integration":{"Id":"` + integrationID + `","Name":"Sample App"}}}`
}

// newSamples has package schema make every message of an example webhook.
func newSamples() (*samples, error) {
	s := &samples{
		general:     generalBody(string(schema.DiscriminatorServiceOrderUpdated)),
		integration: integrationBody(schema.ActionIntegrationCreated),
		quarantine:  `{"EnterpriseId":"` + enterpriseID + `","Events":[{"Value":{"Id":"` + entityID + `"}}]}`,
		messages:    map[string]sample{},
	}
	bodies := map[string]string{"event": generalBody("BillUpdated"), "integration-event": integrationBody("IntegrationRenamed"), "quarantine": s.quarantine}
	for _, d := range schema.KnownDiscriminators() {
		bodies[string(d)] = generalBody(string(d))
	}
	for _, a := range schema.KnownActions() {
		bodies[string(a)] = integrationBody(a)
	}
	for name, body := range bodies {
		var err error
		if s.messages[name], err = message(body); err != nil {
			return nil, fmt.Errorf("example of %s: %w", name, err)
		}
	}
	return s, nil
}

// message returns the one message of a webhook, as a publisher sends it.
func message(body string) (sample, error) {
	w, err := schema.Parse([]byte(body))
	if err != nil {
		return sample{}, err
	}
	m := w.Messages(schema.Receipt{
		Delivery: "4k2f", Received: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), Endpoint: "mews", Prefix: "mews", Traceparent: exampleTrace,
	})[0]
	s := sample{payload: m.Data, headers: map[string]any{schema.HeaderMsgID: m.ID, schema.HeaderTraceparent: m.Traceparent}}
	if q := m.Quarantine; q != nil {
		s.headers[schema.HeaderReason] = q.Reason
		s.headers[schema.HeaderOffset] = strconv.FormatInt(q.Offset, 10)
		s.headers[schema.HeaderEndpoint] = q.Endpoint
		s.headers[schema.HeaderReceived] = q.Received.Format(time.RFC3339Nano)
	} else {
		s.headers[schema.HeaderContentType] = schema.ContentType
	}
	return s, nil
}
