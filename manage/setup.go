package manage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

// setupLife is how long a setup link works.
const setupLife = 24 * time.Hour

// NewSetupLink returns the address under base at which the first operator is made: once, within a day. The links before it
// end. It is for the organization of ctx; without one for the only organization there is; and if there are none or several,
// whoever opens it names a new one. When there is an operator already, it is a Conflict.
func (o *Operators) NewSetupLink(ctx context.Context, base string) (string, error) {
	return o.setupLink(ctx, base, true)
}

// FurtherSetupLink is NewSetupLink, beside the links that there are: of replicas that start together each shows one, and the
// one works that somebody finds.
func (o *Operators) FurtherSetupLink(ctx context.Context, base string) (string, error) {
	return o.setupLink(ctx, base, false)
}

func (o *Operators) setupLink(ctx context.Context, base string, only bool) (string, error) {
	token := secret.New(secret.Setup)
	row := storage.VerificationToken{Token: secret.Digest(token), ExpiresAt: time.Now().Add(setupLife).UTC()}
	org, err := o.setupOrganization(ctx)
	if err != nil {
		return "", fmt.Errorf("make setup link: %w", err)
	}
	if org != nil {
		row.OrgID = &org.ID
	}
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		exists, err := o.db.OwnerExists(ctx)
		if err != nil {
			return err
		}
		if exists {
			return &Conflict{Field: "operator", Message: "there is one already: operators make further ones"}
		}
		if only {
			if err := o.db.EndSetupTokens(ctx); err != nil {
				return err
			}
		}
		inserted := row
		if err := o.db.CreateSetupToken(ctx, &inserted); err != nil || org == nil {
			return err // without an organization there is no audit that it could stand in
		}
		return o.audit(within(ctx, org), "setup.link_made", org.Slug, nil)
	})
	if err != nil {
		return "", during("make setup link", err)
	}
	o.log.InfoContext(ctx, "setup link made", "actor", actorOf(ctx).Name)
	return base + "/setup?" + url.Values{"token": {token}}.Encode(), nil
}

// setupOrganization is the organization that a new link is for, or nil.
func (o *Operators) setupOrganization(ctx context.Context) (*storage.Organization, error) {
	named, err := tenant.From(ctx)
	if err == nil {
		return o.db.OrganizationBySlug(ctx, named.Slug)
	}
	all, err := o.db.ListOrganizations(ctx, "", 2)
	if err != nil || len(all) != 1 {
		return nil, err
	}
	return &all[0], nil
}

// SetupForm is what the one who opened a setup link enters. The organization is only asked for if the link has none.
type SetupForm struct {
	OrganizationName, OrganizationSlug string
	Username, Email, FullName          string
	Password                           secret.Text
}

// OpenSetupLink looks whether a setup link still works, without spending it. It returns the organization that the link is
// for, or nil if the form must name one. A dead link is storage.ErrNotFound.
func (o *Operators) OpenSetupLink(ctx context.Context, token string) (*storage.Organization, error) {
	if !secret.Valid(secret.Setup, token) {
		return nil, fmt.Errorf("open setup link: %w", storage.ErrNotFound)
	}
	row, err := o.db.SetupToken(ctx, secret.Digest(token))
	if err != nil {
		return nil, fmt.Errorf("open setup link: %w", err)
	}
	exists, err := o.db.OwnerExists(ctx)
	if err == nil && exists {
		err = storage.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("open setup link: %w", err)
	}
	if row.OrgID == nil {
		return nil, nil //nolint:nilnil // a link without an organization is as good as one with
	}
	org, err := o.db.OrganizationByID(ctx, *row.OrgID)
	if err != nil {
		return nil, fmt.Errorf("open setup link: %w", err)
	}
	return org, nil
}

// CompleteSetup spends a setup link: it makes the first operator, and the organization if the link has none. Of several at
// once, with whichever links, one succeeds; for the others the link is dead: storage.ErrNotFound or storage.ErrSpent.
//
// The organization that it returns has no issuer: only the server knows at which address it stands.
func (o *Operators) CompleteSetup(ctx context.Context, token string, form SetupForm) (*tenant.Org, *storage.User, error) {
	if actorOf(ctx).Name == "system" {
		ctx = WithActor(ctx, Actor{Name: "setup-link"})
	}
	org, err := o.OpenSetupLink(ctx, token)
	if err != nil {
		return nil, nil, err
	}
	operator := NewUser{
		Username: form.Username, Email: form.Email, FullName: form.FullName, Password: form.Password,
		Verified: true, Roles: []string{permission.Owner},
	}
	wrong := []error{operator.check(), operator.judge(form.OrganizationName)}
	var set *keys.Set
	if org == nil {
		wrong = append(wrong, checkOrganization(form.OrganizationName, form.OrganizationSlug, "organization_name", "organization_slug"))
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, nil, err
	}
	if org == nil {
		if set, err = keys.Generate(); err != nil {
			return nil, nil, fmt.Errorf("complete setup: %w", err)
		}
	}
	hash, err := o.hasher.Hash(ctx, form.Password.Reveal())
	if err != nil {
		return nil, nil, fmt.Errorf("complete setup: %w", err)
	}

	var home *storage.Organization
	var user *storage.User
	err = o.db.InTx(ctx, func(ctx context.Context) (err error) {
		// Several links, made at the same time, may all be alive. Whoever spends his spends them all, so everybody else has to
		// wait until this transaction is over, and is too late then.
		if err := o.db.SpendSetupTokens(ctx, secret.Digest(token)); err != nil {
			return err
		}
		exists, err := o.db.OwnerExists(ctx)
		if err != nil {
			return err
		}
		if exists {
			return storage.ErrSpent
		}
		if home = org; home == nil {
			home, err = o.insertOrganization(ctx, form.OrganizationName, form.OrganizationSlug, nil, set)
			if errors.Is(err, storage.ErrConflict) {
				return &Conflict{Field: "organization_slug", Message: "an organization has it already"}
			}
			if err != nil {
				return err
			}
		}
		ctx = within(ctx, home)
		if user, err = o.insertUser(ctx, operator, hash); err != nil {
			return err
		}
		return o.audit(ctx, "setup.completed", user.ID.String(), map[string]any{"organization_created": org == nil})
	})
	var conflict *Conflict
	switch {
	case errors.As(err, &conflict):
		return nil, nil, err
	case errors.Is(err, storage.ErrConflict) && org != nil:
		return nil, nil, o.whichUser(within(ctx, org), operator)
	case err != nil:
		return nil, nil, fmt.Errorf("complete setup: %w", err)
	}
	made, err := tenant.From(within(ctx, home))
	return made, user, err
}
