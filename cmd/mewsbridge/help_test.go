package main

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// TestHelpFitsTheTerminal asks every command for its help in 80 columns: prose and flags stay within them, and nothing is left out.
func TestHelpFitsTheTerminal(t *testing.T) {
	const width = 80
	var out bytes.Buffer
	env := &environment{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &out, Getenv: func(string) string { return "" }}
	root := newRootCommand(env)
	setHelp(root, width)
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		out.Reset()
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		text, whole := out.String(), strings.Join(strings.Fields(out.String()), " ")
		kept := append(strings.Split(cmd.Example, "\n"), strings.Split(cmd.Long, "\n")...)
		for line := range strings.SplitSeq(text, "\n") {
			if utf8.RuneCountInString(line) > width && !slices.Contains(kept, line) {
				t.Errorf("%s: too wide: %s", cmd.CommandPath(), line)
			}
		}
		said := []string{cmp.Or(cmd.Long, cmd.Short), cmd.Example, "Usage: "}
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				said = append(said, c.Name()+" "+c.Short)
			}
			visit(c)
		}
		for _, part := range said {
			if !strings.Contains(whole, strings.Join(strings.Fields(part), " ")) {
				t.Errorf("%s: left out: %s", cmd.CommandPath(), part)
			}
		}
	}
	visit(root)
}
