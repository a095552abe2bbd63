package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/unit"
)

// readUnit returns the values of a unit's section Service, in order. The file says more in comments than in lines.
func readUnit(t *testing.T, name string) map[string][]string {
	t.Helper()
	file, err := os.Open("../../deploy/systemd/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	options, err := unit.DeserializeOptions(file)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]string{}
	for _, o := range options {
		if o.Section == "Service" {
			values[o.Name] = append(values[o.Name], o.Value)
		}
	}
	return values
}

// TestUnitAgreesWithTheProgram holds the unit against what it starts. systemd-analyze verify says whether systemd understands it.
func TestUnitAgreesWithTheProgram(t *testing.T) {
	service := readUnit(t, "mewsbridge.service")
	one := func(name string) string {
		if len(service[name]) != 1 {
			t.Fatalf("%s is %q", name, service[name])
		}
		return service[name][0]
	}
	if one("Type") != "notify" || one("WatchdogSec") == "" || one("Restart") != "on-failure" {
		t.Errorf("type %s, watchdog %s, restart %s", one("Type"), one("WatchdogSec"), one("Restart"))
	}
	if want := fmt.Sprint(exitUsage, " ", exitConfig); one("RestartPreventExitStatus") != want {
		t.Errorf("RestartPreventExitStatus is %s, want %s: starting again does not mend these", one("RestartPreventExitStatus"), want)
	}
	if stop, err := time.ParseDuration(one("TimeoutStopSec")); err != nil || stop < stopTimeout+2*time.Second {
		t.Errorf("TimeoutStopSec is %v (%v), and the bridge takes up to %v", stop, err, stopTimeout)
	}
	if one("Environment") == "" || !strings.Contains(one("Environment"), "MEWSBRIDGE_DATA_DIR=%S/"+one("StateDirectory")) {
		t.Errorf("the data folder in %q is not the state folder %q", one("Environment"), one("StateDirectory"))
	}
	nats := readUnit(t, "nats.conf")
	credentials := slices.Concat(service["LoadCredential"], nats["LoadCredential"])
	uses := strings.Join(slices.Concat(service["Environment"], service["ExecStart"], nats["Environment"]), " ")
	found := regexp.MustCompile(`%d/(\S+)`).FindAllStringSubmatch(uses, -1)
	if len(found) != len(credentials) {
		t.Errorf("%d credentials are loaded and %d used", len(credentials), len(found))
	}
	for _, use := range found {
		if !slices.ContainsFunc(credentials, func(c string) bool { return strings.HasPrefix(c, use[1]+":/etc/mewsbridge/") }) {
			t.Errorf("%s is used and not loaded", use[1])
		}
	}
}
