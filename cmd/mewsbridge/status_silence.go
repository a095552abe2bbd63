package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"mewsbridge/bridge/silence"
)

// silentShown is how many names of those who have gone quiet are on the screen.
const silentShown = 3

// silence asks who has gone quiet; those who have not are counted alone.
func (a *adminClient) silence(ctx context.Context, r *statusReport) error {
	body, err := a.open(ctx, "/silence")
	if err != nil {
		return err
	}
	defer body.Close()
	if json.NewDecoder(io.LimitReader(body, maxMetrics)).Decode(&r.Silence) != nil {
		return fmt.Errorf("%s/silence cannot be read", a.base)
	}
	heard := func(v silence.Voice) bool { return !v.Silent }
	for i := range r.Silence {
		r.Silence[i].Enterprises = slices.DeleteFunc(r.Silence[i].Enterprises, heard)
		r.Silence[i].Types = slices.DeleteFunc(r.Silence[i].Types, heard)
	}
	return nil
}

// silent says who has gone quiet far beyond the usual rhythm.
func (r *statusReport) silent(out io.Writer) string {
	if r.Silence == nil {
		return "not known"
	}
	known, silent := 0, 0
	var names []string
	for _, report := range r.Silence {
		known += report.EnterprisesKnown
		silent += report.EnterprisesSilent + len(report.Types)
		for _, v := range slices.Concat(report.Enterprises, report.Types) {
			names = append(names, shortened(printable(v.Name), 36)+" (for "+age(v.Last, r.At)+")")
		}
	}
	if silent == 0 {
		return "none of " + plural(known, "enterprise", "enterprises")
	}
	text := fmt.Sprintf("%d of %s and their types: %s", silent, plural(known, "enterprise", "enterprises"), strings.Join(names[:min(len(names), silentShown)], ", "))
	if silent > silentShown {
		text += ", …"
	}
	return painted(out, colourFault, text)
}
