package schema_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mewsbridge/schema"
)

// got is what the table looks at in a message.
type got struct {
	Subject string
	Offset  int64  // of a quarantined message
	Data    string // of a quarantined message; data of a CloudEvent otherwise
}

func summarize(messages []schema.Message) []got {
	var out []got
	for _, m := range messages {
		g := got{Subject: m.Subject, Data: string(m.Data)}
		if m.Quarantine != nil {
			g.Offset = m.Quarantine.Offset
		} else {
			_, data, _ := strings.Cut(g.Data, `"data":`)
			g.Data = strings.TrimSuffix(data, "}")
		}
		out = append(out, g)
	}
	return out
}

func TestParseSplitsEvents(t *testing.T) {
	const good = `{"Discriminator":"CustomerAdded","Value":{"Id":"c"}}`
	const goodSubject = "mews.events.CustomerAdded._.c"
	long := strings.Repeat("x", 10000)
	tests := map[string]struct {
		body string
		want []got
	}{
		"events empty": {`{"Events":[]}`, nil},
		"two in order": {
			`{"Events":[` + good + `, {"Discriminator":"New_One-2","Value":{"Id":"d"}} ]}`,
			[]got{{goodSubject, 0, good}, {"mews.events.New_One-2._.d", 0, `{"Discriminator":"New_One-2","Value":{"Id":"d"}}`}},
		},
		"ids":               {`{"EnterpriseId":"e-1","IntegrationId":"i","Events":[` + good + `]}`, []got{{"mews.events.CustomerAdded.e-1.c", 0, `{"EnterpriseId":"e-1","IntegrationId":"i",` + good[1:]}}},
		"id behind events":  {`{"Events":[` + good + `],"EnterpriseId":"e"}`, []got{{"mews.events.CustomerAdded.e.c", 0, `{"EnterpriseId":"e",` + good[1:]}}},
		"enterprise null":   {`{"EnterpriseId":null,"Events":[` + good + `]}`, []got{{goodSubject, 0, `{"EnterpriseId":null,` + good[1:]}}},
		"enterprise number": {`{"EnterpriseId" : 12e1 ,"Events":[` + good + `]}`, []got{{goodSubject, 0, `{"EnterpriseId" : 12e1,` + good[1:]}}},
		"enterprise dot":    {`{"EnterpriseId":"a.b","Events":[` + good + `]}`, []got{{goodSubject, 0, `{"EnterpriseId":"a.b",` + good[1:]}}},
		"unknown members":   {`{"X":[1, {}],"Events":[` + good + `],"Action":"A"}`, []got{{goodSubject, 0, `{"X":[1, {}],"Action":"A",` + good[1:]}}},
		"names by case":     {`{"Events":[{"discriminator":"A","Discriminator":"B","Value":{"id":"x"}}]}`, []got{{"mews.events.B._._", 0, `{"discriminator":"A","Discriminator":"B","Value":{"id":"x"}}`}}},
		"white space":       {" \t\r\n{ \"Events\" :\n[ { \"Discriminator\"\t: \"A\" , \"Value\" : { \"Id\" : \"x\" } } ] } \n", []got{{"mews.events.A._.x", 0, "{ \"Discriminator\"\t: \"A\" , \"Value\" : { \"Id\" : \"x\" } }"}}},
		"escaped names and values": {
			`{"\u0045vents":[{"Discrimin\u0061tor":"\u0041B","V\u0061lue":{"I\u0064":"\u0078y"}}]}`,
			[]got{{"mews.events.AB._.xy", 0, `{"Discrimin\u0061tor":"\u0041B","V\u0061lue":{"I\u0064":"\u0078y"}}`}},
		},
		"no Value":         {`{"Events":[{"Discriminator":"A"}]}`, []got{{"mews.events.A._._", 0, `{"Discriminator":"A"}`}}},
		"Value a number":   {`{"Events":[{"Discriminator":"A","Value":1}]}`, []got{{"mews.events.A._._", 0, `{"Discriminator":"A","Value":1}`}}},
		"no Id":            {`{"Events":[{"Discriminator":"A","Value":{}}]}`, []got{{"mews.events.A._._", 0, `{"Discriminator":"A","Value":{}}`}}},
		"Id null":          {`{"Events":[{"Discriminator":"A","Value":{"Id":null}}]}`, []got{{"mews.events.A._._", 0, `{"Discriminator":"A","Value":{"Id":null}}`}}},
		"Id with wildcard": {`{"Events":[{"Discriminator":"A","Value":{"Id":">"}}]}`, []got{{"mews.events.A._._", 0, `{"Discriminator":"A","Value":{"Id":">"}}`}}},
		"elements that are no objects": {
			`{"Events":[null, 1 ,"s",[{}],` + good + `,true]}`,
			[]got{
				{"mews.quarantine.not-object", 0, "null"}, {"mews.quarantine.not-object", 0, "1"},
				{"mews.quarantine.not-object", 0, `"s"`}, {"mews.quarantine.not-object", 0, "[{}]"},
				{goodSubject, 0, good}, {"mews.quarantine.not-object", 0, "true"},
			},
		},
		"no discriminator": {`{"Events":[{}, {"Value":{"Id":"x"}},` + good + `]}`, []got{
			{"mews.quarantine.no-discriminator", 0, "{}"},
			{"mews.quarantine.no-discriminator", 0, `{"Value":{"Id":"x"}}`},
			{goodSubject, 0, good},
		}},
		"discriminator no string": {`{"Events":[{"Discriminator":null},{ "Discriminator": 7}]}`, []got{
			{"mews.quarantine.invalid-discriminator", 17, `{"Discriminator":null}`},
			{"mews.quarantine.invalid-discriminator", 19, `{ "Discriminator": 7}`},
		}},
		"discriminator no token": {
			`{"Events":[{"Discriminator":"a.b"},{"Discriminator":"*"},{"Discriminator":">"},{"Discriminator":"a b"},` +
				`{"Discriminator":"a\u0000"},{"Discriminator":""},{"Discriminator":"é"},{"Discriminator":"` + long + `"}]}`,
			[]got{
				{"mews.quarantine.invalid-discriminator", 17, `{"Discriminator":"a.b"}`},
				{"mews.quarantine.invalid-discriminator", 17, `{"Discriminator":"*"}`},
				{"mews.quarantine.invalid-discriminator", 17, `{"Discriminator":">"}`},
				{"mews.quarantine.invalid-discriminator", 17, `{"Discriminator":"a b"}`},
				{"mews.quarantine.invalid-discriminator", 17, `{"Discriminator":"a\u0000"}`},
				{"mews.quarantine.invalid-discriminator", 17, `{"Discriminator":""}`},
				{"mews.quarantine.invalid-discriminator", 17, `{"Discriminator":"é"}`},
				{"mews.quarantine.invalid-discriminator", 17, `{"Discriminator":"` + long + `"}`},
			},
		},
		"invalid UTF-8 in one element": {
			`{"Events":[` + good + `,{"Discriminator":"A","X":"` + "\xff" + `"},` + good + `]}`,
			[]got{{goodSubject, 0, good}, {"mews.quarantine.invalid-utf8", 26, `{"Discriminator":"A","X":"` + "\xff" + `"}`}, {goodSubject, 0, good}},
		},
		"half a surrogate pair in one element": {
			`{"Events":[{"X":"\ud800"},` + good + `]}`,
			[]got{{"mews.quarantine.invalid-utf8", 6, `{"X":"\ud800"}`}, {goodSubject, 0, good}},
		},
		"duplicate names in elements": {
			`{"Events":[{"Discriminator":"A","Discriminator":"B"},` + good + `,{"Discriminator":"A","Value":{"Id":"x","I\u0064":"y"}}, 5]}`,
			[]got{
				{"mews.quarantine.duplicate-member", 21, `{"Discriminator":"A","Discriminator":"B"}`},
				{goodSubject, 0, good},
				{"mews.quarantine.duplicate-member", 39, `{"Discriminator":"A","Value":{"Id":"x","I\u0064":"y"}}`},
				{"mews.quarantine.not-object", 0, "5"},
			},
		},
		"event wins over shared member": {
			`{"EnterpriseId":"e","A":1,"B":2,"Events":[{"B":3,"Discriminator":"D","\u0041":4},` + good + `]}`,
			[]got{
				{"mews.events.D.e._", 0, `{"EnterpriseId":"e","B":3,"Discriminator":"D","\u0041":4}`},
				{"mews.events.CustomerAdded.e.c", 0, `{"EnterpriseId":"e","A":1,"B":2,` + good[1:]},
			},
		},
		"entities": {
			`{"Entities":{"No":1,"Customers":[1,{},{"Id":"x"},{"Id":"c", "N":[ ]},{"Id":"c"}],"Others":[{"Id":"c"}]},"Events":[` + good +
				`,{"Discriminator":"A","Value":{"Id":"q"}},{"Discriminator":"A","Entity":0,"Value":{"Id":"c"}}]}`,
			[]got{
				{goodSubject, 0, `{"Entity":{"Id":"c", "N":[ ]},` + good[1:]},
				{"mews.events.A._.q", 0, `{"Discriminator":"A","Value":{"Id":"q"}}`},
				{"mews.events.A._.c", 0, `{"Discriminator":"A","Entity":0,"Value":{"Id":"c"}}`},
			},
		},
		"entities null":          {`{"Entities":null,"Events":[` + good + `]}`, []got{{goodSubject, 0, good}}},
		"entity beside entities": {`{"Entities":{"X":[{"Id":"c"}]},"Entity":1,"Events":[` + good + `]}`, []got{{goodSubject, 0, `{"Entity":1,` + good[1:]}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := mustParse(t, tt.body)
			messages := w.Messages(receipt())
			if diff := cmp.Diff(tt.want, summarize(messages)); diff != "" {
				t.Fatalf("messages (-want +got):\n%s", diff)
			}
			checkMessages(t, []byte(tt.body), w, messages)
		})
	}
}

