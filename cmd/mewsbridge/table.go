package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// table is text in columns under a header. A header that begins with > is of numbers, which stand to the right.
type table struct {
	header []string
	rows   [][]string
}

func newTable(header ...string) *table { return &table{header: header} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write prints the table; on a terminal its header is dim.
func (t *table) write(out io.Writer) error {
	header := make([]string, len(t.header))
	for i, name := range t.header {
		name, right := strings.CutPrefix(name, ">")
		header[i] = name
		if right {
			t.alignRight(i, header)
		}
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, cells := range append([][]string{header}, t.rows...) {
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print table: %w", err)
	}
	for i, line := range strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n") {
		line = strings.TrimRight(line, " ")
		if i == 0 {
			line = dim(out, line)
		}
		if _, err := io.WriteString(out, line+"\n"); err != nil {
			return fmt.Errorf("print table: %w", err)
		}
	}
	return nil
}

// alignRight pads column i of the header and of each row to the same width.
func (t *table) alignRight(i int, header []string) {
	width := utf8.RuneCountInString(header[i])
	for _, cells := range t.rows {
		width = max(width, utf8.RuneCountInString(cells[i]))
	}
	pad := func(s string) string { return strings.Repeat(" ", width-utf8.RuneCountInString(s)) + s }
	header[i] = pad(header[i])
	for _, cells := range t.rows {
		cells[i] = pad(cells[i])
	}
}

// dim returns text for the eye to pass over, when out is a terminal.
func dim(out io.Writer, text string) string { return painted(out, colourDim, text) }

// painted returns text in a colour, when out is a terminal.
func painted(out io.Writer, colour, text string) string {
	if _, terminal := terminalWidth(out); !terminal {
		return text
	}
	return colour + text + colourOff
}

// printable returns s without what could steer a terminal: it may come from anyone who may write to the stream.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
}

// shortened returns at most width characters of s.
func shortened(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}

// grouped writes a number with its thousands apart.
func grouped[N int | int64 | uint64](n N) string {
	digits := strconv.FormatInt(int64(n), 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// plural writes a number and what is counted.
func plural[N int | int64 | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

// humanSize writes a number of bytes in the unit that fits.
func humanSize[N int | int64 | uint64](n N) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}

// age writes how long ago at was, in its two largest units at most; "never" for no time.
func age(at, now time.Time) string {
	if at.IsZero() {
		return "never"
	}
	d := max(now.Sub(at), 0)
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
	}
}

// clock writes a time to the second, in UTC as the messages have it.
func clock(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05") }

// facts are lines of a name and what it is.
type facts struct {
	out   io.Writer
	names []string
	texts []string
}

func newFacts(out io.Writer) *facts { return &facts{out: out} }

func (f *facts) add(name, text string) {
	f.names, f.texts = append(f.names, name), append(f.texts, text)
}

func (f *facts) write() error {
	width := 0
	for _, name := range f.names {
		width = max(width, len(name))
	}
	for i, name := range f.names {
		if _, err := fmt.Fprintf(f.out, "%s  %s\n", dim(f.out, fmt.Sprintf("%-*s", width, name)), f.texts[i]); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return nil
}
