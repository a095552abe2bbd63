package main

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mewsbridge/publisher/natstest"
)

// TestKilledBridge kills one of two bridges after it stored a webhook and before the sender was told 202. When it could still tell the
// other one, the retry there stores nothing twice; when it was killed before, the event is stored once more, and never lost.
func TestKilledBridge(t *testing.T) {
	for name, told := range map[string]bool{"after it told the other": true, "before": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := natstest.Start(t)
			proxy := natstest.StartProxy(t, s)
			env := []string{"MEWSBRIDGE_LEDGER_SHARED=true", "MEWSBRIDGE_TOKENS=" + testToken}
			if told {
				env = append(slices.Clone(env), "MEWSBRIDGE_ACK_DEADLINE=1s") // else it is killed long before
			}
			a := startServe(t, t.TempDir(), append(slices.Clone(env), "NATS_URL="+proxy.URL())...)
			b := startServe(t, t.TempDir(), append(slices.Clone(env), "NATS_URL="+s.ClientURL())...)
			for _, p := range []*process{a, b} {
				natstest.Eventually(t, "readiness", func() bool { status, _ := get(t, p.admin+"/readyz"); return status == 200 })
			}
			proxy.Judge(func(f natstest.Frame) natstest.Fate {
				if !f.ToServer && strings.HasPrefix(string(f.Data), `{"stream":"MEWS_EVENTS"`) {
					return natstest.Drop
				}
				return natstest.Pass
			})
			answered := make(chan int, 1)
			go func() {
				response, err := http.Post(a.webhooks+"?Token="+testToken, "application/json", strings.NewReader(body("r1")))
				if err != nil {
					answered <- 0
					return
				}
				_ = response.Body.Close()
				answered <- response.StatusCode
			}()
			const subject = "mews.events.ServiceOrderUpdated.hotel.r1"
			natstest.Eventually(t, "the event to be stored", func() bool { return storedSubjects(t, s.ClientURL())[subject] == 1 })
			want := 2
			if told {
				want = 1
				open := regexp.MustCompile(`(?m)^mewsbridge_open_deliveries\{[^}]*\} 1$`)
				natstest.Eventually(t, "the other bridge to know", func() bool { _, metrics := get(t, b.admin+"/metrics"); return open.MatchString(metrics) })
			}
			a.signal(t, syscall.SIGKILL)
			if status := <-answered; status == http.StatusAccepted {
				t.Fatal("the attempt was answered 202")
			}
			if status, answer := post(t, b.webhooks+"?Token="+testToken, body("r1")); status != http.StatusAccepted {
				t.Errorf("the retry: %d %s", status, answer)
			}
			if n := storedSubjects(t, s.ClientURL())[subject]; n != want {
				t.Errorf("the event is stored %d times, want %d", n, want)
			}
		})
	}
}
