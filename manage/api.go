package manage

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// How many APIs an organization registers at the most, and how many scopes each has: all of them are kept in memory while tokens
// for them are asked for.
const (
	maxAPIs      = 200
	maxAPIScopes = 100
)

// standardScopes mean the same at every API, and so are none of one's own.
var standardScopes = []string{"openid", "profile", "email", "address", "phone", "offline_access", "roles", "permissions"}

// APIScope is a part of what an API does, that applications may ask for.
type APIScope struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Permission is the name of what a person must be permitted for the scope to be given in their name; empty is nothing.
	Permission string `json:"permission,omitempty"`
}

// NewAPI is a resource server that is to be registered. An identifier is needed, and a name.
type NewAPI struct {
	// Identifier is what its tokens have as audience: an absolute URI without a fragment (RFC 8707 §2).
	Identifier, Name string
	// ClientID is the client by which it asks what a token stands for; empty is none.
	ClientID string
	Scopes   []APIScope
}

// APIPatch is a change to an API. What is nil stays as it is. Its identifier always does: tokens have it, and applications.
type APIPatch struct {
	Name *string
	// ClientID is taken away if it is empty.
	ClientID *string
	// Scopes replace all that there are.
	Scopes *[]APIScope
}

// checkIdentifier is RFC 8707 §2: an absolute URI without a fragment. It is compared as a whole and as it is, so nothing is made of
// its spelling.
func checkIdentifier(identifier string) error {
	if err := checkAudience(identifier); err != nil {
		return errors.New(strings.Replace(err.Error(), "an audience", "an identifier", 1))
	}
	u, err := url.Parse(identifier)
	if err != nil || !u.IsAbs() || u.Host == "" && u.Opaque == "" {
		return errors.New("it must be an absolute URI, such as https://api.example.com or urn:example:api")
	}
	return nil
}

// checkOwnIdentifier keeps an organization from registering what is there already, in the place of its issuer's own endpoints.
func (o *Operators) checkOwnIdentifier(ctx context.Context, identifier string) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	if identifier != "" && (org.Own(identifier) || identifier == o.addresses.Management()) {
		return &Invalid{Field: "identifier", Message: "it is the issuer's own"}
	}
	return nil
}

func checkAPI(api *storage.API) error {
	var c complaints
	c.check("identifier", checkIdentifier(api.Identifier))
	c.check("name", profile.Name(api.Name))
	if len(api.Scopes) > maxAPIScopes {
		c.add("scopes", "there are more than %d", maxAPIScopes)
		return c.err()
	}
	seen := make(map[string]bool)
	for _, s := range api.Scopes {
		spelling := identity.Name(s.Name)
		switch err := checkScope(s.Name); {
		case err != nil:
			c.add("scopes", "%q: %s", s.Name, err)
		case slices.Contains(standardScopes, spelling):
			c.add("scopes", "%q means the same at every API, and is not one's own", s.Name)
		case permission.Reserved(s.Name):
			c.add("scopes", "%q: names that begin with %s are kept for Keizer itself", s.Name, permission.Prefix)
		case seen[spelling]:
			c.add("scopes", "%q stands there twice, in this spelling or another", s.Name)
		}
		seen[spelling] = true
		if err := checkDescription(s.Description); err != nil {
			c.add("scopes", "%q: description: %s", s.Name, err)
		}
	}
	return c.err()
}

func apiState(api *storage.API) map[string]any {
	scopes := make([]map[string]any, len(api.Scopes))
	for i, s := range api.Scopes {
		scopes[i] = map[string]any{"name": s.Name, "description": s.Description, "permission": s.Permission}
	}
	return map[string]any{"identifier": api.Identifier, "name": api.Name, "client_id": deref(api.ClientID), "scopes": scopes}
}

// ScopesOf returns the scopes of an API, by name.
func ScopesOf(api *storage.API) []APIScope {
	scopes := make([]APIScope, len(api.Scopes))
	for i, s := range api.Scopes {
		scopes[i] = APIScope{Name: s.Name, Description: s.Description, Permission: s.Permission}
	}
	return scopes
}

// CreateAPI registers an API of the organization. An identifier that is taken is a Conflict.
func (o *Operators) CreateAPI(ctx context.Context, wanted NewAPI) (*storage.API, error) {
	if err := o.checkOwnIdentifier(ctx, wanted.Identifier); err != nil {
		return nil, err
	}
	var made *storage.API
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		made = &storage.API{Identifier: wanted.Identifier, Name: wanted.Name}
		if err := o.shapeAPI(ctx, made, &wanted.ClientID, &wanted.Scopes); err != nil {
			return err
		}
		switch n, err := o.db.CountAPIs(ctx); {
		case err != nil:
			return err
		case n >= maxAPIs:
			return &Conflict{Field: "identifier", Message: fmt.Sprintf("there are %d APIs already, which is the most", maxAPIs)}
		}
		if err := o.db.CreateAPI(ctx, made); err != nil {
			return err
		}
		return o.audit(ctx, "api.created", made.ID.String(), map[string]any{"before": nil, "after": apiState(made)})
	})
	if errors.Is(err, storage.ErrConflict) {
		var conflict *Conflict
		if !errors.As(err, &conflict) {
			return nil, &Conflict{Field: "identifier", Message: "an API has it already"}
		}
	}
	if err != nil {
		return nil, during("register API", err)
	}
	return made, nil
}

