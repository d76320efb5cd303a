package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/tenant"
)

// The roles that cookies play.
const (
	cookieSession = "session"
	cookieFlow    = "flow"
	cookieDevice  = "device"
	cookieState   = "state"
	// cookieAside holds the secrets of the sessions that a browser has besides the one that it acts in.
	cookieAside = "aside"
)

// jar knows what our cookies are called and how they are set.
type jar struct {
	// secure is false only in development, at http://localhost: a browser would take no __Host- cookie from there.
	secure bool
}

// name is that of a cookie for an organization, or for none. Organizations below a path share their origin, and cookies know
// no paths that they could be kept apart by (RFC 6265 §8.6): there each has names of its own. What a cookie opens is
// looked up in the organization all the same.
func (j jar) name(role string, org *tenant.Org) string {
	name := "keizer_" + role
	if org != nil && org.BasePath != "" {
		name += "_" + org.Slug
	}
	if j.secure {
		// The prefix makes browsers refuse the cookie from a sibling domain, which could otherwise plant its own (RFC 6265bis §4.1.3.2).
		name = "__Host-" + name
	}
	return name
}

// value is what the browser sends, or nothing.
func (j jar) value(c *gin.Context, role string, org *tenant.Org) string {
	cookie, err := c.Request.Cookie(j.name(role, org))
	if err != nil {
		return "" // http.ErrNoCookie is the only error there is
	}
	return cookie.Value
}

// cookie is one of ours. Without a lifetime it ends with the browser. It is Lax and not Strict: a person comes to us from the
// application's site, and has to be known then.
func (j jar) cookie(role string, org *tenant.Org, value string, lifetime time.Duration) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure wherever there is https
		Name: j.name(role, org), Value: value, Path: "/", MaxAge: int(lifetime / time.Second),
		Secure: j.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// readable is the one cookie that a script of ours reads, in a frame that an application has made of it (OpenID Connect Session Management
// 1.0 §3.2). It opens nothing. From a frame of another site it is sent only where it may be, which wants https.
func (j jar) readable(org *tenant.Org, value string, lifetime time.Duration) *http.Cookie {
	cookie := j.cookie(cookieState, org, value, lifetime) //nolint:gosec // as above, and it is for a script
	cookie.HttpOnly = false
	if j.secure {
		cookie.SameSite = http.SameSiteNoneMode
	}
	return cookie
}

// gone is the cookie that takes one away.
func (j jar) gone(role string, org *tenant.Org) *http.Cookie {
	return j.cookie(role, org, "", -time.Second)
}

// set sets a cookie, in place of what was set under its name in the same answer.
func set(c *gin.Context, cookie *http.Cookie) {
	header := c.Writer.Header()
	kept := header["Set-Cookie"][:0:0]
	for _, line := range header["Set-Cookie"] {
		if !strings.HasPrefix(line, cookie.Name+"=") {
			kept = append(kept, line)
		}
	}
	header["Set-Cookie"] = append(kept, cookie.String())
}
