package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"mewsbridge/publisher/natstest"
	"mewsbridge/schema"
	"mewsbridge/schema/seal"
)

const sealedSecret = "C66EF7B2-live-credential"

// credentialBodies are webhooks of which each holds a credential: three that become quarantined, one that does not.
var credentialBodies = []string{
	`{"Action":"IntegrationCreated","Data":{"Integration":{"Id":"i1","Name":"Door locks"},"Requestor":{"Name":"` + sealedSecret + `"},"AccessToken":"` + sealedSecret + `"}}`,
	`{"Action":"Integration Created","Data":{"ApiKey":"` + sealedSecret + `"}}`,
	`{"NewKind":{"ApiKey":"` + sealedSecret + `"}}`,
	`{"Action":"IntegrationCreated","Data":{"AccessToken":"` + sealedSecret + `"`,
}

// newKeyFile makes a key pair with the command and returns the file and the public key.
func newKeyFile(t *testing.T) (file, public string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "mews.key")
	var out bytes.Buffer
	env := &environment{Stdout: &out, Stderr: os.Stderr, Getenv: func(string) string { return "" }}
	if code := run(t.Context(), env, []string{"seal-key", file}); code != exitOK {
		t.Fatalf("seal-key: exit code %d", code)
	}
	return file, strings.TrimSpace(out.String())
}

// mewsbridge runs a command of the program and returns its exit code and what it printed.
func mewsbridge(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := &environment{Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Getenv: func(string) string { return "" }}
	code = run(t.Context(), env, args)
	return code, out.String(), errs.String()
}

// serveCredentials has a bridge store credentialBodies, and returns it and its data folder.
func serveCredentials(t *testing.T, env ...string) (p *process, data string) {
	t.Helper()
	dir := t.TempDir()
	p = startServe(t, dir, append(env, "MEWSBRIDGE_TOKENS="+testToken)...)
	for i, b := range credentialBodies {
		want := 202
		if i == len(credentialBodies)-1 {
			want = 400
		}
		if status, answer := post(t, p.webhooks+"?Token="+testToken, b); status != want {
			t.Fatalf("webhook %d: %d %s", i, status, answer)
		}
	}
	return p, filepath.Join(dir, "data")
}

