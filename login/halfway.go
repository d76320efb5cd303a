package login

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/web"
)

const (
	// paramSignIn names a sign-in under way, whose first factor was proven.
	paramSignIn = "sign_in"
	// halfwayLifetime is how long somebody may take over the second factor.
	halfwayLifetime = 10 * time.Minute
)

// beginHalfway keeps what was proven, for this browser and the pages of the second factor alone: there is no session yet, and nothing
// else answers (S-210).
func (l *Login) beginHalfway(c *gin.Context, v *visit, user *storage.User, amr []string, due people.Due, factors people.Factors) error {
	ctx := c.Request.Context()
	token, now := secret.New(secret.SignIn), time.Now().UTC()
	row := &storage.SignIn{
		Digest: secret.Digest(token), BrowserDigest: secret.Digest(l.sessions.Flow(c)), UserID: user.ID, InteractionDigest: v.digest(),
		ReturnTo: v.target(), AMR: amr, ProvenAt: now, ExpiresAt: now.Add(halfwayLifetime),
	}
	err := l.db.InTx(ctx, func(ctx context.Context) error {
		err := l.sessions.Hold(ctx, user)
		if err == nil {
			err = l.db.CreateSignIn(ctx, row)
		}
		if errors.Is(err, storage.ErrNotFound) {
			return errSwitchedOff
		}
		return err
	})
	if err != nil {
		return err
	}
	if due == people.Factor && !factors.Enrolled() {
		// There is nothing to choose. That there were too many letters is told by the page.
		err := l.people.SendEmailCode(ctx, l.pages.Visitor(c), user)
		var exceeded *throttle.Exceeded
		if err != nil && !errors.As(err, &exceeded) {
			return err
		}
	}
	h := &halfway{visit: v, token: token}
	c.Redirect(http.StatusSeeOther, h.at(pathOf(due)))
	return nil
}

// pathOf is the page of what is due.
func pathOf(due people.Due) string {
	if due == people.Enrolment {
		return pathEnroll
	}
	return pathFactor
}

// digest is that of the authorization request, if there is one.
func (v *visit) digest() string {
	if v.interaction == nil {
		return ""
	}
	return v.interaction.Digest
}

// target is the page of ours that a visit without an authorization request leads to, below the organization.
func (v *visit) target() string {
	if v.interaction != nil {
		return ""
	}
	return strings.TrimPrefix(web.ReturnTo(v.org, v.returnTo), v.org.BasePath)
}

// halfway is somebody on the pages of the second factor: on the way in, with the first one proven; or signed in, and asked for more.
type halfway struct {
	*visit
	user *storage.User
	amr  []string
	// signIn is the sign-in under way, and token what the address names it by; nil and empty for whoever is signed in. Then session
	// is theirs.
	signIn  *storage.SignIn
	token   string
	session *storage.Session

	demand  proof.Demand
	due     people.Due
	factors people.Factors
}

// at is the address of a page for this visit.
func (h *halfway) at(path string) string {
	address := h.visit.at(path)
	if h.token != "" {
		address += "&" + url.Values{paramSignIn: {h.token}}.Encode()
	}
	return address
}

// name is what guesses are counted for.
func (h *halfway) name() string {
	if h.signIn != nil {
		return h.signIn.Digest
	}
	return h.session.ID.String()
}

// errHalfway is a page about a sign-in that is complete, or took too long, or is another than the address says.
func (v *visit) errHalfway(cause error) error {
	return &web.Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: "factor.gone", Cause: cause, Again: v.at("/login")}
}

// halfway finds out whose second factor is asked for. It returns nil when that is nobody's, and has sent the browser on.
func (l *Login) halfway(c *gin.Context, v *visit) (*halfway, error) {
	demand, err := v.demand()
	if err != nil {
		return nil, err
	}
	h := &halfway{visit: v, demand: demand}
	if token, ok := c.GetQuery(paramSignIn); ok {
		h.token = token
		return l.underWay(c, h)
	}
	session, user, err := l.sessions.Current(c)
	if err != nil {
		return nil, err
	}
	if session == nil {
		c.Redirect(http.StatusSeeOther, v.at("/login"))
		return nil, nil
	}
	h.session, h.user, h.amr = session, user, session.AMR
	measure := people.Measure{Demand: demand, Device: l.sessions.Device(c.Request.Context(), c), Session: true}
	if h.due, h.factors, err = l.people.Due(c.Request.Context(), user, h.amr, measure); err != nil {
		return nil, err
	}
	switch {
	case h.due == people.Nothing:
		v.onward(c)
		return nil, nil
	case h.due == people.Enrolment && !l.sessions.Fresh(session, false):
		// Whoever has come by a session sets up nothing that would then be its owner's second factor (S-181).
		v.fresh = true
		c.Redirect(http.StatusSeeOther, v.at("/login"))
		return nil, nil
	}
	return h, nil
}

