package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// composeFile is what the tests look at in docker-compose.yml.
type composeFile struct {
	Services map[string]struct {
		Image       string
		Environment map[string]string
		Volumes     []string
	}
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	var c composeFile
	if err := yaml.Unmarshal(mustRead(t, "../../docker-compose.yml"), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestComposeBridges resolves what the bridges of docker-compose.yml are given, as serve does.
func TestComposeBridges(t *testing.T) {
	c := readCompose(t)
	for _, name := range []string{"bridge-1", "bridge-2"} {
		env := map[string]string{}
		for key, value := range c.Services[name].Environment {
			env[key] = regexp.MustCompile(`\$\{.*\}`).ReplaceAllString(value, "a-value-of-the-env-file")
		}
		cfg := mustResolve(t, given(t, nil, env, ""))
		if cfg.Embedded() || len(cfg.NATSURL) != 3 || cfg.Replicas != 3 || cfg.NATSUser != "bridge" || !cfg.SharedLedger {
			t.Errorf("%s: servers %d, replicas %d, user %q, ledger shared %v", name, len(cfg.NATSURL), cfg.Replicas, cfg.NATSUser, cfg.SharedLedger)
		}
		for _, url := range cfg.NATSURL {
			server := strings.TrimSuffix(strings.TrimPrefix(url, "nats://"), ":4222")
			if c.Services[server].Environment["NATS_NAME"] != server {
				t.Errorf("%s connects to %s, which is named %q", name, url, c.Services[server].Environment["NATS_NAME"])
			}
		}
	}
}

// TestComposeFiles: a folder that is missing would be made by Docker, and hide the mistake.
func TestComposeFiles(t *testing.T) {
	nats, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/nats-io/nats-server/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name, service := range readCompose(t).Services {
		for _, volume := range service.Volumes {
			source, _, _ := strings.Cut(volume, ":")
			if !strings.HasPrefix(source, "./") {
				continue
			}
			if _, err := os.Stat(filepath.Join("../..", source)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if version := "nats:" + strings.TrimPrefix(strings.TrimSpace(string(nats)), "v"); strings.HasPrefix(name, "nats-") && service.Image != version {
			t.Errorf("%s is %s; what is tested is %s", name, service.Image, version)
		}
	}
}

// TestDeployKnowsTheSettings looks for environment variables that are none of ours, or no longer.
func TestDeployKnowsTheSettings(t *testing.T) {
	var known []string
	for _, s := range settings() {
		known = append(known, s.env)
	}
	for _, name := range []string{"docker-compose.yml", "deploy/Dockerfile", "deploy/install.md", "deploy/systemd/mewsbridge.service",
		"deploy/kubernetes/base/deployment.yaml", "deploy/kubernetes/streams/kustomization.yaml"} {
		found := regexp.MustCompile(`\bMEWSBRIDGE_\w+`).FindAllString(string(mustRead(t, "../../"+name)), -1)
		if len(found) == 0 {
			t.Errorf("%s names no setting", name)
		}
		for _, env := range found {
			if !slices.Contains(known, env) {
				t.Errorf("%s: %s is not a setting", name, env)
			}
		}
	}
}
