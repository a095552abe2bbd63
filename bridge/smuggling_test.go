package bridge_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestSmuggling sends requests whose end two readers could see at different places. None is answered 202, and what
// hides behind them is a request of its own, which needs a token of its own.
func TestSmuggling(t *testing.T) {
	hook := general(event("New", "n1"))
	head := "POST " + path + "?Token=" + token + " HTTP/1.1\r\nHost: x\r\n"
	hidden := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(hook), hook)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", len(hook), hook)
	emptyBody := []string{"mews.quarantine.not-json"}

	for _, test := range []struct {
		name     string
		raw      string
		statuses []int
		stored   []string
	}{
		// RFC 9112, 6.3: Transfer-Encoding overrides Content-Length.
		{"both lengths, hidden behind the chunks", head + fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", len("0\r\n\r\n")+len(hidden)) + hidden, []int{400, 401}, emptyBody},
		{"both lengths, hidden behind the content length", head + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + hidden, []int{400, 401}, emptyBody},
		{"transfer encoding twice", head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n" + chunk + "0\r\n\r\n", []int{501}, nil},
		{"a transfer encoding that looks like chunked", head + "Transfer-Encoding: xchunked\r\n\r\n" + chunk + "0\r\n\r\n", []int{501}, nil},
		{"space before the colon", head + "Transfer-Encoding : chunked\r\n\r\n" + chunk + "0\r\n\r\n", []int{400}, nil},
		{"folded header", head + "X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", []int{400}, emptyBody},
		{"length with a sign", head + "Content-Length: +5\r\n\r\n" + hook, []int{400}, nil},
		{"length as a list", head + "Content-Length: 5, 6\r\n\r\n" + hook, []int{400}, nil},
		{"length beyond any", head + "Content-Length: 99999999999999999999\r\n\r\n" + hook, []int{400}, nil},
		{"chunk size with a prefix", head + "Transfer-Encoding: chunked\r\n\r\n0x" + chunk + "0\r\n\r\n", []int{400}, nil},
		{"chunk size beyond any", head + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + hook, []int{400}, nil},
		{"negative chunk size", head + "Transfer-Encoding: chunked\r\n\r\n-1\r\n" + hook, []int{400}, nil},
		{"chunk without its end", head + "Transfer-Encoding: chunked\r\n\r\n" + strings.TrimSuffix(chunk, "\r\n") + "xx0\r\n\r\n", []int{400}, nil},
		{"chunk extension without end", head + "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("a", 64<<10) + "\r\n{\r\n0\r\n\r\n", []int{400}, nil},
		{"NUL in a header", head + "X-A: \x00\r\nContent-Length: 0\r\n\r\n", []int{400}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, nil)
			if diff := cmp.Diff(test.statuses, r.wire(t, true, test.raw), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("statuses (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.stored, r.subjects(t), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
		})
	}
}
