package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"mewsbridge/bridge"
)

// Bounds of the admin listener.
const (
	// adminConnections is plenty for probes and scrapes.
	adminConnections = 100
	// adminWriteTimeout leaves time for a profile of the default 30 s.
	adminWriteTimeout = 2 * time.Minute
)

// setAdminToken takes in the token, and never repeats it in an error.
func setAdminToken(c *Config, text string) error {
	if text != "" && len(text) < minToken {
		return fmt.Errorf("has fewer than %d characters", minToken)
	}
	c.AdminToken = secret(text)
	return nil
}

// validateAdmin keeps what the admin listener shows from the network, unless that is wanted.
func (c *Config) validateAdmin(need func(bool, string, ...any)) {
	host, _, err := net.SplitHostPort(c.AdminListen)
	if err != nil {
		return // said elsewhere
	}
	need(isLoopback(host) || c.AdminToken != "" || c.AdminInsecure,
		"admin_listen: %q can be reached from other machines: set admin_token, listen on 127.0.0.1, or set admin_insecure if the network keeps others away", c.AdminListen)
}

// adminToken returns what the bridge asks for; nil when nothing is.
func (c *Config) adminToken() *bridge.Token {
	if c.AdminToken == "" {
		return nil
	}
	t := bridge.NewToken("admin", string(c.AdminToken))
	return &t
}

// pprofRoutes are the profiles of the process. The command line, which may hold a token given as a flag, is not among them.
func (a *app) pprofRoutes() []bridge.AdminRoute {
	if !a.cfg.AdminPprof {
		return nil
	}
	return []bridge.AdminRoute{
		{Path: "/debug/pprof/profile", Handler: http.HandlerFunc(pprof.Profile)},
		{Path: "/debug/pprof/trace", Handler: http.HandlerFunc(pprof.Trace)},
		{Path: "/debug/pprof/symbol", Handler: http.HandlerFunc(pprof.Symbol)},
		{Path: "/debug/pprof/*", Handler: http.HandlerFunc(pprof.Index)},
	}
}
