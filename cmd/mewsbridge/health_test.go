package main

import (
	"bytes"
	"net"
	"os/exec"
	"strings"
	"testing"

	"mewsbridge/publisher/natstest"
)

// health runs `mewsbridge health` as a container does, and returns what it said.
func health(t *testing.T, admin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"health"}, args...)...)
	cmd.Env = append(cmd.Environ(), "MEWSBRIDGE_ADMIN_LISTEN="+admin, "MEWSBRIDGE_ADMIN_TOKEN="+testToken)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestHealth(t *testing.T) {
	s := natstest.Start(t)
	p := startServe(t, t.TempDir(), "NATS_URL="+s.ClientURL(), "MEWSBRIDGE_TOKENS="+testToken, "MEWSBRIDGE_ADMIN_TOKEN="+testToken)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(p.admin, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, "readiness", func() bool { code, _, _ := health(t, ":"+port, "--ready"); return code == exitOK })
	if code, out, errs := health(t, ":"+port); code != exitOK || out != "alive\n" || errs != "" {
		t.Errorf("alive: %d %q %q", code, out, errs)
	}
	if code, out, errs := health(t, "ignored", "--ready", "--admin-listen", "0.0.0.0:"+port); code != exitOK || out != "ready\n" || errs != "" {
		t.Errorf("ready: %d %q %q", code, out, errs)
	}

	natstest.Stop(s)
	natstest.Eventually(t, "the loss of NATS", func() bool { code, _, _ := health(t, ":"+port, "--ready"); return code == exitVerdict })
	if _, _, errs := health(t, ":"+port, "--ready"); !strings.Contains(errs, "not ready: ") || !strings.Contains(errs, "unavailable") {
		t.Errorf("the reason is not said: %q", errs)
	}
	t.Setenv("MEWSBRIDGE_ADMIN_TOKEN", "")
	stranger := exec.Command(binary, "health", "--ready", "--admin-listen", "127.0.0.1:"+port)
	if out, err := stranger.CombinedOutput(); err == nil || !strings.Contains(string(out), "MEWSBRIDGE_ADMIN_TOKEN") || strings.Contains(string(out), "unavailable") {
		t.Errorf("without the admin token: %v, %s", err, out)
	}
	if code, out, errs := health(t, ":"+port); code != exitOK {
		t.Errorf("without NATS it is not alive: %d %q %q", code, out, errs)
	}
}

func TestHealthWithoutABridge(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	webhooks := strings.TrimPrefix(startServe(t, t.TempDir()).webhooks, "http://")
	webhooks, _, _ = strings.Cut(webhooks, "/")
	for _, test := range []struct {
		admin, want string
		code        int
	}{
		{nobody, "no answer", exitVerdict},
		{webhooks, "not the admin address", exitVerdict},
		{"127.0.0.1:0", "names no port", exitConfig},
		{"8081", "admin_listen (MEWSBRIDGE_ADMIN_LISTEN): \"8081\" is not host:port", exitConfig},
	} {
		if code, out, errs := health(t, test.admin); code != test.code || out != "" || !strings.Contains(errs, test.want) {
			t.Errorf("%s: %d %q %q, want %d and %q", test.admin, code, out, errs, test.code, test.want)
		}
	}
}

func TestLocalAddress(t *testing.T) {
	for listen, want := range map[string]string{
		":8081": "127.0.0.1:8081", "0.0.0.0:8081": "127.0.0.1:8081", "[::]:8081": "[::1]:8081", "10.1.2.3:8081": "10.1.2.3:8081", "bridge:8081": "bridge:8081",
	} {
		if got, err := localAddress(listen); err != nil || got != want {
			t.Errorf("%s is reached at %q (%v), want %q", listen, got, err, want)
		}
	}
}
