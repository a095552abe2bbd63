package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"mewsbridge/cmd/mewsbridge/internal/rehearsal"
)

// printRehearsal writes one column for each setup.
func printRehearsal(out io.Writer, r *rehearsal.Report) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, value func(rehearsal.SetupReport) any) {
		fmt.Fprintf(table, "%s\t", name)
		for _, s := range r.Setups {
			fmt.Fprintf(table, "%v\t", value(s))
		}
		fmt.Fprintln(table)
	}
	count := func(name string, value func(rehearsal.Counts) any) {
		row(name, func(s rehearsal.SetupReport) any { return value(s.Counts) })
	}
	row("", func(s rehearsal.SetupReport) any { return s.Setup })
	count("webhooks sent", func(c rehearsal.Counts) any { return c.Sent })
	count("acknowledged", func(c rehearsal.Counts) any { return c.Acknowledged })
	count("dropped after three attempts", func(c rehearsal.Counts) any { return c.Dropped })
	count("attempted again", func(c rehearsal.Counts) any { return c.Retried })
	count("events stored", func(c rehearsal.Counts) any { return c.Stored })
	count("lost", func(c rehearsal.Counts) any { return c.Lost })
	count("deleted with the stream", func(c rehearsal.Counts) any { return c.Deleted })
	count("of dropped webhooks, not stored", func(c rehearsal.Counts) any { return c.Undelivered })
	count("duplicates", func(c rehearsal.Counts) any { return c.Duplicates })
	count("duplicates without a reason", func(c rehearsal.Counts) any { return c.Unexplained })
	count("longest outage", func(c rehearsal.Counts) any { return rounded(c.Outage) })
	count("slowest answer", func(c rehearsal.Counts) any { return rounded(c.Slowest) })
	for _, fault := range rehearsal.Faults() {
		if injected(r, fault) {
			row(string(fault), func(s rehearsal.SetupReport) any { return s.Injected[fault] })
		}
	}
	for i := range r.Setups[0].Levels {
		row(r.Setups[0].Levels[i].Name, func(s rehearsal.SetupReport) any {
			if i < len(s.Levels) {
				return s.Levels[i]
			}
			return ""
		})
	}
	_ = table.Flush() // what cannot be written has no reader
	explain(out, r)
}

func injected(r *rehearsal.Report, fault rehearsal.Fault) bool {
	for _, s := range r.Setups {
		if s.Injected[fault] > 0 {
			return true
		}
	}
	return false
}

// explain says what two of the rows mean, when they are not zero.
func explain(out io.Writer, r *rehearsal.Report) {
	var duplicates, deleted int
	for _, s := range r.Setups {
		duplicates += s.Counts.Duplicates
		deleted += s.Counts.Deleted
	}
	if duplicates > 0 {
		fmt.Fprintln(out, "\nDuplicates: the answer was lost on its way, or the bridge ended between two attempts, so that the retry was a new delivery.")
	}
	if deleted > 0 {
		fmt.Fprintln(out, "\nDeleted with the stream: acknowledged while the stream was being deleted, after what it held had been counted.")
	}
}

// progressLine shows how far the rehearsal is: in place on a terminal, else a line every few seconds.
type progressLine struct {
	out      io.Writer
	terminal bool
	shown    time.Time
}

func newProgressLine(out io.Writer) *progressLine {
	_, terminal := terminalWidth(out)
	return &progressLine{out: out, terminal: terminal}
}

func (l *progressLine) show(p rehearsal.Progress) {
	const every = 5 * time.Second
	text := fmt.Sprintf("%s %v/%v  acknowledged %d  dropped %d  %s", p.Setup, p.Elapsed.Round(time.Second), p.Whole.Round(time.Second),
		p.Counts.Acknowledged, p.Counts.Dropped, p.Doing)
	switch {
	case l.terminal:
		fmt.Fprintf(l.out, "\r\x1b[K%s", text)
	case time.Since(l.shown) >= every:
		l.shown = time.Now()
		fmt.Fprintln(l.out, text)
	}
}

func (l *progressLine) clear() {
	if l.terminal {
		fmt.Fprint(l.out, "\r\x1b[K")
	}
}
