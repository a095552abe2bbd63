package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// given returns sources with the given flags, environment and file; each may be empty.
func given(t *testing.T, flags, env map[string]string, yaml string) sources {
	t.Helper()
	name := ""
	if yaml != "" {
		name = filepath.Join(t.TempDir(), "mewsbridge.yaml")
		if err := os.WriteFile(name, []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return sources{flags: flags, getenv: func(key string) string { return env[key] }, file: readConfigFile(name)}
}

func mustResolve(t *testing.T, from sources) *Config {
	t.Helper()
	c, err := resolve(from)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPrecedence(t *testing.T) {
	const yaml = "ack_deadline: 1s\nreplicas: 3\nnats:\n  url: [nats://a:4222, nats://b:4222]\n"
	c := mustResolve(t, given(t, nil, nil, yaml))
	if c.AckDeadline != time.Second || c.Replicas != 3 || len(c.NATSURL) != 2 || c.Endpoints[0].Prefix != "mews" {
		t.Errorf("from the file: %v %d %v %s", c.AckDeadline, c.Replicas, c.NATSURL, c.Endpoints[0].Prefix)
	}
	env := map[string]string{"MEWSBRIDGE_ACK_DEADLINE": "2s"}
	if c = mustResolve(t, given(t, nil, env, yaml)); c.AckDeadline != 2*time.Second || c.Replicas != 3 {
		t.Errorf("from the environment: %v %d", c.AckDeadline, c.Replicas)
	}
	if c = mustResolve(t, given(t, map[string]string{"ack-deadline": "3s"}, env, yaml)); c.AckDeadline != 3*time.Second {
		t.Errorf("from the flag: %v", c.AckDeadline)
	}
}

// endpointYAML is an element of endpoints with which nothing is wrong but perhaps its name and path.
func endpointYAML(name, path string) string {
	return fmt.Sprintf("{name: %s, path: %s, prefix: mews, tokens: [secret-token-of-length]}", name, path)
}

// configParts has cmp compare a Config.
var configParts = []cmp.Option{cmp.AllowUnexported(endpointConfig{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}

// TestBooleanFlags gives each setting that is true or false as a flag alone, and with a value.
func TestBooleanFlags(t *testing.T) {
	for _, s := range settings() {
		takes := func(text string) bool { return s.set(&Config{Endpoints: []endpointConfig{{}}}, text) == nil }
		if boolean := takes("true") && takes("false") && !takes("maybe"); boolean != s.boolean() {
			t.Errorf("%s is boolean: %v, and has the flag of one: %v", s.key, boolean, s.boolean())
		}
		if !s.boolean() {
			continue
		}
		for flag, want := range map[string]string{"": "true", "=true": "true", "=false": "false"} {
			cmd := &cobra.Command{}
			settingFlags(cmd, &environment{})
			if err := cmd.ParseFlags([]string{"--" + s.flag() + flag}); err != nil {
				t.Errorf("--%s%s: %v", s.flag(), flag, err)
			}
			if got := givenFlags(cmd.Flags()); len(got) != 1 || got[s.flag()] != want {
				t.Errorf("--%s%s sets %v", s.flag(), flag, got)
			}
		}
	}
}

func TestEndpoints(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("\ufeff# rotated in May\n\nnew:the-new-token-0123456789\r\n  the-old-token-0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := mustResolve(t, given(t, nil, nil, "endpoints:\n- "+endpointYAML("demo", "/demo")+"\n- {name: live, path: /live, prefix: live, allow: [192.0.2.77/24, \"2001:db8::1\"], tokens_file: "+file+"}\n"))
	want := []endpointConfig{
		{Name: "demo", Path: "/demo", Prefix: "mews", Tokens: []namedToken{{"1", "secret-token-of-length"}}, listed: true},
		{Name: "live", Path: "/live", Prefix: "live", Tokens: []namedToken{{"new", "the-new-token-0123456789"}, {"2", "the-old-token-0123456789"}}, TokensFile: file, Allow: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::1/128")}, listed: true},
	}
	if diff := cmp.Diff(want, c.Endpoints, configParts...); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	flat := mustResolve(t, given(t, nil, map[string]string{"MEWSBRIDGE_TOKENS": "a:secret-token-of-length", "MEWSBRIDGE_PATH": "/x"}, ""))
	want = []endpointConfig{{Name: "mews", Path: "/x", Prefix: "mews", Tokens: []namedToken{{"a", "secret-token-of-length"}}}}
	if diff := cmp.Diff(want, flat.Endpoints, configParts...); diff != "" {
		t.Errorf("the one endpoint (-want +got):\n%s", diff)
	}
}

// TestBadSettings changes one thing in a good configuration at a time; the error names the setting.
func TestBadSettings(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("shorttoken\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ yaml, want string }{
		{"listen: 8080", "listen:"},
		{"admin_listen: here", "admin_listen:"},
		{"listen: :9000\nadmin_listen: :9000", "admin_listen:"},
		{"path: webhooks", "path:"},
		{"path: /a?b", "path:"},
		{"tokens: [secret-tok]", "tokens (mewsbridge.yaml line 1): token 1"},
		{"tokens_file: " + tokens, "tokens_file: token 1"},
		{"tokens_file: /does/not/exist", "tokens_file:"},
		{"tokens_file: " + tokens + "\ntokens: a-token-that-is-long-enough", "tokens and tokens_file"},
		{"data_dir: \"\"", "data_dir:"},
		{"log_level: loud", "log_level"},
		{"prefix: Me.ws", "prefix:"},
		{"replicas: 0", "replicas (mewsbridge.yaml line 1)"},
		{"replicas: three", "replicas (mewsbridge.yaml line 1)"},
		{"replicas: 3", "replicas: 3 needs a NATS cluster"},
		{"replicas: 9\nnats: {url: nats://a}", "replicas:"},
		{"ack_deadline: 5s", "ack_deadline: 5s must be"},
		{"ack_deadline: 0s", "ack_deadline:"},
		{"ack_deadline: 4", "ack_deadline (mewsbridge.yaml line 1): not a duration"},
		{"retry_window: 2h", "retry_window: 2h0m0s is longer than duplicate_window"},
		{"retry_window: 0s", "retry_window:"},
		{"retry_spacing: 0s", "retry_spacing: must"},
		{"retry_spacing: 16m", "retry_spacing: two pauses of 16m0s are longer than retry_window"},
		{"max_age: 10m", "duplicate_window: 1h0m0s is longer than max_age"},
		{"max_age: -1h", "max_age (mewsbridge.yaml line 1): negative"},
		{"max_body: 4 buckets", "max_body (mewsbridge.yaml line 1)"},
		{"nats:\n  inbox_prefix: a.>", "nats.inbox_prefix: \"a.>\" is not a subject"},
		{"nats:\n  embedded:\n    leaf:\n      url: hub", "nats.embedded.leaf.url: number 1 is not a URL"},
		{"nats:\n  url: nats://n1\n  embedded:\n    leaf:\n      url: tls://hub:7422", "nats.embedded.leaf.url: only without nats.url"},
		{"nats:\n  embedded:\n    leaf:\n      ca: ca.pem", "only with nats.embedded.leaf.url"},
		{"nats:\n  embedded:\n    leaf:\n      domain: a.b", "nats.embedded.leaf.domain"},
		{"nats:\n  embedded:\n    leaf:\n      domain: hub", "nats.embedded.leaf.domain: the same"},
		{"nats:\n  embedded:\n    leaf:\n      hub_replicas: 6", "hub_replicas: 6 is more than 5"},
		{"streams: {manage: \"yes please\"}", "streams.manage"},
		{"nats: {listen: all}", "nats.listen:"},
		{"nats: {creds: a}", "nats.creds"},
		{"nats: {url: \"://user:secret-tok@x\"}", "nats.url: number 1"},
		{"nats: {url: nats://a, creds: a, nkey_seed_file: b}", "nats.creds, nats.nkey_seed_file"},
		{"nats: {url: nats://a, user: a}", "nats.user and nats.password"},
		{"nats: {url: nats://a, tls: {cert: a}}", "nats.tls.cert and nats.tls.key"},
		{"http: {max_connections: many}", "http.max_connections"},
		{"http: {idle_timeout: 0s}", "http.idle_timeout"},
		{"ack_dedline: 1s", "mewsbridge.yaml line 1: unknown key ack_dedline"},
		{"prefix: mews\nnats:\n  adress: x", "mewsbridge.yaml line 3: unknown key nats.adress"},
		{"prefix: mews\nprefix: demo", "prefix"},
		{"prefix: {a: b}", "mewsbridge.yaml line 1: prefix is not a plain value"},
		{"nats: nats://a", "the file nats holds no keys"},
		{"- a\n- b", "holds no keys"},
		{"listen: [", "not valid YAML"},
		{"tokens: [a b:a-token-that-is-long-enough]", "tokens (mewsbridge.yaml line 1): token 1 has a name"},
		{"tokens: [\"a:a token that is long enough\"]", "token 1 holds a space"},
		{"tokens: [a:secret-token-of-length, a:another-token-of-length]", "tokens 1 and 2 have the same name"},
		{"tokens: [a:secret-token-of-length, b:secret-token-of-length]", "tokens 1 and 2 have the same secret"},
		{"allow: 192.0.2.0/33", "allow (mewsbridge.yaml line 1): \"192.0.2.0/33\" is not a network"},
		{"allow: mews.com", "allow (mewsbridge.yaml line 1)"},
		{"trusted_proxies: \"::ffff:10.0.0.0/104\"", "trusted_proxies (mewsbridge.yaml line 1)"},
		{"endpoints: [{name: a, path: /a, prefix: a, tokens: [a-token-that-is-long-enough], allow: here}]", "endpoints allow (mewsbridge.yaml line 1)"},
		{"tls: {cert: a}", "tls.cert and tls.key: set both"},
		{"tls: {cert: a, key: b, acme: {hosts: hooks.example.com}}", "tls.cert and tls.acme.hosts: set one of them"},
		{"tls: {acme: {email: a@example.com}}", "tls.acme: set tls.acme.hosts too"},
		{"tls: {acme: {hosts: localhost}}", "tls.acme.hosts: \"localhost\""},
		{"tls: {acme: {hosts: hooks.example.com, directory: \"http://ca.example.com\"}}", "tls.acme.directory:"},
		{"admin_listen: :8081", "admin_listen: \":8081\" can be reached from other machines: set admin_token"},
		{"admin_listen: 192.0.2.1:8081", "admin_listen:"},
		{"admin_token: secret-tok", "admin_token (mewsbridge.yaml line 1): has fewer than 16"},
		{"admin_insecure: please", "admin_insecure (mewsbridge.yaml line 1)"},
		{"nats: {listen: \"0.0.0.0:4222\"}", "nats.listen: \"0.0.0.0:4222\" can be reached from other machines"},
		{"nats: {url: nats://a, creds: /does/not/exist}", "read creds file"},
		{"nats: {url: nats://a, tls: {ca: /does/not/exist}}", "read tls ca"},
		{"tls: {cert: /does/not/exist, key: /does/not/exist}", "tls.cert: open"},
		{"endpoints: mews", "endpoints is not a list"},
		{"endpoints: []", "endpoints is not a list"},
		{"endpoints: [a]", "mewsbridge.yaml line 1: an endpoint is not such as"},
		{"endpoints: [{colour: red}]", "unknown key colour"},
		{"endpoints:\n- {path: /a}", "endpoints (mewsbridge.yaml line 2): name is missing"},
		{"endpoints:\n- {name: a}", "endpoints (mewsbridge.yaml line 2): path is missing"},
		{"endpoints:\n- {name: a}", "endpoints (mewsbridge.yaml line 2): prefix is missing"},
		{"endpoints:\n- {name: a}", "endpoints (mewsbridge.yaml line 2): set tokens or tokens_file"},
		{"path: /x\nendpoints: [" + endpointYAML("a", "/a") + "]", "path (mewsbridge.yaml line 1): set it for each of the endpoints"},
		{"endpoints: [" + endpointYAML("a", "/a") + "," + endpointYAML("a", "/b") + "]", "endpoints: the name a is given twice"},
		{"endpoints: [" + endpointYAML("a", "/a") + "," + endpointYAML("b", "/a") + "]", "endpoints: the path /a is given twice"},
		{"endpoints: [" + endpointYAML("a b", "/a") + "]", "endpoints: name \"a b\""},
		{"endpoints: [" + endpointYAML("a", "a") + "]", "endpoint a: path: \"a\" must begin with /"},
		{"endpoints: [{name: a, path: /a, prefix: A, tokens: [a-token-that-is-long-enough]}]", "endpoint a: prefix: \"A\""},
		{"endpoints: [{name: a, path: /a, prefix: a, tokens: [secret-tok]}]", "endpoints tokens (mewsbridge.yaml line 1): token 1"},
		{"endpoints: [{name: a, path: /a, prefix: a, tokens_file: /does/not/exist}]", "endpoint a: tokens_file:"},
		{"endpoints: [" + endpointYAML("a", "/a") + "]\nendpoints: [" + endpointYAML("b", "/b") + "]", "endpoints is set twice"},
	} {
		_, err := resolve(given(t, nil, nil, test.yaml))
		if err == nil {
			t.Errorf("%q: no error", test.yaml)
			continue
		}
		text := regexp.MustCompile(`/\S*/mewsbridge\.yaml`).ReplaceAllString(err.Error(), "mewsbridge.yaml")
		if !strings.Contains(text, test.want) {
			t.Errorf("%q: error %q does not say %q", test.yaml, text, test.want)
		}
		if strings.Contains(text, "secret-tok") || strings.Contains(text, "shorttoken") {
			t.Errorf("%q: the error repeats a secret: %q", test.yaml, text)
		}
	}
}

func TestAdminBeyondLoopback(t *testing.T) {
	for _, yaml := range []string{
		"admin_listen: 127.0.0.2:1", "admin_listen: localhost:1", "admin_listen: \"[::1]:1\"",
		"admin_listen: :1\nadmin_token: a-token-that-is-long-enough", "admin_listen: :1\nadmin_insecure: true",
	} {
		mustResolve(t, given(t, nil, nil, yaml))
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := resolve(given(t, map[string]string{"replicas": "no"}, map[string]string{"MEWSBRIDGE_TOKENS": "short", "MEWSBRIDGE_PATH": "x"}, "colour: red\nretry_window: 3h\n"))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"replicas (--replicas)", "tokens (MEWSBRIDGE_TOKENS)", "path:", "unknown key colour", "retry_window:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

func TestSecretsCannotBePrinted(t *testing.T) {
	c := mustResolve(t, given(t, nil, map[string]string{
		"MEWSBRIDGE_TOKENS": "a-very-secret-token", "MEWSBRIDGE_NATS_USER": "u", "MEWSBRIDGE_NATS_PASSWORD": "a-very-secret-password",
	}, ""))
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, c); strings.Contains(text, "a-very-secret") {
			t.Errorf("%s prints a secret: %s", format, text)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"1": 1, "512B": 512, "4MiB": 4 << 20, "4 MiB": 4 << 20, "2KiB": 2 << 10, "3MB": 3e6, "1GiB": 1 << 30, "5kB": 5e3} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "MiB", "1.5MiB", "1TiB", "9999GiB", "1 Mi B", "4mib"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is %d, want an error", text, got)
		}
	}
}

// TestExampleOfEndpoints takes the comment off the example's endpoints.
func TestExampleOfEndpoints(t *testing.T) {
	data, err := os.ReadFile("../../deploy/mewsbridge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile(`(?m)^# endpoints:\n(#   .*\n)+`).FindString(string(data))
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("may:the-new-token-0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	yaml := regexp.MustCompile(`tokens_file: \S+`).ReplaceAllString(strings.ReplaceAll("\n"+block, "\n# ", "\n"), "tokens_file: "+file)
	from := given(t, nil, nil, yaml)
	if c := mustResolve(t, from); len(c.Endpoints) < 2 || !c.Endpoints[0].listed {
		t.Errorf("the example's endpoints are %+v", c.Endpoints)
	}
	for _, key := range append(endpointKeys(), "name") {
		if !slices.ContainsFunc(from.file.endpoints, func(e fileEndpoint) bool { return e.values[key].text != "" }) {
			t.Errorf("%s is not in the example's endpoints", key)
		}
	}
}

// TestExampleFile keeps the example complete and equal to the defaults.
func TestExampleFile(t *testing.T) {
	const name = "../../deploy/mewsbridge.yaml"
	example := sources{getenv: func(string) string { return "" }, file: readConfigFile(name)}
	nothing := sources{getenv: func(string) string { return "" }}
	if diff := cmp.Diff(mustResolve(t, nothing), mustResolve(t, example), configParts...); diff != "" {
		t.Errorf("the example is not the defaults (-default +example):\n%s", diff)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings() {
		_, set := example.file.values[s.key]
		if set != (s.initial != "") {
			t.Errorf("%s: in the example %v, with a default %v", s.key, set, s.initial != "")
		}
		last := s.key[strings.LastIndex(s.key, ".")+1:]
		if !set && !regexp.MustCompile(`(?m)^ *# +`+last+`:$`).Match(data) {
			t.Errorf("%s: not in the example", s.key)
		}
		if !strings.Contains(string(data), "("+s.env+")") {
			t.Errorf("%s: the example does not name %s", s.key, s.env)
		}
	}
}
