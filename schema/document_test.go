package schema_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	pathpkg "path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"mewsbridge/schema"
)

// value reads JSON for the validator.
func value(tb testing.TB, data []byte) any {
	tb.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		tb.Fatalf("not JSON: %v\n%s", err, data)
	}
	return v
}

// compiled is a validator of every document by name, which looks at formats too.
func compiled(tb testing.TB) map[string]*jsonschema.Schema {
	tb.Helper()
	all := map[string]*jsonschema.Schema{}
	for _, d := range schema.Documents() {
		all[d.Name] = compile(tb, value(tb, d.Content))
	}
	return all
}

func compile(tb testing.TB, document any) *jsonschema.Schema {
	tb.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("urn:test", document); err != nil {
		tb.Fatal(err)
	}
	s, err := c.Compile("urn:test")
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func metaSchema(tb testing.TB, url string) *jsonschema.Schema {
	tb.Helper()
	s, err := jsonschema.NewCompiler().Compile(url)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// member follows names into the objects of v.
func member(v any, names ...string) any {
	for _, name := range names {
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[name]
	}
	return v
}

// list returns v as a list of strings; an empty one when it is none.
func list(v any) []string {
	var all []string
	items, _ := v.([]any)
	for _, item := range items {
		all = append(all, item.(string))
	}
	return all
}

// keywords are those of JSON Schema that the documents use; a misspelled one would be ignored by every validator.
var keywords = []string{"$id", "$schema", "title", "description", "examples", "type", "properties", "required", "items", "const", "enum", "anyOf", "allOf",
	"not", "if", "then", "pattern", "format", "deprecated"}

// walk calls visit for s and every schema in it, with the path that leads there.
func walk(s map[string]any, path string, visit func(path string, s map[string]any)) {
	visit(path, s)
	for keyword, v := range s {
		switch v := v.(type) {
		case map[string]any:
			if keyword != "properties" {
				walk(v, path+"/"+keyword, visit)
				continue
			}
			for name, property := range v {
				walk(property.(map[string]any), path+"/properties/"+name, visit)
			}
		case []any:
			for i, item := range v {
				if inner, ok := item.(map[string]any); ok && keyword != "examples" {
					walk(inner, path+"/"+keyword+"/"+strconv.Itoa(i), visit)
				}
			}
		}
	}
}

func TestDocumentsAreJSONSchemas(t *testing.T) {
	meta := metaSchema(t, "https://json-schema.org/draft/2020-12/schema")
	files, err := os.ReadDir("json/" + schema.DocumentVersion)
	if err != nil {
		t.Fatal(err)
	}
	documents := schema.Documents()
	if len(files) != len(documents)+1 { // and AsyncAPI
		t.Errorf("%d files and %d documents", len(files), len(documents))
	}
	seen := map[string]bool{}
	for _, d := range documents {
		v := value(t, d.Content)
		if err := meta.Validate(v); err != nil {
			t.Errorf("%s: %v", d.Name, err)
		}
		root := v.(map[string]any)
		if root["$id"] != "urn:mewsbridge:schema:v1:"+d.Name || root["title"] == nil || root["description"] != d.Description || d.Description == "" || seen[d.Name] {
			t.Errorf("%s: $id %v, title %v, description %q", d.Name, root["$id"], root["title"], d.Description)
		}
		seen[d.Name] = true
		if len(list(root["required"])) == 0 {
			t.Errorf("%s requires nothing", d.Name)
		}
		walk(root, d.Name, func(path string, s map[string]any) {
			for keyword := range s {
				if !slices.Contains(keywords, keyword) {
					t.Errorf("%s: unknown keyword %s", path, keyword)
				}
			}
			isCase := strings.Contains(path, "/if/") || strings.HasSuffix(path, "/then/properties/Data")
			if isProperty := strings.HasSuffix(pathpkg.Dir(path), "/properties"); isProperty && !isCase && s["description"] == nil {
				t.Errorf("%s has no description", path)
			}
		})
	}
}

// TestExamplesAreValid holds each example to its schema, and takes each required member out of it to see it refused.
func TestExamplesAreValid(t *testing.T) {
	validators := compiled(t)
	for _, d := range schema.Documents() {
		root := value(t, d.Content).(map[string]any)
		examples, _ := root["examples"].([]any)
		if len(examples) == 0 {
			t.Errorf("%s has no example", d.Name)
		}
		for _, example := range examples {
			if err := validators[d.Name].Validate(example); err != nil {
				t.Errorf("%s: %v", d.Name, err)
			}
			for _, name := range list(root["required"]) {
				less := maps.Clone(example.(map[string]any))
				delete(less, name)
				if err := validators[d.Name].Validate(less); err == nil {
					t.Errorf("%s: valid without %s", d.Name, name)
				}
			}
		}
	}
}

// TestSchemasRefuse holds the schemas to what is not Mews's contract.
func TestSchemasRefuse(t *testing.T) {
	validators := compiled(t)
	example := func(name string) string {
		for _, d := range schema.Documents() {
			if d.Name == name {
				text, err := json.Marshal(member(value(t, d.Content), "examples").([]any)[0])
				if err != nil {
					t.Fatal(err)
				}
				return string(text)
			}
		}
		t.Fatalf("no document %s", name)
		return ""
	}
	for _, test := range []struct{ name, old, replacement string }{
		{"general-webhook", `"EnterpriseId":"851df8c8-90f2-4c4a-8e01-a4fc46b25178"`, `"EnterpriseId":"hotel"`},
		{"general-webhook", `"Id":"bfee2c44-1f84-4326-a862-5289598f6e2d"`, `"Id":null`},
		{"general-webhook", `"Discriminator":"ServiceOrderUpdated"`, `"Discriminator":"Service Order"`},
		{"integration-webhook", `"AccessToken"`, `"Token"`},
		{"integration-webhook", `"CreatedUtc":"2026`, `"CreatedUtc":"26`},
		{"integration-webhook", `"Service":{`, `"Service":[],"Other":{`},
		{"ServiceOrderUpdated", `"com.mews.ServiceOrderUpdated"`, `"com.mews.ResourceUpdated"`},
		{"ServiceOrderUpdated", `"specversion":"1.0"`, `"specversion":"0.3"`},
		{"ServiceOrderUpdated", `"time":"2026`, `"time":"soon 2026`},
		{"event", `"source":"/mews/enterprises/`, `"source":"/other/`},
		{"IntegrationCreated", `"AccessToken"`, `"Token"`},
		{"IntegrationApiKeyCreated", `"ApiKey"`, `"Key"`},
		{"headers", `"application/cloudevents+json"`, `"application/json"`},
		{"quarantine-headers", `"no-discriminator"`, `"because"`},
	} {
		text := example(test.name)
		edited := strings.Replace(text, test.old, test.replacement, 1)
		if edited == text {
			t.Errorf("%s: %s is not in %s", test.name, test.old, text)
		}
		if err := validators[test.name].Validate(value(t, []byte(edited))); err == nil {
			t.Errorf("%s: valid with %s", test.name, test.replacement)
		}
	}
	sealed := strings.Replace(example("IntegrationCreated"), `"AccessToken"`, `"Sealed"`, 1)
	if err := validators["IntegrationCreated"].Validate(value(t, []byte(sealed))); err != nil {
		t.Errorf("sealed: %v", err)
	}
}

// natsHeaders are the headers of m as the publisher sends them.
func natsHeaders(m schema.Message) map[string]any {
	h := map[string]any{schema.HeaderMsgID: m.ID}
	if m.Traceparent != "" {
		h[schema.HeaderTraceparent] = m.Traceparent
	}
	if q := m.Quarantine; q != nil {
		h[schema.HeaderReason], h[schema.HeaderOffset], h[schema.HeaderEndpoint] = string(q.Reason), strconv.FormatInt(q.Offset, 10), q.Endpoint
		h[schema.HeaderReceived] = q.Received.Format(time.RFC3339Nano)
	} else {
		h[schema.HeaderContentType] = schema.ContentType
	}
	return h
}

// oddBodies depart from what Mews documents, each in another way.
var oddBodies = []string{
	`{"Events":[{"Discriminator":"CustomerAdded"},{"Discriminator":"Brand-New_1","Value":[]},1,{}]}`,
	`{"EnterpriseId":null,"IntegrationId":7,"Events":[{"Discriminator":"PaymentUpdated","Value":{"Id":null}}]}`,
	`{"EnterpriseId":"a.b","Events":[{"Discriminator":"PaymentUpdated","Value":{"Id":"> *"},"Entity":1}],"Entities":{"X":[{"Id":"> *"}]}}`,
	`{"Events":[{"Discriminator":"A","EnterpriseId":{}}],"EnterpriseId":"x","specversion":"2.0"}`,
	`{"Action":"IntegrationCreated"}`, `{"Action":"IntegrationCreated","Data":null}`, `{"Action":"Brand-New_1","Data":[]}`,
	`{"Action":"IntegrationApiKeyCreated","Data":{"Integration":{"Id":"a b"}}}`, `{"Action":"a b"}`, `{}`, `[]`, ` 1 `,
}

// TestEveryMessageFollowsTheSchemaOfAnyType holds what is made of odd webhooks to what the schemas of any type promise.
func TestEveryMessageFollowsTheSchemaOfAnyType(t *testing.T) {
	validators := compiled(t)
	kinds := map[schema.Kind]int{}
	for _, body := range append(slices.Clone(oddBodies), generalBody("MessageAdded"), createdBody) {
		for _, m := range mustParse(t, body).Messages(receipt()) {
			kinds[m.Kind]++
			payload, headers := "event", "headers"
			switch m.Kind {
			case schema.KindIntegration:
				payload = "integration-event"
			case schema.KindQuarantine:
				payload, headers = "", "quarantine-headers"
			}
			if err := validators[headers].Validate(natsHeaders(m)); err != nil {
				t.Errorf("%s: %v", body, err)
			}
			if payload == "" {
				continue
			}
			if err := validators[payload].Validate(value(t, m.Data)); err != nil {
				t.Errorf("%s: %v", body, err)
			}
		}
	}
	if len(kinds) != len(schema.Kinds()) {
		t.Errorf("messages by kind: %v", kinds)
	}
}

// TestListsAndSchemasAgree fails when a discriminator, action or reason is in the code or the documents alone.
func TestListsAndSchemasAgree(t *testing.T) {
	documents := map[string]any{}
	for _, d := range schema.Documents() {
		documents[d.Name] = value(t, d.Content)
	}
	enum := func(path ...string) []string {
		v := member(documents[path[0]], path[1:]...)
		if choices, ok := member(v, "anyOf").([]any); ok {
			v = choices[0]
		}
		return list(member(v, "enum"))
	}
	for name, test := range map[string]struct{ got, want []string }{
		"discriminators of webhooks": {enum("general-webhook", "properties", "Events", "items", "properties", "Discriminator"), strs(schema.KnownDiscriminators(), "")},
		"discriminators of events":   {enum("event", "properties", "data", "properties", "Discriminator"), strs(schema.KnownDiscriminators(), "")},
		"types of events":            {enum("event", "properties", "type"), strs(schema.KnownDiscriminators(), "com.mews.")},
		"actions of webhooks":        {enum("integration-webhook", "properties", "Action"), strs(schema.KnownActions(), "")},
		"actions of events":          {enum("integration-event", "properties", "data", "properties", "Action"), strs(schema.KnownActions(), "")},
		"types of integrations":      {enum("integration-event", "properties", "type"), strs(schema.KnownActions(), "com.mews.")},
		"reasons":                    {enum("quarantine-headers", "properties", schema.HeaderReason), strs(schema.Reasons(), "")},
	} {
		if !slices.Equal(test.got, test.want) {
			t.Errorf("%s: in the schema %q, in the code %q", name, test.got, test.want)
		}
	}
	for _, name := range append(strs(schema.KnownDiscriminators(), ""), strs(schema.KnownActions(), "")...) {
		if got := member(documents[name], "properties", "type", "const"); got != "com.mews."+name {
			t.Errorf("%s: type %v", name, got)
		}
	}
}

func strs[T ~string](names []T, prefix string) []string {
	var all []string
	for _, name := range names {
		all = append(all, prefix+string(name))
	}
	return all
}

// Which member of data each field of a typed value comes from.
var (
	eventMembers = map[string]string{
		"EnterpriseId": "EnterpriseID", "IntegrationId": "IntegrationID", "Value.Id": "ID", "Entity": "Entity",
	}
	integrationMembers = map[string]string{"Data.Integration.Id": "Integration.ID", "Data.Integration.Name": "Integration.Name"}
	moreMembers        = map[schema.Action]map[string]string{
		schema.ActionIntegrationCreated: {
			"Data.Enterprise.Id": "Enterprise.ID", "Data.Enterprise.Name": "Enterprise.Name", "Data.Service.Id": "Service.ID", "Data.Service.Name": "Service.Name",
			"Data.Requestor.Name": "Requestor.Name", "Data.Requestor.Email": "Requestor.Email", "Data.AccessToken": "AccessToken",
			"Data.CreatedUtc": "CreatedUTC", "Data.IsEnabled": "IsEnabled",
		},
		schema.ActionIntegrationDeleted:       {"Data.DeletedUtc": "DeletedUTC"},
		schema.ActionIntegrationAPIKeyCreated: {"Data.ApiKey": "APIKey"},
	}
)

// TestTypesAndSchemasAgree fails when a member is in a schema and not in the typed value, or the other way round: the fields of
// the Go type, the properties of the schema and what Decode sets are all held to the lists above.
func TestTypesAndSchemasAgree(t *testing.T) {
	documents := map[string]map[string]any{}
	for _, d := range schema.Documents() {
		documents[d.Name] = value(t, d.Content).(map[string]any)
	}
	for _, d := range schema.KnownDiscriminators() {
		agree(t, documents[string(d)], eventMembers, "Discriminator", func(data map[string]any) string {
			delete(data, "Discriminator")
			data["Entity"] = map[string]any{"Id": "x"}
			return `{"Events":[` + asJSON(t, data, `"Discriminator":"`+string(d)+`"`) + `]}`
		})
	}
	for _, a := range schema.KnownActions() {
		members := maps.Clone(integrationMembers)
		maps.Copy(members, moreMembers[a])
		agree(t, documents[string(a)], members, "Action", func(data map[string]any) string { return asJSON(t, data, "") })
	}
}

func asJSON(t *testing.T, object map[string]any, more string) string {
	t.Helper()
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	if more != "" {
		return "{" + more + "," + string(text[1:])
	}
	return string(text)
}

// agree holds one document, its example and the value that is decoded of it to members. body makes a webhook of the example's data.
func agree(t *testing.T, document map[string]any, members map[string]string, typeMember string, body func(map[string]any) string) {
	t.Helper()
	name := document["title"]
	properties := leaves(member(document, "properties", "data").(map[string]any), "")
	properties = slices.DeleteFunc(properties, func(p string) bool { return p == typeMember || p == "Data.Sealed" })
	if want := slices.Sorted(maps.Keys(members)); !slices.Equal(properties, want) {
		t.Errorf("%s: the schema has the members %q, the test knows %q", name, properties, want)
	}
	data := member(document["examples"].([]any)[0], "data").(map[string]any)
	decoded := mustDecode(t, published(t, body(data)))
	fields := fieldsOf(reflect.ValueOf(decoded.Value), "")
	if got, want := slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Values(members)); !slices.Equal(got, want) {
		t.Errorf("%s: %T has the fields %q, the test knows %q", name, decoded.Value, got, want)
	}
	for path, field := range members {
		want := member(data, strings.Split(path, ".")...)
		if got := plain(t, fields[field]); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: field %s is %v, member %s is %v", name, field, got, path, want)
		}
	}
}

