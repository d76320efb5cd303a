package provider

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"
	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

// resourceServer is an API that tokens may be for (RFC 6749 §1.1): one that the organization has registered, or Keizer's own
// management API, which every organization has.
type resourceServer struct {
	identifier string
	clientID   string // the client by which it introspects; may be empty
	// scopes are those it has, each with the permission that it takes of a person, or none.
	scopes map[string]string
}

// catalogue is all resource servers of one organization.
type catalogue struct {
	byIdentifier map[string]*resourceServer
	byScope      map[string][]*resourceServer
}

func (c *catalogue) add(api *resourceServer) {
	if c.byIdentifier[api.identifier] != nil {
		return // nobody takes the place of the management API
	}
	c.byIdentifier[api.identifier] = api
	for scope := range api.scopes {
		c.byScope[scope] = append(c.byScope[scope], api)
	}
}

// catalogues keeps each organization's resource servers for a moment, as clients are kept: so that a busy API costs no query a
// request, and a change is seen after that moment, on every replica, without anybody being told.
type catalogues struct {
	db *storage.DB
	// management is the identifier of the management API.
	management string
	cache      *otter.Cache[uuid.UUID, *catalogue]
}

const (
	catalogueCacheTime = time.Second
	// catalogueCacheSize bounds the memory that catalogues take, counted in scopes of some 200 bytes.
	catalogueCacheSize = 200_000
	// cataloguePage is how many APIs are read at once: more than an organization has.
	cataloguePage = 250
)

func newCatalogues(db *storage.DB, management string) *catalogues {
	return &catalogues{db: db, management: management, cache: otter.Must(&otter.Options[uuid.UUID, *catalogue]{
		MaximumWeight:    catalogueCacheSize,
		Weigher:          func(_ uuid.UUID, c *catalogue) uint32 { return uint32(1 + len(c.byScope) + len(c.byIdentifier)) }, //nolint:gosec // both are bounded
		ExpiryCalculator: otter.ExpiryWriting[uuid.UUID, *catalogue](catalogueCacheTime),
	})}
}

// of returns the catalogue of the organization in ctx. One that is kept and does not have what is looked for is read anew: an API
// works as soon as it was registered.
func (c *catalogues) of(ctx context.Context, has func(*catalogue) bool) (*catalogue, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	if kept, ok := c.cache.GetIfPresent(org.ID); ok && (has == nil || has(kept)) {
		return kept, nil
	}
	read, err := c.read(ctx, org)
	if err != nil {
		return nil, err
	}
	c.cache.Set(org.ID, read)
	return read, nil
}

func (c *catalogues) read(ctx context.Context, org *tenant.Org) (*catalogue, error) {
	all := &catalogue{byIdentifier: make(map[string]*resourceServer), byScope: make(map[string][]*resourceServer)}
	management := &resourceServer{identifier: c.management, scopes: make(map[string]string)}
	for _, p := range permission.All() {
		if org.Root || !permission.Reaches(p.Name) {
			management.scopes[p.Name] = p.Name
		}
	}
	all.add(management)
	for after := ""; ; {
		rows, err := c.db.ListAPIs(ctx, after, cataloguePage)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			after = row.Identifier
			api := &resourceServer{identifier: row.Identifier, scopes: make(map[string]string, len(row.Scopes))}
			if row.ClientID != nil {
				api.clientID = *row.ClientID
			}
			for _, s := range row.Scopes {
				api.scopes[s.Name] = s.Permission
			}
			all.add(api)
		}
		if len(rows) < cataloguePage {
			return all, nil
		}
	}
}

// reachable reports whether a client may have tokens for a resource server that its registration does not name as its audience: it
// may ask for one of its scopes.
func (c *catalogue) reachable(client *fositestore.Client, identifier string) bool {
	api := c.byIdentifier[identifier]
	return api != nil && slices.ContainsFunc(client.Scopes, func(scope string) bool {
		_, has := api.scopes[scope]
		return has
	})
}

