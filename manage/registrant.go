package manage

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/redirect"
	"github.com/keizer-auth/keizer/internal/responsetype"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/strictjson"
	"github.com/keizer-auth/keizer/storage"
)

// operatorMembers are Keizer's own. Whoever registers a client by themselves decides none of them (S-132).
var operatorMembers = []string{"response_modes", "audience", "access_token_format", "skip_consent", "pkce_optional", storage.ClaimMappings}

// givenMembers are those that the server gives, and that no request for an update may have (RFC 7592 §2.2). client_id and client_secret
// are given, too, and may stand there as they are.
var givenMembers = []string{"client_id_issued_at", "client_secret_expires_at", "registration_access_token", "registration_client_uri"}

// statementMembers are claims of a JWT that say something of the statement, and nothing of the software (RFC 7519 §4.1).
var statementMembers = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}

const memberStatement = "software_statement"

// understood reports whether a member of client metadata means something here, supported or not. What a server does not understand it
// ignores where a client is registered (RFC 7591 §2).
func understood(name string) bool {
	member, _, localized := strings.Cut(name, "#")
	switch {
	case localized:
		return slices.Contains(localizedMembers, member)
	case slices.Contains(operatorMembers, name), slices.Contains(givenMembers, name),
		slices.Contains([]string{"client_id", "client_secret", memberStatement}, name):
		return false
	case slices.Contains(ownMembers, name):
		return true
	}
	var c complaints
	ClientSpec{}.checkMember(&c, name, nil, outbound.Options{})
	return len(c.found) == 0 || Complaints(c.err())[0].Message != notKnown
}

// readRegistrant reads the members of client metadata that whoever registers a client asks for. Those that are null or empty are as if they
// had been left out (RFC 7592 §2.2), and so is what asks for nothing that there is: that something be not done which is never done.
func readRegistrant(members map[string]json.RawMessage) (ClientSpec, error) {
	asked := make(map[string]json.RawMessage, len(members))
	for name, value := range members {
		switch text := string(value); {
		case !understood(name), text == "null", text == `""`:
		case text == "false" && slices.Contains(unsupportedMembers, name):
		default:
			asked[name] = value
		}
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return ClientSpec{}, err
	}
	return ParseClientSpec(body)
}

// vouched are the members of a registration, with what a software statement says in place of what the client says (RFC 7591 §2.3).
func vouched(members, claims map[string]json.RawMessage) map[string]json.RawMessage {
	all := maps.Clone(members)
	for name, value := range claims {
		if !slices.Contains(statementMembers, name) && strictjson.Check(value) == nil {
			all[name] = value
		}
	}
	return all
}

// within returns what an organization lets a registered client have of what it asks for, complete. What is a list is cut down to what is
// allowed (RFC 7591 §3.2.1), of which the client is told; what remains must be something. had are the scopes that the client has already:
// operators may have given it more.
func (s ClientSpec) within(policy *settings.Registration, legacy bool, had []string) (ClientSpec, error) {
	var c complaints
	grants := slices.DeleteFunc(slices.Clone(policy.AllowedGrants()), func(grant string) bool { return grant == GrantImplicit && !legacy })
	if asked := s.Complete().GrantTypes; len(asked) > 0 {
		s.GrantTypes = kept(asked, grants)
		if len(s.GrantTypes) == 0 {
			c.add("grant_types", "registered clients may use %s here", strings.Join(grants, ", "))
		}
	}
	if asked := s.ResponseTypes; len(asked) > 0 {
		s.ResponseTypes = slices.DeleteFunc(slices.Clone(asked), func(text string) bool {
			t, ok := responsetype.Parse(text)
			return ok && (t.Code && !slices.Contains(s.GrantTypes, GrantCode) || t.Direct() && !slices.Contains(s.GrantTypes, GrantImplicit))
		})
		if len(s.ResponseTypes) == 0 {
			c.add("response_types", "none of them goes with the grant types that registered clients may use here")
		}
	}
	if code, direct := s.responds(); !direct && (code || len(s.ResponseTypes) == 0) && len(s.GrantTypes) > 1 {
		// What is never asked for is of no use to the client.
		s.GrantTypes = slices.DeleteFunc(s.GrantTypes, func(grant string) bool { return grant == GrantImplicit })
	}
	if len(policy.AuthMethods) > 0 {
		if method := s.Complete().AuthMethod; !slices.Contains(policy.AuthMethods, method) {
			c.add("token_endpoint_auth_method", "registered clients authenticate by %s here, and not by %s", strings.Join(policy.AuthMethods, ", "), method)
		}
	}
	s.Scope = s.scopesWithin(&c, slices.Concat(policy.AllowedScopes(), had))
	for _, uri := range s.RedirectURIs {
		checkRegistrantURI(&c, "redirect_uris", uri, policy, s.Metadata["application_type"] == "native")
	}
	for _, uri := range s.PostLogoutRedirectURIs {
		checkRegistrantURI(&c, "post_logout_redirect_uris", uri, policy, false)
	}
	if err := c.err(); err != nil {
		return s, err
	}
	s = s.Complete()
	s.PKCEOptional = policy.PKCEOptional && s.AuthMethod != AuthNone
	return s, nil
}

