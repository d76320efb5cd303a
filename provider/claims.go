package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"

	"github.com/keizer-auth/keizer/internal/claimmap"
	"github.com/keizer-auth/keizer/internal/claimsource"
	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

// The scopes of OpenID Connect Core 1.0 §5.4 and §11.
const (
	scopeOpenID        = "openid"
	scopeProfile       = "profile"
	scopeEmail         = "email"
	scopeAddress       = "address"
	scopePhone         = "phone"
	scopeOfflineAccess = "offline_access"

	// These are ours: what somebody is and may do in the organization.
	scopeRoles       = "roles"
	scopePermissions = "permissions"
)

// audience is the aud claim: one string, or several in an array (RFC 7519 §4.1.3).
type audience []string

// MarshalJSON implements json.Marshaler.
func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// profileMetadata are the claims of the profile scope that the users table has no column for. They live in the user's
// metadata under their standard names.
var profileMetadata = [...]string{
	"family_name", "given_name", "middle_name", "nickname", "profile", "picture", "website", "gender", "birthdate", "zoneinfo", "locale",
}

// addressMembers are those of OpenID Connect Core 1.0 §5.1.1.
var addressMembers = [...]string{"formatted", "street_address", "locality", "region", "postal_code", "country"}

// userClaims is the one place where a user becomes claims (OpenID Connect Core 1.0 §5.1 and §5.4). What is unknown is left
// out: no claim is ever null, empty, or of another type than the specification gives it. That somebody has no role is known: that list is
// empty.
func userClaims(user *storage.User, scopes []string, held *rights) map[string]any {
	claims := map[string]any{"sub": user.ID.String()}

	text := func(name string, value *string) {
		if value != nil && *value != "" {
			claims[name] = *value
		}
	}
	metadata := func(name string) {
		if value, ok := user.Metadata[name].(string); ok && value != "" {
			claims[name] = value
		}
	}

	if slices.Contains(scopes, scopeProfile) {
		text("name", user.FullName)
		text("preferred_username", user.Username)
		for _, name := range profileMetadata {
			metadata(name)
		}
		if !user.UpdatedAt.IsZero() {
			claims["updated_at"] = user.UpdatedAt.Unix()
		}
	}
	if slices.Contains(scopes, scopeEmail) && user.Email != "" {
		claims["email"] = user.Email
		claims["email_verified"] = user.IsVerified
	}
	if slices.Contains(scopes, scopePhone) {
		metadata("phone_number")
		if verified, ok := user.Metadata["phone_number_verified"].(bool); ok && claims["phone_number"] != nil {
			claims["phone_number_verified"] = verified
		}
	}
	if slices.Contains(scopes, scopeAddress) {
		if address := addressClaim(user.Metadata["address"]); len(address) > 0 {
			claims["address"] = address
		}
	}
	if held != nil {
		said := held.saidBy(scopes)
		if said.Roles != nil {
			claims["roles"] = said.Roles
		}
		if said.Permissions != nil {
			claims["permissions"] = said.Permissions
		}
	}
	return claims
}

// telling is what somebody is told about a person, and where.
type telling struct {
	client *fositestore.Client
	facts  fositestore.Facts
	// place is one of those of claimmap, and room how many bytes there are for what is mapped there; less than 0 is no bound.
	place string
	room  int
	// granted are the scopes that were granted, scopes those of them whose claims stand here, names the claims that were asked for here.
	granted, scopes, names []string
}

// mappings are those by which something is said here.
func (t *telling) mappings() []claimmap.Mapping {
	return slices.DeleteFunc(slices.Clone(t.client.ClaimMappings()), func(m claimmap.Mapping) bool { return !m.Given(t.place, t.granted) })
}

// tell returns everything that is said about a person: by scope, by name, and by the mappings of the client. It does not say who that is.
func (p *Provider) tell(ctx context.Context, user *storage.User, t telling) (map[string]any, error) {
	mappings := t.mappings()
	var held *rights
	if sayRights(t.scopes) || sayRights(t.names) || needRights(mappings) {
		var err error
		if held, err = p.rightsOf(ctx, user.ID); err != nil {
			return nil, err
		}
	}
	spoken := inLocales(user, t.facts.Claims.Locales)
	claims := userClaims(spoken, t.scopes, held)
	maps.Copy(claims, namedClaims(spoken, t.names, held))
	mapped(claims, mappings, spoken, held, t.room)
	delete(claims, "sub")
	return claims, p.tellSources(ctx, user, t, claims)
}

// tellSources adds where claims are to be had that others vouch for, as providers have told of them (OpenID Connect Core 1.0 §5.6.2). They
// are asked for as any others are, and what is known here counts. They are told at userinfo only, and where there is none to be asked: in
// headers and addresses there is no room for them.
func (p *Provider) tellSources(ctx context.Context, user *storage.User, t telling, claims map[string]any) error {
	if t.place == claimmap.AccessToken || t.place == claimmap.IDToken && len(t.scopes) == 0 || len(t.scopes)+len(t.names) == 0 {
		return nil
	}
	if some, err := p.sources.any(ctx); err != nil || !some {
		return err
	}
	texts, err := p.db.ClaimSourcesOf(ctx, user.ID)
	if err != nil || len(texts) == 0 {
		return err
	}
	var sets []*claimsource.Set
	for _, text := range texts {
		if set := claimsource.Parse(text); set != nil {
			sets = append(sets, set)
		}
	}
	claimsource.Add(claims, sets, func(claim string) bool {
		scope, ok := scopeOfClaim(claim)
		return ok && profile.Standard(claim) && (slices.Contains(t.scopes, scope) || slices.Contains(t.names, claim))
	})
	return nil
}

// claimSources remembers for a moment whether there is anybody in an organization of whom others vouch for claims: mostly there is not, and
// then nobody is looked up.
type claimSources struct {
	db    *storage.DB
	cache *otter.Cache[uuid.UUID, bool]
}

// claimSourcesTime is how long it is remembered.
const claimSourcesTime = time.Second

func newClaimSources(db *storage.DB) *claimSources {
	return &claimSources{db: db, cache: otter.Must(&otter.Options[uuid.UUID, bool]{
		MaximumSize: 20_000, ExpiryCalculator: otter.ExpiryWriting[uuid.UUID, bool](claimSourcesTime),
	})}
}

func (s *claimSources) any(ctx context.Context) (bool, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return false, err
	}
	if some, ok := s.cache.GetIfPresent(org.ID); ok {
		return some, nil
	}
	some, err := s.db.HasClaimSources(ctx)
	if err == nil {
		s.cache.Set(org.ID, some)
	}
	return some, err
}

// tellOf is tell for a token of a grant, whose person is looked up if there is anything to say.
func (p *Provider) tellOf(ctx context.Context, session *fositestore.Session, t telling) (map[string]any, error) {
	t.facts = session.Facts
	if len(t.scopes)+len(t.names) == 0 && len(t.mappings()) == 0 {
		return nil, nil //nolint:nilnil // which is most tokens
	}
	id, err := uuid.Parse(session.Subject)
	if err != nil {
		return nil, fmt.Errorf("claims about nobody: %w", err)
	}
	user, err := p.db.User(ctx, id)
	if err != nil {
		return nil, err
	}
	return p.tell(ctx, user, t)
}

func addressClaim(stored any) map[string]string {
	members, ok := stored.(map[string]any)
	if !ok {
		return nil
	}
	address := make(map[string]string, len(addressMembers))
	for _, name := range addressMembers {
		if value, ok := members[name].(string); ok && value != "" {
			address[name] = value
		}
	}
	return address
}
