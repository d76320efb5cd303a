package web

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/secret"
)

const (
	// FieldCSRF is the hidden field of every form that holds its token.
	FieldCSRF = "csrf_token"
	// sealCSRF is what the keyring makes the tokens for.
	sealCSRF = "csrf"
	// maxForm and maxFields bound a form.
	maxForm   = 64 << 10 // bytes
	maxFields = 100
)

// Form reads the form of a request. It is read in one way only: no multipart, which would be written to disk, and nothing
// from the address.
func Form(c *gin.Context) (url.Values, error) {
	mediaType, _, err := mime.ParseMediaType(c.GetHeader("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return nil, &Error{Status: http.StatusUnsupportedMediaType, Message: "error.form", Cause: err}
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxForm))
	if err != nil {
		return nil, fmt.Errorf("read form: %w", err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, &Error{Status: http.StatusBadRequest, Message: "error.form", Cause: err}
	}
	if len(form) > maxFields {
		return nil, &Error{Status: http.StatusBadRequest, Message: "error.form"}
	}
	for _, values := range form {
		if len(values) > 1 {
			return nil, &Error{Status: http.StatusBadRequest, Message: "error.form"}
		}
	}
	return form, nil
}

// CSRF returns the token for a form of a purpose. It is bound to the browser's session cookie, or to its flow cookie while it
// has none, and to the organization: it is worth nothing in another browser, in another form, at another organization, nor
// after somebody has signed in or out.
func (s *Sessions) CSRF(c *gin.Context, purpose string) string {
	return s.keyring.MAC(sealCSRF, s.Browser(c), orgID(c), purpose)
}

// CheckCSRF refuses a form whose token is not the one that CSRF gave to this browser for the purpose.
func (s *Sessions) CheckCSRF(c *gin.Context, form url.Values, purpose string) error {
	bound := s.bound(c)
	token := form[FieldCSRF]
	if bound == "" || len(token) != 1 || !s.keyring.VerifyMAC(sealCSRF, token[0], secret.Digest(bound), orgID(c), purpose) {
		refusal := &Error{Status: http.StatusForbidden, Message: "error.stale_form"}
		if c.Request.Method == http.MethodPost && c.Request.URL.RawQuery != "" {
			refusal.Again = c.Request.URL.RequestURI()
		}
		return refusal
	}
	return nil
}

// Browser is by what a page's challenges are bound to this browser, as its forms are.
func (s *Sessions) Browser(c *gin.Context) string {
	bound := s.bound(c)
	if bound == "" {
		bound = s.Flow(c)
	}
	return secret.Digest(bound)
}

// bound is the secret of the browser that tokens are bound to. Whether the session it names is still alive does not matter:
// nobody but the browser knows it.
func (s *Sessions) bound(c *gin.Context) string {
	org := orgOf(c)
	if token := s.jar.value(c, cookieSession, org); secret.Valid(secret.Session, token) {
		return token
	}
	if token := s.jar.value(c, cookieFlow, org); secret.Valid(secret.Flow, token) {
		return token
	}
	return ""
}

func orgID(c *gin.Context) string {
	if org := orgOf(c); org != nil {
		return org.ID.String()
	}
	return ""
}

// SameOrigin refuses what another website's page sends (by Sec-Fetch-Site, else by Origin). It stands before every form that
// goes by a cookie; the token in the form stands behind it, for browsers that say neither.
func (p *Pages) SameOrigin() gin.HandlerFunc {
	protection := http.NewCrossOriginProtection()
	return func(c *gin.Context) {
		if err := protection.Check(c.Request); err != nil {
			p.Error(c, &Error{Status: http.StatusForbidden, Message: "error.cross_site", Cause: err})
			return
		}
		c.Next()
	}
}
