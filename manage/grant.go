package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/storage"
)

// RevokeGrant ends what one authorization gave a client, and every token that came of it. One that has ended already, or never was,
// is ErrNotFound.
func (o *Operators) RevokeGrant(ctx context.Context, id uuid.UUID) error {
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		grant, err := o.db.Grant(ctx, id)
		if err != nil {
			return err
		}
		ended, err := o.db.RevokeGrant(ctx, id)
		if err == nil && !ended {
			err = storage.ErrNotFound
		}
		if err != nil {
			return err
		}
		details := map[string]any{"client_id": grant.ClientID}
		if grant.UserID != nil {
			details["user_id"] = grant.UserID.String()
		}
		return o.audit(ctx, "grant.revoked", id.String(), details)
	})
	if err != nil {
		return fmt.Errorf("revoke grant: %w", err)
	}
	return nil
}

// RevokeApplication ends all that a client was let in to in a person's name, and the consent that was remembered: they are asked
// again. A client that they have let in nowhere is ErrNotFound.
func (o *Operators) RevokeApplication(ctx context.Context, userID uuid.UUID, clientID string) error {
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		applications, err := o.db.ApplicationsOfUser(ctx, userID)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(applications, func(a storage.Application) bool { return a.ClientID == clientID }) {
			return storage.ErrNotFound
		}
		if err := errors.Join(o.db.DeleteConsent(ctx, userID, clientID), o.db.RevokeGrantsOfUserAndClient(ctx, userID, clientID)); err != nil {
			return err
		}
		return o.audit(ctx, "application.revoked", userID.String(), map[string]any{"client_id": clientID})
	})
	if err != nil {
		return fmt.Errorf("revoke application: %w", err)
	}
	return nil
}
