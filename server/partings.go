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
	// partEvery is how often it is looked for clients that nobody has said are to be told: by other replicas, and for another attempt.
	partEvery = 10 * time.Second
	// partBatch is how many clients one replica tells at once. None keeps another waiting.
	partBatch = 16
	// partClaim is how long a replica that has died keeps others from the clients it was to tell.
	partClaim = time.Minute
	// maxPartings is after how many attempts a client is given up; with the pauses between them that is within a day.
	maxPartings = 12
	// The pauses before a client is told again: each twice the one before, as long as they are not too long.
	firstPart, longestPart = 5 * time.Second, 2 * time.Hour
)

// partings tells clients of the end of sessions (OpenID Connect Back-Channel Logout 1.0), until ctx ends. Those whose session this process
// has ended it tells at once.
func (s *Server) partings(ctx context.Context) {
	for {
		parted, wait := s.house.DB.Parted(), jittered(partEvery)
		if err := contained(ctx, s.TellClients); err != nil && ctx.Err() == nil {
			s.house.Log.WarnContext(ctx, "clients wait to be told of the end of sessions", "cause", err)
			parted = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		case <-parted:
		}
	}
}

// TellClients tells everybody who is to be told of the end of a session by now.
func (s *Server) TellClients(ctx context.Context) error {
	for ctx.Err() == nil {
		claimed, err := s.house.DB.ClaimPartings(ctx, time.Now().Add(partClaim), partBatch)
		if err != nil {
			return err
		}
		failed := make([]error, len(claimed))
		var telling sync.WaitGroup
		for i := range claimed {
			telling.Go(func() {
				failed[i] = contained(ctx, func(ctx context.Context) error { return s.tellParting(ctx, &claimed[i]) })
			})
		}
		telling.Wait()
		if err := errors.Join(failed...); err != nil || len(claimed) < partBatch {
			return err
		}
	}
	return nil
}

// tellParting tells one client, and writes down what became of it. Its error is that this could not be written down: then the client is
// told once more, which does no harm.
func (s *Server) tellParting(ctx context.Context, parting *storage.SessionClient) error {
	row, err := s.house.DB.OrganizationByID(ctx, parting.OrgID)
	if err != nil {
		return err
	}
	org, err := s.house.tenants.addresses.Tenant(row, time.Now())
	if err != nil {
		return err
	}
	ctx = tenant.With(ctx, org)
	cause := s.provider.TellOfLogout(ctx, parting)
	switch {
	case cause == nil:
		err = s.house.DB.PartingTold(ctx, parting)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(cause, provider.ErrRefusedLogout) || parting.Attempts >= maxPartings:
		s.house.Log.WarnContext(ctx, "a client was not told of the end of a session", "client_id", parting.ClientID, "attempts", parting.Attempts, "cause", cause)
		err = s.house.DB.InTx(ctx, func(ctx context.Context) error {
			if err := s.house.DB.PartingTold(ctx, parting); err != nil {
				return err
			}
			return s.house.DB.AppendAudit(ctx, &storage.AuditEvent{
				Actor: "system", Action: "logout.abandoned", Target: parting.SessionID.String(),
				Details: map[string]any{"client_id": parting.ClientID, "attempts": parting.Attempts, "refused": errors.Is(cause, provider.ErrRefusedLogout)},
			})
		})
	default:
		next := time.Now().Add(pauseAfter(parting.Attempts, firstPart, longestPart))
		err = s.house.DB.PostponeParting(ctx, parting, next, cause.Error())
	}
	return written(err)
}
