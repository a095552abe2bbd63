package bridge

import (
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Of each reason for which webhooks are not stored, the log has the first failuresLogged records of each failureWindow in full. The
// rest are told as a number, so that an outage does not fill a disk.
const (
	failuresLogged = 20
	failureWindow  = time.Minute
)

// failureLog counts the records of each reason. Reasons are stable words, so they are few.
type failureLog struct {
	mu      sync.Mutex
	windows map[string]*window
}

type window struct {
	start         time.Time
	count, hidden int
}

func newFailureLog() *failureLog { return &failureLog{windows: map[string]*window{}} }

// level returns at which level a record for the reason is to be written: warn, or debug when there are too many.
func (l *failureLog) level(reason string, now time.Time) zapcore.Level {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.windows[reason]
	if w == nil || w.hidden == 0 && now.Sub(w.start) >= failureWindow {
		w = &window{start: now}
		l.windows[reason] = w
	}
	if w.count++; w.count > failuresLogged {
		w.hidden++
		return zapcore.DebugLevel
	}
	return zapcore.WarnLevel
}

// flush tells of the windows that have ended how many records were left out.
func (l *failureLog) flush(log *zap.Logger, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for reason, w := range l.windows {
		if now.Sub(w.start) < failureWindow {
			continue
		}
		if w.hidden > 0 {
			log.Warn("further failures of webhooks, not logged one by one", zap.String(logReason, reason),
				zap.Int("webhooks", w.hidden), zap.Float64("seconds", now.Sub(w.start).Seconds()))
		}
		delete(l.windows, reason)
	}
}
