package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"mewsbridge/schema"
	"mewsbridge/schema/seal"
)

// keys returns a sealer and the opener of the same key pair.
func keys(tb testing.TB) (*seal.Sealer, *seal.Opener) {
	tb.Helper()
	seed, public, err := seal.GenerateKey()
	if err != nil {
		tb.Fatal(err)
	}
	sealer, err := seal.NewSealer(public)
	if err != nil {
		tb.Fatal(err)
	}
	opener, err := seal.NewOpener(seed)
	if err != nil {
		tb.Fatal(err)
	}
	return sealer, opener
}

// messages returns what the bridge publishes for body.
func messages(tb testing.TB, body string) []schema.Message {
	tb.Helper()
	receipt := schema.Receipt{Delivery: "d1", Received: time.Unix(1767268800, 0), Endpoint: "mews", Prefix: "mews"}
	w, err := schema.Parse([]byte(body))
	if err != nil {
		var parse *schema.ParseError
		if !errors.As(err, &parse) {
			tb.Fatal(err)
		}
		return []schema.Message{schema.QuarantineBody([]byte(body), parse.Reason, parse.Offset, receipt)}
	}
	return w.Messages(receipt)
}

const created = `{"Action":"IntegrationCreated","Data":{"Integration":{"Id":"i1","Name":"Door locks"},` +
	`"Requestor":{"Name":"Ann Example","Email":"ann@example.com"}, "AccessToken" : "C66EF7B2-secret" ,"Service":null,"IsEnabled":true}}`

func TestSealedIntegrationHidesCredentialsAndKeepsTheRest(t *testing.T) {
	sealer, opener := keys(t)
	plain := messages(t, created)
	before := string(plain[0].Data)
	sealed, err := sealer.Messages(plain)
	if err != nil {
		t.Fatal(err)
	}
	if string(plain[0].Data) != before {
		t.Error("sealing changed the message it was given")
	}
	got := string(sealed[0].Data)
	for _, hidden := range []string{"C66EF7B2", "Ann", "ann@", "AccessToken", "Requestor"} {
		if strings.Contains(got, hidden) {
			t.Errorf("the sealed message holds %s: %s", hidden, got)
		}
	}
	head, box, found := strings.Cut(got, `,"Sealed":"`+sealer.Key()+".")
	box, tail, closed := strings.Cut(box, `"`)
	want := strings.Replace(before, `,"Requestor":{"Name":"Ann Example","Email":"ann@example.com"}, "AccessToken" : "C66EF7B2-secret"`, "", 1)
	if !found || !closed || head+tail != want {
		t.Errorf("around the box %.20s… stands\n%s, want\n%s", box, head+tail, want)
	}
	if sealed[0].Subject != plain[0].Subject || sealed[0].ID != plain[0].ID {
		t.Errorf("the message is now %s %s", sealed[0].Subject, sealed[0].ID)
	}
	opened, err := opener.Open(sealed[0].Data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(decode(t, []byte(before)), decode(t, opened)); diff != "" {
		t.Errorf("opened (-want +got):\n%s", diff)
	}
	if !bytes.Contains(opened, []byte(`"AccessToken" : "C66EF7B2-secret"`)) {
		t.Errorf("the member's own bytes are not kept: %s", opened)
	}
}

func decode(tb testing.TB, data []byte) any {
	tb.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		tb.Fatalf("%v: %s", err, data)
	}
	return v
}

