package people

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// PasswordChange is what somebody who is signed in enters to have another password.
type PasswordChange struct {
	UserID uuid.UUID
	// Session is the one that goes on; every other ends.
	Session uuid.UUID
	// Device is what the browser is known by, if it is.
	Device string
	// Current is the password so far; whoever has none leaves it empty. Next is the new one, Again the same once more.
	Current, Next, Again string
}

// HasPassword reports whether a person has a password at all.
func (p *People) HasPassword(ctx context.Context, userID uuid.UUID) (bool, error) {
	user, err := p.db.User(ctx, userID)
	if err != nil {
		return false, err
	}
	return user.PasswordHash != password.None, nil
}

// ChangePassword gives a person another password. Whoever knew the one before is out: every other session ends, what was granted
// is revoked, and links by which a password could be set are worth nothing. also is done in the same transaction; it renews the
// session that goes on.
func (p *People) ChangePassword(ctx context.Context, who visitor.Visitor, change PasswordChange, also func(context.Context) error) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	user, err := p.db.User(ctx, change.UserID)
	if err != nil {
		return fmt.Errorf("change password: %w", err)
	}
	if err := change.check(org, user); err != nil {
		return err
	}
	if user.PasswordHash != password.None {
		attempt := Attempt{Login: user.Email, Password: change.Current, Device: change.Device, Facts: map[string]any{"for": "password change"}}
		user, err = p.CheckPassword(ctx, who, attempt)
		if errors.Is(err, ErrRefused) || err == nil && user.ID != change.UserID { // whose address it is by now
			return &Invalid{"current", "account.password.wrong"}
		}
		if err != nil {
			return err
		}
	}
	hash, err := p.hasher.Hash(ctx, change.Next)
	if err != nil {
		return fmt.Errorf("change password: %w", err)
	}
	err = p.db.InTx(ctx, func(ctx context.Context) error {
		now, err := p.db.LockUser(ctx, user.ID)
		if err != nil {
			return err
		}
		if now.PasswordHash != user.PasswordHash || now.Email != user.Email {
			return &Invalid{"current", "account.password.wrong"} // what was proven is no longer so
		}
		if err := p.db.SetPasswordHash(ctx, user.ID, hash); err != nil {
			return err
		}
		if _, err := p.endOthers(ctx, who, user.ID, change.Session); err != nil {
			return err
		}
		if err := p.db.RevokeGrantsOfUser(ctx, user.ID); err != nil {
			return err
		}
		// Another address too, which whoever knew the password may have asked for.
		if err := p.db.EndVerificationTokensOfUser(ctx, user.ID, storage.PasswordReset, storage.EmailChange, storage.EmailCode); err != nil {
			return err
		}
		if err := p.db.DistrustDevices(ctx, user.ID); err != nil {
			return err
		}
		if err := also(ctx); err != nil {
			return err
		}
		letter := mail.Letter{Kind: mail.PasswordChange, Language: who.Language, When: moment(time.Now())}
		if err := p.post(ctx, now, letter); err != nil {
			return err
		}
		return p.audit(ctx, who, byUser(user.ID), "user.password_changed", user.ID.String(), nil)
	})
	if err != nil {
		return fmt.Errorf("change password: %w", err)
	}
	return nil
}

// check says what is wrong with what was entered, before anything is compared that takes its time.
func (change PasswordChange) check(org *tenant.Org, user *storage.User) error {
	var wrong []error
	if change.Current == "" && user.PasswordHash != password.None {
		wrong = append(wrong, &Invalid{"current", "account.password.current_needed"})
	}
	switch err := password.Judge(change.Next, append(about(user), org.Name, org.Slug)...); {
	case change.Next == "":
		wrong = append(wrong, &Invalid{"password", "account.password.needed"})
	case err != nil:
		wrong = append(wrong, &Invalid{"password", password.Reason(err)})
	case change.Next == change.Current:
		wrong = append(wrong, &Invalid{"password", "account.password.same"})
	case change.Next != change.Again:
		wrong = append(wrong, &Invalid{"again", "account.password.differs"})
	}
	return errors.Join(wrong...)
}
