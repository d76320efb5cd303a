package login

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

// Deps is what a Login stands on.
type Deps struct {
	DB        *storage.DB
	Pages     *web.Pages
	Sessions  *web.Sessions
	People    *people.People
	Operators *manage.Operators
	Keyring   *seal.Keyring
	Log       *slog.Logger
	// Tenant returns the organization that a slug names, as the server serves it, or storage.ErrNotFound.
	Tenant func(ctx context.Context, slug string) (*tenant.Org, error)
	// Development is true where there is a playground.
	Development bool
}

// Login answers for every organization; which one stands in the context of each request.
type Login struct {
	db          *storage.DB
	pages       *web.Pages
	sessions    *web.Sessions
	people      *people.People
	operators   *manage.Operators
	keyring     *seal.Keyring
	log         *slog.Logger
	tenant      func(ctx context.Context, slug string) (*tenant.Org, error)
	development bool
	// setupLinks are those that were tried and open nothing. They belong to no organization, and are counted by each process.
	setupLinks *throttle.Local
}

// New puts a Login together.
func New(d Deps) *Login {
	return &Login{
		db: d.DB, pages: d.Pages, sessions: d.Sessions, people: d.People, operators: d.Operators, keyring: d.Keyring, log: d.Log,
		tenant: d.Tenant, development: d.Development, setupLinks: throttle.NewLocal(throttle.LinkNetwork),
	}
}

const (
	// paramInteraction names the authorization request that a page is about. Nothing else of it is ever taken from a browser.
	paramInteraction = "interaction"
	// paramReturnTo names the page of ours that a person is on the way to who signs in without an application, and paramFresh
	// says that they are to prove anew who they are.
	paramReturnTo = "return_to"
	paramFresh    = "fresh"
	// paramAction is what a button stands for, where a page has several.
	paramAction = "action"
	// accessDenied is the answer to an application whose request the person declined (RFC 6749 §4.1.2.1).
	accessDenied = "access_denied"
)

// visit is a request for one of the pages on which a person proves who they are, or agrees to something: on behalf of an
// authorization request, or, for the login page, of nothing but a page of ours.
type visit struct {
	org *tenant.Org
	// id, interaction and client are those of the authorization request; empty and nil where there is none.
	id          string
	interaction *storage.Interaction
	client      *storage.Client
	// returnTo is the page of ours that the person is on the way to, when there is no authorization request.
	returnTo string
	// begin is where the application begins a sign-in by itself that the person was on the way to, when its request waits no more.
	begin string
	// fresh is true when that page wants it proven anew who they are, although somebody is signed in.
	fresh bool
	// provider is the name of that which vouches for the person, where one does.
	provider string
}

// enter loads what a page is about. An interaction of another browser, another organization or another time is a page that
// says so, and so is one of an application that is gone.
func (l *Login) enter(c *gin.Context) (*visit, error) {
	return l.enterFor(c, c.Query(paramInteraction))
}

func (l *Login) enterFor(c *gin.Context, id string) (*visit, error) {
	ctx := c.Request.Context()
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	interaction, err := l.sessions.Interaction(c, id)
	if err != nil {
		return nil, err
	}
	client, err := l.db.Client(ctx, interaction.ClientID)
	if errors.Is(err, storage.ErrNotFound) || err == nil && client.Disabled {
		return nil, &web.Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: "error.client", Cause: err}
	}
	if err != nil {
		return nil, err
	}
	return &visit{org: org, id: id, interaction: interaction, client: client}, nil
}

// enterAny is enter for the page that has a use without an application too: then it leads to a page of ours.
func (l *Login) enterAny(c *gin.Context) (*visit, error) {
	if _, named := c.GetQuery(paramInteraction); named {
		return l.enter(c)
	}
	org, err := tenant.From(c.Request.Context())
	if err != nil {
		return nil, err
	}
	return &visit{org: org, returnTo: c.Query(paramReturnTo), fresh: c.Query(paramFresh) == "1"}, nil
}

// at is the address of a page, or of the authorization endpoint, for this visit.
func (v *visit) at(path string) string {
	query := url.Values{}
	switch {
	case v.interaction != nil:
		query.Set(paramInteraction, v.id)
	default:
		query.Set(paramReturnTo, strings.TrimPrefix(web.ReturnTo(v.org, v.returnTo), v.org.BasePath))
		if v.fresh {
			query.Set(paramFresh, "1")
		}
	}
	return v.org.BasePath + path + "?" + query.Encode()
}

// onward sends the browser where it was on the way to: to the authorization endpoint, which knows what comes next, to the application, or to a
// page of ours. 303, so that what was posted here is not posted there (RFC 9700 §4.12).
func (v *visit) onward(c *gin.Context) {
	to := web.ReturnTo(v.org, v.returnTo)
	switch {
	case v.interaction != nil:
		to = v.at("/oauth2/authorize")
	case v.begin != "":
		to = v.begin
	}
	c.Redirect(http.StatusSeeOther, to)
}

// facts adds to an audit row which application the visit is for, if it is for any.
func (v *visit) facts(details map[string]any) map[string]any {
	if v.client != nil {
		details["client_id"] = v.client.ClientID
	}
	if v.provider != "" {
		details["provider"] = v.provider
	}
	return details
}

// app is the application as a page shows it.
func (v *visit) app() web.AppCard {
	if v.client == nil {
		return web.AppCard{}
	}
	name := v.client.Name
	if name == "" {
		name = v.client.ClientID
	}
	return web.AppCard{
		Name: name, PolicyURI: text(v.client.PolicyURI), TosURI: text(v.client.TosURI), ClientURI: text(v.client.ClientURI), LogoURI: text(v.client.LogoURI),
	}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// refuse ends an authorization request because the person declined it, and sends the browser back.
func (l *Login) refuse(c *gin.Context, v *visit, event *storage.AuditEvent) error {
	err := l.db.InTx(c.Request.Context(), func(ctx context.Context) error {
		if err := l.db.RefuseInteraction(ctx, v.interaction.Digest, accessDenied); err != nil {
			return err
		}
		return l.db.AppendAudit(ctx, event)
	})
	if err != nil {
		return tooLate(err)
	}
	v.onward(c)
	return nil
}

// tooLate makes a page of an interaction that ended while its page was open.
func tooLate(err error) error {
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrSpent) {
		return &web.Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: "error.interaction", Cause: err}
	}
	return err
}
