package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

const (
	// recoverEvery is how often it is looked whether another replica has left a request for a new password behind.
	recoverEvery = 15 * time.Second
	recoverBatch = 20
	// recoverClaim is for how long a request is one replica's to answer.
	recoverClaim = time.Minute
	// recoverAttempts is how often one is tried that cannot be answered.
	recoverAttempts = 10
)

// recover answers requests for a new password as soon as they come, until ctx ends.
func (s *Server) recover(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.house.People.Asked():
		case <-time.After(recoverEvery):
		}
		err := contained(ctx, func(ctx context.Context) error { _, err := s.house.AnswerResetRequests(ctx); return err })
		if err != nil && !errors.Is(err, context.Canceled) {
			s.house.Log.ErrorContext(ctx, "a job failed", "job", "answer reset requests", "cause", err)
		}
	}
}

// AnswerResetRequests answers the requests for a new password that are due, and returns how many there were. One that cannot be
// answered keeps no other from it.
func (h *House) AnswerResetRequests(ctx context.Context) (int, error) {
	var failed []error
	for answered := 0; ; {
		due, err := h.DB.ClaimResetRequests(ctx, time.Now().Add(recoverClaim), recoverBatch)
		if err != nil {
			return answered, errors.Join(append(failed, err)...)
		}
		for i := range due {
			if err := h.answerResetRequest(ctx, &due[i]); err != nil {
				failed = append(failed, err)
			}
			answered++
		}
		if len(due) < recoverBatch {
			return answered, errors.Join(failed...)
		}
	}
}

func (h *House) answerResetRequest(ctx context.Context, request *storage.ResetRequest) error {
	row, err := h.DB.OrganizationByID(ctx, request.OrgID)
	if err != nil {
		return fmt.Errorf("find the organization of a reset request: %w", err)
	}
	org, err := h.Tenant(ctx, row.Slug)
	if errors.Is(err, storage.ErrNotFound) || err == nil && request.Attempts > recoverAttempts {
		if errors.Is(err, storage.ErrNotFound) { // suspended: nobody signs in there
			org = &tenant.Org{ID: row.ID, Slug: row.Slug}
		}
		return h.DB.EndResetRequest(tenant.With(ctx, org), request.ID)
	}
	if err != nil {
		return err
	}
	return h.People.AnswerResetRequest(tenant.With(ctx, org), request)
}
