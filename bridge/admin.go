package bridge

import (
	"context"
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// readyTimeout bounds what /readyz asks of JetStream.
const readyTimeout = 2 * time.Second

// Paths of the probes.
const (
	livePath  = "/livez"
	readyPath = "/readyz"
)

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
		cause := err.Error()
		if !b.isAdmin(c.Request()) {
			cause = ""
		}
		return c.JSON(http.StatusServiceUnavailable, health{"not ready", cause})
	}
	return c.JSON(http.StatusOK, health{Status: "ready"})
}

// adminOnly asks for the admin token, except of probes, which seldom can send one.
func (b *Bridge) adminOnly(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if path := c.Path(); path == livePath || path == readyPath || b.isAdmin(c.Request()) {
			return next(c)
		}
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, "Bearer")
		return &failure{kind: adminUnauthorized}
	}
}

// isAdmin reports whether r holds the admin token, or none is asked for. It takes as long for every wrong token.
func (b *Bridge) isAdmin(r *http.Request) bool {
	if b.cfg.AdminToken == nil {
		return true
	}
	secret, bearer := strings.CutPrefix(r.Header.Get(echo.HeaderAuthorization), "Bearer ")
	sent := NewToken("", secret)
	return subtle.ConstantTimeCompare(sent.digest[:], b.cfg.AdminToken.digest[:]) == 1 && bearer
}
