package schema_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"mewsbridge/schema"
)

// FuzzParse holds every body to: no panic; as many messages as elements, in order, with the bytes of each;
// valid JSON; and the bound of a message's size.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		``, ` `, `null`, `[]`, `{}`, `{"Events":[]}`, `{"Events":[{}]}`, `{"Events":[{},1,null,"x",[]]}`, `{"Events":{}}`,
		`{"EnterpriseId":"e","IntegrationId":"i","Events":[{"Discriminator":"A","Value":{"Id":"x"}},{"Discriminator":"a.b"}]}`,
		`{"A":1,"Events":[{"A":2,"Discriminator":"D"},{"Discriminator":"D"}],"B":[]}`,
		`{"Events":[{"Discriminator":"A","Value":{"Id":"x"}}],"Entities":{"C":[{"Id":"x","N":1}]}}`,
		`{"Events":[{"Discriminator":"A","Discriminator":"B"},{"Discriminator":"A"}]}`,
		"{\"Events\":[{\"Discriminator\":\"A\",\"X\":\"\xff\"},{\"Discriminator\":\"A\"}]}",
		`{"Events":[{"X":"\ud800"}]}`, `{"\u0045vents":[{"Discrimin\u0061tor":"A"}]}`, `{"Events":[],"Events":[]}`,
		`{"Action":"IntegrationCreated","Data":{"Integration":{"Id":"i"}}}`, `{"Action":"a b"}`, `{"Action":1}`, `{"a":"\ud800"}`,
		`{"Events":[{"Discriminator":"A"}`, strings.Repeat("[", 10001), `{"Entities":{"":[{"Id":""}]},"Events":[{"Discriminator":"_","Value":{"Id":""}}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		w, err := schema.Parse(body)
		if err != nil {
			pe, ok := errors.AsType[*schema.ParseError](err)
			if !ok || pe.Offset < 0 || pe.Offset > int64(len(body)) || !schema.IsToken(string(pe.Reason)) {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if !json.Valid(body) {
			t.Fatal("a body that is not JSON was accepted")
		}
		messages := w.Messages(receipt())
		for _, m := range messages {
			if !server.IsValidLiteralSubject(m.Subject) {
				t.Fatalf("subject %q", m.Subject)
			}
		}
		checkMessages(t, body, w, messages)
	})
}

// FuzzSubject holds every subject to nats-server's own check, whatever Mews puts into the ids.
func FuzzSubject(f *testing.F) {
	for _, s := range []string{"A", "", "*", ">", "a.b", "a b", "\x00", "\xff", "é", "_", "a-b_C9", strings.Repeat("x", 128), strings.Repeat("x", 129)} {
		f.Add("mews", s, s, s)
		f.Add("test-2", "CustomerAdded", s, "x")
		f.Add("M", "CustomerAdded", "x", s)
	}
	f.Fuzz(func(t *testing.T, prefix, discriminator, enterprise, entity string) {
		if !schema.IsToken(prefix) {
			prefix = "mews"
		}
		event := map[string]any{"Discriminator": discriminator, "Value": map[string]any{"Id": entity}}
		general := map[string]any{"EnterpriseId": enterprise, "Events": []any{event}}
		integration := map[string]any{"Action": discriminator, "Data": map[string]any{"Integration": map[string]any{"Id": entity}}}
		r := receipt()
		r.Prefix = prefix
		checkSubject(t, general, r, map[schema.Kind]int{schema.KindEvent: 5, schema.KindQuarantine: 3})
		checkSubject(t, integration, r, map[schema.Kind]int{schema.KindIntegration: 4, schema.KindQuarantine: 3})
	})
}

func checkSubject(t *testing.T, webhook any, r schema.Receipt, tokens map[schema.Kind]int) {
	t.Helper()
	body, err := json.Marshal(webhook)
	if err != nil {
		t.Fatal(err)
	}
	messages := mustParse(t, string(body)).Messages(r)
	if len(messages) != 1 {
		t.Fatalf("%d messages", len(messages))
	}
	m := messages[0]
	if !server.IsValidLiteralSubject(m.Subject) || !server.IsValidPublishSubject(m.Subject) {
		t.Errorf("nats-server refuses %q", m.Subject)
	}
	if !strings.HasPrefix(m.Subject, r.Prefix+"."+m.Kind.String()+".") {
		t.Errorf("%q does not start with the prefix and kind", m.Subject)
	}
	if n := strings.Count(m.Subject, ".") + 1; n != tokens[m.Kind] {
		t.Errorf("%q has %d tokens, want %d", m.Subject, n, tokens[m.Kind])
	}
	for token := range strings.SplitSeq(m.Subject, ".") {
		if !schema.IsToken(token) {
			t.Errorf("token %q of %q", token, m.Subject)
		}
	}
}