func TestParseWholeBody(t *testing.T) {
	events := func(n int, e string) string { return `{"Events":[` + strings.Repeat(e+",", n-1) + e + `]}` }
	shared := `{"A":"` + strings.Repeat("x", 1<<20) + `","Events":[` + strings.Repeat(`{"Discriminator":"A"},`, 64)
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	tests := map[string]struct {
		body    string
		subject string
		offset  int64
	}{
		"array":                  {`[{"Events":[]}]`, "mews.quarantine.unknown-kind", 0},
		"number":                 {`1`, "mews.quarantine.unknown-kind", 0},
		"null":                   {` null `, "mews.quarantine.unknown-kind", 0},
		"string":                 {`"Events"`, "mews.quarantine.unknown-kind", 0},
		"empty object":           {`{}`, "mews.quarantine.unknown-kind", 0},
		"events null":            {`{"Events":null}`, "mews.quarantine.unknown-kind", 0},
		"events object":          {`{"Events":{}}`, "mews.quarantine.unknown-kind", 0},
		"events by case":         {`{"events":[]}`, "mews.quarantine.unknown-kind", 0},
		"action number":          {`{"Action":1}`, "mews.quarantine.unknown-kind", 0},
		"action null":            {`{"Action":null,"Data":{}}`, "mews.quarantine.unknown-kind", 0},
		"action dot":             {`{"Action":"a.b"}`, "mews.quarantine.invalid-action", 10},
		"too many events":        {events(schema.MaxEvents+1, "{}"), "mews.quarantine.too-many-events", 0},
		"too large":              {shared + `{}]}`, "mews.quarantine.too-large", 0},
		"shared member deep":     {`{"A":` + deep(9999) + `,"Events":[]}`, "mews.quarantine.too-deep", 5 + 9998},
		"integration deep":       {` {"Action":"A","Data":` + deep(9999) + `}`, "mews.quarantine.too-deep", 22 + 9998},
		"integration":            {`{"Action":"IntegrationEnabled","Data":{"Integration":{"Name":"n","Id":"i"}}}`, "mews.integrations.IntegrationEnabled.i", 0},
		"integration escaped":    {`{"\u0041ction":"\u0041","Data":{"Integration":{"I\u0064":"\u0069"}}}`, "mews.integrations.A.i", 0},
		"integration without id": {`{"Action":"New","Data":{"Integration":{"Id":5}}}`, "mews.integrations.New._", 0},
		"integration no data":    {`{"Action":"New"}`, "mews.integrations.New._", 0},
		"integration data null":  {`{"Action":"New","Data":null,"Events":null}`, "mews.integrations.New._", 0},
		"integration dotted id":  {`{"Action":"New","Data":{"Integration":{"Id":"a.b"}}}`, "mews.integrations.New._", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := mustParse(t, tt.body)
			messages := w.Messages(receipt())
			if len(messages) != 1 {
				t.Fatalf("%d messages, want 1", len(messages))
			}
			if g := summarize(messages)[0]; g.Subject != tt.subject || g.Offset != tt.offset || g.Data != strings.TrimSpace(tt.body) && g.Data != tt.body {
				t.Errorf("got subject %s, offset %d, %d bytes; want %s, %d, %d bytes", g.Subject, g.Offset, len(g.Data), tt.subject, tt.offset, len(tt.body))
			}
			checkMessages(t, []byte(tt.body), w, messages)
		})
	}
}

