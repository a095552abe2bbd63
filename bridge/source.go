package bridge

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// admit returns an answer when r does not come from an allowed network. The sender is told the same as of a wrong token, so that
// nobody learns which networks are allowed.
func (e *endpoint) admit(r *http.Request) *failure {
	if len(e.Allow) == 0 {
		return nil
	}
	source, ok := sourceOf(r, e.cfg.TrustedProxies)
	if !ok || !contains(e.Allow, source) {
		return &failure{kind: unauthorized, cause: fmt.Errorf("%v is not in an allowed network", source)}
	}
	return nil
}

// sourceOf returns the address of the sender of r: that of the connection or, when it is a trusted proxy's, the right-most one of
// X-Forwarded-For that is not. Each proxy adds on the right who connected to it, so what is further left may be made up by
// the sender. ok is false when an address that it has to look at cannot be read.
func sourceOf(r *http.Request, trusted []netip.Prefix) (source netip.Addr, ok bool) {
	source, ok = parseHop(r.RemoteAddr)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && ok && contains(trusted, source); i-- {
		if hop := strings.TrimSpace(hops[i]); hop != "" {
			source, ok = parseHop(hop)
		}
	}
	return source, ok
}

// parseHop reads an address with or without a port, as proxies write it.
func parseHop(text string) (netip.Addr, bool) {
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return plain(withPort.Addr()), true
	}
	address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	return plain(address), err == nil
}

// plain returns the address as networks are written: IPv4 that came through an IPv6 socket is IPv4, and no zone.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func contains(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) })
}
