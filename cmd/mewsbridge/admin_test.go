package main

import (
	"net/http"
	"strings"
	"testing"

	"mewsbridge/publisher/natstest"
)

// TestAdminListener looks at a listener beyond loopback from outside: only probes get an answer without the token.
func TestAdminListener(t *testing.T) {
	const adminToken = "an-admin-token-0123456789"
	s := natstest.Start(t)
	url := s.ClientURL()
	p := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS="+testToken, "NATS_URL="+url,
		"MEWSBRIDGE_ADMIN_LISTEN=0.0.0.0:0", "MEWSBRIDGE_ADMIN_TOKEN="+adminToken, "MEWSBRIDGE_ADMIN_PPROF=true")
	p.admin = strings.Replace(p.admin, "[::]", "127.0.0.1", 1)
	ask := func(path, authorization string) (int, string) {
		t.Helper()
		request, err := http.NewRequest(http.MethodGet, p.admin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			request.Header.Set("Authorization", authorization)
		}
		return do(t, request)
	}
	natstest.Eventually(t, "readiness", func() bool { status, _ := ask("/readyz", ""); return status == 200 })
	natstest.Stop(s)
	natstest.Eventually(t, "NATS to be missed", func() bool { status, _ := ask("/readyz", ""); return status == 503 })
	for _, test := range []struct {
		path, authorization string
		status              int
		holds               string
	}{
		{"/livez", "", 200, "alive"},
		{"/debug/pprof/", "", 401, "unauthorized"},
		{"/debug/pprof/heap", "", 401, "unauthorized"},
		{"/debug/pprof/profile?seconds=1", "Bearer " + adminToken + "x", 401, "unauthorized"},
		{"/debug/pprof/", adminToken, 401, "unauthorized"},
		{"/anything", "", 401, "unauthorized"},
		{"/anything", "Bearer " + adminToken, 404, "not-found"},
		{"/debug/pprof/", "Bearer " + adminToken, 200, "goroutine"},
		{"/debug/pprof/heap?debug=1", "Bearer " + adminToken, 200, "heap profile"},
		{"/debug/pprof/profile?seconds=1", "Bearer " + adminToken, 200, "\x1f\x8b"},
		{"/debug/pprof/cmdline", "Bearer " + adminToken, 404, "Unknown profile"},
		{"/readyz", "Bearer " + adminToken, 503, "unavailable"},
	} {
		if status, answer := ask(test.path, test.authorization); status != test.status || !strings.Contains(answer, test.holds) {
			t.Errorf("%s with %q: %d %.200q, want %d and %q", test.path, test.authorization, status, answer, test.status, test.holds)
		}
	}
	if _, answer := ask("/readyz", ""); strings.Contains(answer, "cause") {
		t.Errorf("readyz tells a stranger %s", answer)
	}
	if strings.Contains(p.out.String(), adminToken) {
		t.Error("the log holds the admin token")
	}
}

func TestProfilesAreOffByDefault(t *testing.T) {
	p := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS="+testToken)
	if status, answer := get(t, p.admin+"/debug/pprof/"); status != 404 {
		t.Errorf("pprof: %d %s", status, answer)
	}
}
