package manage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/storage"
)

// lastOwner is the refusal of what would leave an organization to nobody.
func lastOwner() error {
	return &Conflict{Field: "user", Message: "nobody else who is active owns this organization: make another owner first"}
}

// keepOwner refuses if the organization would have no active owner without a person. Of two who are to go at once, one waits here
// until the other has gone.
func (o *Operators) keepOwner(ctx context.Context, user *storage.User) error {
	another, err := o.db.OtherOwner(ctx, user.ID)
	if err != nil || another || !user.IsActive {
		return err
	}
	roles, err := o.db.RolesOf(ctx, user.ID)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(roles, func(r storage.Role) bool { return r.IsSystemRole && r.Name == permission.Owner }) {
		return lastOwner()
	}
	return nil
}

// UserPatch is a change to a person. What is nil stays as it is; a user name or full name that is empty is taken away.
type UserPatch struct {
	Email, Username, FullName *string
	// Verified says whether the e-mail address is known to be theirs. A new address is not, unless it is said here.
	Verified *bool
	// Metadata replaces all of it.
	Metadata *map[string]any
}

func (p UserPatch) check() error {
	var c complaints
	if p.Email != nil {
		_, err := identity.Email(*p.Email)
		c.check("email", err)
	}
	if p.Username != nil && *p.Username != "" {
		_, err := identity.Username(*p.Username)
		c.check("username", err)
	}
	if p.FullName != nil && *p.FullName != "" {
		c.check("name", profile.Name(*p.FullName))
	}
	if p.Metadata != nil {
		for _, complaint := range profile.Metadata(*p.Metadata) {
			c.add("metadata", "%s", complaint)
		}
	}
	return c.err()
}

// to writes the patch into a row and returns the names of what it changes.
func (p UserPatch) to(user *storage.User) (changed []string) {
	if p.Email != nil && *p.Email != user.Email {
		// Another spelling is the same mailbox, and what was proven of it.
		if canonical, err := identity.Email(*p.Email); err != nil || user.EmailCanonical == nil || canonical != *user.EmailCanonical {
			user.IsVerified = false
		}
		user.Email, changed = *p.Email, append(changed, "email")
	}
	if p.Verified != nil && *p.Verified != user.IsVerified {
		user.IsVerified, changed = *p.Verified, append(changed, "verified")
	}
	for _, name := range []struct {
		as     string
		wanted *string
		field  **string
	}{{"username", p.Username, &user.Username}, {"name", p.FullName, &user.FullName}} {
		if name.wanted == nil || *name.wanted == deref(*name.field) {
			continue
		}
		if *name.field = name.wanted; *name.wanted == "" {
			*name.field = nil
		}
		changed = append(changed, name.as)
	}
	if p.Metadata != nil && !sameJSON(user.Metadata, *p.Metadata) {
		if user.Metadata = *p.Metadata; user.Metadata == nil {
			user.Metadata = map[string]any{}
		}
		changed = append(changed, "metadata")
	}
	return changed
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// UpdateUser changes a person of the organization. A spelling of what somebody else has is a Conflict. Links that were mailed to an
// address that is no longer theirs end.
func (o *Operators) UpdateUser(ctx context.Context, id uuid.UUID, patch UserPatch) (*storage.User, error) {
	if err := patch.check(); err != nil {
		return nil, err
	}
	var user *storage.User
	err := o.db.InTx(ctx, func(ctx context.Context) (err error) {
		if user, err = o.db.LockUser(ctx, id); err != nil {
			return err
		}
		if err := o.mayActOn(ctx, id); err != nil {
			return err
		}
		before := *user
		changed := patch.to(user)
		if len(changed) == 0 {
			return nil
		}
		return o.writeUser(ctx, &before, user, changed, storage.Changes(before.Audited(), user.Audited()))
	})
	if errors.Is(err, storage.ErrConflict) {
		return nil, o.whichOther(ctx, id, patch)
	}
	if err != nil {
		return nil, during("update user", err)
	}
	return user, nil
}

// writeUser is the part of the deed that is done in the transaction.
func (o *Operators) writeUser(ctx context.Context, before, user *storage.User, changed []string, details map[string]any) error {
	if err := o.db.UpdateUser(ctx, user); err != nil {
		return err
	}
	if slices.Contains(changed, "email") {
		if err := o.db.EndVerificationTokensOfUser(ctx, user.ID); err != nil {
			return err
		}
		if err := o.tellMoved(ctx, user, before.Email); err != nil {
			return err
		}
	}
	all := map[string]any{"changed": changed}
	maps.Copy(all, details)
	if slices.Contains(changed, "metadata") {
		all["metadata"] = differing(before.Metadata, user.Metadata)
	}
	return o.audit(ctx, "user.updated", user.ID.String(), all)
}

// differing are the names of the members in which two objects differ.
func differing(before, after map[string]any) []string {
	names := make(map[string]bool)
	for name, value := range before {
		names[name] = !sameJSON(map[string]any{name: value}, map[string]any{name: after[name]})
	}
	for name, value := range after {
		if _, ok := before[name]; !ok {
			names[name] = value != nil
		}
	}
	maps.DeleteFunc(names, func(_ string, differs bool) bool { return !differs })
	return slices.Sorted(maps.Keys(names))
}

// tellMoved tells both addresses that one has taken the place of the other (S-209): whoever has talked an operator into it does not go
// unnoticed. Another spelling is the same mailbox.
func (o *Operators) tellMoved(ctx context.Context, user *storage.User, before string) error {
	one, err := identity.Email(before)
	if o.composer == nil || err == nil && user.EmailCanonical != nil && one == *user.EmailCanonical {
		return nil
	}
	when := moment()
	moved := mail.Letter{Kind: mail.EmailMoved, To: before, Name: deref(user.FullName), Address: user.Email, When: when}
	if err := o.post(ctx, user, moved); err != nil {
		return err
	}
	// To an address that may have been mistyped, and so without a name.
	return o.post(ctx, user, mail.Letter{Kind: mail.EmailIsYours, To: user.Email, When: when})
}

// moment is now, as it stands in a letter.
func moment() string { return time.Now().UTC().Format("2006-01-02 15:04 UTC") }

// whichOther says what made a change to a person conflict with another person.
func (o *Operators) whichOther(ctx context.Context, id uuid.UUID, patch UserPatch) error {
	if patch.Username != nil && *patch.Username != "" {
		switch other, err := o.db.UserByLogin(ctx, *patch.Username); {
		case err == nil && other.ID != id:
			return &Conflict{Field: "username", Message: "somebody has this user name already"}
		case err != nil && !errors.Is(err, storage.ErrNotFound):
			return fmt.Errorf("update user: %w", err)
		}
	}
	return &Conflict{Field: "email", Message: "somebody has this e-mail address already"}
}

// DisableUser switches a person off: whatever they are signed in to or was granted in their name ends, on every replica, and does
// not come back when they are switched on again. The last owner stays.
func (o *Operators) DisableUser(ctx context.Context, id uuid.UUID) (*storage.User, error) {
	return o.switchUser(ctx, id, false)
}

// EnableUser switches a person on again. They begin with nothing but their password and factors.
func (o *Operators) EnableUser(ctx context.Context, id uuid.UUID) (*storage.User, error) {
	return o.switchUser(ctx, id, true)
}

func (o *Operators) switchUser(ctx context.Context, id uuid.UUID, on bool) (*storage.User, error) {
	deed, action := "disable user", "user.disabled"
	if on {
		deed, action = "enable user", "user.enabled"
	}
	var user *storage.User
	err := o.db.InTx(ctx, func(ctx context.Context) (err error) {
		if user, err = o.db.LockUser(ctx, id); err != nil || user.IsActive == on {
			return err
		}
		if err := o.mayActOn(ctx, id); err != nil {
			return err
		}
		if err := o.setActive(ctx, user, on); err != nil {
			return err
		}
		return o.audit(ctx, action, id.String(), storage.Changes(map[string]any{"active": !on}, map[string]any{"active": on}))
	})
	if err != nil {
		return nil, during(deed, err)
	}
	return user, nil
}

func (o *Operators) setActive(ctx context.Context, user *storage.User, on bool) error {
	if !on {
		if err := o.keepOwner(ctx, user); err != nil {
			return err
		}
		if err := errors.Join(o.db.EndSignInsOfUser(ctx, user.ID), o.db.EndVerificationTokensOfUser(ctx, user.ID)); err != nil {
			return err
		}
	}
	if err := o.db.SetUserActive(ctx, user.ID, on); err != nil {
		return err
	}
	user.IsActive = on
	return nil
}

// DeleteUser removes a person and all that is theirs; what was audited stays. The last owner stays.
func (o *Operators) DeleteUser(ctx context.Context, id uuid.UUID) error {
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		user, err := o.db.LockUser(ctx, id)
		if err != nil {
			return err
		}
		if err := o.mayActOn(ctx, id); err != nil {
			return err
		}
		if err := o.keepOwner(ctx, user); err != nil {
			return err
		}
		held, err := o.roleNames(ctx, id)
		if err != nil {
			return err
		}
		if err := o.db.DeleteUser(ctx, id); err != nil {
			return err
		}
		// What they could do, and not who they were: that is gone.
		before := map[string]any{"active": user.IsActive, "roles": held}
		return o.audit(ctx, "user.deleted", id.String(), map[string]any{"before": before, "after": nil})
	})
	if err != nil {
		return during("delete user", err)
	}
	return nil
}

