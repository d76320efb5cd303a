package manage

import (
	"context"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/storage"
)

// LinkedAccounts returns who a person is at providers.
func (o *Operators) LinkedAccounts(ctx context.Context, userID uuid.UUID) ([]storage.LinkedAccount, error) {
	if _, err := o.db.User(ctx, userID); err != nil {
		return nil, err
	}
	return o.db.UpstreamAccountsOf(ctx, userID)
}

// Unlink takes from a person who they are at a provider, also where they sign in nowhere else: they have a new password sent to them
// then. What they are signed in to goes on. They are told so by mail.
func (o *Operators) Unlink(ctx context.Context, userID, id uuid.UUID) error {
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		user, err := o.db.LockUser(ctx, userID)
		if err != nil {
			return err
		}
		if err := o.mayActOn(ctx, userID); err != nil {
			return err
		}
		account, err := o.db.UpstreamAccountOf(ctx, userID, id)
		if err != nil {
			return err
		}
		row, err := o.db.UpstreamProviderByID(ctx, account.ProviderID)
		if err != nil {
			return err
		}
		if err := o.db.DeleteUpstreamAccount(ctx, userID, id); err != nil {
			return err
		}
		if o.composer != nil { // whoever has talked an operator into it does not go unnoticed
			title := row.Name
			if provider, err := upstream.NewProvider(row.ID, row.Name, row.ClientID, "", row.Settings); err == nil {
				title = provider.Title()
			}
			letter := mail.Letter{
				Kind: mail.FactorRemoved, To: user.Email, Name: deref(user.FullName), What: "mail.what.linked", Item: title + ", " + account.Label, When: moment(),
			}
			if err := o.post(ctx, user, letter); err != nil {
				return err
			}
		}
		details := map[string]any{"provider": row.Name, "issuer": account.Issuer, "subject": account.Subject}
		return o.audit(ctx, "linked_account.removed", userID.String(), details)
	})
	if err != nil {
		return during("unlink an account", err)
	}
	return nil
}
