package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// SessionOptions say how long a person stays signed in, and over what.
type SessionOptions struct {
	// Secure is true when browsers come over https.
	Secure bool
	// IdleTimeout ends a session that nobody uses, AbsoluteTimeout every session, where the organization has not decided otherwise.
	IdleTimeout, AbsoluteTimeout time.Duration
}

// Sessions knows who sits at a browser: who is signed in there, and which browser it is before anybody has. It is safe for
// concurrent use.
type Sessions struct {
	db             *storage.DB
	keyring        *seal.Keyring
	jar            jar
	idle, absolute time.Duration
}

const (
	// flowLifetime is how long a browser is recognised before anybody has signed in there, since it was last seen.
	flowLifetime = 15 * time.Minute
	// touchEvery keeps a busy session from being a write for each of its requests.
	touchEvery = time.Minute
	// maxUserAgent is as much as anybody wants to read of a browser's name, in bytes.
	maxUserAgent = 512
)

// sessionEnded is the audit event of a session's end before its time.
const sessionEnded = "session.ended"

// Where a request remembers what it has looked up.
const (
	keyCurrent = contextKey("session")
	keyFlow    = contextKey("flow")
)

// NewSessions returns the sessions of a database.
func NewSessions(db *storage.DB, keyring *seal.Keyring, o SessionOptions) *Sessions {
	return &Sessions{
		db: db, keyring: keyring, jar: jar{o.Secure}, idle: o.IdleTimeout, absolute: o.AbsoluteTimeout,
	}
}

// lifetimes are how long somebody stays signed in to an organization: without using the session, and at all.
func (s *Sessions) lifetimes(org *tenant.Org) (idle, absolute time.Duration) {
	decided := org.Decided().Sessions
	idle, absolute = cmp.Or(time.Duration(decided.Idle), s.idle), cmp.Or(time.Duration(decided.Absolute), s.absolute)
	return min(idle, absolute), absolute
}

// signedIn is what is remembered of a request's session.
type signedIn struct {
	session *storage.Session
	user    *storage.User
}

// Current returns the session of the browser and whose it is, or two nils when nobody is signed in there. It asks the
// database once a request.
func (s *Sessions) Current(c *gin.Context) (*storage.Session, *storage.User, error) {
	if known, ok := c.Get(keyCurrent); ok {
		if in, ok := known.(signedIn); ok {
			return in.session, in.user, nil
		}
	}
	ctx := c.Request.Context()
	session, user, err := s.stored(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	if session != nil && s.isOver(session, orgOf(c)) {
		session, user = nil, nil
	}
	if session != nil {
		used, err := s.Use(ctx, session)
		if err != nil {
			return nil, nil, err
		}
		if !used {
			session, user = nil, nil
		}
	}
	c.Set(keyCurrent, signedIn{session, user})
	return session, user, nil
}

// Use notes that a session is used, and reports whether it still may be: it can be ended at this very moment.
func (s *Sessions) Use(ctx context.Context, session *storage.Session) (bool, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return false, err
	}
	idle, _ := s.lifetimes(org)
	now := time.Now().UTC()
	if now.Sub(session.LastUsedAt) < noteEvery(idle) {
		return true, nil
	}
	err = s.db.TouchSession(ctx, session.ID, now)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("touch session: %w", err)
	}
	session.LastUsedAt = now
	return true, nil
}

// stored returns the session that the cookie names, one that is over by its lifetimes too, or nils.
func (s *Sessions) stored(ctx context.Context, c *gin.Context) (*storage.Session, *storage.User, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, nil, err
	}
	token := s.jar.value(c, cookieSession, org)
	if !secret.Valid(secret.Session, token) {
		return nil, nil, nil
	}
	session, user, err := s.db.SessionByToken(ctx, secret.Digest(token))
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("look up session: %w", err)
	}
	return session, user, nil
}

// UsedSince is how far back the last use of a session of the organization may lie that is not idle.
func (s *Sessions) UsedSince(org *tenant.Org) time.Time {
	idle, _ := s.lifetimes(org)
	return time.Now().Add(-idle)
}

// noteEvery is how often use is noted: an idle time of a few minutes must not be used up by not having been.
func noteEvery(idle time.Duration) time.Duration { return min(touchEvery, idle/4) }

// isOver reports whether a session has lasted too long, by what the organization decides now: lifetimes that are made shorter hold
// for the sessions that there are.
func (s *Sessions) isOver(session *storage.Session, org *tenant.Org) bool {
	idle, absolute := s.lifetimes(org)
	return time.Since(session.LastUsedAt) > idle || time.Since(session.AuthTime) > absolute
}

// Proof says how and when a person has just proven who they are (OpenID Connect Core 1.0 §2, RFC 8176).
type Proof struct {
	At  time.Time
	AMR []string
	ACR string
}

// Proven is a proof of this moment.
func Proven(amr ...string) Proof {
	amr = proof.Together(amr)
	return Proof{At: time.Now().UTC().Truncate(time.Microsecond), AMR: amr, ACR: proof.ACR(amr)}
}

