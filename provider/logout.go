package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

// sealLogout is the purpose under which the confirmation page carries what it was asked for.
const sealLogout = "logout confirmation"

// logoutRequest is what a sign-out was asked with, once it is proven.
type logoutRequest struct {
	// ClientID is the client that the hint was issued to: what client_id says without a hint proves nothing.
	ClientID string `json:"client_id,omitempty"`
	// Redirect is a registered post_logout_redirect_uri, empty when the person stays here.
	Redirect string `json:"redirect,omitempty"`
	State    string `json:"state,omitempty"`

	subject, sessionID string // of the hint
	hinted             bool
}

// Logout serves GET and POST /oauth2/logout (OpenID Connect RP-Initiated Logout 1.0 §2). With a hint that names the session
// at hand the person is signed out at once; otherwise they are asked, because anybody can send a browser here.
func (p *Provider) Logout(c *gin.Context) error {
	form, err := authorizationForm(c.Request)
	if err == nil {
		err = acceptParams(form)
	}
	if err != nil {
		return refusedPage(err, logoutErrorPage)
	}
	if form.Has(logoutConfirmed) && c.Request.Method == http.MethodPost {
		return p.confirmedLogout(c, form)
	}
	request, err := p.readLogout(c, form)
	if err != nil {
		return err
	}
	session, user, err := p.sessions.Current(c)
	if err != nil {
		return err
	}
	others, err := p.sessions.Others(c)
	if err != nil {
		return err
	}
	theirs := func(*storage.Session) bool { return false }
	if request.hinted {
		if theirs, err = p.named(c.Request.Context(), request); err != nil {
			return err
		}
	}
	if session != nil && theirs(session) {
		frames, err := p.sessions.End(c, request.ClientID)
		if err != nil {
			return err
		}
		return p.loggedOut(c, request, frames)
	}
	for _, other := range others {
		if theirs(other.Session) {
			frames, err := p.sessions.EndOther(c, other, request.ClientID)
			if err != nil {
				return err
			}
			return p.loggedOut(c, request, frames)
		}
	}
	if session == nil && (len(others) == 0 || request.hinted) { // the session of the hint is over
		if againByGet(c, form) {
			return nil
		}
		return p.loggedOut(c, request, nil)
	}
	return p.askLogout(c, request, user, others)
}

// named tells whether a session is the one that the hint of a sign-out is of, as the client that the hint was issued to knows it and its person.
func (p *Provider) named(ctx context.Context, request *logoutRequest) (func(*storage.Session) bool, error) {
	sector := ""
	client, err := p.clients.Client(ctx, request.ClientID)
	if err == nil {
		sector = client.Sector()
	} else if !errors.Is(err, storage.ErrNotFound) { // of one that is gone it is not known any more
		return nil, err
	}
	known, err := p.subjects.names(ctx, sector)
	return func(session *storage.Session) bool {
		return request.subject == known.subject(session.UserID.String()) &&
			(request.sessionID == "" || request.sessionID == known.session(session.ID.String()))
	}, err
}

// The fields of the confirmation page.
const (
	logoutConfirmed = "confirm"
	// logoutAll confirms that everybody is to be signed out who is signed in at the browser.
	logoutAll    = "all"
	logoutSealed = "request"
	// purposeLogout is what the page's token against forgery is for.
	purposeLogout = "logout"
)

// readLogout checks the parameters (RP-Initiated Logout 1.0 §2 and §3). Its errors are pages: nobody is redirected on the
// word of a request that could not be proven.
func (p *Provider) readLogout(c *gin.Context, form url.Values) (*logoutRequest, error) {
	ctx := c.Request.Context()
	request := &logoutRequest{State: form.Get("state")}

	if hint := form.Get("id_token_hint"); hint != "" {
		claims, err := p.verifyHint(ctx, hint)
		if err != nil && !errors.Is(err, keys.ErrToken) {
			return nil, err
		}
		if err != nil {
			return nil, logoutErrorPage("The application sent a sign-in reference (id_token_hint) that was not issued here.", err)
		}
		if form.Has("client_id") && form.Get("client_id") != claims.audience {
			return nil, logoutErrorPage("The application sent another application's sign-in reference (id_token_hint).", nil)
		}
		request.ClientID = claims.audience
		request.subject, request.sessionID, request.hinted = claims.subject, claims.sessionID, true
	}

	asked := form.Get("post_logout_redirect_uri")
	if asked == "" || !request.hinted {
		// Without a hint nothing shows that the address belongs to the sign-in: the person stays here (§3).
		return request, nil
	}
	client, err := p.clients.Client(ctx, request.ClientID)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, err
	}
	if err != nil || !slices.Contains(client.PostLogoutRedirectURIs, asked) {
		return nil, logoutErrorPage("The address to return to (post_logout_redirect_uri) is not registered for this application.", err)
	}
	request.Redirect = asked
	return request, nil
}