// holding returns how often the secret is in the files below dir.
func holding(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		n += bytes.Count(content, []byte(sealedSecret))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestCredentialsAreSealedOnDisk looks for the credentials in every file of the bridge, and opens them again.
func TestCredentialsAreSealedOnDisk(t *testing.T) {
	file, public := newKeyFile(t)
	p, data := serveCredentials(t, "MEWSBRIDGE_SEAL_TO="+public)
	if !strings.Contains(p.out.String(), "are stored sealed") || !strings.Contains(p.out.String(), public) {
		t.Errorf("nothing says that credentials are sealed:\n%s", p.out)
	}

	code, out, errs := mewsbridge(t, "", "unseal", "--nats", p.nats, "--key-file", file, "--since", "1h")
	if code != exitOK || strings.Count(out, "\n") != 1 || strings.Count(out, sealedSecret) != 2 || !strings.Contains(out, `"Name":"Door locks"`) {
		t.Errorf("unseal: exit code %d\n%s%s", code, out, errs)
	}
	code, out, errs = mewsbridge(t, "", "unseal", "--nats", p.nats, "--key-file", file, "--since", "1h", "--quarantine")
	if code != exitOK || strings.Count(out, "\n") != 3 || strings.Count(out, sealedSecret) != 3 || !strings.Contains(out, `"reason":"not-json"`) {
		t.Errorf("unseal --quarantine: exit code %d\n%s%s", code, out, errs)
	}
	otherFile, _ := newKeyFile(t)
	code, out, errs = mewsbridge(t, "", "unseal", "--nats", p.nats, "--key-file", otherFile, "--since", "1h", "--quarantine")
	if code != exitVerdict || out != "" || !strings.Contains(errs, public) || !strings.Contains(errs, "3 of 3") {
		t.Errorf("unseal with another key: exit code %d\n%s%s", code, out, errs)
	}

	_, tailed, _ := mewsbridge(t, "", "tail", "--nats", p.nats, "--integrations", "--since", "1h", "--count", "1")
	if !strings.Contains(tailed, `"Sealed":"`+public+`.***"`) || !strings.Contains(tailed, "Door locks") {
		t.Errorf("tail shows %s", tailed)
	}
	_, tailed, _ = mewsbridge(t, "", "tail", "--nats", p.nats, "--integrations", "--since", "1h", "--count", "1", "--show-credentials")
	code, out, errs = mewsbridge(t, tailed+tailed, "unseal", "--key-file", file)
	if code != exitOK || strings.Count(out, "\n") != 2 || strings.Count(out, sealedSecret) != 4 {
		t.Errorf("unseal of tail: exit code %d\n%s%s", code, out, errs)
	}

	if _, out, _ = mewsbridge(t, "", "consumers", "--nats", p.nats); !strings.Contains(out, "No consumer") {
		t.Errorf("consumers are left behind:\n%s", out)
	}

	p.signal(t, syscall.SIGTERM)
	if err := p.wait(t); err != nil {
		t.Error(err)
	}
	if n := holding(t, data); n != 0 {
		t.Errorf("the credential is %d times in the bridge's files", n)
	}
}

func TestCredentialsInTheClearAreSaidToBe(t *testing.T) {
	p, data := serveCredentials(t)
	if !strings.Contains(p.out.String(), "are stored in the clear: set seal_to") {
		t.Errorf("nothing says that credentials are stored in the clear:\n%s", p.out)
	}
	if n := holding(t, data); n < len(credentialBodies) {
		t.Errorf("the credential is %d times in the bridge's files: looking for it proves nothing", n)
	}
	file, _ := newKeyFile(t)
	code, out, errs := mewsbridge(t, "", "unseal", "--nats", p.nats, "--key-file", file, "--since", "1h")
	if code != exitOK || strings.Count(out, sealedSecret) != 2 {
		t.Errorf("unseal of what is not sealed: exit code %d\n%s%s", code, out, errs)
	}
}

// TestSealedWebhookOfTheGreatestSize: what a body grows by when it is sealed still fits the server's max_payload.
func TestSealedWebhookOfTheGreatestSize(t *testing.T) {
	_, public := newKeyFile(t)
	const maxPayload = 1 << 20
	s := natstest.Start(t, func(o *server.Options) { o.MaxPayload = maxPayload })
	external := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS="+testToken, "MEWSBRIDGE_SEAL_TO="+public, "NATS_URL="+s.ClientURL())
	embedded := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS="+testToken, "MEWSBRIDGE_SEAL_TO="+public)
	natstest.Eventually(t, "the external server", func() bool { status, _ := get(t, external.admin+"/readyz"); return status == 200 })
	for p, largest := range map[*process]int64{external: seal.MaxPlain(maxPayload) - schema.MaxMessageOverhead, embedded: embeddedMaxBody} {
		const head, tail = `{"Action":"IntegrationCreated","Data":{"AccessToken":"`, `"}}`
		whole := head + strings.Repeat("x", int(largest)-len(head)-len(tail)) + tail
		if status, answer := post(t, p.webhooks+"?Token="+testToken, whole); status != 202 {
			t.Errorf("the largest body: %d %s", status, answer)
		}
		if status, answer := post(t, p.webhooks+"?Token="+testToken, whole[:len(whole)-1]+" "); status != 400 {
			t.Errorf("the largest body, broken: %d %s", status, answer)
		}
		if status, answer := post(t, p.webhooks+"?Token="+testToken, whole+" "); status != 413 {
			t.Errorf("a larger body: %d %s", status, answer)
		}
	}
}

// refusingPublisher fails the test when something reaches it.
type refusingPublisher struct{ t *testing.T }

func (p refusingPublisher) Publish(context.Context, []schema.Message) error {
	p.t.Error("published all the same")
	return nil
}

func (p refusingPublisher) Admit(context.Context) error { return nil }

func TestWhatCannotBeSealedIsNotPublished(t *testing.T) {
	_, public := newKeyFile(t)
	sealer, err := seal.NewSealer(public)
	if err != nil {
		t.Fatal(err)
	}
	broken := []schema.Message{{Kind: schema.KindIntegration, Data: []byte(`{"data":{"AccessToken":"x"`)}}
	if err := (sealingPublisher{sealer, refusingPublisher{t}}).Publish(t.Context(), broken); !errors.Is(err, schema.ErrRefused) {
		t.Errorf("a message that cannot be sealed: %v", err)
	}
}

func TestSealKeyKeepsTheFilePrivate(t *testing.T) {
	file, public := newKeyFile(t)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info, err)
	}
	seed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if code, out, errs := mewsbridge(t, "", "seal-key", file); code != exitUsage || strings.Contains(out+errs, string(bytes.TrimSpace(seed))) {
		t.Errorf("a second time: exit code %d\n%s%s", code, out, errs)
	}
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(seed, again) {
		t.Errorf("the key was changed: %v", err)
	}
	if !strings.HasPrefix(public, "X") {
		t.Errorf("public key %s", public)
	}
	// The private key in place of the public one is refused, and not repeated.
	out, err := exec.Command(binary, "serve", "--seal-to", string(bytes.TrimSpace(seed))).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitConfig || bytes.Contains(out, bytes.TrimSpace(seed)) || !bytes.Contains(out, []byte("this is a seed")) {
		t.Errorf("serve with a seed: %v\n%s", err, out)
	}
}