// freshProof is how long a proof lets its person change what is sensitive.
const freshProof = 5 * time.Minute

// Fresh reports whether the person of a session has proven who they are so lately that they may change what is sensitive
// (S-181). Who has a second factor must have given that too: a password alone is less than what they sign in with.
func (s *Sessions) Fresh(session *storage.Session, hasSecondFactor bool) bool {
	return time.Since(session.AuthTime) <= freshProof && (!hasSecondFactor || session.ACR == proof.Multi)
}

// Fresh is a session that was just begun, and that the browser does not know of yet.
type Fresh struct {
	Session *storage.Session
	User    *storage.User
	cookie  *http.Cookie
	// aside is who is set aside from now on.
	aside []held
}

// Start signs a person in at this browser. Its writes join the transaction of ctx, if it has one; Deliver hands the result to
// the browser, after that is committed. What the cookie held before is never good again (session fixation): the same person's
// session goes on under a new secret, which keeps applications' sid valid, also one that was set aside; anybody else's that is current
// ends, unless it was set aside first, which is what adding an account is (SetAside). A person who is switched off
// is ErrNotFound, and so is one whose password is no longer that which user was read with: whoever is changing it at this moment
// ends every session that there is, and must not miss this one.
func (s *Sessions) Start(ctx context.Context, c *gin.Context, user *storage.User, given Proof) (*Fresh, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.Hold(ctx, user); err != nil {
		return nil, err
	}
	_, absolute := s.lifetimes(org)
	token := secret.New(secret.Session)
	fresh := &Fresh{User: user, cookie: s.jar.cookie(cookieSession, org, token, 0)}

	previous, _, err := s.stored(ctx, c)
	if err != nil {
		return nil, err
	}
	aside, err := s.aside(ctx, c)
	if err != nil {
		return nil, err
	}
	fresh.aside = aside
	if i := slices.IndexFunc(aside, func(h held) bool { return h.User.ID == user.ID }); i >= 0 {
		fresh.aside = slices.Delete(slices.Clone(aside), i, i+1)
		if previous != nil {
			if err := s.end(ctx, Event(c, ByUser(user.ID), sessionEnded, previous.ID.String(), nil), previous); err != nil {
				return nil, fmt.Errorf("end the session before: %w", err)
			}
		}
		previous = aside[i].Session
	}
	if previous != nil && previous.UserID == user.ID && !s.isOver(previous, org) {
		renewed := *previous
		renewed.Token, renewed.AuthTime, renewed.AMR, renewed.ACR = secret.Digest(token), later(given.At, previous.AuthTime), given.AMR, given.ACR
		renewed.ExpiresAt, renewed.LastUsedAt = given.At.Add(absolute), given.At
		err := s.db.RenewSession(ctx, &renewed)
		if err == nil {
			fresh.Session = &renewed
			return fresh, nil
		}
		if !errors.Is(err, storage.ErrNotFound) {
			return nil, fmt.Errorf("renew session: %w", err)
		}
		// It was ended meanwhile, and what was ended is not brought back to life.
	} else if previous != nil {
		if err := s.end(ctx, Event(c, ByUser(user.ID), sessionEnded, previous.ID.String(), nil), previous); err != nil {
			return nil, fmt.Errorf("end the session before: %w", err)
		}
	}

	address := c.ClientIP()
	fresh.Session = &storage.Session{
		UserID: user.ID, Token: secret.Digest(token), IPAddress: &address, UserAgent: userAgent(c.Request),
		AuthTime: given.At, AMR: given.AMR, ACR: given.ACR, ExpiresAt: given.At.Add(absolute), LastUsedAt: given.At,
	}
	if err := s.db.CreateSession(ctx, fresh.Session); err != nil {
		return nil, fmt.Errorf("create session: %w", err)
	}
	return fresh, nil
}

// Hold keeps a person as they are until the transaction of ctx ends. One whose password is no longer that which user was read with
// is ErrNotFound.
func (s *Sessions) Hold(ctx context.Context, user *storage.User) error {
	now, err := s.db.LockUser(ctx, user.ID)
	if err == nil && user.PasswordHash != "" && now.PasswordHash != user.PasswordHash {
		err = storage.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("look who signs in: %w", err)
	}
	return nil
}

// later is the time of a proof that follows another. Applications are told whole seconds, and one that has asked for a new
// sign-in looks whether its time is later than that of the last: a proof in the same second is rounded up to the next, and
// never stands before the last.
func later(at, last time.Time) time.Time {
	next := last.Truncate(time.Second).Add(time.Second)
	switch {
	case !at.Before(next):
		return at
	case next.Sub(at) <= time.Second:
		return next
	}
	return last
}

// userAgent is what the browser calls itself, in a form that any database takes: headers may hold bytes that are no text.
func userAgent(r *http.Request) string {
	name := r.UserAgent()
	return strings.ToValidUTF8(name[:min(len(name), maxUserAgent)], "")
}