// roleNames are the names of somebody's roles, in their order.
func (o *Operators) roleNames(ctx context.Context, userID uuid.UUID) ([]string, error) {
	roles, err := o.db.RolesOf(ctx, userID)
	names := make([]string, len(roles))
	for i, role := range roles {
		names[i] = role.Name
	}
	slices.Sort(names)
	return names, err
}

// ResetFactors takes from a person whatever they prove who they are with besides a password, for one who has lost it, and signs
// them out everywhere: it may be somebody else who has found it. It returns what there was.
func (o *Operators) ResetFactors(ctx context.Context, id uuid.UUID) (had storage.FactorCounts, err error) {
	err = o.db.InTx(ctx, func(ctx context.Context) (err error) {
		user, err := o.db.LockUser(ctx, id)
		if err != nil {
			return err
		}
		if err := o.mayActOn(ctx, id); err != nil {
			return err
		}
		if had, err = o.db.FactorCounts(ctx, id); err != nil {
			return err
		}
		if err := errors.Join(o.db.DeleteFactors(ctx, id), o.db.EndSessionsOfUser(ctx, id)); err != nil {
			return err
		}
		// Whoever has asked for it in somebody else's name does not go unnoticed.
		if o.composer != nil && had != (storage.FactorCounts{}) {
			letter := mail.Letter{Kind: mail.FactorRemoved, To: user.Email, Name: deref(user.FullName), What: "mail.what.all", When: moment()}
			if err := o.post(ctx, user, letter); err != nil {
				return err
			}
		}
		return o.audit(ctx, "user.factors_reset", id.String(), map[string]any{
			"passkeys": had.Passkeys, "authenticators": had.Authenticators, "recovery_codes": had.RecoveryCodes,
		})
	})
	if err != nil {
		return storage.FactorCounts{}, during("reset factors", err)
	}
	return had, nil
}
