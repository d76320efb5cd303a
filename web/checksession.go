package web

import (
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/storage"
)

// purposeState is what the keyring makes the state of a browser for.
const purposeState = "browser state"

// stateOf is what a browser is in while somebody is signed in there: another one in every session, and nothing can be learned from it. A
// browser that is signed in to several accounts is in the states of all their sessions, so that what an application knows of one of them does
// not change with another.
func (s *Sessions) stateOf(session *storage.Session) string {
	return s.keyring.MAC(purposeState, session.ID.String())
}

// ShowState lets the page of check_session_iframe know in which sessions the browser is.
func (s *Sessions) ShowState(c *gin.Context) error {
	current, _, err := s.Current(c)
	if err != nil {
		return err
	}
	aside, err := s.aside(c.Request.Context(), c)
	if err != nil {
		return err
	}
	s.showState(c, current, aside)
	return nil
}

// showState is ShowState for those who know who is signed in; current is nil where nobody is.
func (s *Sessions) showState(c *gin.Context, current *storage.Session, aside []held) {
	var states []string
	if current != nil {
		states = append(states, s.stateOf(current))
	}
	for _, other := range aside {
		states = append(states, s.stateOf(other.Session))
	}
	org, state := orgOf(c), strings.Join(states, ".")
	if s.jar.value(c, cookieState, org) == state {
		return
	}
	lifetime := time.Duration(0)
	if state == "" {
		lifetime = -time.Second
	}
	set(c, s.jar.readable(org, state, lifetime))
}

// SessionState is by what a client asks whether its sign-in is still the browser's (OpenID Connect Session Management 1.0 §2). It is empty
// where the client has no origin that a browser would know.
func (s *Sessions) SessionState(session *storage.Session, clientID, redirectURI string) string {
	u, err := url.Parse(redirectURI)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return ""
	}
	var random [12]byte
	rand.Read(random[:])
	salt := base64.RawURLEncoding.EncodeToString(random[:])
	// What the script of the page reckons, too.
	sum := sha256.Sum256([]byte(clientID + " " + u.Scheme + "://" + u.Host + " " + s.stateOf(session) + " " + salt))
	return base64.RawURLEncoding.EncodeToString(sum[:]) + "." + salt
}

//go:embed checksession.js
var checkSessionScript string

// CheckSession serves GET /oauth2/check-session, the check_session_iframe (OpenID Connect Session Management 1.0 §3.3): a page that nobody
// sees, and that any application may frame. It tells whoever asks only whether something that they know has changed.
func (s *Sessions) CheckSession(c *gin.Context) error {
	sum := sha256.Sum256([]byte(checkSessionScript))
	header := c.Writer.Header()
	header.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors *; script-src 'sha256-"+
		base64.StdEncoding.EncodeToString(sum[:])+"'")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	header.Del("X-Frame-Options")
	c.Data(http.StatusOK, "text/html; charset=utf-8", []byte(`<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Session</title></head>`+
		`<body data-cookie="`+html.EscapeString(s.jar.name(cookieState, orgOf(c)))+`"><script>`+checkSessionScript+`</script></body></html>`))
	return nil
}
