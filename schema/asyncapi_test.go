package schema_test

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"mewsbridge/schema"
)

// asyncAPI is the document and what the tests need of it.
type asyncAPI struct {
	root       map[string]any
	validators map[string]*jsonschema.Schema // of the components' schemas
}

func newAsyncAPI(t *testing.T) *asyncAPI {
	t.Helper()
	a := &asyncAPI{root: value(t, schema.AsyncAPI().Content).(map[string]any), validators: map[string]*jsonschema.Schema{}}
	for name, s := range a.schemas() {
		draft7 := maps.Clone(s.(map[string]any))
		draft7["$schema"] = "http://json-schema.org/draft-07/schema#" // what AsyncAPI's Schema Object is a superset of
		a.validators[name] = compile(t, draft7)
	}
	return a
}

func (a *asyncAPI) schemas() map[string]any {
	return member(a.root, "components", "schemas").(map[string]any)
}

func (a *asyncAPI) channels() map[string]any { return a.root["channels"].(map[string]any) }

// at returns what a reference leads to, or nil.
func (a *asyncAPI) at(reference any) any {
	path, _ := member(reference, "$ref").(string)
	return member(a.root, strings.Split(strings.TrimPrefix(path, "#/"), "/")...)
}

// validator returns that of the schema a reference leads to.
func (a *asyncAPI) validator(t *testing.T, reference any) *jsonschema.Schema {
	t.Helper()
	path, _ := member(reference, "$ref").(string)
	v := a.validators[strings.TrimPrefix(path, "#/components/schemas/")]
	if v == nil {
		t.Fatalf("no schema at %q", path)
	}
	return v
}

func TestAsyncAPIIsOne(t *testing.T) {
	file, err := os.ReadFile("testdata/asyncapi-3.0.0.json")
	if err != nil {
		t.Fatal(err)
	}
	meta := compile(t, value(t, file))
	a := newAsyncAPI(t)
	if err := meta.Validate(a.root); err != nil {
		t.Errorf("%v", err)
	}
	draft7 := metaSchema(t, "http://json-schema.org/draft-07/schema#")
	for name, s := range a.schemas() {
		if err := draft7.Validate(s); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
	for _, fault := range []func(root map[string]any){
		func(root map[string]any) { root["asyncapi"] = "2.6.0" },
		func(root map[string]any) { delete(root["info"].(map[string]any), "version") },
		func(root map[string]any) {
			member(root, "channels", "events").(map[string]any)["subscribe"] = map[string]any{}
		},
		func(root map[string]any) {
			member(root, "operations", "quarantine").(map[string]any)["action"] = "publish"
		},
		func(root map[string]any) { delete(member(root, "servers", "nats").(map[string]any), "host") },
	} {
		root := value(t, schema.AsyncAPI().Content).(map[string]any)
		fault(root)
		if err := meta.Validate(root); err == nil {
			t.Error("a fault is not seen")
		}
	}
}

func TestAsyncAPIReferencesLeadSomewhere(t *testing.T) {
	a := newAsyncAPI(t)
	references := 0
	var visit func(path string, v any)
	visit = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			if v["$ref"] != nil {
				references++
				if a.at(v) == nil {
					t.Errorf("%s: %v leads nowhere", path, v["$ref"])
				}
			}
			for name, inner := range v {
				visit(path+"/"+name, inner)
			}
		case []any:
			for _, inner := range v {
				visit(path, inner)
			}
		}
	}
	visit("", a.root)
	if references < 40 {
		t.Errorf("%d references", references)
	}
	for name, operation := range a.root["operations"].(map[string]any) {
		channel, _ := member(operation, "channel", "$ref").(string)
		if !strings.HasPrefix(channel, "#/channels/") {
			t.Errorf("operation %s is of the channel %q", name, channel)
		}
	}
	if len(a.root["operations"].(map[string]any)) != len(a.channels()) {
		t.Error("a channel has no operation")
	}
}

