package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/login/upstream"
)

// cookieFederation is the cookie by which a browser is known that was sent to a provider, until it is back.
const cookieFederation = "fed"

// Federation is what this browser is known by that was sent to a provider, or nothing.
func (s *Sessions) Federation(c *gin.Context) string {
	token := s.jar.value(c, cookieFederation, orgOf(c))
	if !secret.Valid(secret.Federation, token) {
		return ""
	}
	return token
}

// KeepFederation gives the browser what it is known by. Where a provider sends it back by a form of its own site, the cookie has to come
// along with that (SameSite=None, which is for secure connections, and for localhost); everywhere else it is like the others.
func (s *Sessions) KeepFederation(c *gin.Context, token string, life time.Duration, postsBack bool) {
	cookie := s.jar.cookie(cookieFederation, orgOf(c), token, life) //nolint:gosec // the jar makes it HttpOnly, and Secure where there is TLS
	if postsBack {
		cookie.SameSite, cookie.Secure = http.SameSiteNoneMode, true
	}
	set(c, cookie)
}

// providerAgain is when somebody may try a provider again that does not answer.
const providerAgain = 30 * time.Second

// FederationError is a page about a provider that does not answer, does not vouch for somebody, or cannot be believed; again is a path
// of ours where there are other ways. Any other error stays as it is.
func FederationError(err error, again string) error {
	switch {
	case errors.Is(err, upstream.ErrDown):
		return &Error{Status: http.StatusServiceUnavailable, Message: "federate.down", Cause: err, Again: again, RetryAfter: providerAgain}
	case errors.Is(err, upstream.ErrUntrusted):
		return &Error{Status: http.StatusBadGateway, Message: "federate.untrusted", Cause: err, Again: again}
	case errors.Is(err, upstream.ErrRefused):
		return &Error{Status: http.StatusBadRequest, Message: "federate.refused", Cause: err, Again: again}
	}
	return err
}