// shapeAPI gives an API its client and its scopes, and says everything that is wrong with it.
func (o *Operators) shapeAPI(ctx context.Context, api *storage.API, clientID *string, scopes *[]APIScope) error {
	var c complaints
	if clientID != nil {
		api.ClientID = filled(*clientID)
	}
	if id := deref(api.ClientID); clientID != nil && id != "" {
		switch _, err := o.db.Client(ctx, id); {
		case errors.Is(err, storage.ErrNotFound):
			c.add("client_id", "the organization has no client %q", id)
		case err != nil:
			return err
		}
	}
	if scopes != nil {
		if err := o.writeScopes(ctx, &c, api, *scopes); err != nil {
			return err
		}
	}
	return errors.Join(checkAPI(api), c.err())
}

func (o *Operators) writeScopes(ctx context.Context, c *complaints, api *storage.API, scopes []APIScope) error {
	var names []string
	for _, s := range scopes {
		if s.Permission != "" {
			names = append(names, s.Permission)
		}
	}
	rows, err := o.db.PermissionsNamed(ctx, names)
	if err != nil {
		return err
	}
	api.Scopes = make([]storage.APIScope, len(scopes))
	for i, s := range scopes {
		api.Scopes[i] = storage.APIScope{Name: s.Name, Description: s.Description, Permission: s.Permission}
		if s.Permission == "" {
			continue
		}
		at := slices.IndexFunc(rows, func(p storage.Permission) bool { return p.Name == s.Permission })
		if at < 0 {
			c.add("scopes", "%q: %s", s.Name, noPermission(s.Permission))
			continue
		}
		api.Scopes[i].PermissionID = &rows[at].ID
	}
	slices.SortFunc(api.Scopes, func(a, b storage.APIScope) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

// API returns an API of the organization.
func (o *Operators) API(ctx context.Context, id uuid.UUID) (*storage.API, error) {
	return o.db.API(ctx, id)
}

// APIByIdentifier returns an API of the organization by what its tokens have as audience.
func (o *Operators) APIByIdentifier(ctx context.Context, identifier string) (*storage.API, error) {
	return o.db.APIByIdentifier(ctx, identifier)
}

// ListAPIs returns APIs in the order of their identifiers, those after the given one.
func (o *Operators) ListAPIs(ctx context.Context, after string, limit int) ([]storage.API, error) {
	return o.db.ListAPIs(ctx, after, limit)
}

// UpdateAPI changes an API of the organization: tokens that are issued from the next second on go by it, on every replica. To untie
// a scope from a permission, or tie it to another one, takes the permission (else Forbidden): it would be a way to have what it guards.
func (o *Operators) UpdateAPI(ctx context.Context, id uuid.UUID, patch APIPatch) (api *storage.API, err error) {
	for range retries {
		err = o.db.InTx(ctx, func(ctx context.Context) error {
			if api, err = o.db.API(ctx, id); err != nil {
				return err
			}
			before, tied := apiState(api), api.Scopes
			set(&api.Name, patch.Name)
			if err := o.shapeAPI(ctx, api, patch.ClientID, patch.Scopes); err != nil {
				return err
			}
			if err := mayGive(ctx, loosened(tied, api.Scopes)...); err != nil {
				return err
			}
			after := apiState(api)
			if sameJSON(before, after) {
				return nil
			}
			if err := o.db.UpdateAPI(ctx, api); err != nil {
				return err
			}
			return o.audit(ctx, "api.updated", id.String(), map[string]any{"before": before, "after": after})
		})
		if !errors.Is(err, storage.ErrConflict) {
			break
		}
	}
	if err != nil {
		return nil, during("update API", err)
	}
	return api, nil
}

// loosened returns the permissions that scopes are no longer tied to. That a scope is gone is no different: it could be made again.
func loosened(before, after []storage.APIScope) (names []string) {
	for _, was := range before {
		same := func(is storage.APIScope) bool { return is.Name == was.Name && is.Permission == was.Permission }
		if was.Permission != "" && !slices.ContainsFunc(after, same) {
			names = append(names, was.Permission)
		}
	}
	return names
}

// DeleteAPI removes an API of the organization with its scopes: no token is issued for it any more. It takes the permissions that they
// are tied to, as UpdateAPI does.
func (o *Operators) DeleteAPI(ctx context.Context, id uuid.UUID) error {
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		api, err := o.db.API(ctx, id)
		if err != nil {
			return err
		}
		if err := mayGive(ctx, loosened(api.Scopes, nil)...); err != nil {
			return err
		}
		if err := o.db.DeleteAPI(ctx, id); err != nil {
			return err
		}
		return o.audit(ctx, "api.deleted", id.String(), map[string]any{"before": apiState(api), "after": nil})
	})
	if err != nil {
		return during("delete API", err)
	}
	return nil
}
