package main

import (
	"net/url"
	"regexp"

	"mewsbridge/publisher"
	"mewsbridge/publisher/embedded"
)

// leafConfig makes the embedded server a leaf node of a hub.
type leafConfig struct {
	URL               []string // none: there is no hub
	Creds, CA         string
	Domain, HubDomain string
	HubReplicas       int
}

var domainPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

func (c *Config) validateLeaf(need func(bool, string, ...any)) {
	l := &c.Leaf
	for i, text := range l.URL {
		u, err := url.Parse(text)
		// The URL may hold a password: do not repeat it.
		need(err == nil && u.Host != "" && isScheme(u.Scheme), "nats.embedded.leaf.url: number %d is not a URL such as tls://hub:7422", i+1)
	}
	need(len(l.URL) == 0 || c.Embedded(), "nats.embedded.leaf.url: only without nats.url, whose servers would not be the embedded one")
	need(len(l.URL) > 0 || l.Creds == "" && l.CA == "", "nats.embedded.leaf.creds, nats.embedded.leaf.ca: only with nats.embedded.leaf.url")
	need(domainPattern.MatchString(l.Domain) && domainPattern.MatchString(l.HubDomain),
		"nats.embedded.leaf.domain, nats.embedded.leaf.hub_domain: not 1 to 32 of A-Z a-z 0-9 _ -")
	need(l.Domain != l.HubDomain, "nats.embedded.leaf.domain: the same as nats.embedded.leaf.hub_domain")
	need(l.HubReplicas <= 5, "nats.embedded.leaf.hub_replicas: %d is more than 5", l.HubReplicas)
}

// leaf returns what makes the embedded server a leaf node; nil when it is none.
func (c *Config) leaf() *embedded.Leaf {
	if len(c.Leaf.URL) == 0 {
		return nil
	}
	return &embedded.Leaf{URLs: c.Leaf.URL, CredsFile: c.Leaf.Creds, CAFile: c.Leaf.CA, Domain: c.Leaf.Domain, Prefixes: c.prefixes()}
}

// hub returns what fetches the streams; nil when nothing does.
func (c *Config) hub() *publisher.Hub {
	if len(c.Leaf.URL) == 0 {
		return nil
	}
	return &publisher.Hub{Domain: c.Leaf.HubDomain, EdgeDomain: c.Leaf.Domain, Replicas: c.Leaf.HubReplicas}
}
