package bridge_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"mewsbridge/bridge"
)

func networks(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// TestAllowedNetworks sends from addresses that no test can connect from: the handler is told another peer than the connection's.
func TestAllowedNetworks(t *testing.T) {
	r := newRig(t, func(c *bridge.Config) {
		c.TrustedProxies = networks("10.0.0.0/8", "2001:db8:1::/48")
		c.Endpoints[0].Allow = networks("192.0.2.0/24", "2001:db8:2::/48")
	})
	from := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		request.RemoteAddr = request.Header.Get("Peer")
		r.bridge.Handler().ServeHTTP(w, request)
	}))
	defer from.Close()
	for _, test := range []struct {
		name, peer string
		forwarded  []string
		want       int
	}{
		{"allowed", "192.0.2.7:5000", nil, 202},
		{"allowed, IPv6", "[2001:db8:2::7]:5000", nil, 202},
		{"allowed, IPv4 by an IPv6 socket", "[::ffff:192.0.2.7]:5000", nil, 202},
		{"not allowed", "198.51.100.7:5000", nil, 401},
		{"a header from a stranger", "198.51.100.7:5000", []string{"192.0.2.7"}, 401},
		{"a header from an allowed sender that is no proxy", "192.0.2.7:5000", []string{"198.51.100.7"}, 202},
		{"by a proxy", "10.1.1.1:5000", []string{"192.0.2.7"}, 202},
		{"by a proxy, not allowed", "10.1.1.1:5000", []string{"198.51.100.7"}, 401},
		{"by two proxies", "10.1.1.1:5000", []string{"192.0.2.7, 10.2.2.2"}, 202},
		{"by two proxies, two headers", "10.1.1.1:5000", []string{"192.0.2.7", "10.2.2.2"}, 202},
		{"by an IPv6 proxy, with ports", "[2001:db8:1::1]:5000", []string{"[2001:db8:2::7]:41000, 10.2.2.2:80"}, 202},
		{"made up on the left", "10.1.1.1:5000", []string{"192.0.2.7, 198.51.100.7"}, 401},
		{"made up on the left, two headers", "10.1.1.1:5000", []string{"192.0.2.7", "198.51.100.7"}, 401},
		{"made up on the left, and allowed", "10.1.1.1:5000", []string{"198.51.100.7, 192.0.2.7"}, 202},
		{"a proxy that does not say", "10.1.1.1:5000", nil, 401},
		{"a proxy that says nothing", "10.1.1.1:5000", []string{""}, 401},
		{"unreadable", "10.1.1.1:5000", []string{"192.0.2.7, unknown"}, 401},
		{"unreadable left of the sender", "10.1.1.1:5000", []string{"<>, 192.0.2.7"}, 202},
		{"proxies alone", "10.1.1.1:5000", []string{"10.3.3.3, 10.2.2.2"}, 401},
		{"no address", "@", nil, 401},
	} {
		request, err := http.NewRequest(http.MethodPost, from.URL+path+"?Token="+token, strings.NewReader(general(event("New", "n1"))))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Peer", test.peer)
		request.Header["X-Forwarded-For"] = test.forwarded
		if a := r.do(t, request); a.status != test.want || a.status == 401 && a.body["error"] != "unauthorized" {
			t.Errorf("%s: %d %v, want %d", test.name, a.status, a.body, test.want)
		}
	}
}