func TestAsyncAPIHasTheSchemas(t *testing.T) {
	a := newAsyncAPI(t)
	documents := schema.Documents()
	for _, d := range documents {
		want := value(t, d.Content).(map[string]any)
		delete(want, "$schema")
		delete(want, "$id")
		if !reflect.DeepEqual(a.schemas()[d.Name], any(want)) {
			t.Errorf("%s is not the document of that name", d.Name)
		}
	}
	if len(a.schemas()) != len(documents)+2 { // those of the other types
		t.Errorf("%d schemas", len(a.schemas()))
	}
}

// TestAsyncAPIAddresses holds the parameters to the addresses, and the addresses to the subjects.
func TestAsyncAPIAddresses(t *testing.T) {
	a := newAsyncAPI(t)
	parameter := regexp.MustCompile(`{(\w+)}`)
	for name, channel := range a.channels() {
		address := member(channel, "address").(string)
		var used []string
		for _, found := range parameter.FindAllStringSubmatch(address, -1) {
			used = append(used, found[1])
		}
		slices.Sort(used)
		declared, _ := member(channel, "parameters").(map[string]any)
		if !slices.Equal(used, slices.Sorted(maps.Keys(declared))) {
			t.Errorf("%s: the address %s and the parameters %v", name, address, declared)
		}
	}
	for name, channel := range a.channels() {
		for key, p := range member(channel, "parameters").(map[string]any) {
			location, _ := member(p, "location").(string)
			_, pointer, found := strings.Cut(location, "#/")
			for message, m := range member(channel, "messages").(map[string]any) {
				example := member(m, "examples").([]any)[0]
				part := member(example, "payload")
				if strings.HasPrefix(location, "$message.header") {
					part = member(example, "headers")
				}
				if found && member(part, strings.Split(pointer, "/")...) == nil {
					t.Errorf("%s: parameter %s is not at %s of %s", name, key, location, message)
				}
			}
		}
	}
	for body, channel := range map[string]string{generalBody("MessageAdded"): "events", createdBody: "integrations", `{}`: "quarantine"} {
		subject := mustParse(t, body).Messages(receipt())[0].Subject
		address := member(a.channels()[channel], "address").(string)
		pattern := parameter.ReplaceAllString(strings.ReplaceAll(address, ".", `\.`), `[^.]+`)
		if !regexp.MustCompile("^" + pattern + "$").MatchString(subject) {
			t.Errorf("%s is not of the form %s", subject, address)
		}
	}
	if got := list(member(a.channels()["quarantine"], "parameters", "reason", "enum")); !slices.Equal(got, strs(schema.Reasons(), "")) {
		t.Errorf("reasons: %q", got)
	}
}

// TestAsyncAPIMessages holds each example to its message's schemas, and to those of no other message of the channel: AsyncAPI wants
// every message to be of one kind only.
func TestAsyncAPIMessages(t *testing.T) {
	a := newAsyncAPI(t)
	want := map[string][]string{
		"webhooks":     {"GeneralWebhook", "IntegrationWebhook"},
		"events":       append(strs(schema.KnownDiscriminators(), ""), "OtherEvent"),
		"integrations": append(strs(schema.KnownActions(), ""), "OtherIntegrationEvent"),
		"quarantine":   {"Quarantined"},
	}
	for channel, names := range want {
		messages := member(a.channels()[channel], "messages").(map[string]any)
		slices.Sort(names)
		if got := slices.Sorted(maps.Keys(messages)); !slices.Equal(got, names) {
			t.Errorf("%s has the messages %q, want %q", channel, got, names)
		}
		for name, message := range messages {
			examples, _ := member(message, "examples").([]any)
			if len(examples) == 0 {
				t.Errorf("%s has no example", name)
			}
			for _, example := range examples {
				if headers := member(message, "headers"); headers != nil {
					if err := a.validator(t, headers).Validate(member(example, "headers")); err != nil {
						t.Errorf("%s: headers: %v", name, err)
					}
				}
				for other, m := range messages {
					payload := member(m, "payload")
					if payload == nil { // raw bytes
						continue
					}
					err := a.validator(t, payload).Validate(member(example, "payload"))
					if (err == nil) != (other == name) {
						t.Errorf("the example of %s as %s: %v", name, other, err)
					}
				}
			}
		}
	}
}
