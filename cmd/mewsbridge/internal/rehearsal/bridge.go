package rehearsal

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// bridgeProcess is mewsbridge serve. Mews reaches it through a proxy.
type bridgeProcess struct {
	dir   string
	env   []string
	front *proxy
	url   string // for Mews, through front, with the token

	process *process
	admin   string // host:port
	nats    string // URL of the server inside, when there is one
}

// start runs the bridge and returns when it listens.
func (b *bridgeProcess) start(ctx context.Context, binary string, onEnd func(error)) error {
	log := filepath.Join(b.dir, logName)
	var from int64
	if info, err := os.Stat(log); err == nil {
		from = info.Size()
	}
	var err error
	if b.process, err = startProcess("bridge", binary, b.dir, log, b.env, []string{"serve"}, onEnd); err != nil {
		return err
	}
	var greeting struct{ Message, Address, Admin, NATS string }
	err = waitFor(ctx, "the bridge to listen", startTimeout, func() bool {
		for line := range bytes.Lines(tailOf(log, from)) {
			if json.Unmarshal(line, &greeting) == nil && greeting.Message == "taking webhooks" {
				return true
			}
		}
		return false
	})
	if err != nil {
		return err
	}
	b.admin, b.nats = greeting.Admin, greeting.NATS
	b.front.lead(greeting.Address)
	return nil
}

// tailOf returns what a file holds from an offset on.
func tailOf(name string, from int64) []byte {
	file, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer file.Close()
	text, err := io.ReadAll(io.NewSectionReader(file, from, 1<<20))
	if err != nil {
		return nil
	}
	return text
}

// ready asks /readyz and returns nil as the reason when it is ready.
func (b *bridgeProcess) ready(ctx context.Context) (ok bool, why string) {
	const patience = 3 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.admin+"/readyz", nil)
	if err != nil {
		return false, err.Error()
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, err.Error()
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	return answer.StatusCode == http.StatusOK, strings.TrimSpace(string(text))
}
