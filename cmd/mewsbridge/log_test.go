package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap"

	"mewsbridge/publisher/natstest"
)

func TestLogIsJSONAndSampled(t *testing.T) {
	var out bytes.Buffer
	level := zap.NewAtomicLevelAt(zap.DebugLevel)
	log := newLog(&out, level)
	const n = 1000
	for range n {
		log.Debug("one of each", zap.String("reason", "x"))
		log.Warn("the same again")
	}
	level.SetLevel(zap.ErrorLevel)
	log.Warn("not at this level")
	count := map[string]int{}
	for line := range strings.Lines(out.String()) {
		var record struct{ Level, Time, Message, Reason string }
		if err := json.Unmarshal([]byte(line), &record); err != nil || record.Level == "" || record.Time == "" {
			t.Fatalf("%q: %v", line, err)
		}
		count[record.Message]++
	}
	if count["one of each"] != n || count["the same again"] < sampleFirst || count["the same again"] > n/2 || len(count) != 2 {
		t.Errorf("records: %v", count)
	}
}

// putLevel sends a level to the admin listener.
func putLevel(t *testing.T, p *process, level string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPut, p.admin+"/loglevel", strings.NewReader(level))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded") // as curl -d does
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

// TestLevelAtRunTime: a webhook leaves a record at debug and none at info, and the level is changed while the bridge runs.
func TestLevelAtRunTime(t *testing.T) {
	p := startServe(t, t.TempDir(), "MEWSBRIDGE_TOKENS="+testToken)
	hook := p.webhooks + "?Token=" + testToken
	post(t, hook, body("quiet"))
	if status, answer := get(t, p.admin+"/loglevel"); status != 200 || !strings.Contains(answer, `"info"`) {
		t.Errorf("GET: %d %s", status, answer)
	}
	if status, answer := putLevel(t, p, `{"level":"debug"}`); status != 200 {
		t.Fatalf("PUT: %d %s", status, answer)
	}
	for _, bad := range []string{`{"level":"loud"}`, `{`, `{"level":"` + strings.Repeat("x", 2*maxLevelBody) + `"}`} {
		if status, answer := putLevel(t, p, bad); status != 400 {
			t.Errorf("PUT %.20s: %d %s", bad, status, answer)
		}
	}
	post(t, hook, body("talkative"))
	natstest.Eventually(t, "the record of the second webhook", func() bool { return strings.Contains(p.out.String(), `"webhook stored"`) })
	if n := strings.Count(p.out.String(), `"webhook stored"`); n != 1 {
		t.Errorf("%d records of webhooks, want 1", n)
	}
	if !strings.Contains(p.out.String(), `"log level changed","before":"info","now":"debug"`) {
		t.Errorf("the change left no record:\n%s", p.out)
	}
}
