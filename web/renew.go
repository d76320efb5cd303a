package web

import (
	"context"
	"errors"
	"fmt"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
)

// Renew gives the session of this browser a new secret and leaves the rest of it as it is: nothing new was proven, but what may
// be done with it has changed, and whoever knew the secret before is not to have a part in that (S-173). Its write joins the
// transaction of ctx; Deliver hands the result to the browser, after that is committed.
func (s *Sessions) Renew(ctx context.Context, c *gin.Context) (*Fresh, error) {
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
	token := secret.New(secret.Session)
	renewed := *session
	renewed.Token = secret.Digest(token)
	if err := s.db.RenewSession(ctx, &renewed); err != nil {
		return nil, fmt.Errorf("renew session: %w", err)
	}
	return &Fresh{Session: &renewed, User: user, cookie: s.jar.cookie(cookieSession, org, token, 0)}, nil
}
