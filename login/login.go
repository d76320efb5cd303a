package login

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

// Deps is what a Login stands on.
type Deps struct {
	DB        *storage.DB
	Pages     *web.Pages
	Sessions  *web.Sessions
	Hasher    *password.Hasher
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
	hasher      *password.Hasher
	operators   *manage.Operators
	keyring     *seal.Keyring
	log         *slog.Logger
	tenant      func(ctx context.Context, slug string) (*tenant.Org, error)
	development bool
}

// New puts a Login together.
func New(d Deps) *Login {
	return &Login{
		db: d.DB, pages: d.Pages, sessions: d.Sessions, hasher: d.Hasher, operators: d.Operators, keyring: d.Keyring, log: d.Log,
		tenant: d.Tenant, development: d.Development,
	}
}

const (
	// paramInteraction names the authorization request that a page is about. Nothing else of it is ever taken from a browser.
	paramInteraction = "interaction"
	// paramAction is what a button stands for, where a page has several.
	paramAction = "action"
	// accessDenied is the answer to an application whose request the person declined (RFC 6749 §4.1.2.1).
	accessDenied = "access_denied"
)

// visit is a request for one of the pages of an authorization request.
type visit struct {
	org         *tenant.Org
	id          string
	interaction *storage.Interaction
	client      *storage.Client
}

// enter loads what a page is about. An interaction of another browser, another organization or another time is a page that
// says so, and so is one of an application that is gone.
func (l *Login) enter(c *gin.Context) (*visit, error) {
	ctx := c.Request.Context()
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	id := c.Query(paramInteraction)
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

// at is the address of a page, or of the authorization endpoint, for this interaction.
func (v *visit) at(path string) string {
	return v.org.BasePath + path + "?" + url.Values{paramInteraction: {v.id}}.Encode()
}

// backToRequest sends the browser to the authorization endpoint, which knows what comes next. 303, so that what was posted
// here is not posted there (RFC 9700 §4.12).
func (v *visit) backToRequest(c *gin.Context) {
	c.Redirect(http.StatusSeeOther, v.at("/oauth2/authorize"))
}

// app is the application as a page shows it.
func (v *visit) app() web.AppCard {
	name := v.client.Name
	if name == "" {
		name = v.client.ClientID
	}
	return web.AppCard{Name: name, PolicyURI: text(v.client.PolicyURI), TosURI: text(v.client.TosURI), ClientURI: text(v.client.ClientURI)}
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
	v.backToRequest(c)
	return nil
}

// tooLate makes a page of an interaction that ended while its page was open.
func tooLate(err error) error {
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrSpent) {
		return &web.Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: "error.interaction", Cause: err}
	}
	return err
}
