package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/admin"
	"github.com/keizer-auth/keizer/internal/requestid"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

// Bounds on what is read of a request (see provider's params.go for what is in it).
const (
	maxBody = 64 << 10
	maxURI  = 8 << 10
)

// Header values that never change, shared so that answering allocates nothing for them.
var (
	headerNosniff     = []string{"nosniff"}
	headerNoReferrer  = []string{"no-referrer"}
	headerDeny        = []string{"DENY"}
	headerSameOrigin  = []string{"same-origin"}
	headerNoStore     = []string{"no-store"}
	headerCSP         = []string{"default-src 'none'; frame-ancestors 'none'"}
	headerPermissions = []string{"camera=(), microphone=(), geolocation=(), publickey-credentials-get=(self), publickey-credentials-create=(self)"}
	headerHSTS        = []string{"max-age=63072000; includeSubDomains; preload"}
	// What else stands below the host of an organization is not ours to decide about.
	headerHostHSTS = []string{"max-age=63072000"}
	headerClose    = []string{"close"}
	headerRetry    = []string{"2"}
)

// around is what happens around every request: it gets an id, its bounds and its headers; it is answered even when a handler
// panics; and one line says how it went.
func (s *Server) around(c *gin.Context) {
	started := time.Now()
	id := requestid.New()
	c.Request = c.Request.WithContext(requestid.With(c.Request.Context(), id))

	header := c.Writer.Header()
	header["X-Request-Id"] = []string{id}
	header["X-Content-Type-Options"] = headerNosniff
	header["Referrer-Policy"] = headerNoReferrer
	header["X-Frame-Options"] = headerDeny
	header["Cross-Origin-Opener-Policy"] = headerSameOrigin
	header["Cross-Origin-Resource-Policy"] = headerSameOrigin
	header["Permissions-Policy"] = headerPermissions
	header["Content-Security-Policy"] = headerCSP
	header["Cache-Control"] = headerNoStore
	if s.https {
		header["Strict-Transport-Security"] = headerHSTS
	}
	if len(c.Request.TransferEncoding) > 0 {
		// A body in chunks may have named a length as well, by which a proxy before us may have gone. net/http goes by the chunks
		// and hides the length, so that every such connection ends with its answer (RFC 9112 §6.1).
		header["Connection"] = headerClose
	}

	defer func() {
		if fault := recover(); fault != nil {
			s.panicked(c, fault)
		}
		s.logAccess(c, started)
	}()

	if len(c.Request.RequestURI) > maxURI {
		s.refuse(c, http.StatusRequestURITooLong, "The address is too long.")
		return
	}
	switch at, err := s.addressee(c.Request); {
	case errors.Is(err, storage.ErrUnavailable):
		header["Retry-After"] = headerRetry
		s.refuse(c, http.StatusServiceUnavailable, "The server cannot answer at the moment.")
		return
	case err != nil:
		s.house.Log.ErrorContext(c.Request.Context(), "the organization of a host could not be read", "cause", err)
		s.refuse(c, http.StatusInternalServerError, "Something went wrong. Request id: "+id)
		return
	case at == nil:
		s.refuse(c, http.StatusMisdirectedRequest, "This server does not answer for that host name.")
		return
	case at.host:
		header["Strict-Transport-Security"] = headerHostHSTS
		c.Set(keyAddressee, at)
		if path := c.FullPath(); path != "" && !s.hosted[path] {
			s.page(s.notFound)(c)
			c.Abort()
			return
		}
	}
	if c.Request.Body != nil && c.Request.Body != http.NoBody {
		most := int64(maxBody)
		if admin.Is(c.Request.URL.Path) {
			most = admin.MaxBody
		}
		c.Request.Body = http.MaxBytesReader(c.Writer, c.Request.Body, most)
	}
	c.Next()
}

// addressee is whom a request is for by its host: the server itself, or the organization that has the host for its issuer, or will
// say that it is suspended.
type addressee struct {
	host bool
	org  *tenant.Org
	err  error
}

// theServer is whom a request is for that came to the base.
var theServer = &addressee{}

// keyAddressee is where a request that came to the host of an organization keeps whom it is for.
const keyAddressee = "addressee"

// addressee keeps requests out that were meant for somebody else: a Host that is not ours, nor that of an organization, means a forged
// header or a rebound name, and there is no addressee. Probes ask by address; and whether a host leads here is asked before it is
// anybody's. No other header takes part.
func (s *Server) addressee(r *http.Request) (*addressee, error) {
	if s.hostAllowed(r) || strings.HasPrefix(r.URL.Path, manage.HostProofPath+"/") {
		return theServer, nil
	}
	host, ok := hostLike(r.Host)
	if !ok || !s.https {
		return nil, nil //nolint:nilnil // nobody is whom it is for
	}
	org, err := s.house.tenants.at(r.Context(), host)
	switch {
	case errors.Is(err, errSuspended):
		return &addressee{host: true, err: err}, nil
	case errors.Is(err, storage.ErrNotFound):
		return nil, nil //nolint:nilnil // as above
	case err != nil:
		return nil, err
	}
	return &addressee{host: true, org: org}, nil
}

