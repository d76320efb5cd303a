package people

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// sessionEnded is the audit event of a session's end before its time.
const sessionEnded = "session.ended"

// EndSession signs a person out of one of their browsers. A session that is not theirs is ErrNotFound (S-180).
func (p *People) EndSession(ctx context.Context, who visitor.Visitor, userID, id uuid.UUID) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	err = p.db.InTx(ctx, func(ctx context.Context) error {
		if _, err := p.db.SessionOfUser(ctx, userID, id); err != nil {
			return err
		}
		if err := p.db.EndSession(ctx, id, org.Decided().Sessions.EndTokens); err != nil {
			return err
		}
		return p.audit(ctx, who, byUser(userID), sessionEnded, id.String(), nil)
	})
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// EndOtherSessions signs a person out of every browser but one, and returns of how many.
func (p *People) EndOtherSessions(ctx context.Context, who visitor.Visitor, userID, keep uuid.UUID) (ended int, err error) {
	err = p.db.InTx(ctx, func(ctx context.Context) error {
		ended, err = p.endOthers(ctx, who, userID, keep)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("end other sessions: %w", err)
	}
	return ended, nil
}

// endOthers is EndOtherSessions as a part of something else.
func (p *People) endOthers(ctx context.Context, who visitor.Visitor, userID, keep uuid.UUID) (ended int, err error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return 0, err
	}
	others, err := p.db.EndOtherSessions(ctx, userID, keep, org.Decided().Sessions.EndTokens)
	if err == nil {
		err = p.db.EndSignInsOfUser(ctx, userID) // who has not come in yet does not
	}
	if err != nil {
		return 0, err
	}
	for _, id := range others {
		if err := p.audit(ctx, who, byUser(userID), sessionEnded, id.String(), nil); err != nil {
			return 0, err
		}
	}
	return len(others), nil
}

// RevokeApplication takes back what a person has let an application have: what they agreed to, and everything that it holds in
// their name. An application that they have let in nowhere is ErrNotFound.
func (p *People) RevokeApplication(ctx context.Context, who visitor.Visitor, userID uuid.UUID, clientID string) error {
	err := p.db.InTx(ctx, func(ctx context.Context) error {
		applications, err := p.db.ApplicationsOfUser(ctx, userID)
		if err != nil {
			return err
		}
		known := false
		for _, a := range applications {
			known = known || a.ClientID == clientID
		}
		if !known {
			return storage.ErrNotFound
		}
		if err := p.db.DeleteConsent(ctx, userID, clientID); err != nil {
			return err
		}
		if err := p.db.RevokeGrantsOfUserAndClient(ctx, userID, clientID); err != nil {
			return err
		}
		return p.audit(ctx, who, byUser(userID), "application.revoked", userID.String(), map[string]any{"client_id": clientID})
	})
	if err != nil {
		return fmt.Errorf("revoke application: %w", err)
	}
	return nil
}

// Activity returns what a person has done and what was done to their account, newest first: what came before an event that was
// returned earlier, or the newest.
func (p *People) Activity(ctx context.Context, userID uuid.UUID, before *storage.AuditEvent, limit int) ([]storage.AuditEvent, error) {
	return p.db.AuditOfUser(ctx, byUser(userID), userID, before, limit)
}