// askLogout shows the confirmation page, about the current account, of user, which is nil where there is none, and others that are signed in.
// What was asked for travels sealed in its form.
func (p *Provider) askLogout(c *gin.Context, request *logoutRequest, user *storage.User, others []web.Account) error {
	org, err := orgOf(c)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode a sign-out: %w", err)
	}
	sealed, err := p.keyring.Seal(sealLogout, plain, org.ID.String())
	if err != nil {
		return fmt.Errorf("seal a sign-out: %w", err)
	}
	page := web.LogoutPage{CSRF: p.sessions.CSRF(c, purposeLogout), Action: org.BasePath + "/oauth2/logout", Request: encodeSealed(sealed)}
	if user != nil {
		page.UserName = user.DisplayName()
	}
	for _, other := range others {
		page.Others = append(page.Others, other.User.DisplayName())
	}
	return p.pages.Render(c, http.StatusOK, "logout", page)
}

// confirmedLogout ends the session after the person has pressed the button.
func (p *Provider) confirmedLogout(c *gin.Context, form url.Values) error {
	if err := p.sessions.CheckCSRF(c, form, purposeLogout); err != nil {
		return err
	}
	org, err := orgOf(c)
	if err != nil {
		return err
	}
	request, err := openLogout(p.keyring, org, form.Get(logoutSealed))
	if err != nil {
		return logoutErrorPage("This page has expired. Go back to the application and sign out again.", err)
	}
	end := p.sessions.End
	if form.Get(logoutConfirmed) == logoutAll {
		end = p.sessions.EndAll
	}
	frames, err := end(c, request.ClientID)
	if err != nil {
		return err
	}
	return p.loggedOut(c, request, frames)
}

func openLogout(keyring *seal.Keyring, org *tenant.Org, encoded string) (*logoutRequest, error) {
	sealed, err := decodeSealed(encoded)
	if err != nil {
		return nil, err
	}
	plain, err := keyring.Open(sealLogout, sealed, org.ID.String())
	if err != nil {
		return nil, err
	}
	var request logoutRequest
	if err := json.Unmarshal(plain, &request); err != nil {
		return nil, err
	}
	return &request, nil
}

// loggedOut sends the browser on: to the client's address, with its state only if it sent one, or to our own last page. By that it goes
// also to the client where others are to hear of the sign-out from the browser: frames are what it loads for them.
func (p *Provider) loggedOut(c *gin.Context, request *logoutRequest, frames []string) error {
	c.Header("Cache-Control", "no-store")
	target := request.Redirect
	if target != "" && request.State != "" {
		target = withParams(target, modeQuery, url.Values{"state": {request.State}})
	}
	if target != "" && len(frames) == 0 {
		c.Redirect(http.StatusSeeOther, target)
		return nil
	}
	org, err := orgOf(c)
	if err != nil {
		return err
	}
	address, err := p.sessions.LoggedOutAddress(org, frames, target)
	if err != nil {
		return err
	}
	c.Redirect(http.StatusSeeOther, address)
	return nil
}

// CheckSession serves GET /oauth2/check-session (OpenID Connect Session Management 1.0 §3.3).
func (p *Provider) CheckSession(c *gin.Context) error { return p.sessions.CheckSession(c) }

// LoggedOut serves GET /logged-out.
func (p *Provider) LoggedOut(c *gin.Context) error {
	org, err := orgOf(c)
	if err != nil {
		return err
	}
	page := p.sessions.LoggedOut(org, c.Request.URL.Query())
	others, err := p.sessions.Others(c)
	if err != nil {
		return err
	}
	if len(others) > 0 {
		page.SelectURL = org.BasePath + "/login/select"
	}
	return p.pages.Render(c, http.StatusOK, "logged_out", page)
}

// logoutErrorPage is an error of this endpoint: the visitor's to see, and nobody else's.
func logoutErrorPage(message string, cause error) error {
	return &web.Error{Status: http.StatusBadRequest, Code: "invalid_request", Title: web.TitleLogoutError, Message: message, Cause: cause}
}
