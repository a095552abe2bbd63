package schema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"mewsbridge/schema"
	"mewsbridge/schema/seal"
)

// published returns the data of the one message that a webhook makes.
func published(tb testing.TB, body string) []byte {
	tb.Helper()
	messages := mustParse(tb, body).Messages(receipt())
	if len(messages) != 1 || messages[0].Quarantine != nil {
		tb.Fatalf("%s makes %d messages", body, len(messages))
	}
	return messages[0].Data
}

func mustDecode(tb testing.TB, data []byte) schema.Decoded {
	tb.Helper()
	d, err := schema.Decode(data)
	if err != nil {
		tb.Fatalf("Decode: %v\n%s", err, data)
	}
	return d
}

// generalBody is a webhook with one event of that type.
func generalBody(discriminator string) string {
	return `{"EnterpriseId":"ent","IntegrationId":"int","Events":[{"Discriminator":"` + discriminator + `","Value":{"Id":"res.1"},"New":1}],` +
		`"Entities":{"Any":[{"Id":"res.1","State":"Started"}]}}`
}

const createdBody = `{"Action":"IntegrationCreated","Data":{"Enterprise":{"Id":"ent","Name":"Hotel"},"Service":{"Id":"ser","Name":"Stay"},` +
	`"Requestor":{"Name":"Jane Q","Email":"jane@example.com"},"AccessToken":"LIVE-TOKEN","CreatedUtc":"2019-12-13T14:42:52Z","IsEnabled":true,` +
	`"Integration":{"Id":"int","Name":"App"}}}`

func TestDecodeAttributes(t *testing.T) {
	d := mustDecode(t, published(t, generalBody("ServiceOrderUpdated")))
	want := schema.Decoded{
		ID: "01JD-0", Type: "com.mews.ServiceOrderUpdated", Source: "/mews/enterprises/ent/integrations/int",
		Time: time.Date(2026, 3, 1, 12, 4, 5, 678900000, time.UTC), Traceparent: trace, Value: d.Value, Data: d.Data,
	}
	if d.Value == nil || d != want {
		t.Errorf("decoded %+v, want %+v", d, want)
	}
	if !strings.HasSuffix(string(d.Data.Bytes()), `"Value":{"Id":"res.1"},"New":1}`) {
		t.Errorf("data %s", d.Data.Bytes())
	}
}

func TestDecodeEveryDiscriminator(t *testing.T) {
	types := map[schema.Discriminator]schema.Value{
		schema.DiscriminatorServiceOrderUpdated:  schema.ServiceOrderUpdated{},
		schema.DiscriminatorResourceUpdated:      schema.ResourceUpdated{},
		schema.DiscriminatorMessageAdded:         schema.MessageAdded{},
		schema.DiscriminatorResourceBlockUpdated: schema.ResourceBlockUpdated{},
		schema.DiscriminatorCustomerAdded:        schema.CustomerAdded{},
		schema.DiscriminatorCustomerUpdated:      schema.CustomerUpdated{},
		schema.DiscriminatorPaymentUpdated:       schema.PaymentUpdated{},
	}
	for _, discriminator := range schema.KnownDiscriminators() {
		d := mustDecode(t, published(t, generalBody(string(discriminator))))
		if got, want := reflect.TypeOf(d.Value), reflect.TypeOf(types[discriminator]); got != want {
			t.Errorf("%s is %v, want %v", discriminator, got, want)
		}
		c, ok := d.Change()
		if !ok || c.EnterpriseID != "ent" || c.IntegrationID != "int" || c.ID != "res.1" || string(c.Entity.Bytes()) != `{"Id":"res.1","State":"Started"}` {
			t.Errorf("%s: %+v", discriminator, c)
		}
	}
	d := mustDecode(t, published(t, generalBody("BillUpdated")))
	if v, ok := d.Value.(schema.UnknownEvent); !ok || v.Discriminator != "BillUpdated" || v.ID != "res.1" {
		t.Errorf("an unknown discriminator is %+v", d.Value)
	}
}