// Deliver gives the browser the cookie of a session that Start has begun.
func (s *Sessions) Deliver(c *gin.Context, fresh *Fresh) {
	set(c, fresh.cookie)
	c.Set(keyCurrent, signedIn{fresh.Session, fresh.User})
	s.keepAside(c, fresh.aside)
	s.showState(c, fresh.Session, fresh.aside)
}

// End signs the person out of this browser who is its current one, whoever it is, and writes it down along with the client that asked for
// it, if any has. Other accounts of the browser stay signed in, and none of them is current by itself: a client that asks silently
// afterwards is not answered for somebody else.
//
// It sends no Clear-Site-Data: "cookies" would take away those of every host of the domain, other applications' and other
// organizations' among them, and there is nothing else to clear, since no page of ours is stored.
//
// It returns what the browser is to load besides, for the applications that the person was signed in to: see LoggedOutAddress.
func (s *Sessions) End(c *gin.Context, clientID string) (frames []string, err error) {
	ctx := c.Request.Context()
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	aside, err := s.aside(ctx, c)
	if err != nil {
		return nil, err
	}
	session, _, err := s.stored(ctx, c)
	if err != nil {
		return nil, err
	}
	if session != nil {
		if frames, err = s.endFor(c, session, clientID); err != nil {
			return nil, err
		}
	}
	set(c, s.jar.gone(cookieSession, org))
	c.Set(keyCurrent, signedIn{})
	s.showState(c, nil, aside)
	return frames, nil
}

// end ends a session and writes it down. That it has ended meanwhile is no error, and no event.
func (s *Sessions) end(ctx context.Context, event *storage.AuditEvent, session *storage.Session) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	err = s.db.InTx(ctx, func(ctx context.Context) error {
		if err := s.db.EndSession(ctx, session.ID, org.Decided().Sessions.EndTokens); err != nil {
			return err
		}
		return s.db.AppendAudit(ctx, event)
	})
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// Flow returns the secret by which this browser is known before anybody has signed in there, and gives it one if it has none.
// An interaction is bound to its digest. Every use prolongs it.
func (s *Sessions) Flow(c *gin.Context) string {
	if known := c.GetString(keyFlow); known != "" {
		return known
	}
	org := orgOf(c)
	token := s.jar.value(c, cookieFlow, org)
	if !secret.Valid(secret.Flow, token) {
		token = secret.New(secret.Flow)
	}
	set(c, s.jar.cookie(cookieFlow, org, token, flowLifetime))
	c.Set(keyFlow, token)
	return token
}

// orgOf returns the organization of a request, or nil outside of any.
func orgOf(c *gin.Context) *tenant.Org {
	org, err := tenant.From(c.Request.Context())
	if err != nil {
		return nil
	}
	return org
}

// Interaction returns the authorization request that an interaction id names, if it was started in this browser. An address
// that somebody else has sent is worth nothing here (Keycloak CVE-2026-7507). Its refusals are pages.
func (s *Sessions) Interaction(c *gin.Context, id string) (*storage.Interaction, error) {
	if !secret.Valid(secret.Interaction, id) {
		return nil, &Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: "error.interaction"}
	}
	ctx := c.Request.Context()
	interaction, err := s.db.Interaction(ctx, secret.Digest(id))
	if errors.Is(err, storage.ErrNotFound) {
		return nil, &Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: "error.interaction", Cause: err}
	}
	if err != nil {
		return nil, fmt.Errorf("look up interaction: %w", err)
	}
	if err := s.began(c, interaction.BrowserDigest); err != nil {
		return nil, err
	}
	UseLocales(c, interaction.Params.Get(paramLocales))
	return interaction, nil
}

// SignIn returns the sign-in under way that a secret names, and whose it is, if it was begun in this browser. Its refusals are
// pages; one that is complete, or took too long, is storage.ErrNotFound.
func (s *Sessions) SignIn(c *gin.Context, token string) (*storage.SignIn, *storage.User, error) {
	if !secret.Valid(secret.SignIn, token) {
		return nil, nil, fmt.Errorf("look up sign-in: %w", storage.ErrNotFound)
	}
	signIn, user, err := s.db.SignIn(c.Request.Context(), secret.Digest(token))
	if err != nil {
		return nil, nil, fmt.Errorf("look up sign-in: %w", err)
	}
	if err := s.began(c, signIn.BrowserDigest); err != nil {
		return nil, nil, err
	}
	return signIn, user, nil
}

// began refuses what was begun in another browser than this one.
func (s *Sessions) began(c *gin.Context, browserDigest string) error {
	flow := s.jar.value(c, cookieFlow, orgOf(c))
	if !secret.Valid(secret.Flow, flow) || !secret.Equal(secret.Digest(flow), browserDigest) {
		return &Error{Status: http.StatusForbidden, Code: "access_denied", Message: "error.foreign"}
	}
	s.Flow(c)
	return nil
}
