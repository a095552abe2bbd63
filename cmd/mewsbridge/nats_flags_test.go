package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"mewsbridge/publisher/natstest"
)

// TestCommandsFindNATSAsServeDoes gives the address and the credentials in each of the ways that serve knows.
func TestCommandsFindNATSAsServeDoes(t *testing.T) {
	const token = "a-nats-token"
	s := natstest.Start(t, func(o *server.Options) { o.Authorization = token })
	address := strings.TrimPrefix(s.ClientURL(), "nats://")
	file := filepath.Join(t.TempDir(), "mewsbridge.yaml")
	if err := os.WriteFile(file, []byte("prefix: other\nnats: {url: "+s.ClientURL()+", token: "+token+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string
		env  map[string]string
		want string
	}{
		{"token in the environment", []string{"--nats", s.ClientURL()}, map[string]string{"MEWSBRIDGE_NATS_TOKEN": token}, "no stream MEWS_QUARANTINE"},
		{"address of the embedded server", nil, map[string]string{"MEWSBRIDGE_NATS_LISTEN": address, "MEWSBRIDGE_NATS_TOKEN": token}, "no stream MEWS_QUARANTINE"},
		{"file", []string{"--config", file}, nil, "no stream OTHER_QUARANTINE"},
		{"flag over file", []string{"--config", file, "--prefix", "third"}, nil, "no stream THIRD_QUARANTINE"},
		{"no token", []string{"--nats", s.ClientURL()}, nil, "NATS refused the credentials"},
		{"wrong token", []string{"--nats", s.ClientURL()}, map[string]string{"MEWSBRIDGE_NATS_TOKEN": token + "x"}, "NATS refused the credentials"},
	} {
		var out, errs bytes.Buffer
		env := &environment{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(key string) string { return test.env[key] }}
		code := run(t.Context(), env, append([]string{"quarantine", "list"}, test.args...))
		if code != exitUnavailable || !strings.Contains(errs.String(), test.want) || strings.Contains(errs.String(), token) {
			t.Errorf("%s: exit code %d, %q not in %q", test.name, code, test.want, errs.String())
		}
	}
}
