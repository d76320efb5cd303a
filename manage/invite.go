package manage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"
	"golang.org/x/text/language"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// How long an invitation works: unless it is said otherwise, at the least, and at the most.
const (
	DefaultInvitationLife = 72 * time.Hour
	minInvitationLife     = time.Minute
	maxInvitationLife     = 30 * 24 * time.Hour
)

// NewInvitation is somebody who is to be asked to make an account. An e-mail address is needed, the rest is not.
type NewInvitation struct {
	Email, FullName string
	// Inviter is what the one is called who invites, as the letter says it.
	Inviter string
	// Language is what the letter is written in, as a BCP 47 tag.
	Language string
	// Roles are names of roles that the organization has: the system roles always, of which owner may be called operator.
	Roles []string
	// ExpiresIn is how long the invitation works; 0 is DefaultInvitationLife.
	ExpiresIn time.Duration
}

// Invite sends somebody a link by which they make an account, with the roles that are named. It returns the link as well, for
// whoever brings it to them another way. An invitation that the address has had before ends. An address that has an account is a
// Conflict; an organization where nobody makes accounts refuses.
func (o *Operators) Invite(ctx context.Context, wanted NewInvitation) (*storage.Invitation, string, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, "", err
	}
	if wanted.ExpiresIn == 0 {
		wanted.ExpiresIn = DefaultInvitationLife
	}
	missing, err := o.missingRoles(ctx, wanted.Roles)
	if err != nil {
		return nil, "", fmt.Errorf("invite: %w", err)
	}
	if err := errors.Join(wanted.check(org), missing); err != nil {
		return nil, "", err
	}
	canonical, err := identity.Email(wanted.Email)
	if err != nil {
		return nil, "", fmt.Errorf("invite: %w", err)
	}
	token := secret.New(secret.Verification)
	link := org.Issuer + "/invitation?" + url.Values{"token": {token}}.Encode()
	expires := time.Now().Add(wanted.ExpiresIn).UTC()
	var made *storage.Invitation
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		if _, err := o.db.UserByLogin(ctx, wanted.Email); !errors.Is(err, storage.ErrNotFound) {
			if err != nil {
				return err
			}
			return &Conflict{Field: "email", Message: "somebody has this e-mail address already"}
		}
		made = &storage.Invitation{
			Token: secret.Digest(token), Email: wanted.Email, FullName: wanted.FullName, Inviter: wanted.Inviter, Language: wanted.Language,
			ExpiresAt: expires,
		}
		for _, name := range wanted.Roles {
			role, err := o.role(ctx, name)
			if err != nil {
				return err
			}
			made.Roles = append(made.Roles, role.ID)
		}
		if err := o.db.CreateInvitation(ctx, canonical, made); err != nil {
			return err
		}
		letter := mail.Letter{
			Kind: mail.Invitation, To: wanted.Email, Name: wanted.FullName, Inviter: wanted.Inviter, Link: link,
			Until: expires.Format("2006-01-02 15:04 UTC"),
		}
		if wanted.Language != "" {
			letter.Language = language.Make(wanted.Language)
		}
		if err := o.post(ctx, nil, letter); err != nil {
			return err
		}
		return o.audit(ctx, "invitation.created", made.ID.String(), map[string]any{"email": wanted.Email, "roles": rolesNamed(wanted.Roles)})
	})
	if err != nil {
		return nil, "", during("invite", err)
	}
	return made, link, nil
}

func (n NewInvitation) check(org *tenant.Org) error {
	var c complaints
	if org.Decided().SignUp.Mode == settings.SignUpClosed {
		c.add("sign_up.mode", "nobody makes an account in this organization: its mode is closed")
	}
	_, err := identity.Email(n.Email)
	c.check("email", err)
	for field, name := range map[string]string{"name": n.FullName, "inviter": n.Inviter} {
		if name != "" {
			c.check(field, profile.Name(name))
		}
	}
	for _, role := range n.Roles {
		c.check("role", profile.Name(role))
	}
	if n.Language != "" && !profile.Locale(n.Language) {
		c.add("language", "%q is no language tag, such as en or pt-BR", n.Language)
	}
	if n.ExpiresIn < minInvitationLife || n.ExpiresIn > maxInvitationLife {
		c.add("expires-in", "it must be between %v and %v", minInvitationLife, maxInvitationLife)
	}
	return c.err()
}

// RevokeInvitation makes an invitation useless. One that was accepted, has expired or never was is ErrNotFound.
func (o *Operators) RevokeInvitation(ctx context.Context, id uuid.UUID) error {
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		if err := o.db.EndVerificationToken(ctx, id, storage.InvitationToken); err != nil {
			return err
		}
		return o.audit(ctx, "invitation.revoked", id.String(), nil)
	})
	if err != nil {
		return fmt.Errorf("revoke invitation: %w", err)
	}
	return nil
}
