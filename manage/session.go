package manage

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// RevokeSession ends one session. What was granted in it for offline access ends too where the organization says so. One that has
// ended already is ErrNotFound, as it is to its person.
func (o *Operators) RevokeSession(ctx context.Context, id uuid.UUID) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		person, err := o.db.PersonOfSession(ctx, id)
		if err != nil {
			return err
		}
		if err := o.db.EndSession(ctx, id, org.Decided().Sessions.EndTokens); err != nil {
			return err
		}
		return o.audit(ctx, "session.ended", id.String(), map[string]any{"user": person.String()})
	})
	if err != nil {
		return fmt.Errorf("revoke session: %w", err)
	}
	return nil
}

// RevokeSessionsOf signs a person out everywhere, and ends all that was granted in their name. It returns how many sessions
// that were.
func (o *Operators) RevokeSessionsOf(ctx context.Context, user *storage.User) (ended int, err error) {
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		if ended, err = o.db.CountSessions(ctx, user.ID); err != nil {
			return err
		}
		if err := errors.Join(o.db.EndSessionsOfUser(ctx, user.ID), o.db.EndSignInsOfUser(ctx, user.ID)); err != nil {
			return err
		}
		return o.audit(ctx, "user.signed_out", user.ID.String(), map[string]any{"sessions": ended})
	})
	if err != nil {
		return 0, fmt.Errorf("revoke sessions of user: %w", err)
	}
	return ended, nil
}

// RevokeEverySession signs everybody of the organization out. What was granted for offline access ends too where the
// organization says so. It returns how many sessions that were.
func (o *Operators) RevokeEverySession(ctx context.Context) (ended int64, err error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return 0, err
	}
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		if ended, err = o.db.EndEverySession(ctx, org.Decided().Sessions.EndTokens); err != nil {
			return err
		}
		return o.audit(ctx, "organization.signed_out", org.Slug, map[string]any{"sessions": ended})
	})
	if err != nil {
		return 0, fmt.Errorf("revoke every session: %w", err)
	}
	return ended, nil
}
