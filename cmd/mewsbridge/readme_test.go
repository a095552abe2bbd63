package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestREADMEListsTheSettings keeps the README's table of settings equal to the code's.
func TestREADMEListsTheSettings(t *testing.T) {
	var table strings.Builder
	table.WriteString("| environment | key | default | what |\n| --- | --- | --- | --- |\n")
	for _, s := range settings() {
		initial := ""
		if s.initial != "" {
			initial = "`" + s.initial + "`"
		}
		fmt.Fprintf(&table, "| `%s` | `%s` | %s | %s |\n", s.env, s.key, initial, s.help)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), table.String()) {
		t.Errorf("README.md does not hold this table:\n%s", table.String())
	}
}
