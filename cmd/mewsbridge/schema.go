package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mewsbridge/bridge"
	"mewsbridge/schema"
)

// schemaOptions are the flags of schema.
type schemaOptions struct {
	all bool
	out string
}

func newSchemaCommand(env *environment) *cobra.Command {
	o := &schemaOptions{}
	var names []string
	for _, d := range describedDocuments() {
		names = append(names, d.Name)
	}
	cmd := &cobra.Command{
		Use:   "schema [NAME]",
		Short: "Print or write the JSON Schemas and the AsyncAPI document",
		Long: `List the JSON Schemas of what Mews sends and of what the bridge publishes, and the AsyncAPI document of
all of it; print the one that is named, or write them to a folder.

A running bridge serves the same at its admin address: /schemas and /asyncapi.json.`,
		Example: `  mewsbridge schema
  mewsbridge schema ServiceOrderUpdated
  mewsbridge schema --all | jq '."IntegrationCreated".properties.data'
  mewsbridge schema --out schemas`,
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: names,
		RunE: func(_ *cobra.Command, args []string) error {
			chosen, err := o.choose(args)
			if err != nil {
				return withCode(exitUsage, err)
			}
			return withCode(exitInternal, o.show(env.Stdout, chosen, len(args) == 1))
		},
	}
	cmd.Flags().BoolVar(&o.all, "all", false, "print all, as one JSON object by name")
	cmd.Flags().StringVar(&o.out, "out", "", "write to this folder instead: v1/NAME.json")
	return cmd
}

// describedDocuments returns every document, AsyncAPI last.
func describedDocuments() []schema.Document { return append(schema.Documents(), schema.AsyncAPI()) }

func (o *schemaOptions) choose(args []string) ([]schema.Document, error) {
	all := describedDocuments()
	if len(args) == 0 {
		return all, nil
	}
	if o.all {
		return nil, fmt.Errorf("--all and a name: give one")
	}
	at := slices.IndexFunc(all, func(d schema.Document) bool { return d.Name == args[0] })
	if at < 0 {
		return nil, fmt.Errorf("there is no schema %q; mewsbridge schema lists them", args[0])
	}
	return all[at : at+1], nil
}

func (o *schemaOptions) show(out io.Writer, chosen []schema.Document, one bool) error {
	switch {
	case o.out != "":
		return writeDocuments(out, o.out, chosen)
	case o.all:
		byName := map[string]json.RawMessage{}
		for _, d := range chosen {
			byName[d.Name] = d.Content
		}
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(byName)
	case one:
		_, err := out.Write(chosen[0].Content)
		return err
	default:
		return listDocuments(out, chosen)
	}
}

func listDocuments(out io.Writer, all []schema.Document) error {
	width := 0
	for _, d := range all {
		width = max(width, len(d.Name))
	}
	for _, d := range all {
		if _, err := fmt.Fprintf(out, "%-*s  %s\n", width, d.Name, firstSentence(d.Description)); err != nil {
			return err
		}
	}
	return nil
}

func firstSentence(text string) string {
	first, _, _ := strings.Cut(text, ". ")
	return strings.TrimSuffix(first, ".")
}

// writeDocuments puts each document where its path says below dir, and names what it wrote.
func writeDocuments(out io.Writer, dir string, all []schema.Document) error {
	for _, d := range all {
		name := filepath.Join(dir, filepath.FromSlash(d.Path()))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return fmt.Errorf("write schemas: %w", err)
		}
		if err := os.WriteFile(name, d.Content, 0o644); err != nil {
			return fmt.Errorf("write schemas: %w", err)
		}
		if _, err := fmt.Fprintln(out, name); err != nil {
			return err
		}
	}
	return nil
}

// Media types of the documents.
const (
	schemaMediaType   = "application/schema+json"
	asyncAPIMediaType = "application/vnd.aai.asyncapi+json;version=3.0.0"
)

// schemaRoutes serves the documents: an index at /schemas, each JSON Schema below it, and /asyncapi.json.
func schemaRoutes() []bridge.AdminRoute {
	type entry struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Path        string `json:"path"`
	}
	var index []entry
	var routes []bridge.AdminRoute
	for _, d := range schema.Documents() {
		path := "/schemas/" + d.Path()
		index = append(index, entry{d.Name, d.Description, path})
		routes = append(routes, bridge.AdminRoute{Path: path, Handler: serveBytes(schemaMediaType, d.Content)})
	}
	list, err := json.Marshal(index)
	if err != nil {
		panic("schema index: " + err.Error()) // strings alone: it cannot fail
	}
	return append(routes,
		bridge.AdminRoute{Path: "/schemas", Handler: serveBytes("application/json", list)},
		bridge.AdminRoute{Path: "/asyncapi.json", Handler: serveBytes(asyncAPIMediaType, schema.AsyncAPI().Content)},
	)
}

func serveBytes(mediaType string, content []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		_, _ = w.Write(content) // fails when the reader has gone
	})
}
