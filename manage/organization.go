package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

const operatorDescription = "May do everything in this organization."

// reservedSlugs would be mistaken for parts of the product where a slug stands in an address or in front of a host name.
var reservedSlugs = []string{
	"account", "admin", "api", "assets", "auth", "authorize", "console", "consent", "dev", "device", "docs", "forgot",
	"healthz", "keizer", "livez", "login", "logout", "logged-out", "mail", "metrics", "new", "null", "o", "oauth2",
	"playground", "readyz", "register", "reset", "root", "setup", "signup", "static", "status", "system", "token",
	"userinfo", "verify", "well-known", "www",
}

// checkSlug says what is wrong with the name that an organization has in addresses. It may come to be the label of a host
// name, so it is one (RFC 1123 §2.1).
func checkSlug(slug string) error {
	switch {
	case slug == "" || len(slug) > 63:
		return errors.New("it must have 1 to 63 characters")
	case strings.Trim(slug, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return errors.New("it may have lower-case letters, digits and hyphens only")
	case slug[0] == '-' || slug[len(slug)-1] == '-' || strings.HasPrefix(slug, "xn--"):
		return errors.New("it must not begin or end with a hyphen, nor begin with xn--")
	case slices.Contains(reservedSlugs, slug):
		return errors.New("it is reserved")
	}
	return nil
}

// CreateOrganization makes an organization, with keys to sign with and the role of its operators. A slug that is taken is a
// Conflict.
func (o *Operators) CreateOrganization(ctx context.Context, name, slug string) (*storage.Organization, error) {
	if err := checkOrganization(name, slug, "name", "slug"); err != nil {
		return nil, err
	}
	set, err := keys.Generate()
	if err != nil {
		return nil, err
	}
	var org *storage.Organization
	err = o.db.InTx(ctx, func(ctx context.Context) (err error) {
		if org, err = o.insertOrganization(ctx, name, slug, set); err != nil {
			return err
		}
		return o.audit(within(ctx, org), "organization.created", slug, map[string]any{"name": name})
	})
	if errors.Is(err, storage.ErrConflict) {
		return nil, &Conflict{Field: "slug", Message: "an organization has it already"}
	}
	if err != nil {
		return nil, fmt.Errorf("create organization: %w", err)
	}
	return org, nil
}

func checkOrganization(name, slug, nameField, slugField string) error {
	var c complaints
	c.check(nameField, profile.Name(name))
	c.check(slugField, checkSlug(slug))
	return c.err()
}

// insertOrganization is the part of the deed that is done in the transaction.
func (o *Operators) insertOrganization(ctx context.Context, name, slug string, set *keys.Set) (*storage.Organization, error) {
	org := &storage.Organization{Name: name, Slug: slug}
	if err := o.db.CreateOrganization(ctx, org); err != nil {
		return nil, err
	}
	ctx = within(ctx, org)
	if err := set.Insert(ctx, o.db); err != nil {
		return nil, err
	}
	_, err := o.db.EnsureRole(ctx, storage.OperatorRole, operatorDescription, true)
	return org, err
}
