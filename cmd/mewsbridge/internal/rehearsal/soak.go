package rehearsal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// In a soak, messages leave the streams soon, so that the disk comes to a level within the run. What is stored is counted well
// before it leaves.
const (
	soakMaxAge      = 30 * time.Second
	soakRetryWindow = 20 * time.Second
	soakSampleMost  = 5 * time.Second
	soakSampleLeast = 500 * time.Millisecond
	soakSamples     = 60 // in a run, when these bounds let it
	soakWarmUp      = 0.2
)

// resource is one thing that must not grow for ever.
type resource uint8

const (
	goroutines resource = iota
	memory
	files
	disk
	resources
)

// watched says of each resource where it is read, and by how much its level may differ between the begin and the end of a soak
// without being growth: a quarter, and room for what comes and goes.
var watched = [resources]struct {
	name   string
	metric string // of the bridge; empty is the size of the folder
	room   float64
	bytes  bool
}{
	goroutines: {"goroutines", "go_goroutines", 50, false},
	memory:     {"memory", "process_resident_memory_bytes", 64 << 20, true},
	files:      {"file descriptors", "process_open_fds", 50, false},
	disk:       {"disk", "", 32 << 20, true}, // JetStream frees whole blocks of 8 MiB
}

// sample is one look at all resources.
type sample [resources]float64

// Level is how much of a resource was used early in a soak and at its end.
type Level struct {
	Name        string
	First, Last float64
	Bytes       bool // else a number
	Grew        bool
}

func (l Level) String() string {
	if l.Bytes {
		return fmt.Sprintf("%.1f -> %.1f MiB", l.First/(1<<20), l.Last/(1<<20))
	}
	return fmt.Sprintf("%.0f -> %.0f", l.First, l.Last)
}

// levels compares the first third of the samples after the warm-up with the last third. It is an error when there are too few.
func levels(samples []sample) ([]Level, error) {
	samples = samples[int(soakWarmUp*float64(len(samples))):]
	third := len(samples) / 3
	if third < 2 {
		return nil, errors.New("too few samples to tell growth: let the soak run for longer")
	}
	var all []Level
	for r, w := range watched {
		first, last := median(samples[:third], r), median(samples[len(samples)-third:], r)
		all = append(all, Level{Name: w.name, First: first, Last: last, Bytes: w.bytes, Grew: last > 1.25*first+w.room})
	}
	return all, nil
}

func median(samples []sample, r int) float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = s[r]
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// soak looks at the resources until the duration is over, and counts meanwhile what is stored.
func (s *stage) soak() {
	s.say("soaking")
	every := min(max(s.cfg.share()/soakSamples, soakSampleLeast), soakSampleMost)
	var samples []sample
	for s.account.now() < s.cfg.share() && s.ctx.Err() == nil {
		s.pause(every)
		look, err := s.look()
		if err == nil {
			err = s.read()
		}
		if err != nil && s.ctx.Err() == nil {
			s.problem(fmt.Errorf("soak: %w", err))
			return
		}
		samples = append(samples, look)
	}
	found, err := levels(samples)
	if err != nil {
		s.problem(err)
	}
	s.report.Levels = found
}

// look reads the bridge's metrics and the size of its folder, in which are those of the nats-servers too.
func (s *stage) look() (look sample, err error) {
	metrics, err := s.bridge.metrics(s.ctx)
	if err != nil {
		return look, err
	}
	for r, w := range watched {
		if w.metric == "" {
			look[r], err = sizeOf(s.dir)
			if err != nil {
				return look, fmt.Errorf("size of %s: %w", s.dir, err)
			}
			continue
		}
		value, found := metrics[w.metric]
		if !found {
			return look, fmt.Errorf("the bridge does not tell %s", w.metric)
		}
		look[r] = value
	}
	return look, nil
}

// metrics returns the metrics of the bridge that have no labels.
func (b *bridgeProcess) metrics(ctx context.Context) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.admin+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return parseMetrics(answer.Body)
}

func parseMetrics(r io.Reader) (map[string]float64, error) {
	found := map[string]float64{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if value, err := strconv.ParseFloat(text, 64); err == nil {
			found[name] = value
		}
	}
	return found, lines.Err()
}

// sizeOf returns what the files below dir take, in bytes. The logs are left out: they are the rehearsal's. Files that go meanwhile count nothing.
func sizeOf(dir string) (float64, error) {
	var size float64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || entry.IsDir() || entry.Name() == logName {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			size += float64(info.Size())
		}
		return err
	})
	return size, err
}