func TestUnsealUsage(t *testing.T) {
	file, _ := newKeyFile(t)
	bad := filepath.Join(t.TempDir(), "bad.key")
	if err := os.WriteFile(bad, []byte("SXnonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		stdin, want string
		args        []string
		code        int
	}{
		{"", "no private key", nil, exitUsage},
		{"", "read private key", []string{"--key-file", file + "x"}, exitConfig},
		{"", "key 1 is not a private curve key", []string{"--key-file", bad}, exitConfig},
		{"", "--quarantine goes with --since", []string{"--key-file", file, "--quarantine"}, exitUsage},
		{"", "give how long ago, such as 90m, or a time", []string{"--key-file", file, "--since", "yesterday"}, exitUsage},
		{"{} {", "message 2 is not JSON", []string{"--key-file", file}, exitUsage},
		{`{"Sealed":1} {}`, "1 of 2", []string{"--key-file", file}, exitVerdict},
	} {
		code, out, errs := mewsbridge(t, test.stdin, append([]string{"unseal"}, test.args...)...)
		if code != test.code || !strings.Contains(errs, test.want) || strings.Contains(out+errs, "nonsense") {
			t.Errorf("unseal %q: exit code %d\n%s%s", test.args, code, out, errs)
		}
	}
}

// TestUnsealKeyFromTheEnvironment takes the key from there, also when nothing is stored.
func TestUnsealKeyFromTheEnvironment(t *testing.T) {
	file, _ := newKeyFile(t)
	seed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := natstest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := natstest.JetStream(t, s).CreateStream(ctx, jetstream.StreamConfig{Name: "MEWS_INTEGRATIONS", Subjects: []string{"mews.integrations.>"}}); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	env := &environment{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: func(name string) string {
		return map[string]string{envUnsealKey: string(seed), "NATS_URL": s.ClientURL()}[name]
	}}
	if code := run(ctx, env, []string{"unseal", "--since", "1h"}); code != exitOK || out.String() != "" {
		t.Errorf("exit code %d: %s", code, fmt.Sprint(out.String(), errs.String()))
	}
}
