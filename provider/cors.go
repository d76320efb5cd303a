package provider

import (
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/redirect"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

// allowOrigin lets the scripts of a client's own pages read the answer: those whose origin is the origin of one of its
// redirect URIs. No cookie counts at these endpoints, so no credentials are allowed.
func (p *Provider) allowOrigin(c *gin.Context, client *fositestore.Client) {
	origin := c.GetHeader("Origin")
	if origin == "" {
		return
	}
	c.Writer.Header().Add("Vary", "Origin")
	if client != nil && slices.ContainsFunc(client.RedirectURIs, func(uri string) bool { return redirect.Origin(uri) == origin }) {
		c.Header("Access-Control-Allow-Origin", origin)
		c.Header("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
	}
}

// Preflight serves OPTIONS of the endpoints that scripts call: token, userinfo and revoke. A preflight does not say which
// client asks, so it looks whether any client of the organization has the origin; which one it was is checked with the
// request itself.
func (p *Provider) Preflight(c *gin.Context) error {
	origin := c.GetHeader("Origin")
	c.Writer.Header().Add("Vary", "Origin")
	if origin != "" && isText(origin) {
		known, err := p.db.OriginRegistered(c.Request.Context(), origin)
		if err != nil {
			p.jsonError(c, err)
			return nil
		}
		if known {
			c.Header("Access-Control-Allow-Origin", origin)
			c.Header("Access-Control-Allow-Methods", "GET, POST")
			c.Header("Access-Control-Allow-Headers", "Authorization, Content-Type")
			c.Header("Access-Control-Max-Age", "300")
		}
	}
	c.Status(http.StatusNoContent)
	return nil
}
