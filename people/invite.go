package people

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// ErrRoleGone says that an invitation promises a role that the organization has no longer.
var ErrRoleGone = errors.New("a role of the invitation is gone")

// OpenInvitation looks what a link invites to, and spends nothing.
func (p *People) OpenInvitation(ctx context.Context, who visitor.Visitor, token string) (*storage.Invitation, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	if org.Decided().SignUp.Mode == settings.SignUpClosed {
		return nil, ErrSignUpClosed
	}
	network := throttle.Network(who.Address)
	if err := p.take(ctx, who, throttle.LinkNetwork, network, Anonymous, ""); err != nil {
		return nil, err
	}
	if !secret.Valid(secret.Verification, token) {
		return nil, ErrDeadLink
	}
	invitation, err := p.db.Invitation(ctx, secret.Digest(token))
	if err != nil {
		return nil, dead(err)
	}
	switch user, err := p.known(ctx, invitation.Email); {
	case err != nil:
		return nil, err
	case user != nil:
		return nil, dead(errTaken)
	}
	return invitation, p.db.GiveBack(ctx, throttle.LinkNetwork, network)
}

// AcceptInvitation makes the account that somebody was invited to: with the address that the link was sent to, and the roles that
// it promises.
func (p *People) AcceptInvitation(ctx context.Context, who visitor.Visitor, token string, newcomer Newcomer, also then) (user *storage.User, err error) {
	invitation, err := p.OpenInvitation(ctx, who, token)
	if err != nil {
		return nil, err
	}
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	newcomer.tidy(org.Decided())
	if asked, _ := Asked(org.Decided(), FieldName); !asked {
		newcomer.Name = invitation.FullName
	}
	if err := newcomer.check(org, invitation.Email); err != nil {
		return nil, err
	}
	if err := p.countLinkName(ctx, who, newcomer.Username, invitation.ID); err != nil {
		return nil, err
	}
	hash, err := p.hasher.Hash(ctx, newcomer.Password.Reveal())
	if err != nil {
		return nil, err
	}
	language := invitation.Language
	if language == "" {
		language = who.Language.String()
	}
	err = p.db.InTx(ctx, func(ctx context.Context) (err error) {
		if err := p.db.SpendVerificationToken(ctx, invitation.Token, storage.InvitationToken); err != nil {
			return err
		}
		if user, err = p.insert(ctx, invitation.Email, newcomer.Username, newcomer.Name, hash, language); err != nil {
			return err
		}
		if err := p.grantAll(ctx, user.ID, invitation.Roles); err != nil {
			return err
		}
		details := map[string]any{"by": "invitation", "verified": true, "roles": len(invitation.Roles), "invitation": invitation.ID.String()}
		if err := p.audit(ctx, who, byUser(user.ID), "user.created", user.ID.String(), details); err != nil {
			return err
		}
		return also(ctx, user)
	})
	if errors.Is(err, storage.ErrConflict) {
		return nil, p.whoseIsTaken(ctx, invitation.Email)
	}
	if err != nil {
		return nil, fmt.Errorf("accept an invitation: %w", dead(err))
	}
	return user, nil
}

// grantAll gives a person the roles that an invitation promises.
func (p *People) grantAll(ctx context.Context, userID uuid.UUID, roles []uuid.UUID) error {
	for _, role := range roles {
		err := p.db.GrantRole(ctx, userID, role)
		if errors.Is(err, storage.ErrNotFound) {
			return ErrRoleGone
		}
		if err != nil {
			return err
		}
	}
	return nil
}