func (s *Server) refuse(c *gin.Context, status int, text string) {
	if admin.Is(c.Request.URL.Path) {
		admin.Refusal(status, text).Write(c.Writer, c.Request)
	} else {
		plain(c.Writer, status, text)
	}
	c.Abort()
}

// panicked answers a request whose handler has panicked; whatever transaction it had is rolled back by then.
func (s *Server) panicked(c *gin.Context, fault any) {
	s.house.Log.ErrorContext(c.Request.Context(), "a handler panicked", "path", c.FullPath(), "fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
	c.Abort()
	if !c.Writer.Written() {
		s.refuse(c, http.StatusInternalServerError, "Something went wrong. Request id: "+requestid.From(c.Request.Context()))
	}
}

// logAccess writes the one line of a request. The address's query is left out: it is where codes and hints travel.
func (s *Server) logAccess(c *gin.Context, started time.Time) {
	if !s.house.Log.Enabled(c.Request.Context(), slog.LevelInfo) {
		return
	}
	path := c.FullPath()
	if path == "" {
		path = "unmatched"
	}
	slug := ""
	if org, err := tenant.From(c.Request.Context()); err == nil { // what the path says may be anything
		slug = org.Slug
	}
	s.house.Log.LogAttrs(c.Request.Context(), slog.LevelInfo, "request",
		slog.String("method", c.Request.Method), slog.String("route", path), slog.String("org", slug),
		slog.Int("status", c.Writer.Status()), slog.Duration("took", time.Since(started)),
		slog.String("address", c.ClientIP()), slog.String("request", requestid.From(c.Request.Context())))
}

// hostAllowed reports whether a request is for the server itself, or for nobody in particular.
func (s *Server) hostAllowed(r *http.Request) bool {
	switch {
	case r.Host == s.host, r.URL.Path == "/livez", r.URL.Path == "/readyz":
		return true
	case strings.EqualFold(withoutDefaultPort(r.Host, s.https), withoutDefaultPort(s.host, s.https)):
		return true // the same host in another spelling (RFC 9110 §4.2.3)
	}
	return s.house.Cfg.Development() && loopbackHost(r.Host)
}

func withoutDefaultPort(host string, https bool) string {
	if https {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

func loopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// paramOrg is the name of the organization's part of a path.
const paramOrg = "org"

// root puts the organization of the bare origin into the request: that of the host, else the root organization.
func (s *Server) root(c *gin.Context) {
	if at, ok := c.Get(keyAddressee); ok {
		if at, ok := at.(*addressee); ok {
			s.enter(c, at.org, at.err)
			return
		}
	}
	org, err := s.house.tenants.below(c.Request.Context(), s.house.Cfg.RootOrganization)
	s.enter(c, org, err)
}

// byPath puts the organization that the path names into the request. The root organization has no path, and one with a host none
// either: an organization has one issuer, and its other addresses lead nowhere.
func (s *Server) byPath(c *gin.Context) {
	slug := c.Param(paramOrg)
	if slug == s.house.Cfg.RootOrganization {
		slug = ""
	}
	org, err := s.house.tenants.below(c.Request.Context(), slug)
	s.enter(c, org, err)
}

func (s *Server) enter(c *gin.Context, org *tenant.Org, err error) {
	if err == nil {
		c.Request = c.Request.WithContext(tenant.With(c.Request.Context(), org))
		c.Next()
		return
	}
	c.Abort()
	// A person was sent to /oauth2/authorize by an application, and hears that its request is wrong; to anybody else there is
	// nothing here.
	switch sent := strings.HasSuffix(c.FullPath(), "/oauth2/authorize"); {
	case !sent && forApplications(c.FullPath()):
		s.provider.Refuse(c, err)
	case sent && errors.Is(err, storage.ErrNotFound):
		s.pages.Fail(c, noOrganization(http.StatusBadRequest, err))
	case errors.Is(err, storage.ErrNotFound):
		s.pages.Fail(c, noOrganization(http.StatusNotFound, err))
	default:
		s.pages.Fail(c, err)
	}
}

func noOrganization(status int, err error) error {
	message := "error.no_organization"
	if errors.Is(err, errSuspended) {
		message = "error.suspended"
	}
	return &web.Error{Status: status, Code: "invalid_request", Message: message}
}

// forApplications reports whether a route is asked by programs, which read JSON, and not by browsers.
func forApplications(route string) bool {
	return (strings.Contains(route, "/oauth2/") || strings.Contains(route, "/.well-known/")) && !strings.HasSuffix(route, "/oauth2/logout")
}

// contained runs f and turns a panic into an error.
func contained(ctx context.Context, f func(context.Context) error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v\n%s", fault, debug.Stack())
		}
	}()
	return f(ctx)
}

// hostOf is the host of the base address, as a Host header gives it.
func hostOf(base string) (host string, https bool, err error) {
	parsed, err := url.Parse(base)
	if err != nil {
		return "", false, err
	}
	return parsed.Host, parsed.Scheme == "https", nil
}