func TestDecodeEveryAction(t *testing.T) {
	types := map[schema.Action]schema.Value{
		schema.ActionIntegrationCreated:       schema.IntegrationCreated{},
		schema.ActionIntegrationEnabled:       schema.IntegrationEnabled{},
		schema.ActionIntegrationDisabled:      schema.IntegrationDisabled{},
		schema.ActionIntegrationCanceled:      schema.IntegrationCanceled{},
		schema.ActionIntegrationReinstated:    schema.IntegrationReinstated{},
		schema.ActionIntegrationDeleted:       schema.IntegrationDeleted{},
		schema.ActionIntegrationAPIKeyCreated: schema.IntegrationAPIKeyCreated{},
	}
	for _, action := range schema.KnownActions() {
		d := mustDecode(t, published(t, `{"Action":"`+string(action)+`","Data":{"Integration":{"Id":"int","Name":"App"}}}`))
		if got, want := reflect.TypeOf(d.Value), reflect.TypeOf(types[action]); got != want {
			t.Errorf("%s is %v, want %v", action, got, want)
		}
		if i := reflect.ValueOf(d.Value).FieldByName("Integration").Interface(); i != (schema.Integration{ID: "int", Name: "App"}) {
			t.Errorf("%s: %+v", action, i)
		}
		if _, ok := d.Change(); ok {
			t.Errorf("%s is taken for the change of an entity", action)
		}
	}
	d := mustDecode(t, published(t, `{"Action":"IntegrationRenamed","Data":{"Integration":{"Id":"int"},"To":"x"}}`))
	if v, ok := d.Value.(schema.UnknownIntegration); !ok || v.Action != "IntegrationRenamed" || v.ID != "int" {
		t.Errorf("an unknown action is %+v", d.Value)
	}
	if want := `"To":"x"`; !strings.Contains(string(d.Data.Bytes()), want) {
		t.Errorf("data %s has no %s", d.Data.Bytes(), want)
	}
}

func TestDecodeMembersOfIntegrations(t *testing.T) {
	created, ok := mustDecode(t, published(t, createdBody)).Value.(schema.IntegrationCreated)
	if !ok || *created.Enterprise != (schema.Named{ID: "ent", Name: "Hotel"}) || *created.Service != (schema.Named{ID: "ser", Name: "Stay"}) ||
		created.Requestor.Name.Reveal() != "Jane Q" || created.Requestor.Email.Reveal() != "jane@example.com" ||
		created.AccessToken.Reveal() != "LIVE-TOKEN" || !created.IsEnabled ||
		!created.CreatedUTC.Equal(time.Date(2019, 12, 13, 14, 42, 52, 0, time.UTC)) {
		t.Errorf("IntegrationCreated: %+v", created)
	}
	deleted := mustDecode(t, published(t, `{"Action":"IntegrationDeleted","Data":{"Integration":{"Id":"int"},"DeletedUtc":"2020-01-02T03:04:05Z"}}`))
	if v := deleted.Value.(schema.IntegrationDeleted); !v.DeletedUTC.Equal(time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("IntegrationDeleted: %+v", v)
	}
	key := mustDecode(t, published(t, `{"Action":"IntegrationApiKeyCreated","Data":{"Integration":{"Id":"int"},"ApiKey":"LIVE-KEY"}}`))
	if v := key.Value.(schema.IntegrationAPIKeyCreated); v.APIKey.Reveal() != "LIVE-KEY" {
		t.Errorf("IntegrationAPIKeyCreated: %+v", v)
	}
}

// TestDecodeTolerates has members that are missing, null, of another kind, of another case, or sealed.
func TestDecodeTolerates(t *testing.T) {
	for _, body := range []string{
		`{"Action":"IntegrationCreated"}`,
		`{"Action":"IntegrationCreated","Data":null}`,
		`{"Action":"IntegrationCreated","Data":{"Integration":null,"Enterprise":null,"Service":null,"Requestor":null,"AccessToken":null,"CreatedUtc":null,"IsEnabled":null}}`,
		`{"Action":"IntegrationCreated","Data":{"Integration":1,"Enterprise":[],"Service":"","Requestor":"x","AccessToken":{},"CreatedUtc":"soon","IsEnabled":"yes"}}`,
		`{"Action":"IntegrationCreated","Data":{"integration":{"Id":"int"},"accesstoken":"t","Sealed":"XA.XB.eGt2MQ=="}}`,
	} {
		d := mustDecode(t, published(t, body))
		if got := d.Value.(schema.IntegrationCreated); got != (schema.IntegrationCreated{}) {
			t.Errorf("%s: %+v", body, got)
		}
	}
	for _, body := range []string{
		`{"Events":[{"Discriminator":"CustomerAdded"}]}`,
		`{"EnterpriseId":null,"IntegrationId":7,"Events":[{"Discriminator":"CustomerAdded","Value":{"Id":null}}]}`,
		`{"enterpriseid":"x","Events":[{"Discriminator":"CustomerAdded","Value":"x"}]}`,
	} {
		d := mustDecode(t, published(t, body))
		if got := d.Value.(schema.CustomerAdded); got != (schema.CustomerAdded{}) {
			t.Errorf("%s: %+v", body, got)
		}
	}
	escaped := mustDecode(t, published(t, `{"\u0045nterpriseId":"\u0078y","Events":[{"Discriminator":"CustomerAdded"}]}`))
	if c, _ := escaped.Change(); c.EnterpriseID != "xy" {
		t.Errorf("escaped names: %+v", c)
	}
}

