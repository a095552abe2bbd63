package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"mewsbridge/bridge/silence"
)

func TestStatusNamesTheSilent(t *testing.T) {
	now := time.Now()
	voices := func(names ...string) (all []silence.Voice) {
		for _, name := range names {
			all = append(all, silence.Voice{Name: name, Last: now.Add(-49 * time.Hour), Silent: true})
		}
		return all
	}
	for _, test := range []struct {
		reports []silence.Report
		want    []string
	}{
		{nil, []string{"not known"}},
		{[]silence.Report{{EnterprisesKnown: 3}}, []string{"none of 3 enterprises"}},
		{[]silence.Report{{EnterprisesKnown: 3, EnterprisesSilent: 1, Enterprises: voices("hotel")}, {EnterprisesKnown: 9, Types: voices("PaymentUpdated")}},
			[]string{"2 of 12 enterprises and their types: hotel (for 2d", "PaymentUpdated"}},
		{[]silence.Report{{EnterprisesKnown: 9, EnterprisesSilent: 4, Enterprises: voices("a", "b", "c", "d")}}, []string{"4 of 9", "a (for", "c (for", ", …"}},
	} {
		r := statusReport{At: now, Silence: test.reports}
		text := r.silent(&bytes.Buffer{})
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%q does not say %q", text, want)
			}
		}
	}
}
