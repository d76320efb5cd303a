package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

// caller is whom a request is from.
type caller struct {
	org *tenant.Org
	// user is the person, or nil for a client that acts for itself.
	user     *storage.User
	clientID string
	scopes   []string
	// held are the permissions that the token lets its holder use: what was asked for, as far as they have it at this moment.
	held []string
	// own are those that the holder has in applications of the organization's own.
	own []string
}

// name is what the audit calls the caller in an organization: an actor from elsewhere is said to be one, and so is everybody where
// it is not known which organization that will be.
func (c *caller) name(in *tenant.Org) string {
	name := "client:" + c.clientID
	if c.user != nil {
		name = "user:" + c.user.ID.String()
	}
	if in == nil || in.ID != c.org.ID {
		name += "@" + c.org.Slug
	}
	return name
}

func (c *caller) holds(name string) bool { return slices.Contains(c.held, name) }

// reaching is the permission by which somebody of the root organization may do in every organization what takes name in their own.
func reaching(name string) string {
	if strings.HasSuffix(name, ":"+permission.Read) {
		return permission.OrganizationsRead
	}
	return permission.OrganizationsWrite
}

// may reports whether the caller may do in an organization what takes name.
func (c *caller) may(in *tenant.Org, name string) bool {
	return in.ID == c.org.ID && c.holds(name) || c.org.Root && c.holds(reaching(name))
}

// bound is what the caller may do at the most in an organization, and so what they may give away.
func (c *caller) bound(in *tenant.Org) *manage.Bound {
	if c.org.Root && c.holds(permission.OrganizationsWrite) {
		var everything []string
		for _, p := range permission.All() {
			everything = append(everything, p.Name)
		}
		return &manage.Bound{Permissions: everything, Own: true}
	}
	if in == nil || in.ID != c.org.ID {
		return &manage.Bound{}
	}
	return &manage.Bound{Permissions: slices.Concat(c.held, c.own), Own: c.user == nil}
}

type callerKey struct{}

// callerOf is whom the request of a context is from.
func callerOf(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	return c
}

// authenticate finds out whom a request is from, by its one access token (RFC 6750 §2.1). A token in the address or in the body is
// not looked at, and neither is any cookie. Nothing is remembered from one request to the next: who was switched off, and what was
// taken from somebody, counts at once.
func (a *API) authenticate(ctx context.Context, r *http.Request) (*caller, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) > 1 {
		return nil, challenge(http.StatusBadRequest, "invalid_request", "The request has more than one Authorization header.")
	}
	if len(headers) == 0 {
		return nil, challenge(http.StatusUnauthorized, "", "The request needs an access token.")
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil, challenge(http.StatusUnauthorized, "", "The request needs an access token.")
	}
	// Neither a refresh token nor an ID token is one: the first has another form, and of the second no digest is known.
	digest, ok := secret.AccessTokenDigest(token)
	if !ok {
		return nil, unknownToken()
	}
	found, err := a.holder(ctx, digest)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, unknownToken()
	}
	return found, err
}

func (a *API) holder(ctx context.Context, digest string) (*caller, error) {
	row, err := a.db.TokenOrganization(ctx, digest)
	if err != nil {
		return nil, err
	}
	org, err := a.tenantOf(row)
	if err != nil {
		return nil, err
	}
	ctx = tenant.With(ctx, org)
	access, grant, err := a.db.AccessToken(ctx, digest)
	if err != nil {
		return nil, err
	}
	client, err := a.db.Client(ctx, access.ClientID)
	if err != nil {
		return nil, err
	}
	if client.Disabled {
		return nil, storage.ErrNotFound
	}
	if !slices.Contains(access.Audience, a.audience) {
		return nil, challenge(http.StatusUnauthorized, "invalid_token", "The access token is for another resource.")
	}
	c := &caller{org: org, clientID: access.ClientID, scopes: access.Scope}
	var id *uuid.UUID
	if grant != nil {
		id = grant.UserID
	}
	held := permission.Effective(slices.DeleteFunc(slices.Clone(access.Scope), func(name string) bool { return !permission.Known(name) }), org.Root)
	if id == nil {
		c.held = held
		return c, nil
	}
	if c.user, err = a.db.User(ctx, *id); err != nil {
		return nil, err
	}
	_, rights, err := a.db.RightsOf(ctx, *id)
	if err != nil {
		return nil, err
	}
	for _, name := range rights {
		switch {
		case !permission.Reserved(name):
			c.own = append(c.own, name)
		case slices.Contains(held, name):
			c.held = append(c.held, name)
		}
	}
	return c, nil
}

// tenantOf is an organization as requests see it, suspended ones too.
func (a *API) tenantOf(row *storage.Organization) (*tenant.Org, error) {
	return a.operators.Addresses().Tenant(row, time.Now())
}

// challenge is a refusal of a token (RFC 6750 §3).
func challenge(status int, code, detail string) *Problem {
	header := `Bearer realm="keizer"`
	if code != "" {
		header += `, error="` + code + `", error_description="` + detail + `"`
	}
	return problem(status, typeBlank, detail).with("WWW-Authenticate", header)
}

func unknownToken() *Problem {
	return challenge(http.StatusUnauthorized, "invalid_token", "The access token is unknown, expired or revoked.")
}

// insufficient is the refusal of a good token that may not do this (RFC 6750 §3.1).
func insufficient(name string) *Problem {
	header := `Bearer realm="keizer", error="insufficient_scope", error_description="It takes the permission ` + name + `.", scope="` + name + `"`
	return problem(http.StatusForbidden, typeScope, "It takes the permission "+name+", as a scope of the token and by a role of the person.").
		with("WWW-Authenticate", header)
}

// authorize finds the organization that a request is about, and whether its caller may do there what an operation takes. An
// organization that is none of the caller's business is as one that does not exist, and is not looked for.
func (a *API) authorize(ctx context.Context, c *caller, o *operation, slug string) (*tenant.Org, error) {
	name := o.permission
	if name == anyone {
		return c.org, nil
	}
	if !o.inOrganization() { // it is for those who reach into all
		if !c.org.Root || !c.holds(name) {
			return nil, insufficient(name)
		}
		return c.org, nil
	}
	in := c.org
	if slug != c.org.Slug {
		if !c.org.Root || !c.holds(permission.OrganizationsRead) && !c.holds(permission.OrganizationsWrite) {
			return nil, missing()
		}
		row, err := a.db.OrganizationBySlug(ctx, slug)
		if err != nil {
			return nil, err
		}
		if in, err = a.tenantOf(row); err != nil {
			return nil, err
		}
	}
	if c.may(in, name) {
		return in, nil
	}
	return nil, insufficient(name)
}

// limit counts a request of a caller: here first, so that what comes in great numbers costs the database nothing.
func (a *API) limit(ctx context.Context, c *caller) error {
	subject := c.org.ID.String() + " " + c.name(nil)
	if err := a.requests.Take(subject); err != nil {
		return err
	}
	return a.bundles.Take(subject, func() error { return a.db.Take(tenant.With(ctx, c.org), throttle.APIActor, c.name(nil)) })
}