func TestDecodeRefuses(t *testing.T) {
	good := string(published(t, generalBody("CustomerAdded")))
	mustDecode(t, []byte(good))
	edit := func(old, replacement string) string {
		edited := strings.Replace(good, old, replacement, 1)
		if edited == good {
			t.Fatalf("%s is not in %s", old, good)
		}
		return edited
	}
	for _, data := range []string{
		"", "null", "[]", `"SECRET"`, "{}", good + good, good[:len(good)-1], `{"id":"SECRET","id":"SECRET"}`, "\xffSECRET",
		edit(`"1.0"`, `"0.3"`), edit(`"1.0"`, `1.0`), edit(`"id":"01JD-0"`, `"id":""`), edit(`"id"`, `"ID"`), edit("com.mews.", "com.example."),
		edit(`"/mews/enterprises/`, `"/other/`), edit(`"time":"2026`, `"time":"SECRET`), edit(`"data":{`, `"other":{`), edit(`"data":`, `"data":[],"other":`),
	} {
		d, err := schema.Decode([]byte(data))
		if !errors.Is(err, schema.ErrNotDecodable) || d != (schema.Decoded{}) {
			t.Errorf("%s: %+v, %v", data, d, err)
			continue
		}
		if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("the error repeats the data: %v", err)
		}
	}
}

// TestDecodeWhatWasSealed decodes a sealed event, without what is sealed, and again after it was opened.
func TestDecodeWhatWasSealed(t *testing.T) {
	seed, public, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := seal.NewSealer(public)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := sealer.Messages(mustParse(t, createdBody).Messages(receipt()))
	if err != nil {
		t.Fatal(err)
	}
	created := mustDecode(t, sealed[0].Data).Value.(schema.IntegrationCreated)
	if created.ID != "int" || created.Enterprise.ID != "ent" || !created.AccessToken.IsZero() || created.Requestor != nil {
		t.Errorf("sealed: %+v", created)
	}
	opener, err := seal.NewOpener(seed)
	if err != nil {
		t.Fatal(err)
	}
	data, err := opener.Open(sealed[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	created = mustDecode(t, data).Value.(schema.IntegrationCreated)
	if created.AccessToken.Reveal() != "LIVE-TOKEN" || created.Requestor.Email.Reveal() != "jane@example.com" {
		t.Errorf("opened: %+v", created)
	}
}

// TestSecretsAreNotPrinted prints an event with credentials in every way that may happen by accident.
func TestSecretsAreNotPrinted(t *testing.T) {
	d := mustDecode(t, published(t, createdBody))
	created := d.Value.(schema.IntegrationCreated)
	key := mustDecode(t, published(t, `{"Action":"IntegrationApiKeyCreated","Data":{"Integration":{"Id":"int"},"ApiKey":"LIVE-KEY"}}`))
	changed := mustDecode(t, published(t, strings.Replace(generalBody("CustomerAdded"), "Started", "LIVE-STATE", 1)))
	var out bytes.Buffer
	for _, v := range []any{d, &d, created, created.AccessToken, created.Requestor, *created.Requestor, d.Data, key, key.Value, changed, changed.Value,
		struct{ private schema.Decoded }{d}, struct{ private schema.Secret }{created.AccessToken}, struct{ private schema.Raw }{d.Data},
		map[string]schema.Secret{"x": created.AccessToken}, []schema.Raw{d.Data}} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, format+"\n", v)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
		slog.New(slog.NewTextHandler(&out, nil)).Info("seen", "value", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("seen", "value", v)
	}
	for _, secret := range []string{"LIVE-", "Jane", "jane@", fmt.Sprintf("%x", "LIVE-"), fmt.Sprintf("%X", "LIVE-"), strings.Trim(fmt.Sprint([]byte("LIVE-")), "[]")} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q was printed", secret)
		}
	}
	if !strings.Contains(out.String(), "[secret]") {
		t.Error("nothing was printed in place of a secret")
	}
}

// FuzzDecode decodes what Parse and Messages make of any body: each message decodes, to the ids of the webhook.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{generalBody("CustomerAdded"), createdBody, `{"Events":[{"Discriminator":"A","EnterpriseId":"x"},1]}`, `{"Action":"A","Discriminator":"B"}`, `{}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = schema.Decode(body) // must not panic
		w, err := schema.Parse(body)
		if err != nil {
			return
		}
		for i, m := range w.Messages(receipt()) {
			if m.Quarantine != nil {
				continue
			}
			d := mustDecode(t, m.Data)
			if d.ID != m.ID || !jsontext.Value(d.Data.Bytes()).IsValid() {
				t.Fatalf("message %d: %+v", i, d)
			}
			if c, ok := d.Change(); ok && c.ID != w.Events[i].EntityID {
				t.Fatalf("message %d: entity %q, want %q", i, c.ID, w.Events[i].EntityID)
			}
			if integration, ok := d.Value.(schema.UnknownIntegration); ok && integration.ID != w.IntegrationID {
				t.Fatalf("message %d: integration %q, want %q", i, integration.ID, w.IntegrationID)
			}
		}
	})
}