func (l *Login) underWay(c *gin.Context, h *halfway) (_ *halfway, err error) {
	h.signIn, h.user, err = l.sessions.SignIn(c, h.token)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, h.errHalfway(err)
	}
	if err != nil {
		return nil, err
	}
	if h.signIn.InteractionDigest != h.digest() || h.signIn.ReturnTo != h.target() {
		return nil, h.errHalfway(errors.New("the sign-in is for another request"))
	}
	h.amr = h.signIn.AMR
	h.due, h.factors, err = l.people.Due(c.Request.Context(), h.user, h.amr, people.Measure{Demand: h.demand})
	if err != nil {
		return nil, err
	}
	if h.due == people.Nothing {
		// What was asked for is so no more: they come in by their first factor, which is a minute's work.
		c.Redirect(http.StatusSeeOther, h.visit.at("/login"))
		return nil, nil
	}
	return h, nil
}

// finish is what comes of a second factor: the session, or a stronger one.
type finish struct {
	login *Login
	c     *gin.Context
	h     *halfway
	// trust is for how long the browser need not give a second factor.
	trust time.Duration
	in    *arrived
}

// errGoneHalfway says that the sign-in was completed, or ended, while its page was open.
var errGoneHalfway = errors.New("the sign-in is over")

// do makes it so, in the transaction of ctx, with what was proven now; take uses that up.
func (f *finish) do(ctx context.Context, amr []string, take func(context.Context) error) (err error) {
	l, c, h := f.login, f.c, f.h
	if h.signIn == nil {
		return f.strengthen(ctx, amr, take)
	}
	given := web.Proven(proof.Together(h.amr, amr)...)
	row := web.Event(c, web.ByUser(h.user.ID), "user.signed_in", h.user.ID.String(), h.facts(map[string]any{"amr": given.AMR}))
	f.in, err = l.start(ctx, c, arrival{user: h.user, given: given, row: row, trust: f.trust, also: func(ctx context.Context, fresh *web.Fresh) error {
		err := l.db.SpendSignIn(ctx, h.signIn.Digest)
		if errors.Is(err, storage.ErrSpent) {
			return errGoneHalfway
		}
		if err == nil {
			err = take(ctx)
		}
		if err == nil {
			err = l.noted(ctx, h.visit, fresh, given)
		}
		return err
	}})
	return err
}

// strengthen is do for whoever is signed in. The session goes on: applications know it by the same sid.
func (f *finish) strengthen(ctx context.Context, amr []string, take func(context.Context) error) error {
	l, c, h := f.login, f.c, f.h
	return l.db.InTx(ctx, func(ctx context.Context) (err error) {
		f.in = &arrived{}
		err = l.sessions.Hold(ctx, h.user)
		if err == nil {
			err = take(ctx)
		}
		if err == nil {
			f.in.fresh, err = l.sessions.Strengthen(ctx, c, amr...)
		}
		if errors.Is(err, storage.ErrNotFound) {
			return errGoneHalfway
		}
		if err == nil && f.trust > 0 {
			f.in.device, err = l.rememberDevice(ctx, c, h.user, f.trust)
		}
		if err == nil {
			row := web.Event(c, web.ByUser(h.user.ID), "session.stepped_up", h.user.ID.String(), h.facts(map[string]any{"amr": f.in.fresh.Session.AMR}))
			err = l.db.AppendAudit(ctx, row)
		}
		return err
	})
}

// deliver gives the browser what is its own now.
func (f *finish) deliver() { f.login.deliver(f.c.Request.Context(), f.c, f.in) }

// giveUp ends what the second factor is asked for.
func (l *Login) giveUp(c *gin.Context, h *halfway) error {
	action, answer := "user.sign_in_cancelled", accessDenied
	if h.signIn == nil {
		action = "session.step_up_cancelled"
		if h.demand == proof.Two {
			answer = unmetRequirements
		}
	}
	event := web.Event(c, web.ByUser(h.user.ID), action, h.user.ID.String(), h.facts(map[string]any{}))
	if h.signIn != nil {
		event.Actor = web.Anonymous
	}
	err := l.db.InTx(c.Request.Context(), func(ctx context.Context) error {
		if h.signIn != nil {
			if err := l.db.SpendSignIn(ctx, h.signIn.Digest); err != nil {
				return err
			}
		}
		if h.interaction != nil {
			if err := l.db.RefuseInteraction(ctx, h.interaction.Digest, answer); err != nil {
				return err
			}
		}
		return l.db.AppendAudit(ctx, event)
	})
	if err != nil {
		return tooLate(err)
	}
	if h.interaction == nil {
		c.Redirect(http.StatusSeeOther, h.visit.at("/login"))
		return nil
	}
	h.onward(c)
	return nil
}
