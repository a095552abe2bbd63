package bridge_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestFloodOfWrongTokens sends many wrong tokens on connections that are kept, and the right one in between from the same address. A flood's
// connections are closed; the right token is answered as ever, on a connection that is kept.
func TestFloodOfWrongTokens(t *testing.T) {
	r := newRig(t, nil)
	send := func(token string) *http.Response {
		t.Helper()
		response, err := r.http.Client().Post(r.http.URL+path+"?Token="+token, "", strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response
	}
	closed := 0
	for range 200 {
		response := send(token + "x")
		if response.StatusCode != http.StatusUnauthorized {
			t.Fatalf("a wrong token was answered %d", response.StatusCode)
		}
		if response.Close {
			closed++
			if got := send(token); got.Close || got.StatusCode != http.StatusBadRequest { // an empty body is not JSON
				t.Fatalf("the right token was answered %d, connection closed: %v", got.StatusCode, got.Close)
			}
		}
	}
	if closed < 100 {
		t.Errorf("%d of 200 wrong tokens ended their connection", closed)
	}
}