func TestParseLimits(t *testing.T) {
	for _, n := range []int{10000, schema.MaxEvents} {
		body := `{"EnterpriseId":"e","Events":[` + strings.Repeat(`{"Discriminator":"A","Value":{"Id":"x"}},`, n-1) + `{"Discriminator":"A"}]}`
		w := mustParse(t, body)
		if messages := w.Messages(receipt()); len(messages) != n || w.Published() != n || messages[n-1].ID != fmt.Sprintf("01JD-%d", n-1) {
			t.Errorf("%d events: %d messages, last %s", n, len(messages), messages[len(messages)-1].ID)
		}
	}
	w := mustParse(t, `{"A":`+strings.Repeat("[", 9998)+strings.Repeat("]", 9998)+`,"Events":[{"Discriminator":"A"}]}`)
	if w.Published() != 1 {
		t.Errorf("a shared member of the greatest depth is not published: %s", w.Reason)
	}
	checkMessages(t, nil, w, w.Messages(receipt()))
}

func TestParseErrors(t *testing.T) {
	const secret = "s3cretAccessToken"
	tests := map[string]struct {
		body   string
		reason schema.Reason
		offset int64
		cut    bool
	}{
		"empty":                      {"", schema.ReasonNotJSON, 0, true},
		"white space":                {" \n", schema.ReasonNotJSON, 2, true},
		"cut off in object":          {`{"Events":[{"Discriminator":"A"}`, schema.ReasonNotJSON, 32, true},
		"cut off in string":          {`{"Action":"` + secret, schema.ReasonNotJSON, 28, true},
		"cut off in literal":         {`nul`, schema.ReasonNotJSON, 3, true},
		"text":                       {secret, schema.ReasonNotJSON, 0, false},
		"name without colon":         {`{"` + secret + `",1}`, schema.ReasonNotJSON, 20, false},
		"trailing comma":             {`{"Events":[],}`, schema.ReasonNotJSON, 12, false},
		"two values":                 {`{"Events":[]} {}`, schema.ReasonNotJSON, 14, false},
		"rubbish behind":             {`{"Events":[]}]`, schema.ReasonNotJSON, 13, false},
		"byte order mark":            {"\ufeff{}", schema.ReasonNotJSON, 0, false},
		"name is a number":           {`{1:2}`, schema.ReasonNotJSON, 1, false},
		"mismatched brackets":        {`{"Events":[}`, schema.ReasonNotJSON, 11, false},
		"grammar in an element":      {`{"Events":[{"Discriminator":A}]}`, schema.ReasonNotJSON, 28, false},
		"control character":          {"{\"Events\":[\"a\nb\"]}", schema.ReasonNotJSON, 13, false},
		"deep arrays":                {strings.Repeat("[", 100000), schema.ReasonTooDeep, 10000, false},
		"deep in events":             {`{"Events":[` + strings.Repeat("[", 100000), schema.ReasonTooDeep, 11 + 9998, false},
		"deep objects in events":     {`{"Events":[` + strings.Repeat(`{"a/b":`, 100000), schema.ReasonTooDeep, 11 + 9998*7, false},
		"deep in integration":        {`{"Action":"A","Data":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`, schema.ReasonTooDeep, 21 + 9999, false},
		"utf-8 in value":             {`{"EnterpriseId":"` + secret + "\xff" + `","Events":[]}`, schema.ReasonInvalidUTF8, 34, false},
		"utf-8 in name":              {"{\"a\xff\":1,\"Events\":[]}", schema.ReasonInvalidUTF8, 3, false},
		"utf-8 in string body":       {"\"\xc3\x28\"", schema.ReasonInvalidUTF8, 1, false},
		"half a surrogate pair":      {`{"Action":"\udc00"}`, schema.ReasonInvalidUTF8, 11, false},
		"utf-8 behind bad element":   {"{\"Events\":[{\"a\":1,\"a\":2}],\"b\":\"\xff\"}", schema.ReasonInvalidUTF8, 31, false},
		"duplicate member":           {`{"` + secret + `":1,"` + secret + `":2}`, schema.ReasonDuplicateMember, 23, false},
		"duplicate member, escaped":  {`{"Action":"A","\u0041ction":"B"}`, schema.ReasonDuplicateMember, 14, false},
		"duplicate Events":           {`{"Events":[{}],"Events":[]}`, schema.ReasonDuplicateMember, 15, false},
		"duplicate in a value":       {`{"Action":"A","Data":{"a":1,"a":2}}`, schema.ReasonDuplicateMember, 28, false},
		"duplicate in array":         {`[{"a":1,"a":2}]`, schema.ReasonDuplicateMember, 8, false},
		"duplicate, later cut off":   {`{"a":1,"a":2`, schema.ReasonNotJSON, 12, true},
		"bad element, later cut off": {`{"Events":[{"a":1,"a":2}]`, schema.ReasonNotJSON, 25, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w, err := schema.Parse([]byte(tt.body))
			pe, ok := errors.AsType[*schema.ParseError](err)
			if w != nil || !ok {
				t.Fatalf("got %v, %v", w, err)
			}
			if pe.Reason != tt.reason || pe.Offset != tt.offset || errors.Is(err, io.ErrUnexpectedEOF) != tt.cut {
				t.Errorf("got %s at %d (cut off %t), want %s at %d", pe.Reason, pe.Offset, errors.Is(err, io.ErrUnexpectedEOF), tt.reason, tt.offset)
			}
			for _, s := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", *pe)} {
				if strings.Contains(s, secret) {
					t.Errorf("the error holds bytes of the body: %s", s)
				}
			}
			m := schema.QuarantineBody([]byte(tt.body), pe.Reason, pe.Offset, receipt())
			if m.ID != "01JD-0" || m.Subject != "mews.quarantine."+string(tt.reason) || string(m.Data) != tt.body || m.Quarantine.Offset != tt.offset {
				t.Errorf("quarantined as %s %s", m.ID, m.Subject)
			}
		})
	}
}

func TestUnknownMembers(t *testing.T) {
	for body, want := range map[string][]string{
		`{"EnterpriseId":"e","IntegrationId":"i","Entities":{},"Events":[]}`:  nil,
		`{"EnterpriseId":"e","New":1,"Events":[{"Other":1}],"Action":"x"}`:    {"New", "Action"},
		`{"Action":"IntegrationCreated","Data":{"Any":1}}`:                    nil,
		`{"Action":"IntegrationCreated","Data":{},"EnterpriseId":"e"}`:        {"EnterpriseId"},
		`{"Action":1,"Events":2}`:                                             {"Action", "Events"},
		`[1]`:                                                                 nil,
		`{"N\u0065w":1,"Events":[{"Discriminator":"A","Discriminator":"B"}]}`: {"New"},
	} {
		w, err := schema.Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if got := w.UnknownMembers(); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}
