package people

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// DeleteAccount removes a person, who has typed their user name or e-mail address to say that they mean it, with all that is
// theirs: sessions, tokens, factors. What was audited stays, and names them by an id that nobody else will ever have. The last
// who can run an organization cannot leave it.
func (p *People) DeleteAccount(ctx context.Context, who visitor.Visitor, userID uuid.UUID, typed string) error {
	err := p.db.InTx(ctx, func(ctx context.Context) error {
		user, err := p.db.LockUser(ctx, userID)
		if err != nil {
			return err
		}
		if !isCalled(user, typed) {
			return &Invalid{"confirm", "account.delete.mismatch"}
		}
		if err := p.mayLeave(ctx, userID); err != nil {
			return err
		}
		// To an address and not to a person: the letter has to outlive them.
		letter := mail.Letter{Kind: mail.AccountDeleted, To: user.Email, Language: who.Language, When: moment(time.Now())}
		if user.FullName != nil {
			letter.Name = *user.FullName
		}
		if err := p.post(ctx, nil, letter); err != nil {
			return err
		}
		if err := p.db.DeleteUser(ctx, userID); err != nil {
			return err
		}
		return p.audit(ctx, who, byUser(userID), "user.deleted", userID.String(), nil)
	})
	if err != nil {
		return fmt.Errorf("delete account: %w", err)
	}
	return nil
}

// isCalled reports whether a person signs in with what was typed, in whatever spelling.
func isCalled(user *storage.User, typed string) bool {
	typed = strings.TrimSpace(typed)
	if strings.Contains(typed, "@") {
		email, err := identity.Email(typed)
		return err == nil && user.EmailCanonical != nil && email == *user.EmailCanonical || typed == user.Email
	}
	name, err := identity.Username(typed)
	return err == nil && user.UsernameCanonical != nil && name == *user.UsernameCanonical
}

// LastOwner reports whether a person is the last who can run the organization.
func (p *People) LastOwner(ctx context.Context, userID uuid.UUID) (bool, error) {
	err := p.db.InTx(ctx, func(ctx context.Context) error { return p.mayLeave(ctx, userID) })
	var refusal *Invalid
	if errors.As(err, &refusal) {
		return true, nil
	}
	return false, err
}

func (p *People) mayLeave(ctx context.Context, userID uuid.UUID) error {
	roles, err := p.db.RolesOf(ctx, userID)
	if err != nil {
		return err
	}
	for _, role := range roles {
		if role.Name != permission.Owner || !role.IsSystemRole {
			continue
		}
		other, err := p.db.OtherOwner(ctx, userID)
		if err != nil {
			return err
		}
		if !other {
			return &Invalid{"", "account.delete.last_owner"}
		}
	}
	return nil
}
