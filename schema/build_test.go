package schema_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mewsbridge/schema"
)

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestMessagesExactBytes(t *testing.T) {
	received := time.Date(2026, 3, 1, 12, 4, 5, 678900000, time.UTC)
	body := `{"EnterpriseId":"ent","IntegrationId":"int","Events":[` +
		`{"Discriminator":"ServiceOrderUpdated","Value":{"Id":"res"}},` +
		`{"Discriminator":"a b"},` +
		`{"Discriminator":"MessageAdded","Value":{"Id":"x.y"}}]}`
	want := []schema.Message{{
		Kind: schema.KindEvent, Subject: "mews.events.ServiceOrderUpdated.ent.res", ID: "01JD-0", Traceparent: trace,
		Data: []byte(`{"specversion":"1.0","id":"01JD-0","source":"/mews/enterprises/ent/integrations/int",` +
			`"type":"com.mews.ServiceOrderUpdated","subject":"res","time":"2026-03-01T12:04:05.6789Z",` +
			`"datacontenttype":"application/json","traceparent":"` + trace + `",` +
			`"data":{"EnterpriseId":"ent","IntegrationId":"int","Discriminator":"ServiceOrderUpdated","Value":{"Id":"res"}}}`),
	}, {
		Kind: schema.KindQuarantine, Subject: "mews.quarantine.invalid-discriminator", ID: "01JD-1", Traceparent: trace,
		Data:       []byte(`{"Discriminator":"a b"}`),
		Quarantine: &schema.Quarantine{Reason: schema.ReasonInvalidDiscriminator, Offset: 17, Endpoint: "main", Received: received},
	}, {
		Kind: schema.KindEvent, Subject: "mews.events.MessageAdded.ent._", ID: "01JD-2", Traceparent: trace,
		Data: []byte(`{"specversion":"1.0","id":"01JD-2","source":"/mews/enterprises/ent/integrations/int",` +
			`"type":"com.mews.MessageAdded","time":"2026-03-01T12:04:05.6789Z",` +
			`"datacontenttype":"application/json","traceparent":"` + trace + `",` +
			`"data":{"EnterpriseId":"ent","IntegrationId":"int","Discriminator":"MessageAdded","Value":{"Id":"x.y"}}}`),
	}}
	w := mustParse(t, body)
	if diff := cmp.Diff(want, w.Messages(receipt())); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(w.Messages(receipt()), w.Messages(receipt())); diff != "" {
		t.Errorf("a second call differs:\n%s", diff)
	}
}

func TestIntegrationMessageExactBytes(t *testing.T) {
	body := `{"Action":"IntegrationCreated","Data":{"Integration":{"Id":"int"}, "AccessToken":"t"}}`
	r := receipt()
	r.Traceparent = ""
	want := []schema.Message{{
		Kind: schema.KindIntegration, Subject: "mews.integrations.IntegrationCreated.int", ID: "01JD-0",
		Data: []byte(`{"specversion":"1.0","id":"01JD-0","source":"/mews/integrations/int",` +
			`"type":"com.mews.IntegrationCreated","subject":"int","time":"2026-03-01T12:04:05.6789Z",` +
			`"datacontenttype":"application/json","data":` + body + `}`),
	}}
	if diff := cmp.Diff(want, mustParse(t, " "+body+"\n").Messages(r)); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestTraceparentOfOtherFormIsLeftOut(t *testing.T) {
	for _, s := range []string{"x", trace + "-00", strings.ToUpper(trace), strings.Replace(trace, "4", `"`, 1), strings.ReplaceAll(trace, "-", "0")} {
		r := receipt()
		r.Traceparent = s
		for _, body := range []string{`{"Events":[{"Discriminator":"A"}]}`, `{"Action":"A"}`, `1`} {
			w := mustParse(t, body)
			m := w.Messages(r)
			checkMessages(t, []byte(body), w, m)
			if m[0].Traceparent != "" || strings.Contains(string(m[0].Data), "traceparent") {
				t.Errorf("traceparent %q was used", s)
			}
		}
	}
}

// TestMessageOverhead builds the largest messages there are for small bodies: every token at its limit.
func TestMessageOverhead(t *testing.T) {
	id := strings.Repeat("x", schema.MaxToken)
	r := schema.Receipt{
		Delivery: schema.DeliveryID(id), Endpoint: id, Prefix: id, Traceparent: trace,
		Received: time.Date(2026, 1, 1, 1, 1, 1, 123456789, time.UTC),
	}
	for _, body := range []string{
		`{"EnterpriseId":"` + id + `","IntegrationId":"` + id + `","Entities":{"X":[{"Id":"` + id + `"}]},"Events":[{"Discriminator":"` + id + `","Value":{"Id":"` + id + `"}}]}`,
		`{"Action":"` + id + `","Data":{"Integration":{"Id":"` + id + `"}}}`,
		`0`,
		`{"Events":[{}]}`,
	} {
		for _, m := range mustParse(t, body).Messages(r) {
			if size := len(m.Data) + headers(m); size > len(body)+schema.MaxMessageOverhead-512 {
				t.Fatalf("%d bytes from a body of %d", size, len(body))
			}
		}
	}
}

func TestListsAreTokens(t *testing.T) {
	var words []string
	for _, d := range schema.KnownDiscriminators() {
		words = append(words, string(d))
	}
	for _, a := range schema.KnownActions() {
		words = append(words, string(a))
	}
	for _, r := range schema.Reasons() {
		words = append(words, string(r))
	}
	for _, w := range words {
		if !schema.IsToken(w) {
			t.Errorf("%q is not a token", w)
		}
	}
	slices.Sort(words)
	if len(slices.Compact(words)) != 7+7+12 {
		t.Errorf("words: %q", words)
	}
	for _, d := range schema.KnownDiscriminators() {
		w := mustParse(t, `{"Events":[{"Discriminator":"`+string(d)+`"}]}`)
		if w.Events[0].Discriminator != d {
			t.Errorf("%s was read as %s", d, w.Events[0].Discriminator)
		}
	}
}
