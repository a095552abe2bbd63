package bridge_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mewsbridge/bridge"
	"mewsbridge/schema"
)

func TestEndpointsThatCannotBeToldApart(t *testing.T) {
	var good bridge.Config
	newRig(t, func(c *bridge.Config) { good = *c })
	for _, test := range []struct {
		change func(c *bridge.Config)
		want   string
	}{
		{func(c *bridge.Config) { c.Endpoints = nil }, "endpoints: none given"},
		{func(c *bridge.Config) { c.Endpoints[1].Name = "mews" }, "endpoint mews: the name is given twice"},
		{func(c *bridge.Config) { c.Endpoints[1].Path = path }, "endpoint demo: path " + path + " is given twice"},
		{func(c *bridge.Config) { c.Endpoints[1].Name = "de.mo" }, `endpoint "de.mo": the name is not a subject token`},
		{func(c *bridge.Config) { c.Endpoints[1].Path = "/:any" }, `endpoint demo: path "/:any" must begin`},
		{func(c *bridge.Config) { c.Endpoints[1].Tokens = nil }, "endpoint demo: prefix, tokens and publisher: required"},
	} {
		cfg := good
		cfg.Endpoints = append(slices.Clone(good.Endpoints), demo(t, good))
		test.change(&cfg)
		if _, err := bridge.New(cfg); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v does not say %q", err, test.want)
		}
	}
}

// demo is a second endpoint beside the rig's own, with the same token.
func demo(t *testing.T, c bridge.Config) bridge.Endpoint {
	t.Helper()
	return bridge.Endpoint{Name: "demo", Path: "/demo", Prefix: "mews", Tokens: tokenSet(t, bridge.NewToken("demo", token)), Publisher: c.Endpoints[0].Publisher}
}

// TestEndpointsDoNotShareRetries: what one endpoint did not store is a new delivery at another.
func TestEndpointsDoNotShareRetries(t *testing.T) {
	fail := true
	r := newRig(t, func(c *bridge.Config) {
		c.Endpoints = append(c.Endpoints, demo(t, *c))
		c.Endpoints[0].Publisher = publisherFunc(func(ctx context.Context, msgs []schema.Message) error {
			if fail {
				return schema.ErrUnavailable
			}
			return c.Endpoints[1].Publisher.Publish(ctx, msgs)
		})
	})
	hook := general(event("New", "n1"))
	refused := r.post(t, hook)
	other := r.postTo(t, "/demo?Token="+token, hook)
	fail = false
	retried := r.post(t, hook)
	if refused.status != 503 || other.status != 202 || retried.status != 202 {
		t.Fatalf("answers %d, %d, %d", refused.status, other.status, retried.status)
	}
	if other.body["delivery"] == refused.body["delivery"] || retried.body["delivery"] != refused.body["delivery"] {
		t.Errorf("deliveries %v, at demo %v, again %v", refused.body["delivery"], other.body["delivery"], retried.body["delivery"])
	}
}

func TestTokenSet(t *testing.T) {
	var now atomic.Int64 // seconds; handlers ask for it after they have answered, too
	now.Store(1_800_000_000)
	tokens := tokenSet(t, bridge.NewToken("old", token), bridge.NewToken("new", token+"2"))
	r := newRig(t, func(c *bridge.Config) {
		c.Now = func() time.Time { return time.Unix(now.Load(), 0) }
		c.Endpoints[0].Tokens = tokens
		c.Endpoints = append(c.Endpoints, demo(t, *c))
	})
	uses := func() string {
		var all []string
		for _, u := range r.bridge.TokenUses() {
			last := "never"
			if !u.Last.IsZero() {
				last = u.Last.UTC().Format(time.TimeOnly)
			}
			all = append(all, u.Endpoint+"/"+u.Token+" "+last)
		}
		return strings.Join(all, ", ")
	}
	expect := func(want string) {
		t.Helper()
		if got := uses(); got != want {
			t.Errorf("uses are %q, want %q", got, want)
		}
	}
	hook := general(event("New", "n1"))
	send := func(token string, want int) {
		t.Helper()
		if a := r.postTo(t, path+"?Token="+token, hook); a.status != want {
			t.Errorf("answer %d, want %d", a.status, want)
		}
	}
	expect("mews/old never, mews/new never, demo/demo never")
	send(token, 202)
	expect("mews/old 08:00:00, mews/new never, demo/demo never")
	now.Add(60)
	send(token+"2", 202)
	send(token+"3", 401)
	expect("mews/old 08:00:00, mews/new 08:01:00, demo/demo never")

	// What stays keeps its use; the same name with another secret is another token.
	if err := tokens.Replace(bridge.NewToken("old", token+"3"), bridge.NewToken("new", token+"2")); err != nil {
		t.Fatal(err)
	}
	expect("mews/old never, mews/new 08:01:00, demo/demo never")
	send(token, 401)
	send(token+"3", 202)
	expect("mews/old 08:01:00, mews/new 08:01:00, demo/demo never")

	for want, set := range map[string][]bridge.Token{
		"no token":                            nil,
		`two tokens have the name "a"`:        {bridge.NewToken("a", token), bridge.NewToken("a", token+"2")},
		`the tokens "a" and "b" are the same`: {bridge.NewToken("a", token), bridge.NewToken("b", token)},
	} {
		if err := tokens.Replace(set...); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), token) {
			t.Errorf("error %v, want %q and no secret", err, want)
		}
	}
	send(token+"2", 202) // a refused set changes nothing
}