// scopesWithin are the scopes, cut down to what is allowed. Who asks for none in particular may have all (RFC 7591 §2, scope).
func (s ClientSpec) scopesWithin(c *complaints, allowed []string) string {
	refreshes, people := slices.Contains(s.GrantTypes, GrantRefresh), s.Complete().hasPeople()
	allowed = slices.DeleteFunc(slices.Clone(allowed), permission.Reserved)
	if refreshes && !slices.Contains(allowed, scopeOffline) {
		c.add("grant_types", "refresh_token takes the scope %s, which registered clients do not have here", scopeOffline)
	}
	asked := s.Scopes()
	if len(asked) == 0 {
		asked = slices.DeleteFunc(slices.Clone(allowed), func(scope string) bool {
			return scope == scopeOffline && !refreshes || !people && (scope == scopeOpenID || scope == scopeOffline)
		})
	} else if asked = kept(asked, allowed); len(asked) == 0 {
		c.add("scope", "registered clients may have %s here", strings.Join(allowed, " "))
	}
	return strings.Join(kept(asked, asked), " ")
}

// kept are those of the words that are among others, each once.
func kept(words, among []string) (all []string) {
	for _, word := range words {
		if slices.Contains(among, word) && !slices.Contains(all, word) {
			all = append(all, word)
		}
	}
	return all
}

// checkRegistrantURI checks where the browser may be sent against what the organization allows; that an address can be registered at all is
// checked elsewhere.
func checkRegistrantURI(c *complaints, field, uri string, policy *settings.Registration, native bool) {
	parsed, err := url.Parse(uri)
	if err != nil || redirect.ValidateRegistration(uri) != nil {
		return
	}
	switch {
	case native && parsed.Scheme == "https":
		// OpenID Connect Dynamic Client Registration 1.0 §2, application_type.
		c.add(field, "%s: a native application has a scheme of its own, or http at the person's own machine", uri)
	case len(policy.RedirectSchemes) > 0 && !slices.Contains(policy.RedirectSchemes, parsed.Scheme):
		c.add(field, "%s: the schemes of registered clients are %s here", uri, strings.Join(policy.RedirectSchemes, ", "))
	case parsed.Scheme == "https" && len(policy.RedirectHosts) > 0 && !hostAllowed(policy.RedirectHosts, parsed.Hostname()):
		c.add(field, "%s: registered clients are at %s here", uri, strings.Join(policy.RedirectHosts, ", "))
	}
}

func hostAllowed(allowed []string, host string) bool {
	return slices.ContainsFunc(allowed, func(one string) bool {
		below, wild := strings.CutPrefix(one, "*")
		return one == host || wild && strings.HasSuffix(host, below) && len(host) > len(below)
	})
}

// RegistrationInformation is what whoever registered a client is answered (RFC 7591 §3.2.1, RFC 7592 §3): everything about it.
type RegistrationInformation struct {
	ClientID string `json:"client_id"`
	IssuedAt int64  `json:"client_id_issued_at"`
	// ClientSecret is there when it has just been made.
	ClientSecret string `json:"client_secret,omitempty"`
	// SecretExpiresAt is there whenever the client has a secret; 0 is never.
	SecretExpiresAt   *int64 `json:"client_secret_expires_at,omitempty"`
	Token             string `json:"registration_access_token"`
	URI               string `json:"registration_client_uri"`
	SoftwareStatement string `json:"software_statement,omitempty"`

	Spec ClientSpec `json:"-"`
}

// MarshalJSON writes everything as one object.
func (i RegistrationInformation) MarshalJSON() ([]byte, error) {
	type own RegistrationInformation
	return mergeJSON(i.Spec, own(i))
}

func (r *Registered) information(issuer string) RegistrationInformation {
	info := RegistrationInformation{
		ClientID: r.Client.ClientID, IssuedAt: r.Client.CreatedAt.Unix(), ClientSecret: r.Secret.Reveal(), Token: r.Token.Reveal(),
		URI: issuer + RegistrationPath + "/" + r.Client.ClientID, SoftwareStatement: text(r.Client.SoftwareStatement), Spec: SpecOf(r.Client),
	}
	if hasSecrets(r.Client) {
		info.SecretExpiresAt = new(int64)
	}
	return info
}

func hasSecrets(client *storage.Client) bool { return client.SecretDigest != nil }
