package bridge

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// readyTimeout bounds what /readyz asks of JetStream.
const readyTimeout = 2 * time.Second

// health is the body of /livez and /readyz. Cause is for the person on call; the admin listener is not public.
type health struct {
	Status string `json:"status"`
	Cause  string `json:"cause,omitempty"`
}

// live says that the process serves requests, whatever NATS does: restarting it would not mend NATS.
func live(c echo.Context) error { return c.JSON(http.StatusOK, health{Status: "alive"}) }

// ready says whether a webhook could be stored now, and if not, why.
func (b *Bridge) ready(c echo.Context) error {
	if b.stopping.Load() {
		return c.JSON(http.StatusServiceUnavailable, health{"not ready", "stopping"})
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyTimeout)
	defer cancel()
	if err := b.cfg.Ready(ctx); err != nil {
		return c.JSON(http.StatusServiceUnavailable, health{"not ready", err.Error()})
	}
	return c.JSON(http.StatusOK, health{Status: "ready"})
}
