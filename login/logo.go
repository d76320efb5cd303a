package login

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

// ParamDigest is the digest of a logo in its address.
const ParamDigest = "digest"

// Logo serves GET /logo/{digest}: the picture that the organization shows on its pages, which is always the same at an address.
func (l *Login) Logo(c *gin.Context) error {
	logo, err := l.db.Logo(c.Request.Context(), c.Param(ParamDigest))
	if errors.Is(err, storage.ErrNotFound) {
		return &web.Error{Status: http.StatusNotFound, Message: "error.nothing_here", Cause: err}
	}
	if err != nil {
		return err
	}
	h := c.Writer.Header()
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	// Opened by itself it is a document, of which a browser is to make no more than a picture.
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Disposition", "inline")
	h.Set("Content-Length", strconv.Itoa(len(logo.Image)))
	c.Data(http.StatusOK, logo.ContentType, logo.Image)
	return nil
}
