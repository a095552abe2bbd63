package bridge

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"
)

// failoverParameter marks a request that was sent here by another bridge: it is not sent on, so that two bridges that are each other's
// standby do not send a webhook in circles.
const failoverParameter = "failover"

// validateFailover accepts a plain URL: the token that the sender used is added, and nothing else is to be lost.
func validateFailover(u *url.URL) error {
	switch {
	case u == nil:
		return nil
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.User != nil, u.RawQuery != "" || u.ForceQuery, u.Fragment != "":
		return errors.New("failover: must be an http or https URL without user, query and fragment")
	}
	return nil
}

// failsOver reports whether the sender of r is to be sent to the standby instead of being told kind. Only an unreachable NATS
// is a reason: the standby has one of its own. r is authenticated.
func (e *endpoint) failsOver(r *http.Request, kind kind) bool {
	return kind == unavailable && e.Failover != nil && !r.URL.Query().Has(failoverParameter)
}

// standby points the answer at the standby, with the token that the sender itself used.
func (e *endpoint) standby(c echo.Context) {
	token, _ := tokenParameter(c.Request().URL.RawQuery) // it is there: r is authenticated
	to := *e.Failover
	to.RawQuery = "Token=" + url.QueryEscape(token) + "&" + failoverParameter + "=1"
	c.Response().Header().Set(echo.HeaderLocation, to.String())
}
