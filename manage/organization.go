package manage

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

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

// CreateOrganization makes an organization, with keys to sign with and the system roles. A slug that is taken is a
// Conflict.
func (o *Operators) CreateOrganization(ctx context.Context, name, slug string) (*storage.Organization, error) {
	return o.createOrganization(ctx, name, slug, nil)
}

func (o *Operators) createOrganization(ctx context.Context, name, slug string, decided map[string]any) (*storage.Organization, error) {
	if err := checkOrganization(name, slug, "name", "slug"); err != nil {
		return nil, err
	}
	set, err := keys.Generate()
	if err != nil {
		return nil, err
	}
	var org *storage.Organization
	err = o.db.InTx(ctx, func(ctx context.Context) (err error) {
		if org, err = o.insertOrganization(ctx, name, slug, decided, set); err != nil {
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

// insertOrganization is the part of the deed that is done in the transaction. Without keys it must not be committed.
func (o *Operators) insertOrganization(
	ctx context.Context, name, slug string, decided map[string]any, set *keys.Set,
) (*storage.Organization, error) {
	org := &storage.Organization{Name: name, Slug: slug, Settings: decided}
	if err := o.db.CreateOrganization(ctx, org); err != nil {
		return nil, err
	}
	ctx = within(ctx, org)
	if set != nil {
		if err := set.Insert(ctx, o.db); err != nil {
			return nil, err
		}
	}
	return org, o.db.EnsureSystemRoles(ctx)
}

// OrganizationPatch is a change to an organization. What is nil stays as it is.
type OrganizationPatch struct {
	Name     *string
	Settings settings.Patch
}

// UpdateOrganization changes an organization. Of two changes at once both count, one after the other. It holds on every replica as
// soon as they have forgotten what they knew, within seconds.
func (o *Operators) UpdateOrganization(ctx context.Context, slug string, patch OrganizationPatch) (org *storage.Organization, err error) {
	for range retries {
		err = o.db.InTx(ctx, func(ctx context.Context) error {
			if org, err = o.db.OrganizationBySlug(ctx, slug); err != nil {
				return err
			}
			changed, err := o.patchOrganization(within(ctx, org), org, patch)
			if err != nil || len(changed) == 0 {
				return err
			}
			if err := o.db.UpdateOrganization(ctx, org); err != nil {
				return err
			}
			if one, differs := changed["request_objects.encrypted"].(map[string]any); differs {
				if err := o.settleEncryption(within(ctx, org), one["after"] == true); err != nil {
					return err
				}
			}
			return o.audit(within(ctx, org), "organization.updated", slug, beforeAndAfter(changed))
		})
		if !errors.Is(err, storage.ErrConflict) {
			break
		}
	}
	if err != nil {
		return nil, during("update organization", err)
	}
	return org, nil
}

// beforeAndAfter makes of changes by the name of what was changed what the audit tells of all deeds: what was before, and what is after.
func beforeAndAfter(changed map[string]any) map[string]any {
	before, after := make(map[string]any), make(map[string]any)
	for name, one := range changed {
		if one, ok := one.(map[string]any); ok {
			before[name], after[name] = one["before"], one["after"]
		}
	}
	return map[string]any{"before": before, "after": after}
}

// patchOrganization writes a patch into a row and returns what it changes, with what was before.
func (o *Operators) patchOrganization(ctx context.Context, org *storage.Organization, patch OrganizationPatch) (map[string]any, error) {
	var c complaints
	changed := make(map[string]any)
	if patch.Name != nil && *patch.Name != org.Name {
		c.check("name", profile.Name(*patch.Name))
		changed["name"] = map[string]any{"before": org.Name, "after": *patch.Name}
		org.Name = *patch.Name
	}
	before, err := settings.Parse(org.Settings)
	if err != nil {
		return nil, err
	}
	stored, after, err := patch.Settings.Apply(org.Settings)
	if err != nil {
		for _, complaint := range settings.Complaints(err) {
			c.add(complaint.Path, "%s", complaint.Message)
		}
		return nil, cmp.Or(c.err(), err)
	}
	for _, complaint := range settings.Complaints(o.beyond(before, after)) {
		c.add(complaint.Path, "%s", complaint.Message)
	}
	if after.Branding.Logo != before.Branding.Logo {
		c.add("branding.logo", "it is set with the picture itself")
	}
	if !reflect.DeepEqual(before.Registration.StatementIssuers, after.Registration.StatementIssuers) {
		o.checkStatementIssuers(&c, after.Registration.StatementIssuers)
	}
	for _, name := range after.SecondFactor.Roles {
		if slices.Contains(before.SecondFactor.Roles, name) || permission.IsSystemRole(name) {
			continue
		}
		switch _, err := o.db.RoleByName(ctx, name); {
		case errors.Is(err, storage.ErrNotFound):
			c.check("second_factor.roles", noRole(name))
		case err != nil:
			return nil, err
		}
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	differing, err := settings.Changes(before, after)
	if err != nil {
		return nil, err
	}
	for path, change := range differing {
		changed[path] = change
	}
	org.Settings = stored
	return changed, nil
}

// checkStatementIssuers checks the keys of those whose software statements are to be believed.
func (o *Operators) checkStatementIssuers(c *complaints, issuers []settings.StatementIssuer) {
	const field = "registration.statement_issuers"
	for _, one := range issuers {
		if one.JWKSURI != "" {
			if err := o.reach.CheckURL(one.JWKSURI); err != nil {
				c.add(field, "%s: jwks_uri: %s", one.Issuer, err)
			}
		} else if set, err := json.Marshal(one.JWKS); err != nil {
			c.add(field, "%s: jwks: %s", one.Issuer, err)
		} else if parsed, err := keys.ParseClientJWKS(set); err != nil {
			c.add(field, "%s: jwks: %s", one.Issuer, err)
		} else if !parsed.Verifies(keys.ClientAlgorithms()...) {
			c.add(field, "%s: jwks: no key of it verifies by %s", one.Issuer, strings.Join(keys.ClientAlgorithms(), ", "))
		}
		for _, alg := range one.Algorithms {
			if !slices.Contains(keys.ClientAlgorithms(), alg) {
				c.add(field, "%s: algorithms: %q is not one of %s", one.Issuer, alg, strings.Join(keys.ClientAlgorithms(), ", "))
			}
		}
	}
}

// Allowing returns operators who let organizations decide no more than the server allows.
func (o *Operators) Allowing(limits settings.Limits) *Operators {
	allowing := *o
	allowing.limits = limits
	return &allowing
}

// beyond says what of a change is more than the server allows. What was decided when it allowed more may stay; it counts as far as it
// is allowed now.
func (o *Operators) beyond(before, after *settings.Settings) error {
	var already []string
	for _, complaint := range settings.Complaints(before.Within(o.limits)) {
		already = append(already, complaint.Path)
	}
	from, to := settings.Flat(before), settings.Flat(after)
	var found []error
	for _, complaint := range settings.Complaints(after.Within(o.limits)) {
		if !slices.Contains(already, complaint.Path) || from[complaint.Path] != to[complaint.Path] {
			found = append(found, complaint)
		}
	}
	return errors.Join(found...)
}
