package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// helpWidth is how wide help is, unless the terminal has fewer columns.
const helpWidth = 100

// widthOfHelp returns the columns for help that goes to out.
func widthOfHelp(out io.Writer) int {
	if columns, terminal := terminalWidth(out); terminal {
		return min(columns, helpWidth)
	}
	return helpWidth
}

// setHelp has the help of every command below root fit width: cobra's own breaks no line, and a terminal breaks it within a word.
func setHelp(root *cobra.Command, width int) {
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n%s", filled(cmp.Or(cmd.Long, cmd.Short), width), cmd.UsageString())
	})
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := io.WriteString(cmd.OutOrStderr(), usage(cmd, width))
		return err
	})
}

// usage returns the part of the help after its prose, in the form that cobra has made usual.
func usage(cmd *cobra.Command, width int) string {
	var text strings.Builder
	text.WriteString("Usage:\n")
	if cmd.Runnable() {
		fmt.Fprintf(&text, "  %s\n", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&text, "  %s [command]\n", cmd.CommandPath())
	}
	if cmd.HasExample() {
		fmt.Fprintf(&text, "\nExamples:\n%s\n", cmd.Example)
	}
	if cmd.HasAvailableSubCommands() {
		text.WriteString("\nAvailable Commands:\n")
		for _, c := range cmd.Commands() {
			if !c.IsAvailableCommand() && c.Name() != "help" {
				continue
			}
			indent := c.NamePadding() + 3
			lines := folded(c.Short, width-indent)
			fmt.Fprintf(&text, "  %-*s %s\n", c.NamePadding(), c.Name(), strings.Join(lines, "\n"+strings.Repeat(" ", indent)))
		}
	}
	if cmd.HasAvailableLocalFlags() {
		text.WriteString("\nFlags:\n" + flagUsage(cmd.LocalFlags(), width))
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&text, "\n%q says more of a command.\n", cmd.CommandPath()+" [command] --help")
	}
	return text.String()
}

// flagUsage returns a line for each flag with what it is for beside it, or below it where there is no room. (FlagUsagesWrapped of pflag does not
// keep to its width.)
func flagUsage(flags *pflag.FlagSet, width int) string {
	const gap, below = "   ", 10
	lines := strings.Split(strings.TrimRight(flags.FlagUsages(), "\n"), "\n")
	names, column := make([]string, len(lines)), 0
	for i, line := range lines {
		trimmed := strings.TrimLeft(line, " ")
		name, _, _ := strings.Cut(trimmed, gap)
		names[i] = line[:len(line)-len(trimmed)] + name
		column = max(column, len(names[i])+len(gap))
	}
	indent := column
	if column > width/2 {
		indent = below
	}
	var text strings.Builder
	for i, line := range lines {
		start := names[i] + "\n" + strings.Repeat(" ", indent)
		if indent == column {
			start = fmt.Sprintf("%-*s", column, names[i])
		}
		what := folded(line[len(names[i]):], width-indent)
		text.WriteString(start + strings.Join(what, "\n"+strings.Repeat(" ", indent)) + "\n")
	}
	return text.String()
}

// filled breaks each paragraph of text into lines of at most width. Lines that begin with a space stay as they are.
func filled(text string, width int) string {
	var lines, paragraph []string
	end := func() {
		if len(paragraph) > 0 {
			lines = append(lines, folded(strings.Join(paragraph, " "), width)...)
			paragraph = nil
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" && !strings.HasPrefix(line, " ") {
			paragraph = append(paragraph, line)
			continue
		}
		end()
		lines = append(lines, line)
	}
	end()
	return strings.Join(lines, "\n")
}
