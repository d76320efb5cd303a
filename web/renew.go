package web

import (
	"context"
	"errors"
	"fmt"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// Renew gives the session of this browser a new secret and leaves the rest of it as it is: nothing new was proven, but what may
// be done with it has changed, and whoever knew the secret before is not to have a part in that (S-173). Its write joins the
// transaction of ctx; Deliver hands the result to the browser, after that is committed.
func (s *Sessions) Renew(ctx context.Context, c *gin.Context) (*Fresh, error) {
	return s.renew(ctx, c, func(*storage.Session) {})
}

// Strengthen notes what the person of this browser's session has proven besides what they had, as Renew does. The session stays as
// old as the first of their proofs: a code of today is no sign-in of today.
func (s *Sessions) Strengthen(ctx context.Context, c *gin.Context, amr ...string) (*Fresh, error) {
	return s.renew(ctx, c, func(session *storage.Session) {
		session.AMR = proof.Together(session.AMR, amr)
		session.ACR = proof.ACR(session.AMR)
	})
}

func (s *Sessions) renew(ctx context.Context, c *gin.Context, change func(*storage.Session)) (*Fresh, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	session, user, err := s.Current(c)
	if err != nil {
		return nil, err
	}
	if session == nil {
		return nil, errors.New("renew session: nobody is signed in")
	}
	aside, err := s.aside(ctx, c)
	if err != nil {
		return nil, err
	}
	token := secret.New(secret.Session)
	renewed := *session
	renewed.Token = secret.Digest(token)
	change(&renewed)
	if err := s.db.RenewSession(ctx, &renewed); err != nil {
		return nil, fmt.Errorf("renew session: %w", err)
	}
	return &Fresh{Session: &renewed, User: user, cookie: s.jar.cookie(cookieSession, org, token, 0), aside: aside}, nil
}
