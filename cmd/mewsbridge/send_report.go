package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"mewsbridge/cmd/mewsbridge/internal/simulator"
)

// printReport writes what became of the webhooks. What cannot be written has no reader.
func printReport(out io.Writer, r *simulator.Report, asked int) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { fmt.Fprintf(table, "%s\t%v\n", name, value) }
	row("delivered", fmt.Sprintf("%d of %d webhooks in %v (%.0f/s)", r.Delivered, asked, rounded(r.Elapsed), float64(r.Delivered)/r.Elapsed.Seconds()))
	row("dropped", r.Dropped)
	if n := asked - r.Delivered - r.Dropped; n > 0 {
		row("interrupted", n)
	}
	row("attempts", fmt.Sprintf("%d, %d webhooks tried again", r.Attempts(), r.Retried))
	for _, result := range slices.Sorted(maps.Keys(r.Results)) {
		row("  "+result, r.Results[result])
	}
	if r.Latency.Count() > 0 {
		row("latency", fmt.Sprintf("p50 %v  p90 %v  p99 %v  max %v", rounded(r.Latency.Quantile(.5)),
			rounded(r.Latency.Quantile(.9)), rounded(r.Latency.Quantile(.99)), rounded(r.Latency.Max())))
	}
	_ = table.Flush()
}

// rounded keeps about three digits.
func rounded(d time.Duration) time.Duration {
	for unit := time.Second; unit > time.Nanosecond; unit /= 10 {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}
