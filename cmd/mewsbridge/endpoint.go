package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"mewsbridge/schema"
)

// defaultEndpoint is the name of the endpoint that the settings outside of endpoints describe.
const defaultEndpoint = "mews"

// endpointConfig is one path for webhooks and where its events go.
type endpointConfig struct {
	Name, Path, Prefix string
	Tokens             []namedToken // set by tokens, or read from TokensFile
	TokensFile         string
	Allow              []netip.Prefix // none: all
	Failover           *url.URL       // nil: none

	listed bool // under endpoints; false for the one that the other settings describe
}

// endpointKeys are the settings that describe an endpoint. Each is also a key of an element of endpoints in the file.
func endpointKeys() []string {
	return []string{"path", "tokens", "tokens_file", "allow", "failover_url", "prefix"}
}

// resolveEndpoints puts the endpoints of the file, where there are any, in place of the one that the other settings describe, and reads
// the tokens files.
func (c *Config) resolveEndpoints(from sources) error {
	var errs []error
	if len(from.file.endpoints) > 0 {
		for _, s := range settings() {
			if _, origin := s.text(from); slices.Contains(endpointKeys(), s.key) && origin != fromDefault {
				errs = append(errs, fmt.Errorf("%s (%s): set it for each of the endpoints in the file, or do without endpoints", s.key, origin))
			}
		}
		c.Endpoints = nil
	}
	for _, listed := range from.file.endpoints {
		e, err := listed.resolve(from.file.name)
		c.Endpoints, errs = append(c.Endpoints, e), append(errs, err)
	}
	for i := range c.Endpoints {
		errs = append(errs, c.Endpoints[i].readTokens())
	}
	return errors.Join(errs...)
}

// resolve makes an endpointConfig of an element of endpoints. It has no defaults: what is forgotten must not end up among the events of
// another endpoint.
func (f fileEndpoint) resolve(file string) (endpointConfig, error) {
	alone := Config{Endpoints: []endpointConfig{{Name: f.values["name"].text, listed: true}}}
	var errs []error
	for _, s := range settings() {
		v, given := f.values[s.key]
		if !given || !slices.Contains(endpointKeys(), s.key) {
			continue
		}
		if err := s.set(&alone, v.text); err != nil {
			errs = append(errs, fmt.Errorf("endpoints %s (%s line %d): %w", s.key, file, v.line, err))
		}
	}
	for _, key := range []string{"name", "path", "prefix"} {
		if f.values[key].text == "" {
			errs = append(errs, fmt.Errorf("endpoints (%s line %d): %s is missing", file, f.line, key))
		}
	}
	if f.values["tokens"].text == "" && f.values["tokens_file"].text == "" {
		errs = append(errs, fmt.Errorf("endpoints (%s line %d): set tokens or tokens_file", file, f.line))
	}
	return alone.Endpoints[0], errors.Join(errs...)
}

// setFailover takes in the URL of a standby bridge. The token of the sender is added to it, so it has none itself.
func setFailover(c *Config, text string) error {
	c.Endpoints[0].Failover = nil
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.ContainsAny(text, "?#") {
		return errors.New("not a URL such as https://standby.example.com/webhooks/mews, without a token: that of the sender is added")
	}
	c.Endpoints[0].Failover = u
	return nil
}

// setting returns how an error names the setting key of e.
func (e *endpointConfig) setting(key string) string {
	if e.listed {
		return "endpoint " + e.Name + ": " + key
	}
	return key
}

// readTokens takes the tokens of the file, when one is set.
func (e *endpointConfig) readTokens() error {
	if e.TokensFile == "" {
		return nil
	}
	if len(e.Tokens) > 0 {
		return fmt.Errorf("%s and tokens_file: set one of them", e.setting("tokens"))
	}
	tokens, err := readTokensFile(e.TokensFile)
	if err != nil {
		return fmt.Errorf("%s: %w", e.setting("tokens_file"), err)
	}
	e.Tokens = tokens
	return nil
}

// validateEndpoints holds each endpoint, and all of them against each other. What is missing was said before.
func (c *Config) validateEndpoints(need func(bool, string, ...any)) {
	names, paths := map[string]bool{}, map[string]bool{}
	for _, e := range c.Endpoints {
		need(e.Name == "" || schema.IsToken(e.Name), "endpoints: name %q is not 1 to 128 of A-Z a-z 0-9 _ -", e.Name)
		need(e.listed && e.Path == "" || strings.HasPrefix(e.Path, "/") && !strings.ContainsAny(e.Path, ":*?#% "),
			"%s: %q must begin with / and hold none of : * ? # %% and spaces", e.setting("path"), e.Path)
		need(e.listed && e.Prefix == "" || prefixPattern.MatchString(e.Prefix), "%s: %q is not 1 to 32 of a-z 0-9 _ -", e.setting("prefix"), e.Prefix)
		need(e.Name == "" || !names[e.Name], "endpoints: the name %s is given twice", e.Name)
		need(e.Path == "" || !paths[e.Path], "endpoints: the path %s is given twice", e.Path)
		names[e.Name], paths[e.Path] = true, true
	}
}

// prefixes returns the distinct prefixes of the endpoints, in their order.
func (c *Config) prefixes() []string {
	var prefixes []string
	for _, e := range c.Endpoints {
		if !slices.Contains(prefixes, e.Prefix) {
			prefixes = append(prefixes, e.Prefix)
		}
	}
	return prefixes
}
