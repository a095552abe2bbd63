package schema_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestConsumersDocument holds deploy/consumers.md to the examples: what it shows is in one of them, and those it names are there.
func TestConsumersDocument(t *testing.T) {
	document, err := os.ReadFile("../deploy/consumers.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("example_*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	sources, named := "", 0
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sources += dedent(string(source))
	}
	for _, name := range regexp.MustCompile(`example_\w+_test\.go`).FindAllString(string(document), -1) {
		named++
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(document), -1)
	if len(blocks) != 2 || named < 7 {
		t.Errorf("%d blocks of Go, %d files named", len(blocks), named)
	}
	for _, block := range blocks {
		if !strings.Contains(sources, dedent(block[1])) {
			t.Errorf("in none of the examples:\n%s", block[1])
		}
	}
}

// dedent returns text without the white space around each line.
func dedent(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(strings.TrimSpace(line) + "\n")
	}
	return out.String()
}
