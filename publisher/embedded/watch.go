package embedded

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

// How the store is looked after. roomNeeded is what has to be free before the server is started again: enough for it to start and to
// store some webhooks.
const (
	watchEvery   = time.Second
	restartPause = 5 * time.Second // after a restart that did not help
	roomNeeded   = 4 << 20
)

// watch starts the server again when its store has failed, until ctx ends. A nats-server that could not write once, most often
// because the disk was full, stores nothing more until it is started again, also when there is room. Until there is room
// it is left as it is: what is stored can still be read.
func (s *Server) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	said := "" // the failure that was logged
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		why := failure(s.current())
		if why != "" && why != said {
			s.log.Error("the NATS server can no longer write; it is started again when there is room", zap.String("reason", why))
		}
		said = why
		if why == "" || !hasRoom(s.options.StoreDir) {
			continue
		}
		if err := s.restart(); err != nil {
			s.log.Error("the NATS server cannot be started again; trying for ever", zap.Error(err))
			wait(ctx, restartPause)
			continue
		}
		s.log.Info("the NATS server was started again after it could not write")
		said = ""
		wait(ctx, restartPause)
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// failure says why the server stores nothing any more; it is empty when it does.
func failure(s *server.Server) string {
	if s == nil {
		return "it did not start"
	}
	// That a stream could not be written is told from its other troubles by the text alone.
	for _, e := range s.Healthz(&server.HealthzOptions{Details: true}).Errors {
		if e.Type == server.HealthzErrorJetStream || e.Type == server.HealthzErrorStream && strings.Contains(e.Error, "write error") {
			return e.Error
		}
	}
	return ""
}

// hasRoom reports whether a file of roomNeeded bytes can be written in dir.
func hasRoom(dir string) bool {
	file, err := os.CreateTemp(dir, "room-")
	if err != nil {
		return false
	}
	_, err = file.Write(make([]byte, roomNeeded))
	if err == nil {
		err = file.Sync() // a file system may only now find that it is full
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	_ = os.Remove(file.Name())
	return err == nil
}

// restart stops the server and starts another on the same store and address. Meanwhile there is none: InProcessConn fails, and clients
// try again.
func (s *Server) restart() error {
	if old := s.swap(nil); old != nil {
		stop(old)
	}
	fresh, err := run(s.options.Clone(), s.log)
	if err != nil {
		return fmt.Errorf("start nats-server: %w", err)
	}
	s.swap(fresh)
	return nil
}
