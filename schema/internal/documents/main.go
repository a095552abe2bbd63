// Command documents writes the JSON Schemas and the AsyncAPI document that package schema embeds. They are made of the lists
// of package schema, and their examples by its own code.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: documents FOLDER")
		os.Exit(64)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(70)
	}
}

// write puts every document into its place below dir.
func write(dir string) error {
	documents, err := files()
	if err != nil {
		return err
	}
	for name, content := range documents {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// files returns the documents by their path.
func files() (map[string][]byte, error) {
	samples, err := newSamples()
	if err != nil {
		return nil, err
	}
	all := schemas(samples)
	out := map[string][]byte{}
	for name, s := range all {
		if out["v1/"+name+".json"], err = indented(s.document(name)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if out["v1/asyncapi.json"], err = indented(asyncAPI(all, samples)); err != nil {
		return nil, fmt.Errorf("asyncapi: %w", err)
	}
	return out, nil
}

func indented(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(v)
	return out.Bytes(), err
}
