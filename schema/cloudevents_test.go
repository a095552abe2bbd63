package schema_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/cloudevents/sdk-go/v2/event"

	"mewsbridge/schema"
)

// TestMessagesAreCloudEvents reads a message of every type, and those of odd webhooks, with the CloudEvents SDK.
func TestMessagesAreCloudEvents(t *testing.T) {
	bodies := append(slices.Clone(oddBodies), createdBody, `{"Action":"IntegrationRenamed","Data":{"Integration":{"Id":"int"}}}`, generalBody("BillUpdated"))
	for _, d := range schema.KnownDiscriminators() {
		bodies = append(bodies, generalBody(string(d)))
	}
	for _, a := range schema.KnownActions() {
		bodies = append(bodies, `{"Action":"`+string(a)+`","Data":{"Integration":{"Id":"int","Name":"App"}}}`)
	}
	types := map[string]bool{}
	for _, body := range bodies {
		for _, m := range mustParse(t, body).Messages(receipt()) {
			if m.Quarantine != nil {
				continue
			}
			var e event.Event
			if err := json.Unmarshal(m.Data, &e); err != nil {
				t.Errorf("%v\n%s", err, m.Data)
				continue
			}
			if err := e.Validate(); err != nil {
				t.Errorf("%v\n%s", err, m.Data)
			}
			types[e.Type()] = true
			d := mustDecode(t, m.Data)
			if e.SpecVersion() != "1.0" || e.ID() != m.ID || e.Type() != d.Type || e.Source() != d.Source || e.Subject() != d.Subject || !e.Time().Equal(d.Time) ||
				e.DataContentType() != "application/json" || e.Extensions()["traceparent"] != trace || string(e.Data()) != string(d.Data.Bytes()) {
				t.Errorf("the SDK reads %s of %s", e, m.Data)
			}
		}
	}
	for _, name := range append(strs(schema.KnownDiscriminators(), "com.mews."), strs(schema.KnownActions(), "com.mews.")...) {
		if !types[name] {
			t.Errorf("no message of type %s was read", name)
		}
	}
}
