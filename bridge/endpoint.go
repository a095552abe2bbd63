package bridge

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"mewsbridge/bridge/silence"
	"mewsbridge/schema"
)

// Endpoint is one path that takes webhooks, with the tokens that may send to it and the streams that it fills. All fields but
// Allow, Failover and Silence are required. Endpoints of one Bridge differ in name and path; they may share a prefix and a publisher.
type Endpoint struct {
	Name      string    // in logs, metrics and message headers; a subject token
	Path      string    // path of the webhook URL
	Prefix    string    // first token of every subject
	Tokens    *TokenSet // live tokens
	Publisher Publisher

	Allow []netip.Prefix // networks that may send; none: all. Others are answered as for a wrong token
	// Failover is the webhook URL of a standby bridge that takes the same tokens. While NATS cannot be reached, webhooks are answered
	// 307 to it, with the token of the sender; nil: they are answered 503. It is not changed while in use.
	Failover *url.URL
	Silence  *silence.Detector // told of what arrives; nil: nobody is
}

func (e Endpoint) validate() error {
	var errs []error
	if !schema.IsToken(e.Name) {
		errs = append(errs, fmt.Errorf("endpoint %q: the name is not a subject token", e.Name))
	}
	if !strings.HasPrefix(e.Path, "/") || strings.ContainsAny(e.Path, ":*?#") {
		errs = append(errs, fmt.Errorf("endpoint %s: path %q must begin with / and be a plain path", e.Name, e.Path))
	}
	if e.Prefix == "" || e.Tokens == nil || e.Publisher == nil {
		errs = append(errs, fmt.Errorf("endpoint %s: prefix, tokens and publisher: required", e.Name))
	}
	if err := validateFailover(e.Failover); err != nil {
		errs = append(errs, fmt.Errorf("endpoint %s: %w", e.Name, err))
	}
	return errors.Join(errs...)
}

// validateEndpoints holds the endpoints against each other: what has the same name would share its retries, what has the same
// path could not be told apart.
func validateEndpoints(endpoints []Endpoint) error {
	if len(endpoints) == 0 {
		return errors.New("endpoints: none given")
	}
	var errs []error
	names, paths := map[string]bool{}, map[string]bool{}
	for _, e := range endpoints {
		errs = append(errs, e.validate())
		if names[e.Name] {
			errs = append(errs, fmt.Errorf("endpoint %s: the name is given twice", e.Name))
		}
		if paths[e.Path] {
			errs = append(errs, fmt.Errorf("endpoint %s: path %s is given twice", e.Name, e.Path))
		}
		names[e.Name], paths[e.Path] = true, true
	}
	return errors.Join(errs...)
}

// endpoint handles the webhooks of one Endpoint with what all endpoints of the Bridge share: the ledger, the memory and the limits.
type endpoint struct {
	*Bridge
	Endpoint
	metrics *endpointMetrics
}

// endpointOf returns the name of the endpoint whose route was matched; empty for any other path.
func (b *Bridge) endpointOf(route string) string {
	for _, e := range b.cfg.Endpoints {
		if e.Path == route {
			return e.Name
		}
	}
	return ""
}
