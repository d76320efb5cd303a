package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider"
	"github.com/keizer-auth/keizer/storage"
)

const (
	// logoutEvery is how often it is looked for clients that nobody has said are to be told: by other replicas, and for another attempt.
	logoutEvery = 10 * time.Second
	// logoutBatch is how many clients one replica tells at once. None keeps another waiting.
	logoutBatch = 16
	// logoutClaim is how long a replica that has died keeps others from the clients it was to tell.
	logoutClaim = time.Minute
	// maxLogoutAttempts is after how many attempts a client is given up; with the pauses between them that is within a day.
	maxLogoutAttempts = 12
	// The pauses before a client is told again: each twice the one before, as long as they are not too long.
	firstLogoutPause, longestLogoutPause = 5 * time.Second, 2 * time.Hour
)

// logouts tells clients of the end of sessions (OpenID Connect Back-Channel Logout 1.0), until ctx ends. Those whose session this process
// has ended it tells at once.
func (s *Server) logouts(ctx context.Context) {
	for {
		loggedOut, wait := s.house.DB.LoggedOut(), jittered(logoutEvery)
		if err := contained(ctx, s.DeliverLogouts); err != nil && ctx.Err() == nil {
			s.house.Log.WarnContext(ctx, "clients wait to be told of the end of sessions", "cause", err)
			loggedOut = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		case <-loggedOut:
		}
	}
}

// DeliverLogouts tells everybody who is to be told of the end of a session by now.
func (s *Server) DeliverLogouts(ctx context.Context) error {
	for ctx.Err() == nil {
		claimed, err := s.house.DB.ClaimLogouts(ctx, time.Now().Add(logoutClaim), logoutBatch)
		if err != nil {
			return err
		}
		failed := make([]error, len(claimed))
		var telling sync.WaitGroup
		for i := range claimed {
			telling.Go(func() {
				failed[i] = contained(ctx, func(ctx context.Context) error { return s.deliverLogout(ctx, &claimed[i]) })
			})
		}
		telling.Wait()
		if err := errors.Join(failed...); err != nil || len(claimed) < logoutBatch {
			return err
		}
	}
	return nil
}

// deliverLogout tells one client, and writes down what became of it. Its error is that this could not be written down: then the client is
// told once more, which does no harm.
func (s *Server) deliverLogout(ctx context.Context, logout *storage.SessionClient) error {
	row, err := s.house.DB.OrganizationByID(ctx, logout.OrgID)
	if err != nil {
		return err
	}
	org, err := s.house.tenants.addresses.Tenant(row, time.Now())
	if err != nil {
		return err
	}
	ctx = tenant.With(ctx, org)
	cause := s.provider.TellOfLogout(ctx, logout)
	switch {
	case cause == nil:
		err = s.house.DB.LogoutDelivered(ctx, logout)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(cause, provider.ErrRefusedLogout) || logout.Attempts >= maxLogoutAttempts:
		s.house.Log.WarnContext(ctx, "a client was not told of the end of a session", "client_id", logout.ClientID, "attempts", logout.Attempts, "cause", cause)
		err = s.house.DB.InTx(ctx, func(ctx context.Context) error {
			if err := s.house.DB.LogoutDelivered(ctx, logout); err != nil {
				return err
			}
			return s.house.DB.AppendAudit(ctx, &storage.AuditEvent{
				Actor: "system", Action: "logout.abandoned", Target: logout.SessionID.String(),
				Details: map[string]any{"client_id": logout.ClientID, "attempts": logout.Attempts, "refused": errors.Is(cause, provider.ErrRefusedLogout)},
			})
		})
	default:
		next := time.Now().Add(pauseAfter(logout.Attempts, firstLogoutPause, longestLogoutPause))
		err = s.house.DB.PostponeLogout(ctx, logout, next, cause.Error())
	}
	return written(err)
}
