// Package mewsbridge_test holds the rules of the repository as a whole.
package mewsbridge_test

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goPackage is what `go list -json` says of a package.
type goPackage struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); decoder.More(); {
		var p goPackage
		if err := decoder.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 {
			all = append(all, p)
		}
	}
	return all
}

func within(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// TestImportsPointOneWay keeps a reader able to know where anything can be: schema imports nothing of ours, publisher and
// bridge never each other, and each outside library has one home.
func TestImportsPointOneWay(t *testing.T) {
	const (
		echo    = "github.com/labstack/echo"
		natsGo  = "github.com/nats-io/nats.go"
		natsSrv = "github.com/nats-io/nats-server"
	)
	homes := map[string][]string{ // library: the packages that may import it
		echo:    {"mewsbridge/bridge"},
		natsGo:  {"mewsbridge/publisher", "mewsbridge/cmd"},
		natsSrv: {"mewsbridge/publisher/embedded", "mewsbridge/publisher/natstest"},
	}
	forbidden := map[string][]string{ // package: what it may not import
		"mewsbridge/publisher": {"mewsbridge/bridge", "mewsbridge/cmd"},
		"mewsbridge/bridge":    {"mewsbridge/publisher", "mewsbridge/cmd"},
		"mewsbridge/schema":    {"mewsbridge"},
	}
	found := packages(t)
	if len(found) < 5 {
		t.Fatalf("go list found %d packages", len(found))
	}
	for _, p := range found {
		for _, imported := range p.Imports {
			for library, allowed := range homes {
				home := slices.ContainsFunc(allowed, func(root string) bool { return within(p.ImportPath, root) })
				if within(imported, library) && !home {
					t.Errorf("%s imports %s; only %v may", p.ImportPath, imported, allowed)
				}
			}
			for root, banned := range forbidden {
				inside := within(imported, root) // schema's own subpackages
				if within(p.ImportPath, root) && !inside && slices.ContainsFunc(banned, func(b string) bool { return within(imported, b) }) {
					t.Errorf("%s imports %s", p.ImportPath, imported)
				}
			}
		}
	}
}

// TestSchemaStandsAlone lets a consumer import schema without anything but the tokenizer it parses with.
func TestSchemaStandsAlone(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath != "mewsbridge/schema" {
			continue
		}
		for _, imported := range p.Imports {
			standard := !strings.Contains(strings.SplitN(imported, "/", 2)[0], ".")
			if !standard && imported != "github.com/go-json-experiment/json/jsontext" {
				t.Errorf("schema imports %s", imported)
			}
		}
		return
	}
	t.Error("there is no package schema")
}

// TestEveryPackageHasOneDoc keeps each package's job and promise in one place.
func TestEveryPackageHasOneDoc(t *testing.T) {
	for _, p := range packages(t) {
		docs := 0
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil {
				docs++
			}
		}
		if docs != 1 {
			t.Errorf("%s has %d package comments, want 1", p.ImportPath, docs)
		}
	}
}

func TestNoReplaceDirectives(t *testing.T) {
	data, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(strings.TrimSpace(line), "replace") {
			t.Errorf("go.mod: %s", line)
		}
	}
}
