package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestAllowBehindAProxy is the proxy: it connects from loopback and says for whom.
func TestAllowBehindAProxy(t *testing.T) {
	p := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS="+testToken, "MEWSBRIDGE_ALLOW=192.0.2.0/24", "MEWSBRIDGE_TRUSTED_PROXIES=127.0.0.0/8")
	for forwarded, want := range map[string]int{"": 401, "192.0.2.7": 202, "198.51.100.7": 401, "192.0.2.7, 198.51.100.7": 401, "198.51.100.7, 192.0.2.7": 202} {
		request, err := http.NewRequest(http.MethodPost, p.webhooks+"?Token="+testToken, strings.NewReader(body("r1")))
		if err != nil {
			t.Fatal(err)
		}
		if forwarded != "" {
			request.Header.Set("X-Forwarded-For", forwarded)
		}
		if status, answer := do(t, request); status != want || status == 401 && !strings.Contains(answer, `"unauthorized"`) {
			t.Errorf("for %q: %d %s, want %d", forwarded, status, answer, want)
		}
	}
}