// reach returns those resources, of several, that a client may have tokens for although its registration does not name them. They
// are compared as whole strings, and so is what is registered (RFC 8707 §2).
func (p *Provider) reach(ctx context.Context, client *fositestore.Client, resources []string) ([]string, error) {
	resources = slices.DeleteFunc(slices.Clone(resources), func(one string) bool { return slices.Contains(client.GetAudience(), one) })
	if len(resources) == 0 {
		return nil, nil
	}
	within := func(c *catalogue, one string) bool { return c.reachable(client, one) }
	all, err := p.catalogues.of(ctx, func(c *catalogue) bool {
		return !slices.ContainsFunc(resources, func(one string) bool { return !within(c, one) })
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(resources, func(one string) bool { return !within(all, one) }), nil
}

// admit checks the resources that a request names (RFC 8707 §2), and lets its client have those that are APIs which it may use.
func (p *Provider) admit(ctx context.Context, unit *fositestore.Unit, client *fositestore.Client, resources []string) error {
	reached, err := p.reach(ctx, client, resources)
	if err != nil {
		return err
	}
	unit.Reached = reached
	return exactAudience(append(reached, client.GetAudience()...), resources)
}

// everywhereScopes mean the same at every resource server. They are no API's own.
var everywhereScopes = []string{
	scopeOpenID, scopeProfile, scopeEmail, scopeAddress, scopePhone, scopeOfflineAccess, scopeRoles, scopePermissions,
}

func isEverywhere(scope string) bool { return slices.Contains(everywhereScopes, scope) }

// rights are what somebody is and may do, as it is looked up anew for every token.
type rights struct {
	roles, permissions []string
}

// rightsOf looks up what somebody is and may do now.
func (p *Provider) rightsOf(ctx context.Context, person uuid.UUID) (*rights, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	roles, permissions, err := p.db.RightsOf(ctx, person)
	if err != nil {
		return nil, err
	}
	return &rights{roles, permission.Effective(permissions, org.Root)}, nil
}

// aimed returns those of the scopes that mean something where a token is to be valid: a scope of an API means nothing elsewhere. What
// no API has is the organization's own affair, and stays; of the names that are kept for Keizer none is.
func (p *Provider) aimed(ctx context.Context, scopes, audience []string) ([]string, error) {
	if !slices.ContainsFunc(scopes, func(scope string) bool { return !isEverywhere(scope) }) {
		return scopes, nil // which is most requests, and costs them nothing
	}
	all, err := p.catalogues.of(ctx, func(c *catalogue) bool {
		// A scope that was given to an API a moment ago is looked for there.
		return !slices.ContainsFunc(scopes, func(scope string) bool {
			return !isEverywhere(scope) && c.byScope[scope] == nil && slices.ContainsFunc(audience, func(one string) bool { return c.byIdentifier[one] != nil })
		})
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool {
		apis := all.byScope[scope]
		if isEverywhere(scope) || len(apis) == 0 && !permission.Reserved(scope) {
			return false
		}
		return !slices.ContainsFunc(apis, func(api *resourceServer) bool { return slices.Contains(audience, api.identifier) })
	}), nil
}

// permitted returns those of some scopes that a person may have at an audience by what their roles allow now, and the rights by which
// that was told, if it had to be. Where several APIs have a scope of one name, it takes what each of them asks.
func (p *Provider) permitted(ctx context.Context, person uuid.UUID, scopes, audience []string) ([]string, *rights, error) {
	if !slices.ContainsFunc(scopes, func(scope string) bool { return !isEverywhere(scope) }) {
		return scopes, nil, nil
	}
	all, err := p.catalogues.of(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	needs := func(scope string) (names []string) {
		for _, api := range all.byScope[scope] {
			if name := api.scopes[scope]; name != "" && slices.Contains(audience, api.identifier) {
				names = append(names, name)
			}
		}
		return names
	}
	var held *rights
	kept := make([]string, 0, len(scopes))
	for _, scope := range scopes {
		names := needs(scope)
		if len(names) > 0 && held == nil {
			if held, err = p.rightsOf(ctx, person); err != nil {
				return nil, nil, err
			}
		}
		if len(names) == 0 || containsAll(held.permissions, names) {
			kept = append(kept, scope)
		}
	}
	return kept, held, nil
}

// errNothingLeft is a request of whose scopes none means anything for what it is about.
var errNothingLeft = fosite.ErrInvalidScope.WithHint("None of the requested scopes can be granted here.")

// narrow leaves of the scopes of a token what means something at its audience and what the person whom it is about may have now; a
// token that a client holds for itself has what its registration allows. What the token says of the person it notes in the session. A
// request of which nothing is left is refused (RFC 6749 §3.3 lets the rest be left out, and §5.1 has the answer say so).
func (p *Provider) narrow(
	ctx context.Context, client *fositestore.Client, session *fositestore.Session, person uuid.UUID, scopes, audience []string,
) ([]string, error) {
	left, err := p.aimed(ctx, scopes, audience)
	if err != nil {
		return nil, err
	}
	var held *rights
	if person != uuid.Nil {
		if left, held, err = p.permitted(ctx, person, left, audience); err != nil {
			return nil, err
		}
		if client.AccessTokenFormat == formatJWT && sayRights(left) {
			if held == nil {
				if held, err = p.rightsOf(ctx, person); err != nil {
					return nil, err
				}
			}
			left = held.fitting(left)
			session.Rights = held.saidBy(left)
		}
	}
	if len(left) == 0 && len(scopes) > 0 {
		return nil, errNothingLeft
	}
	return left, nil
}

// What a JWT has room for, in bytes of names. A token travels in the header of every request, where much else is not to be had: with
// these a JWT stays below 8 KiB, and is one that our own endpoints take.
const (
	maxSaidRoles       = 1 << 10
	maxSaidPermissions = 7 << 8 // which are said twice
)

// fitting leaves out the scopes by which a JWT would come to say more than it has room for. The answer's scope tells of it.
func (r *rights) fitting(scopes []string) []string {
	size := func(names []string) (n int) {
		for _, name := range names {
			n += len(name) + len(`"",`)
		}
		return n
	}
	return slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool {
		return scope == scopeRoles && size(r.roles) > maxSaidRoles || scope == scopePermissions && size(r.permissions) > maxSaidPermissions
	})
}

// saidBy is what a token with some scopes says of somebody's rights (RFC 9068 §2.2.3.1 names roles and entitlements).
func (r *rights) saidBy(scopes []string) (said fositestore.Rights) {
	if slices.Contains(scopes, scopeRoles) {
		said.Roles = r.roles
	}
	if slices.Contains(scopes, scopePermissions) {
		said.Permissions, said.Entitlements = r.permissions, r.permissions
	}
	return said
}

// introspects reports whether a client is that of an API that a token is for.
func (p *Provider) introspects(ctx context.Context, caller *fositestore.Client, audience []string) (bool, error) {
	if len(audience) == 0 {
		return false, nil
	}
	all, err := p.catalogues.of(ctx, nil)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(audience, func(one string) bool {
		api := all.byIdentifier[one]
		return api != nil && api.clientID != "" && api.clientID == caller.ClientID
	}), nil
}
