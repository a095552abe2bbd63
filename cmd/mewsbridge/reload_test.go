package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"

	"mewsbridge/publisher/natstest"
)

// replaceFile puts contents in place of the file as most tools do.
func replaceFile(t *testing.T, name, contents string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(contents), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

const (
	formerToken = "the-old-token-0123456789"
	nextToken   = "the-new-token-0123456789"
)

// status posts a webhook with a token.
func (p *process) status(t *testing.T, token string) int {
	t.Helper()
	status, _ := post(t, p.webhooks+"?Token="+token, body("r1"))
	return status
}

func (p *process) waitFor(t *testing.T, what string) {
	t.Helper()
	natstest.Eventually(t, what, func() bool { return strings.Contains(p.out.String(), what) })
}

// TestTokensAreRotatedWhileServing goes the way of a partner: add the new token, see it used, take the old one away.
func TestTokensAreRotatedWhileServing(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tokens")
	replaceFile(t, file, "old:"+formerToken+"\n")
	p := startServe(t, dir, "MEWSBRIDGE_TOKENS_FILE="+file)
	if old, other := p.status(t, formerToken), p.status(t, nextToken); old != 202 || other != 401 {
		t.Fatalf("at the start: %d and %d", old, other)
	}
	replaceFile(t, file, "old:"+formerToken+"\nnew:"+nextToken+"\n")
	p.waitFor(t, `"setting":"tokens_file","tokens":["old","new"]`)
	if old, other := p.status(t, formerToken), p.status(t, nextToken); old != 202 || other != 202 {
		t.Errorf("with both: %d and %d", old, other)
	}

	// What is not valid is said, without the token, and changes nothing.
	replaceFile(t, file, "new:"+nextToken+"\nshort:0123456789-only\nold:"+nextToken+"\n")
	p.waitFor(t, "token 2 has fewer than 16 characters")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	p.waitFor(t, "no such file")
	if old, other := p.status(t, formerToken), p.status(t, nextToken); old != 202 || other != 202 {
		t.Errorf("with a file that is not valid: %d and %d", old, other)
	}

	replaceFile(t, file, "new:"+nextToken+"\n")
	p.signal(t, syscall.SIGHUP)
	p.waitFor(t, `"setting":"tokens_file","tokens":["new"]`)
	if old, other := p.status(t, formerToken), p.status(t, nextToken); old != 401 || other != 202 {
		t.Errorf("with the new one alone: %d and %d", old, other)
	}
	p.signal(t, syscall.SIGTERM)
	if err := p.wait(t); err != nil {
		t.Error(err)
	}
	for _, token := range []string{formerToken, nextToken, "0123456789-only"} {
		if strings.Contains(p.out.String(), token) {
			t.Errorf("the log holds %s", token)
		}
	}
}

// TestTokensFromKubernetes swaps the symlink above the file, as the kubelet does with the files of a Secret.
func TestTokensFromKubernetes(t *testing.T) {
	dir := t.TempDir()
	write := func(version, token string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		replaceFile(t, filepath.Join(dir, version, "tokens"), token+"\n")
		if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	write("..2026_01", formerToken)
	file := filepath.Join(dir, "tokens")
	if err := os.Symlink("..data/tokens", file); err != nil {
		t.Fatal(err)
	}
	p := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS_FILE="+file)
	if status := p.status(t, formerToken); status != 202 {
		t.Fatalf("at the start: %d", status)
	}
	write("..2026_02", nextToken)
	if err := os.RemoveAll(filepath.Join(dir, "..2026_01")); err != nil {
		t.Fatal(err)
	}
	natstest.Eventually(t, "the new token", func() bool { return p.status(t, nextToken) == 202 })
	if status := p.status(t, formerToken); status != 401 {
		t.Errorf("the old token: %d", status)
	}
}

// TestHalfWrittenFileIsNotTaken looks at a file between its writer's steps.
func TestHalfWrittenFileIsNotTaken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	taken := ""
	w := &watched{setting: "tokens_file", files: []string{file}, apply: func(contents [][]byte) ([]zap.Field, error) {
		taken += string(contents[0]) + ";"
		return nil, nil
	}}
	for i, step := range []struct {
		write string
		now   bool // as on SIGHUP
		taken string
	}{
		{"one", false, ""},
		{"one", false, "one;"},
		{"one", false, "one;"},
		{"tw", false, "one;"},
		{"two", false, "one;"},
		{"two", false, "one;two;"},
		{"three", true, "one;two;three;"},
		{"three", true, "one;two;three;"},
	} {
		replaceFile(t, file, step.write)
		w.check(zap.NewNop(), step.now)
		if taken != step.taken {
			t.Errorf("look %d, at %q: taken %q, want %q", i, step.write, taken, step.taken)
		}
	}
}
