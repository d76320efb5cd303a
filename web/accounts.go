package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// A browser can be signed in to several accounts of an organization. Each is a session like any other, with a sid, lifetimes and an end of
// its own. In one of them the browser acts: that is the current one, whose secret is in the session cookie. The others are set aside: their
// secrets are in a cookie beside it. A person gets there only by saying so on the page on which accounts are chosen.

// maxAside is how many accounts a browser keeps besides the current one.
const maxAside = 5

// keyAside is where a request remembers who is set aside.
const keyAside = contextKey("aside")

// Account is somebody who is signed in at a browser, and in which session.
type Account struct {
	Session *storage.Session
	User    *storage.User
}

// held is an account with the secret of its session.
type held struct {
	Account
	token string
}

// Others returns the accounts that the browser is signed in to besides the current one, the one that was left last first. What has ended is
// none of them, and is forgotten.
func (s *Sessions) Others(c *gin.Context) ([]Account, error) {
	aside, err := s.aside(c.Request.Context(), c)
	if err != nil || len(aside) == 0 {
		return nil, err
	}
	accounts := make([]Account, len(aside))
	for i := range aside {
		accounts[i] = aside[i].Account
	}
	return accounts, nil
}

// aside is Others with the secrets. It asks the database once a request.
func (s *Sessions) aside(ctx context.Context, c *gin.Context) ([]held, error) {
	if known, ok := c.Get(keyAside); ok {
		if aside, ok := known.([]held); ok {
			return aside, nil
		}
	}
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	sent := s.jar.value(c, cookieAside, org)
	if sent == "" {
		return nil, nil
	}
	current, _, err := s.stored(ctx, c)
	if err != nil {
		return nil, err
	}
	var aside []held
	for token := range strings.SplitSeq(sent, ".") {
		if len(aside) == maxAside || !secret.Valid(secret.Session, token) {
			break
		}
		session, user, err := s.db.SessionByToken(ctx, secret.Digest(token))
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look up session: %w", err)
		}
		mine := func(h held) bool { return h.User.ID == user.ID }
		if !s.isOver(session, org) && (current == nil || current.UserID != user.ID || s.isOver(current, org)) && !slices.ContainsFunc(aside, mine) {
			aside = append(aside, held{Account{session, user}, token})
		}
	}
	s.keepAside(c, aside)
	return aside, nil
}

// asideCookie is the cookie that holds who is set aside.
func (s *Sessions) asideCookie(org *tenant.Org, aside []held) *http.Cookie {
	if len(aside) == 0 {
		return s.jar.gone(cookieAside, org)
	}
	tokens := make([]string, len(aside))
	for i := range aside {
		tokens[i] = aside[i].token
	}
	return s.jar.cookie(cookieAside, org, strings.Join(tokens, "."), 0)
}

// keepAside gives the browser the accounts that are set aside from now on.
func (s *Sessions) keepAside(c *gin.Context, aside []held) {
	org := orgOf(c)
	if cookie := s.asideCookie(org, aside); cookie.Value != s.jar.value(c, cookieAside, org) {
		set(c, cookie)
	}
	c.Set(keyAside, aside)
}

// all is who is signed in at the browser, the current one first.
func (s *Sessions) all(ctx context.Context, c *gin.Context) ([]held, error) {
	aside, err := s.aside(ctx, c)
	if err != nil {
		return nil, err
	}
	org := orgOf(c)
	session, user, err := s.stored(ctx, c)
	if err != nil || session == nil || s.isOver(session, org) {
		return slices.Clone(aside), err
	}
	return slices.Insert(slices.Clone(aside), 0, held{Account{session, user}, s.jar.value(c, cookieSession, org)}), nil
}

// SetAside leaves the browser with no current account, so that somebody can sign in to another. The one that it had stays signed in. Of more
// than a browser keeps, the one that was left first is signed out.
func (s *Sessions) SetAside(c *gin.Context) error {
	all, err := s.all(c.Request.Context(), c)
	if err != nil {
		return err
	}
	if len(all) > maxAside {
		last := all[maxAside]
		all = all[:maxAside]
		if err := s.end(c.Request.Context(), Event(c, ByUser(last.User.ID), sessionEnded, last.Session.ID.String(), nil), last.Session); err != nil {
			return err
		}
	}
	set(c, s.jar.gone(cookieSession, orgOf(c)))
	c.Set(keyCurrent, signedIn{})
	s.keepAside(c, all)
	s.showState(c, nil, all)
	return nil
}

// Choose makes one of the accounts of the browser the current one, under a new secret (S-173), and sets the one before aside. Its write joins
// the transaction of ctx; Deliver hands the result to the browser, after that is committed. A session that is none of the browser's, or has
// ended, is storage.ErrNotFound.
func (s *Sessions) Choose(ctx context.Context, c *gin.Context, id uuid.UUID) (*Fresh, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	all, err := s.all(ctx, c)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(h held) bool { return h.Session.ID == id })
	if i < 0 {
		return nil, fmt.Errorf("choose an account: %w", storage.ErrNotFound)
	}
	chosen := all[i]
	token := secret.New(secret.Session)
	renewed := *chosen.Session
	renewed.Token = secret.Digest(token)
	if err := s.db.RenewSession(ctx, &renewed); err != nil {
		return nil, fmt.Errorf("renew session: %w", err)
	}
	return &Fresh{
		Session: &renewed, User: chosen.User, cookie: s.jar.cookie(cookieSession, org, token, 0),
		aside: slices.Delete(all, i, i+1),
	}, nil
}

// EndAll signs out everybody who is signed in at this browser, as End does the current account.
func (s *Sessions) EndAll(c *gin.Context, clientID string) (frames []string, err error) {
	others, err := s.Others(c)
	if err != nil {
		return nil, err
	}
	for _, other := range others {
		more, err := s.EndOther(c, other, clientID)
		if err != nil {
			return nil, err
		}
		frames = append(frames, more...)
	}
	more, err := s.End(c, clientID)
	return append(frames, more...), err
}

// EndOther signs out an account that is set aside, as End does the current one.
func (s *Sessions) EndOther(c *gin.Context, other Account, clientID string) (frames []string, err error) {
	current, _, err := s.Current(c)
	if err != nil {
		return nil, err
	}
	aside, err := s.aside(c.Request.Context(), c)
	if err != nil {
		return nil, err
	}
	if frames, err = s.endFor(c, other.Session, clientID); err != nil {
		return nil, err
	}
	left := slices.DeleteFunc(slices.Clone(aside), func(h held) bool { return h.Session.ID == other.Session.ID })
	s.keepAside(c, left)
	s.showState(c, current, left)
	return frames, nil
}

// endFor ends a session for a client, or for nobody but its person, and returns what the browser is to load besides.
func (s *Sessions) endFor(c *gin.Context, session *storage.Session, clientID string) (frames []string, err error) {
	ctx := c.Request.Context()
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	if frames, err = s.logoutFrames(ctx, org, session); err != nil {
		return nil, err
	}
	event := Event(c, ByUser(session.UserID), sessionEnded, session.ID.String(), nil)
	if clientID != "" {
		event.Details = map[string]any{"client_id": clientID}
	}
	return frames, s.end(ctx, event, session)
}
