package schema

import "embed"

//go:generate go run ./internal/documents json

//go:embed json/v1/*.json
var documents embed.FS

// DocumentVersion is the version of the documents, which is in their paths and in the $id of each JSON Schema. Within a version
// members are only added.
const DocumentVersion = "v1"

// asyncAPIName is the name of the one document that is no JSON Schema.
const asyncAPIName = "asyncapi"

// Document is a JSON Schema (2020-12) of what Mews sends or of what is published, or the AsyncAPI document of all of it. Each
// stands alone: it refers to no other.
type Document struct {
	Name        string // for example ServiceOrderUpdated
	Description string // its own, in plain words
	Content     []byte // JSON, indented; nobody may change it
}

// Path returns the document's path below the folder or URL of all: v1/<name>.json.
func (d Document) Path() string { return DocumentVersion + "/" + d.Name + ".json" }

// Documents returns the JSON Schemas in a fixed order: the webhooks of Mews; the messages of the events stream, of any type and
// of each documented type; those of the integrations stream likewise; and the NATS headers.
func Documents() []Document {
	names := []string{"general-webhook", "integration-webhook", "event"}
	for _, d := range KnownDiscriminators() {
		names = append(names, string(d))
	}
	names = append(names, "integration-event")
	for _, a := range KnownActions() {
		names = append(names, string(a))
	}
	names = append(names, "headers", "quarantine-headers")
	all := make([]Document, len(names))
	for i, name := range names {
		all[i] = readDocument(name)
	}
	return all
}

// AsyncAPI returns the AsyncAPI 3.0 document of the channels, messages and headers, with examples.
func AsyncAPI() Document { return readDocument(asyncAPIName) }

func readDocument(name string) Document {
	content, err := documents.ReadFile("json/" + DocumentVersion + "/" + name + ".json")
	if err != nil {
		panic("schema: the document " + name + " is not embedded") // a test reads every one
	}
	about := content
	if name == asyncAPIName {
		about = memberOf(content, "info")
	}
	return Document{Name: name, Description: unquoteString(memberOf(about, "description")), Content: content}
}