// TestSealFindsCredentialsWhereverTheyStand seals and opens data of many shapes: no secret stays, and nothing else changes.
func TestSealFindsCredentialsWhereverTheyStand(t *testing.T) {
	sealer, opener := keys(t)
	many := strings.Repeat(`{"ApiKey":"secret"},`, 1000)
	for name, data := range map[string]string{
		"only":                `{"ApiKey":"secret"}`,
		"first":               `{"ApiKey":"secret","Integration":{"Id":"i1"}}`,
		"two first":           `{"ApiKey":"secret", "AccessToken":"secret" , "Integration":{"Id":"i1"} }`,
		"last":                `{"Integration":{"Id":"i1"},"ApiKey":"secret"}`,
		"between":             `{"a":1 , "ApiKey":"secret" , "b":2, "AccessToken":"secret", "c":3}`,
		"another case":        `{"apikey":"secret","ACCESSTOKEN":"secret","requestor":"secret"}`,
		"escaped name":        `{"\u0041ccessToken":"secret"}`,
		"nested":              `{"Integration":{"Id":"i1","Key":{"ApiKey":"secret"}},"Keys":[{"ApiKey":"secret"},[{"Requestor":{"AccessToken":"secret"}}]]}`,
		"of any kind":         `{"ApiKey":{"a":["secret"]},"Requestor":["secret"],"AccessToken":17}`,
		"null":                `{"ApiKey":null,"AccessToken":"secret","Requestor":null}`,
		"a member Sealed":     `{"Sealed":"secret","ApiKey":"secret"}`,
		"an imitated box":     `{"Sealed":"` + sealer.Key() + "." + sealer.Key() + `.secret"}`,
		"too many for boxes":  `{"Integration":{"Id":"i1"},"Keys":[` + strings.TrimSuffix(many, ",") + `]}`,
		"large":               `{"ApiKey":"secret` + strings.Repeat("x", 300_000) + `"}`,
		"no object":           `"text"`,
		"name ends in quotes": `{"a\\\"":"b","ApiKey":"secret"}`,
	} {
		t.Run(name, func(t *testing.T) {
			plain := messages(t, `{"Action":"IntegrationApiKeyCreated","Data":`+data+`}`)
			sealed, err := sealer.Messages(plain)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(sealed[0].Data, []byte("secret")) {
				t.Errorf("a secret is left: %.500s", sealed[0].Data)
			}
			if size, most := int64(len(sealed[0].Data)), seal.MaxSize(int64(len(plain[0].Data))); size > most {
				t.Errorf("%d bytes became %d, more than %d", len(plain[0].Data), size, most)
			}
			opened, err := opener.Open(sealed[0].Data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decode(t, plain[0].Data), decode(t, opened)); diff != "" {
				t.Errorf("opened (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSealLeavesEventsAlone(t *testing.T) {
	sealer, opener := keys(t)
	plain := messages(t, `{"EnterpriseId":"e","Events":[{"Discriminator":"ServiceOrderUpdated","Value":{"Id":"r"},"AccessToken":"x"}]}`)
	sealed, err := sealer.Messages(plain)
	if err != nil {
		t.Fatal(err)
	}
	if &sealed[0] != &plain[0] {
		t.Error("events were copied")
	}
	opened, err := opener.Open(plain[0].Data)
	if err != nil || &opened[0] != &plain[0].Data[0] {
		t.Errorf("what is not sealed opens to %s, %v", opened, err)
	}
}

// TestSealHidesQuarantineWhole: of what could not be understood nobody knows whether it holds a credential.
func TestSealHidesQuarantineWhole(t *testing.T) {
	sealer, opener := keys(t)
	for _, body := range []string{
		`{"Action":"IntegrationCreated","Data":{"AccessToken":"secret"`,
		`{"Kind":"new","AccessToken":"secret"}`,
		`{"Action":"a b","Data":{"AccessToken":"secret"}}`,
		"secret \xff\x00",
		`{"Events":[{"AccessToken":"secret"}]}`,
		`{"SealedBody":"secret"}`,
	} {
		plain := messages(t, body)
		sealed, err := sealer.Messages(plain)
		if err != nil {
			t.Fatal(err)
		}
		payload := sealed[0].Data
		if bytes.Contains(payload, []byte("secret")) || !seal.Sealed(payload) || seal.Sealed(plain[0].Data) {
			t.Errorf("%s: sealed %s", body, payload)
		}
		if size, most := int64(len(payload)), seal.MaxSize(int64(len(plain[0].Data))); size > most {
			t.Errorf("%s: %d bytes, more than %d", body, size, most)
		}
		if sealed[0].Quarantine == nil || sealed[0].Quarantine.Reason != plain[0].Quarantine.Reason {
			t.Errorf("%s: quarantined as %+v", body, sealed[0].Quarantine)
		}
		opened, err := opener.Open(payload)
		if err != nil || !bytes.Equal(opened, plain[0].Data) {
			t.Errorf("%s: opened %q, %v", body, opened, err)
		}
	}
}

func TestOpenSaysWhichKeyIsNeeded(t *testing.T) {
	sealer, _ := keys(t)
	_, other := keys(t)
	sealed, err := sealer.Messages(append(messages(t, created), messages(t, "not json")...))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range sealed {
		_, err := other.Open(m.Data)
		var key *seal.KeyError
		if !errors.As(err, &key) || key.Key != sealer.Key() {
			t.Errorf("%s: %v", m.Subject, err)
		}
	}
}

func TestOpenerWithSeveralKeys(t *testing.T) {
	var seeds [][]byte
	var sealed [][]byte
	for range 3 {
		seed, public, err := seal.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		sealer, err := seal.NewSealer(public)
		if err != nil {
			t.Fatal(err)
		}
		msgs, err := sealer.Messages(messages(t, created))
		if err != nil {
			t.Fatal(err)
		}
		seeds, sealed = append(seeds, seed), append(sealed, msgs[0].Data)
	}
	opener, err := seal.NewOpener(seeds...)
	if err != nil {
		t.Fatal(err)
	}
	for i, data := range sealed {
		if opened, err := opener.Open(data); err != nil || !bytes.Contains(opened, []byte("C66EF7B2-secret")) {
			t.Errorf("key %d: %s, %v", i, opened, err)
		}
	}
}

func TestOpenRefusesADamagedBox(t *testing.T) {
	sealer, opener := keys(t)
	sealed, err := sealer.Messages(messages(t, created))
	if err != nil {
		t.Fatal(err)
	}
	data := sealed[0].Data
	dot := bytes.LastIndexByte(data, '.')
	for name, damaged := range map[string][]byte{
		"other bytes": bytes.Join([][]byte{data[:dot+50], []byte("AAAA"), data[dot+54:]}, nil),
		"cut short":   bytes.Join([][]byte{data[:dot+9], data[bytes.LastIndexByte(data, '"'):]}, nil),
		"no box":      []byte(`{"Sealed":"` + sealer.Key() + `"}`),
		"a number":    []byte(`{"Sealed":1}`),
		"two members": []byte(`{"Sealed":"a","Sealed":"b"}`),
		"a long key":  []byte(`{"Sealed":"` + strings.Repeat("X", 500) + "." + sealer.Key() + `.AAAA"}`),
	} {
		if opened, err := opener.Open(damaged); !errors.Is(err, seal.ErrNotSealed) {
			t.Errorf("%s: opened %s, %v", name, opened, err)
		}
	}
	if _, err := opener.Open([]byte(`{"Sealed":`)); err == nil {
		t.Error("half a message was opened")
	}
}

func TestKeysOfTheWrongKind(t *testing.T) {
	seed, public, err := seal.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "X", string(seed), public + "A", strings.ToLower(public), strings.Repeat("X", 56), "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"} {
		if _, err := seal.NewSealer(bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) && len(bad) > 1 {
			t.Errorf("NewSealer(%s): %v", bad, err)
		}
	}
	for _, bad := range []string{"", public, "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY", string(seed[:40])} {
		if _, err := seal.NewOpener([]byte(bad)); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("NewOpener(%s): %v", bad, err)
		}
	}
	if _, err := seal.NewOpener(); err == nil {
		t.Error("NewOpener without a key succeeds")
	}
}

func TestMaxPlainIsWhatFits(t *testing.T) {
	for _, n := range []int64{0, 4096, 10_000, 1 << 20, 8<<20 + 1} {
		if plain := seal.MaxPlain(n); plain > 0 && seal.MaxSize(plain) > n {
			t.Errorf("%d bytes can become %d, more than %d", plain, seal.MaxSize(plain), n)
		}
	}
}

// FuzzSeal holds for any JSON: what is opened is what was sealed, and no member of a secret name is left.
func FuzzSeal(f *testing.F) {
	sealer, opener := keys(f)
	f.Add(created)
	f.Add(`{"Action":"A","Data":[{"ApiKey":[]},{"x":{"requestor":1, "y":2 }}]}`)
	f.Add(`{"Action":"A","ApiKey":"x","Sealed":null}`)
	f.Fuzz(func(t *testing.T, body string) {
		plain := messages(t, body)
		sealed, err := sealer.Messages(plain)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range sealed {
			if size, most := int64(len(m.Data)), seal.MaxSize(int64(len(plain[i].Data))); size > most {
				t.Errorf("%d bytes, more than %d", size, most)
			}
			if m.Kind == schema.KindEvent {
				continue
			}
			opened, err := opener.Open(m.Data)
			if err != nil {
				t.Fatal(err)
			}
			if m.Kind == schema.KindQuarantine {
				if !bytes.Equal(opened, plain[i].Data) {
					t.Errorf("opened %q, want %q", opened, plain[i].Data)
				}
				continue
			}
			if got, want := canonical(t, opened), canonical(t, plain[i].Data); got != want {
				t.Errorf("opened %s, want %s", got, want)
			}
			if left := secretsIn(t, m.Data); left != 0 {
				t.Errorf("%d secrets are left in %s", left, m.Data)
			}
		}
	})
}

// canonical returns data with sorted members.
func canonical(tb testing.TB, data []byte) string {
	tb.Helper()
	value := jsontext.Value(bytes.Clone(data))
	if err := value.Format(jsontext.CanonicalizeRawInts(false), jsontext.CanonicalizeRawFloats(false), jsontext.ReorderRawObjects(true)); err != nil {
		tb.Fatalf("%v: %s", err, data)
	}
	return string(value)
}

// secretsIn counts the members that should have been sealed.
func secretsIn(tb testing.TB, data []byte) int {
	tb.Helper()
	n := 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, value := range v {
				for _, secret := range []string{"AccessToken", "ApiKey", "Requestor"} {
					if strings.EqualFold(name, secret) && value != nil {
						n++
					}
				}
				walk(value)
			}
		case []any:
			for _, value := range v {
				walk(value)
			}
		}
	}
	walk(decode(tb, data))
	return n
}

func ExampleOpener_Open() {
	seed, public, err := seal.GenerateKey()
	if err != nil {
		panic(err)
	}
	sealer, err := seal.NewSealer(public) // what the bridge does with its setting seal_to
	if err != nil {
		panic(err)
	}
	stored, err := sealer.Messages([]schema.Message{{
		Kind: schema.KindIntegration,
		Data: []byte(`{"specversion":"1.0","data":{"Action":"IntegrationApiKeyCreated","Data":{"Integration":{"Id":"i1"},"ApiKey":"k"}}}`),
	}})
	if err != nil {
		panic(err)
	}
	opener, err := seal.NewOpener(seed) // the consumer, with its private key
	if err != nil {
		panic(err)
	}
	data, err := opener.Open(stored[0].Data)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(data))
	// Output: {"specversion":"1.0","data":{"Action":"IntegrationApiKeyCreated","Data":{"Integration":{"Id":"i1"},"ApiKey":"k"}}}
}
