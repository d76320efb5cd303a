package account

import (
	"log/slog"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

// Deps is what an Account stands on.
type Deps struct {
	DB       *storage.DB
	People   *people.People
	Pages    *web.Pages
	Sessions *web.Sessions
	Log      *slog.Logger
}

// Account answers for every organization; which one stands in the context of each request.
type Account struct {
	db       *storage.DB
	people   *people.People
	pages    *web.Pages
	sessions *web.Sessions
	log      *slog.Logger
}

// New puts an Account together.
func New(d Deps) *Account {
	return &Account{db: d.DB, people: d.People, pages: d.Pages, sessions: d.Sessions, log: d.Log}
}

// Path is where the pages are, below an organization.
const Path = "/account"

// A handler answers somebody who is signed in.
type handler func(*gin.Context, *visit) error

// route is a page, or a form that is sent here.
type route struct {
	path   string // below Path
	answer handler
	// back is the page that a form stands on: where its sender begins again who has to sign in first.
	back string
	// fresh is true where a session is not enough: the person must have proven who they are lately.
	fresh bool
	// always is true for what whoever is signed in may do, even if they have yet to give a factor that their organization asks for.
	always bool
}

// pages is every page of an account.
func (a *Account) routesOfPages() []route {
	return []route{
		{path: "", answer: a.Overview},
		{path: "/profile", answer: a.Profile},
		{path: "/email", answer: a.Email, fresh: true},
		{path: "/password", answer: a.Password, fresh: true},
		{path: "/passkeys", answer: a.Passkeys, fresh: true},
		{path: "/authenticator", answer: a.Authenticators, fresh: true},
		{path: "/authenticator/new", answer: a.NewAuthenticator, fresh: true},
		{path: "/recovery-codes", answer: a.RecoveryCodes, fresh: true},
		{path: "/recovery-codes/new", answer: a.NewRecoveryCodes, fresh: true},
		{path: pathLinked, answer: a.Linked, fresh: true},
		{path: "/sessions", answer: a.Sessions},
		{path: "/applications", answer: a.Applications},
		{path: "/activity", answer: a.Activity},
		{path: "/data", answer: a.Data, fresh: true},
	}
}

// routesOfForms is every form. Each is bound to its path, so that the token of one is worth nothing in another.
func (a *Account) routesOfForms() []route {
	return []route{
		{path: "/sign-out", answer: a.SignOut, always: true},
		{path: "/profile", answer: a.ProfilePost, back: "/profile"},
		{path: "/email", answer: a.EmailPost, back: "/email", fresh: true},
		{path: "/email/verify", answer: a.VerifyEmail},
		{path: "/password", answer: a.PasswordPost, back: "/password", fresh: true},
		{path: "/passkeys/add", answer: a.AddPasskey, back: "/passkeys", fresh: true},
		{path: "/passkeys/rename", answer: a.RenamePasskey, back: "/passkeys", fresh: true},
		{path: "/passkeys/remove", answer: a.RemovePasskey, back: "/passkeys", fresh: true},
		{path: "/authenticator/add", answer: a.AddAuthenticator, back: "/authenticator/new", fresh: true},
		{path: "/authenticator/remove", answer: a.RemoveAuthenticator, back: "/authenticator", fresh: true},
		{path: "/recovery-codes/keep", answer: a.KeepRecoveryCodes, back: "/recovery-codes", fresh: true},
		{path: "/linked/connect", answer: a.Connect, back: pathLinked, fresh: true},
		{path: "/linked/remove", answer: a.Unlink, back: pathLinked, fresh: true},
		{path: "/sessions/end", answer: a.EndSession, back: "/sessions"},
		{path: "/sessions/end-others", answer: a.EndOtherSessions, back: "/sessions"},
		{path: "/devices/forget", answer: a.ForgetDevice, back: "/sessions"},
		{path: "/applications/revoke", answer: a.RevokeApplication, back: "/applications"},
		{path: "/data/export", answer: a.Export, back: "/data", fresh: true},
		{path: "/data/delete", answer: a.Delete, back: "/data", fresh: true},
	}
}

// Mount puts the pages below the group of an organization.
func (a *Account) Mount(group *gin.RouterGroup, page func(func(*gin.Context) error) gin.HandlerFunc) {
	sameOrigin := a.pages.SameOrigin()
	for _, r := range a.routesOfPages() {
		r.back = r.path
		group.GET(Path+r.path, page(a.shown(r)))
	}
	for _, r := range a.routesOfForms() {
		group.POST(Path+r.path, sameOrigin, page(a.sent(r)))
	}
	for _, link := range a.emailLinks() {
		group.GET(Path+link.path, page(a.EmailLink(link)))
		group.POST(Path+link.path, sameOrigin, page(a.EmailLinkPost(link)))
	}
}

// visit is a request of somebody who is signed in.
type visit struct {
	org     *tenant.Org
	session *storage.Session
	// user is without the password hash.
	user    *storage.User
	factors storage.FactorCounts
	form    url.Values // of a POST
}

// at is the address of an account page.
func (v *visit) at(path string) string { return v.org.BasePath + Path + path }

// enter finds out who asks. It returns nil when nobody is signed in, or not with all that their organization asks for, and has sent
// the browser to where that can be changed.
func (a *Account) enter(c *gin.Context, r route) (*visit, error) {
	ctx := c.Request.Context()
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	session, user, err := a.sessions.Current(c)
	if err != nil {
		return nil, err
	}
	v := &visit{org: org, session: session, user: user}
	if session == nil {
		others, err := a.sessions.Others(c)
		if err != nil {
			return nil, err
		}
		page := "/login"
		if len(others) > 0 {
			page = "/login/select" // somebody is signed in, and has to say who they are here
		}
		c.Redirect(http.StatusSeeOther, v.login(page, r.back, false))
		return nil, nil
	}
	due, _, err := a.people.Due(ctx, user, session.AMR, people.Measure{Device: a.sessions.Device(ctx, c), Session: true})
	if err != nil {
		return nil, err
	}
	if due != people.Nothing && !r.always {
		c.Redirect(http.StatusSeeOther, v.login("/login/factor", r.back, false))
		return nil, nil
	}
	if v.factors, err = a.db.FactorCounts(ctx, user.ID); err != nil {
		return nil, err
	}
	return v, nil
}

// login is the page where the person signs in, or proves once more who they are, or more than that, and comes from to an account page.
func (v *visit) login(page, path string, fresh bool) string {
	query := url.Values{"return_to": {Path + path}}
	if fresh {
		query.Set("fresh", "1")
	}
	return v.org.BasePath + page + "?" + query.Encode()
}

// shown guards a page.
func (a *Account) shown(r route) func(*gin.Context) error {
	return func(c *gin.Context) error {
		v, err := a.enter(c, r)
		if err != nil || v == nil {
			return err
		}
		if r.fresh && !a.sessions.Fresh(v.session, v.factors.Second()) {
			c.Redirect(http.StatusSeeOther, v.login("/login", r.back, true))
			return nil
		}
		return r.answer(c, v)
	}
}

// sent guards a form. One that comes too late, because the proof has grown old over it, changes nothing: its sender is told so,
// and is shown where to prove it again. What was typed is not kept, for it may be a secret.
func (a *Account) sent(r route) func(*gin.Context) error {
	return func(c *gin.Context) error {
		form, err := web.Form(c)
		if err != nil {
			return err
		}
		v, err := a.enter(c, r)
		if err != nil || v == nil {
			return err
		}
		v.form = form
		if err := a.sessions.CheckCSRF(c, form, purpose(r.path)); err != nil {
			return stale(err, v.at(r.back))
		}
		if r.fresh && !a.sessions.Fresh(v.session, v.factors.Second()) {
			return &web.Error{Status: http.StatusForbidden, Message: "account.stale", Again: v.login("/login", r.back, true)}
		}
		return r.answer(c, v)
	}
}

// purpose is what the token of a form is for.
func purpose(path string) string { return "account" + path }

// form is a form that is sent to a path.
func (a *Account) form(c *gin.Context, v *visit, path string) web.PostForm {
	return web.PostForm{Action: v.at(path), CSRF: a.sessions.CSRF(c, purpose(path))}
}

// frame is what all the pages have around them.
func (a *Account) frame(c *gin.Context, v *visit, here string) web.AccountFrame {
	return web.AccountFrame{Base: v.at(""), Here: here, SignOut: a.form(c, v, "/sign-out"), Switch: v.login("/login/select", here, false)}
}
