package main

import (
	"context"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// supervisor tells systemd how the bridge is: ready, alive as often as the unit's WatchdogSec asks, and stopping.
// Under anything else, where NOTIFY_SOCKET is not set, it does nothing.
type supervisor struct {
	log      *zap.Logger
	alive    func(context.Context) error
	end      context.CancelFunc
	watching sync.WaitGroup
}

// notifyReady says that the bridge serves, and begins to say that it is alive whenever alive returns nil. It is
// for the caller to call stopping.
func notifyReady(log *zap.Logger, alive func(context.Context) error) *supervisor {
	s := &supervisor{log: log, alive: alive}
	ctx, end := context.WithCancel(context.Background())
	s.end = end
	s.notify(daemon.SdNotifyReady)
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the watchdog of systemd is not served", zap.Error(err))
	}
	if limit > 0 {
		s.watching.Go(func() { s.watch(ctx, limit/3) })
	}
	return s
}

// watch pings when the bridge answers. One that does not answer in three intervals is restarted by systemd.
func (s *supervisor) watch(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := s.aliveWithin(ctx, interval); err == nil {
			s.notify(daemon.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			s.log.Warn("the bridge does not answer its own watchdog", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *supervisor) aliveWithin(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return s.alive(ctx)
}

// stopping says that the bridge is on its way down, and ends the watchdog: from here on the unit's TimeoutStopSec
// bounds it.
func (s *supervisor) stopping() {
	s.end()
	s.watching.Wait()
	s.notify(daemon.SdNotifyStopping)
}

func (s *supervisor) notify(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("systemd is not told", zap.String("state", state), zap.Error(err))
	}
}
