package embedded

import (
	"fmt"

	"go.uber.org/zap"
)

// serverLog writes what nats-server says to our log. Debug and trace output of the server is off: trace would show
// payloads.
type serverLog struct {
	log    *zap.Logger
	failed chan string // capacity 1: what the server called fatal
}

func (l *serverLog) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l *serverLog) Warnf(format string, v ...any)   { l.log.Warn(fmt.Sprintf(format, v...)) }
func (l *serverLog) Errorf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l *serverLog) Debugf(string, ...any)           {}
func (l *serverLog) Tracef(string, ...any)           {}

// Fatalf does not end the process; Start returns the reason, or the bridge's readiness shows it later.
func (l *serverLog) Fatalf(format string, v ...any) {
	reason := fmt.Sprintf(format, v...)
	l.log.Error(reason)
	select {
	case l.failed <- reason:
	default:
	}
}