// leaves returns the paths of the properties of s that have none of their own, sorted.
func leaves(s map[string]any, path string) []string {
	properties, ok := s["properties"].(map[string]any)
	if !ok {
		return []string{path}
	}
	var all []string
	for name, property := range properties {
		all = append(all, leaves(property.(map[string]any), strings.TrimPrefix(path+"."+name, "."))...)
	}
	slices.Sort(all)
	return all
}

// fieldsOf returns the fields of a typed value by their path; what is embedded by Change has none of its own.
func fieldsOf(v reflect.Value, path string) map[string]any {
	all := map[string]any{}
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch v.Interface().(type) {
	case schema.Secret, schema.Raw, time.Time, string, bool:
		all[path] = v.Interface()
		return all
	}
	for i := range v.NumField() {
		inner := path
		if name := v.Type().Field(i).Name; name != "Change" {
			inner = strings.TrimPrefix(path+"."+name, ".")
		}
		maps.Copy(all, fieldsOf(v.Field(i), inner))
	}
	return all
}

// plain returns a field as JSON would have it.
func plain(t *testing.T, field any) any {
	t.Helper()
	switch v := field.(type) {
	case schema.Secret:
		return v.Reveal()
	case schema.Raw:
		return value(t, v.Bytes())
	case time.Time:
		return v.Format(time.RFC3339)
	}
	return field
}
