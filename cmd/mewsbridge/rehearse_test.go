package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRehearse runs the command as a user does, with one fault in one setup.
func TestRehearse(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command(binary, "rehearse", "--duration=5s", "--setup=embedded", "--faults=bridge-kill", "--seed=3", "--rate=20", "--retry-after=1s")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s%s", err, out.String(), errs.String())
	}
	for _, want := range []string{"seed 3, 5s", "webhooks sent", "acknowledged", "lost         0", "longest outage", "bridge-kill"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report does not hold %q:\n%s", want, out.String())
		}
	}
	if !strings.Contains(errs.String(), "embedded 0s/5s") {
		t.Errorf("no progress: %q", errs.String())
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestRehearseUsage(t *testing.T) {
	for want, args := range map[string][]string{
		"no fault \"fire\"":           {"--faults=fire"},
		"is too short":                {"--duration=3s"},
		"must be more than 0":         {"--rate=0"},
		"--soak does not go":          {"--soak", "--faults=partition"},
		"none of these faults":        {"--faults=partition", "--setup=single"},
		"--dir: mkdir /: file exists": {"--dir=/"},
	} {
		var out, errs strings.Builder
		env := &environment{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs, Getenv: os.Getenv}
		if code := run(t.Context(), env, append([]string{"rehearse"}, args...)); code != exitUsage || !strings.Contains(errs.String(), want) {
			t.Errorf("%v: exit code %d, %q, want %q", args, code, errs.String(), want)
		}
	}
}
