package main

import (
	"context"
	"crypto/sha256"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// reloadInterval is how often watched files are read. They are read, rather than watched by the system's notifications, because that
// notices every kind of change: also a symlink swapped further up, as Kubernetes does, and a file on a network.
const reloadInterval = 500 * time.Millisecond

// watched is files whose contents can change while the bridge runs.
type watched struct {
	setting string   // how the log names them
	files   []string // read together
	// apply takes contents, one for each file, into use and returns what the log is to say of them; nothing when they mean what
	// is in use already. When it fails it has changed nothing, and its error repeats no secret.
	apply func(contents [][]byte) ([]zap.Field, error)

	seen, settled [sha256.Size]byte // digests of the last look, and of the last that was acted upon
}

// check looks at the files and takes what has changed into use. Unless now is set it waits until two looks in a row find the same: a
// file that is being written is not to be taken half.
func (w *watched) check(log *zap.Logger, now bool) {
	contents, digest, err := w.look()
	unsettled := digest != w.seen && !now
	w.seen = digest
	if unsettled || digest == w.settled {
		return
	}
	w.settled = digest
	var fields []zap.Field
	if err == nil {
		fields, err = w.apply(contents)
	}
	switch {
	case err != nil:
		log.Warn("not reloaded; what was read before stays in use", zap.String("setting", w.setting), zap.Error(err))
	case len(fields) > 0:
		log.Info("reloaded", append([]zap.Field{zap.String("setting", w.setting)}, fields...)...)
	}
}

// look reads the files. The digest is of all that it found, an error too.
func (w *watched) look() (contents [][]byte, digest [sha256.Size]byte, err error) {
	sum := sha256.New()
	for _, name := range w.files {
		data, readErr := os.ReadFile(name)
		part := sha256.Sum256(data)
		if readErr != nil {
			err = readErr
			part = sha256.Sum256([]byte("error: " + readErr.Error()))
		}
		sum.Write(part[:])
		contents = append(contents, data)
	}
	sum.Sum(digest[:0])
	return contents, digest, err
}

// reloader looks after watched files. A file that is not valid is said once in the log.
type reloader struct {
	log     *zap.Logger
	watched []*watched
	loop    sync.WaitGroup
	end     context.CancelFunc
}

// start looks every reloadInterval, and at once when there is something on hangups, until stop.
func (r *reloader) start(hangups <-chan os.Signal) {
	ctx, end := context.WithCancel(context.Background())
	r.end = end
	r.loop.Go(func() {
		ticker := time.NewTicker(reloadInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				r.check(false)
			case <-hangups:
				r.log.Info("SIGHUP: reading the files again", zap.Int("settings", len(r.watched)))
				r.check(true)
			}
		}
	})
}

func (r *reloader) check(now bool) {
	for _, w := range r.watched {
		w.check(r.log, now)
	}
}

// stop ends what start began, if it did.
func (r *reloader) stop(context.Context) error {
	if r.end != nil {
		r.end()
	}
	r.loop.Wait()
	return nil
}
