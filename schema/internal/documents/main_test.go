package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestDocumentsAreUpToDate fails when the embedded documents are not those that would be written now.
func TestDocumentsAreUpToDate(t *testing.T) {
	dir := t.TempDir()
	if err := write(dir); err != nil {
		t.Fatal(err)
	}
	const embedded = "../../json"
	written, err := os.ReadDir(filepath.Join(dir, "v1"))
	if err != nil {
		t.Fatal(err)
	}
	there, err := os.ReadDir(filepath.Join(embedded, "v1"))
	if err != nil {
		t.Fatal(err)
	}
	if len(there) != len(written) {
		t.Errorf("%d documents are embedded, %d would be written", len(there), len(written))
	}
	for _, entry := range written {
		want, err := os.ReadFile(filepath.Join(dir, "v1", entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(embedded, "v1", entry.Name()))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not up to date (%v): run go generate ./schema", entry.Name(), err)
		}
	}
}
