package bridge

import (
	"net/url"
	"strings"
	"testing"
)

// FuzzTokenParameter holds the reading of the query to what net/url makes of it: whatever url.ParseQuery refuses is refused, and the token is
// the value of the one parameter of that name.
func FuzzTokenParameter(f *testing.F) {
	for _, query := range []string{
		"", "Token=a", "token=a", "TOKEN=a%2Bb", "Token=a+b", "%54oken=a", "To%6ben=a&x=y", "x=y&Token=a", "Token=a&Token=a", "Token=a&token=b",
		"Token", "Token=", "=a", "&&Token=a&", "Token=a;b", "x=1;Token=a", "Token=a%zz", "Token=a&x=%", "%=1&Token=a", "Token==a", "Token=a=b", "Tokens=a",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if strings.Count(query, "&") > 1000 {
			return // net/url bounds how many it takes
		}
		want, found := "", 0
		values, err := url.ParseQuery(query)
		for name, all := range values {
			if strings.EqualFold(name, "token") {
				want, found = all[0], found+len(all)
			}
		}
		wanted := err == nil && found == 1 && want != ""
		got, ok := tokenParameter(query)
		if ok != wanted || ok && got != want {
			t.Errorf("%q: %q %v, want %q %v", query, got, ok, want, wanted)
		}
	})
}
