package manage

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/keizer-auth/keizer/internal/claimmap"
	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/internal/redirect"
	"github.com/keizer-auth/keizer/internal/responsetype"
	"github.com/keizer-auth/keizer/internal/strictjson"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

// The ways a client can authenticate (RFC 7591 §2), the grants it can use and the formats of its access tokens.
const (
	AuthBasic         = "client_secret_basic"
	AuthPost          = "client_secret_post"
	AuthPrivateKeyJWT = "private_key_jwt"
	AuthSecretJWT     = "client_secret_jwt"
	AuthNone          = "none"

	GrantCode              = "authorization_code"
	GrantImplicit          = "implicit"
	GrantRefresh           = "refresh_token"
	GrantClientCredentials = "client_credentials"

	FormatOpaque = "opaque"
	FormatJWT    = "jwt"

	scopeOpenID  = "openid"
	scopeOffline = "offline_access"
)

const (
	maxURIs     = 50
	maxURI      = 2048 // characters
	maxScopes   = 50
	maxScope    = 128 // characters
	maxContacts = 10
	maxSpec     = 128 << 10 // bytes, as JSON
)

// ClientSpec is what a client is to be, under the names of RFC 7591 §2 and of ours where that has none (response_modes,
// access_token_format, skip_consent, pkce_optional, claim_mappings, audience). What is left empty takes the default of Complete.
type ClientSpec struct {
	Name                   string             `json:"client_name,omitempty"`
	RedirectURIs           []string           `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs []string           `json:"post_logout_redirect_uris,omitempty"`
	AuthMethod             string             `json:"token_endpoint_auth_method,omitempty"`
	GrantTypes             []string           `json:"grant_types,omitempty"`
	ResponseTypes          []string           `json:"response_types,omitempty"`
	ResponseModes          []string           `json:"response_modes,omitempty"`
	Scope                  string             `json:"scope,omitempty"` // separated by spaces
	Audience               []string           `json:"audience,omitempty"`
	IDTokenAlg             string             `json:"id_token_signed_response_alg,omitempty"`
	AccessTokenFormat      string             `json:"access_token_format,omitempty"`
	SkipConsent            bool               `json:"skip_consent,omitempty"`
	PKCEOptional           bool               `json:"pkce_optional,omitempty"`
	ClaimMappings          []claimmap.Mapping `json:"claim_mappings,omitempty"`
	JWKS                   json.RawMessage    `json:"jwks,omitempty"`
	JWKSURI                string             `json:"jwks_uri,omitempty"`
	ClientURI              string             `json:"client_uri,omitempty"`
	LogoURI                string             `json:"logo_uri,omitempty"`
	PolicyURI              string             `json:"policy_uri,omitempty"`
	TosURI                 string             `json:"tos_uri,omitempty"`
	Contacts               []string           `json:"contacts,omitempty"`
	// Metadata holds the registered members that have no field here, under their own names.
	Metadata map[string]any `json:"-"`
}

// plainSpec is a ClientSpec without its methods.
type plainSpec ClientSpec

// ParseClientSpec reads client metadata as RFC 7591 writes it. Members that no registry knows are Invalid: what is silently
// ignored is believed to be in force.
func ParseClientSpec(body []byte) (ClientSpec, error) {
	if len(body) > maxSpec {
		return ClientSpec{}, &Invalid{Field: "metadata", Message: fmt.Sprintf("it has more than %d bytes", maxSpec)}
	}
	members, err := strictjson.Object(body)
	if err != nil {
		return ClientSpec{}, &Invalid{Field: "metadata", Message: err.Error()}
	}
	var c complaints
	var spec plainSpec
	known := make(map[string]json.RawMessage)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		raw := members[name]
		if slices.Contains(ownMembers, name) {
			known[name] = raw
			continue
		}
		var value any
		if err := json.Unmarshal(raw, &value); err != nil || value == nil {
			c.add(name, "it must not be null")
			continue
		}
		if spec.Metadata == nil {
			spec.Metadata = make(map[string]any)
		}
		spec.Metadata[name] = value
	}
	if err := c.err(); err != nil {
		return ClientSpec{}, err
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		one, err := json.Marshal(map[string]json.RawMessage{name: known[name]})
		if err != nil {
			return ClientSpec{}, fmt.Errorf("read client metadata: %w", err)
		}
		if string(known[name]) == "null" || strictjson.Unmarshal(one, &spec) != nil {
			c.add(name, "it is not of the right type")
		}
	}
	if err := c.err(); err != nil {
		return ClientSpec{}, err
	}
	return ClientSpec(spec), nil
}

// ownMembers have a field in ClientSpec.
var ownMembers = []string{
	"client_name", "redirect_uris", "post_logout_redirect_uris", "token_endpoint_auth_method", "grant_types",
	"response_types", "response_modes", "scope", "audience", "id_token_signed_response_alg", "access_token_format",
	"skip_consent", "pkce_optional", "claim_mappings", "jwks", "jwks_uri", "client_uri", "logo_uri", "policy_uri", "tos_uri", "contacts",
}

// MarshalJSON writes the metadata as one object.
func (s ClientSpec) MarshalJSON() ([]byte, error) {
	own, err := json.Marshal(plainSpec(s))
	if err != nil || len(s.Metadata) == 0 {
		return own, err
	}
	return mergeJSON(s.Metadata, own)
}

// mergeJSON writes one object of several; of two members of one name the later counts.
func mergeJSON(parts ...any) ([]byte, error) {
	all := make(map[string]json.RawMessage)
	for _, part := range parts {
		encoded, ok := part.([]byte)
		if !ok {
			var err error
			if encoded, err = json.Marshal(part); err != nil {
				return nil, err
			}
		}
		if err := json.Unmarshal(encoded, &all); err != nil {
			return nil, err
		}
	}
	return json.Marshal(all)
}

// Scopes returns the scopes one by one.
func (s ClientSpec) Scopes() []string { return strings.Fields(s.Scope) }

// Complete returns the spec with a value for everything that was left empty:
//
//	grant_types                    what its response types need; authorization_code if it names none
//	token_endpoint_auth_method     client_secret_basic
//	response_types                 code, if the grant is authorization_code
//	response_modes                 query and form_post, likewise; fragment and form_post where tokens are given at once
//	scope                          openid profile email, likewise; else none
//	id_token_signed_response_alg   RS256
//	access_token_format            opaque
//
// A client that may use refresh tokens is allowed the scope offline_access as well, for without asking for it none gets one.
func (s ClientSpec) Complete() ClientSpec {
	code, direct := s.responds()
	if len(s.GrantTypes) == 0 {
		if code || !direct {
			s.GrantTypes = append(s.GrantTypes, GrantCode)
		}
		if direct {
			s.GrantTypes = append(s.GrantTypes, GrantImplicit)
		}
	}
	if s.AuthMethod == "" {
		s.AuthMethod = AuthBasic
	}
	if slices.Contains(s.GrantTypes, GrantCode) && len(s.ResponseTypes) == 0 {
		s.ResponseTypes = []string{responsetype.Code}
	}
	if s.hasPeople() && len(s.ResponseModes) == 0 {
		code, direct = s.responds()
		if code {
			s.ResponseModes = append(s.ResponseModes, "query")
		}
		if direct {
			s.ResponseModes = append(s.ResponseModes, "fragment")
		}
		s.ResponseModes = append(s.ResponseModes, "form_post")
	}
	if s.hasPeople() && s.Scope == "" {
		s.Scope = "openid profile email"
	}
	if slices.Contains(s.GrantTypes, GrantRefresh) && !slices.Contains(s.Scopes(), scopeOffline) {
		s.Scope = strings.TrimSpace(s.Scope + " " + scopeOffline)
	}
	if s.IDTokenAlg == "" {
		s.IDTokenAlg = keys.RS256
	}
	if s.AccessTokenFormat == "" {
		s.AccessTokenFormat = FormatOpaque
	}
	return s
}

// Validate says everything that is wrong with a complete spec; every complaint is an Invalid.
func (s ClientSpec) Validate() error { return s.validate(outbound.Options{}) }

func (s ClientSpec) validate(reach outbound.Options) error {
	var c complaints
	c.check("client_name", profile.Name(s.Name))
	s.checkGrants(&c)
	s.checkRedirects(&c, reach)
	s.checkScopes(&c)
	s.checkKeys(&c, reach)
	s.checkSubject(&c, reach)
	s.checkMappings(&c)

	oneOf(&c, "id_token_signed_response_alg", s.IDTokenAlg, keys.Algorithms())
	oneOf(&c, "access_token_format", s.AccessTokenFormat, []string{FormatOpaque, FormatJWT})
	each(&c, "audience", s.Audience, maxURIs, checkAudience)
	each(&c, "contacts", s.Contacts, maxContacts, profile.Name)
	for field, uri := range map[string]string{"client_uri": s.ClientURI, "logo_uri": s.LogoURI, "policy_uri": s.PolicyURI, "tos_uri": s.TosURI} {
		if uri != "" {
			c.check(field, profile.Link(uri))
		}
	}
	s.checkMetadata(&c, reach)
	slices.SortStableFunc(c.found, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return c.err()
}

// responds reports whether the client is registered to be given codes by themselves, and to be given tokens in the address of a browser.
func (s ClientSpec) responds() (code, direct bool) {
	for _, text := range s.ResponseTypes {
		if t, ok := responsetype.Parse(text); ok {
			code, direct = code || t.Code, direct || t.Direct()
		}
	}
	return code, direct
}

// hasPeople reports whether people are sent here by the client.
func (s ClientSpec) hasPeople() bool {
	return slices.Contains(s.GrantTypes, GrantCode) || slices.Contains(s.GrantTypes, GrantImplicit)
}

func (s ClientSpec) checkGrants(c *complaints) {
	oneOf(c, "token_endpoint_auth_method", s.AuthMethod, []string{AuthBasic, AuthPost, AuthPrivateKeyJWT, AuthSecretJWT, AuthNone})
	code := slices.Contains(s.GrantTypes, GrantCode)
	for _, grant := range s.GrantTypes {
		switch {
		case !slices.Contains([]string{GrantCode, GrantImplicit, GrantRefresh, GrantClientCredentials}, grant):
			c.add("grant_types", "grant type %q is not supported", grant)
		case grant == GrantRefresh && !code:
			c.add("grant_types", "refresh_token is of use with authorization_code only")
		case grant == GrantClientCredentials && s.AuthMethod == AuthNone:
			// RFC 6749 §4.4: it would be a token for whoever asks.
			c.add("grant_types", "client_credentials is for clients that authenticate")
		}
	}
	distinct(c, "grant_types", s.GrantTypes)
	if s.PKCEOptional && s.AuthMethod == AuthNone {
		// RFC 9700 §2.1.1: nothing else would tell whose code it is.
		c.add("pkce_optional", "it is for clients that authenticate")
	}
	s.checkResponses(c)
}

// checkResponses holds response types and grant types to one another (OpenID Connect Dynamic Client Registration 1.0 §2).
func (s ClientSpec) checkResponses(c *complaints) {
	var written []string
	for _, text := range s.ResponseTypes {
		t, ok := responsetype.Parse(text)
		switch {
		case !ok:
			c.add("response_types", "response type %q is not supported", text)
			continue
		case t.Code && !slices.Contains(s.GrantTypes, GrantCode):
			c.add("response_types", "%q is for the grant type authorization_code only", text)
		case t.Direct() && !slices.Contains(s.GrantTypes, GrantImplicit):
			c.add("response_types", "%q is for the grant type implicit only", text)
		}
		written = append(written, t.String())
	}
	distinct(c, "response_types", written)
	code, direct := s.responds()
	if !direct && slices.Contains(s.GrantTypes, GrantImplicit) {
		c.add("grant_types", "implicit is of use with a response type that has token or id_token in it only")
	}
	for _, mode := range s.ResponseModes {
		switch {
		case mode != "query" && mode != "fragment" && mode != "form_post":
			c.add("response_modes", "response mode %q is not supported", mode)
		case mode == "query" && !code && direct:
			c.add("response_modes", "no token is given in a query")
		}
	}
	distinct(c, "response_modes", s.ResponseModes)
	if !s.hasPeople() && len(s.ResponseModes) > 0 {
		c.add("response_modes", "they are for the grant types authorization_code and implicit only")
	}
}

func (s ClientSpec) checkRedirects(c *complaints, reach outbound.Options) {
	people := s.hasPeople()
	switch {
	case people && len(s.RedirectURIs) == 0:
		c.add("redirect_uris", "the grant types authorization_code and implicit need one at least")
	case !people && len(s.RedirectURIs) > 0:
		c.add("redirect_uris", "they are for the grant types authorization_code and implicit only")
	}
	if !people && len(s.PostLogoutRedirectURIs) > 0 {
		c.add("post_logout_redirect_uris", "they are for the grant types authorization_code and implicit only")
	}
	each(c, "redirect_uris", s.RedirectURIs, maxURIs, redirect.ValidateRegistration)
	if slices.Contains(s.GrantTypes, GrantImplicit) && s.Metadata["application_type"] != "native" && !reach.AllowLoopback {
		// OpenID Connect Dynamic Client Registration 1.0 §2, application_type.
		for _, uri := range s.RedirectURIs {
			if !strings.HasPrefix(uri, "https://") || redirect.IsLoopback(uri) {
				c.add("redirect_uris", "%s: tokens in the address are for https addresses that are not on the person's own machine", uri)
			}
		}
	}
	each(c, "post_logout_redirect_uris", s.PostLogoutRedirectURIs, maxURIs, redirect.ValidateRegistration)
}

func (s ClientSpec) checkScopes(c *complaints) {
	each(c, "scope", s.Scopes(), maxScopes, checkScope)
	for _, scope := range s.Scopes() {
		if permission.Reserved(scope) && !permission.Known(scope) {
			c.add("scope", "%q: names that begin with %s are kept for Keizer itself, and this is none of them", scope, permission.Prefix)
		}
	}
	if s.hasPeople() {
		return
	}
	for _, scope := range []string{scopeOpenID, scopeOffline} {
		if slices.Contains(s.Scopes(), scope) {
			c.add("scope", "%s is for clients that people sign in to", scope)
		}
	}
}

func (s ClientSpec) checkKeys(c *complaints, reach outbound.Options) {
	switch has, at := len(s.JWKS) > 0, s.JWKSURI != ""; {
	case has && at:
		c.add("jwks", "give jwks or jwks_uri, not both")
	case s.AuthMethod == AuthPrivateKeyJWT && !has && !at:
		c.add("jwks", "private_key_jwt needs jwks or jwks_uri")
	}
	if len(s.JWKS) > 0 {
		set, err := keys.ParseClientJWKS(s.JWKS)
		c.check("jwks", err)
		algs := keys.ClientAlgorithms()
		if only, ok := s.Metadata["token_endpoint_auth_signing_alg"].(string); ok && slices.Contains(algs, only) {
			algs = []string{only}
		}
		if err == nil && s.AuthMethod == AuthPrivateKeyJWT && !set.Verifies(algs...) {
			c.add("jwks", "private_key_jwt needs a key of it that verifies by %s", strings.Join(algs, ", "))
		}
	}
	if s.JWKSURI != "" {
		c.check("jwks_uri", reach.CheckURL(s.JWKSURI))
	}
}

// notKnown is what is said of a member that no registry knows.
const notKnown = "it is not a member of client metadata that is known"

// localizedMembers are those that may be there in several languages (RFC 7591 §2.2).
var localizedMembers = []string{"client_name", "client_uri", "logo_uri", "policy_uri", "tos_uri"}

// checkMappings checks what the client is to be told of people besides.
func (s ClientSpec) checkMappings(c *complaints) {
	if len(s.ClaimMappings) > 0 && !s.hasPeople() {
		c.add(storage.ClaimMappings, "they are for clients that people sign in to")
	}
	for _, wrong := range claimmap.Check(s.ClaimMappings, s.Scopes()) {
		c.check(storage.ClaimMappings, wrong)
	}
}

// checkMetadata goes through the registered members that have no field. Those that would promise what is not done are
// refused, all others are kept.
func (s ClientSpec) checkMetadata(c *complaints, reach outbound.Options) {
	for name, value := range s.Metadata {
		member, language, localized := strings.Cut(name, "#")
		switch {
		case localized:
			// RFC 7591 §2.2.
			if !slices.Contains(localizedMembers, member) || !isLanguage(language) {
				c.add(name, "it is not a member that has languages, or the language is none")
				continue
			}
			text, _ := value.(string)
			if member == "client_name" {
				c.check(name, profile.Name(text))
			} else {
				c.check(name, profile.Link(text))
			}
		default:
			s.checkMember(c, name, value, reach)
		}
	}
}

func (s ClientSpec) checkMember(c *complaints, name string, value any, reach outbound.Options) {
	text, _ := value.(string)
	switch name {
	case "application_type":
		if text != "web" && text != "native" {
			c.add(name, "it must be web or native")
		}
	case memberSubjectType, memberSectorURI: // checkSubject
	case "token_endpoint_auth_signing_alg":
		switch s.AuthMethod {
		case AuthPrivateKeyJWT:
			oneOf(c, name, text, keys.ClientAlgorithms())
		case AuthSecretJWT:
			oneOf(c, name, text, []string{keys.HS256})
		default:
			c.add(name, "it is for private_key_jwt and client_secret_jwt only")
		}
	case "userinfo_signed_response_alg":
		oneOf(c, name, text, keys.Algorithms())
	case "introspection_signed_response_alg":
		oneOf(c, name, text, keys.Algorithms())
		s.checkIntrospects(c, name)
	case "id_token_encrypted_response_alg", "userinfo_encrypted_response_alg":
		s.checkEncryption(c, name, text)
	case "introspection_encrypted_response_alg":
		s.checkEncryption(c, name, text)
		s.checkIntrospects(c, name)
	case "id_token_encrypted_response_enc", "userinfo_encrypted_response_enc", "introspection_encrypted_response_enc":
		oneOf(c, name, text, keys.ContentAlgorithms())
		if alg := strings.TrimSuffix(name, "enc") + "alg"; s.Metadata[alg] == nil {
			c.add(name, "it is of use with %s only", alg)
		}
	case "initiate_login_uri":
		c.check(name, profile.Link(text))
		if strings.Contains(text, "#") {
			c.add(name, "it must have no fragment")
		}
	case "software_id", "software_version":
		c.check(name, profile.Name(text))
	case "default_max_age":
		if n, ok := value.(float64); !ok || n < 0 || n != float64(int64(n)) || n > 1e9 {
			c.add(name, "it must be a whole number of seconds")
		}
	case "backchannel_logout_uri":
		c.check(name, checkLogoutURI(text, reach))
	case "frontchannel_logout_uri":
		c.check(name, checkLogoutURI(text, reach))
		if !slices.ContainsFunc(s.RedirectURIs, func(uri string) bool { return sameOrigin(uri, text) }) {
			c.add(name, "it must be at the scheme, host and port of a redirect URI")
		}
	case "backchannel_logout_session_required", "frontchannel_logout_session_required":
		if _, ok := value.(bool); !ok {
			c.add(name, "it must be true or false")
		}
	case "request_uris":
		values, ok := textsOf(value)
		if !ok {
			c.add(name, "it must be an array of texts")
		}
		each(c, name, values, maxURIs, func(uri string) error { return checkRequestURI(uri, reach) })
	case "request_object_signing_alg":
		oneOf(c, name, text, append(keys.ClientAlgorithms(), keys.None))
		if text != keys.None && len(s.JWKS) == 0 && s.JWKSURI == "" {
			c.add(name, "it needs jwks or jwks_uri")
		}
	case "request_object_encryption_alg":
		oneOf(c, name, text, keys.EncryptionAlgorithms())
	case "request_object_encryption_enc":
		oneOf(c, name, text, keys.ContentAlgorithms())
		if s.Metadata["request_object_encryption_alg"] == nil {
			c.add(name, "it needs request_object_encryption_alg")
		}
	case "require_signed_request_object":
		on, ok := value.(bool)
		switch {
		case !ok:
			c.add(name, "it must be true or false")
		case on && len(s.JWKS) == 0 && s.JWKSURI == "":
			c.add(name, "it needs jwks or jwks_uri")
		case on && s.Metadata["request_object_signing_alg"] == keys.None:
			c.add(name, "with the request_object_signing_alg none nothing is signed")
		}
	case "require_auth_time", "require_pushed_authorization_requests":
		if _, ok := value.(bool); !ok {
			c.add(name, "it must be true or false")
		}
	case "default_acr_values":
		values, ok := textsOf(value)
		if !ok || len(values) > maxScopes || slices.ContainsFunc(values, func(text string) bool { return checkScope(text) != nil }) {
			c.add(name, "it must be an array of texts")
		}
	case "client_id", "client_secret", "client_id_issued_at", "client_secret_expires_at", "registration_access_token", "registration_client_uri":
		c.add(name, "it is given by the server")
	default:
		if slices.Contains(unsupportedMembers, name) {
			c.add(name, "it is not supported")
		} else {
			c.add(name, notKnown)
		}
	}
}

// checkEncryption checks by which algorithm something is encrypted to the client, and that it has a key for that, as far as is known here.
func (s ClientSpec) checkEncryption(c *complaints, name, alg string) {
	oneOf(c, name, alg, keys.EncryptionAlgorithms())
	if len(s.JWKS) == 0 && s.JWKSURI == "" {
		c.add(name, "it needs jwks or jwks_uri")
	}
	if set, err := keys.ParseClientJWKS(s.JWKS); len(s.JWKS) > 0 && err == nil && slices.Contains(keys.EncryptionAlgorithms(), alg) && !set.Encrypts(alg) {
		c.add(name, "no key of jwks is for %s", alg)
	}
}

// checkIntrospects refuses what is about answers that the client is never given (RFC 7662 §2.1).
func (s ClientSpec) checkIntrospects(c *complaints, name string) {
	if s.AuthMethod == AuthNone {
		c.add(name, "it is for clients that authenticate")
	}
}

// checkLogoutURI checks an address at which a client is told of the end of sessions (OpenID Connect Back-Channel Logout 1.0 §2.2).
func checkLogoutURI(uri string, reach outbound.Options) error {
	if strings.Contains(uri, "#") {
		return errors.New("it must not have a fragment")
	}
	return reach.CheckURL(uri)
}

// maxRequestURI is RFC 9101 §5.2, in characters.
const maxRequestURI = 512

// checkRequestURI checks an address at which request objects are to be fetched. A fragment says which of them it is, and is no part of it
// (OpenID Connect Core 1.0 §6.2).
func checkRequestURI(uri string, reach outbound.Options) error {
	if len(uri) > maxRequestURI {
		return fmt.Errorf("it has more than %d characters", maxRequestURI)
	}
	address, _, _ := strings.Cut(uri, "#")
	return reach.CheckURL(address)
}

// textsOf returns what a member is that is an array of texts.
func textsOf(value any) (texts []string, ok bool) {
	values, ok := value.([]any)
	for _, one := range values {
		text, isText := one.(string)
		ok = ok && isText
		texts = append(texts, text)
	}
	return texts, ok
}

// sameOrigin reports whether two addresses have scheme, host and port in common (OpenID Connect Front-Channel Logout 1.0 §2).
func sameOrigin(a, b string) bool {
	one, err := url.Parse(a)
	if err != nil {
		return false
	}
	other, err := url.Parse(b)
	return err == nil && one.Scheme == other.Scheme && one.Host == other.Host
}

// unsupportedMembers stand in IANA's registry of OAuth dynamic client registration metadata and would promise what is not done
// here: they are listed for the sake of a better message.
var unsupportedMembers = []string{
	"software_statement", "tls_client_auth_subject_dn",
	"tls_client_auth_san_dns", "tls_client_auth_san_uri", "tls_client_auth_san_ip", "tls_client_auth_san_email",
	"tls_client_certificate_bound_access_tokens", "dpop_bound_access_tokens", "authorization_signed_response_alg",
	"authorization_encrypted_response_alg", "authorization_encrypted_response_enc", "authorization_details_types",
	"backchannel_token_delivery_mode", "backchannel_client_notification_endpoint",
	"backchannel_authentication_request_signing_alg", "backchannel_user_code_parameter", "use_mtls_endpoint_aliases",
}

// apply writes a complete, valid spec into a client's row.
func (s ClientSpec) apply(client *storage.Client) {
	client.Name = s.Name
	client.AuthMethod = s.AuthMethod
	client.RedirectURIs = s.RedirectURIs
	client.PostLogoutRedirectURIs = s.PostLogoutRedirectURIs
	client.GrantTypes = s.GrantTypes
	client.ResponseTypes = nil
	for _, text := range s.ResponseTypes {
		if t, ok := responsetype.Parse(text); ok {
			client.ResponseTypes = append(client.ResponseTypes, t.String())
		}
	}
	client.ResponseModes = s.ResponseModes
	client.Scopes = s.Scopes()
	client.Audience = s.Audience
	client.IDTokenAlg = s.IDTokenAlg
	client.AccessTokenFormat = s.AccessTokenFormat
	client.SkipConsent = s.SkipConsent
	client.JWKS = filled(string(s.JWKS))
	client.JWKSURI = filled(s.JWKSURI)
	client.ClientURI = filled(s.ClientURI)
	client.LogoURI = filled(s.LogoURI)
	client.PolicyURI = filled(s.PolicyURI)
	client.TosURI = filled(s.TosURI)
	client.Metadata = make(map[string]any, len(s.Metadata)+1)
	maps.Copy(client.Metadata, s.Metadata)
	if len(s.Contacts) > 0 {
		client.Metadata["contacts"] = s.Contacts
	}
	if s.PKCEOptional {
		client.Metadata[storage.PKCEOptional] = true
	}
	if len(s.ClaimMappings) > 0 {
		client.Metadata[storage.ClaimMappings] = s.ClaimMappings
	}
}

// SpecOf returns what a client is.
func SpecOf(client *storage.Client) ClientSpec {
	s := ClientSpec{
		Name:                   client.Name,
		RedirectURIs:           slices.Clone(client.RedirectURIs),
		PostLogoutRedirectURIs: slices.Clone(client.PostLogoutRedirectURIs),
		AuthMethod:             client.AuthMethod,
		GrantTypes:             slices.Clone(client.GrantTypes),
		ResponseTypes:          slices.Clone(client.ResponseTypes),
		ResponseModes:          slices.Clone(client.ResponseModes),
		Scope:                  strings.Join(client.Scopes, " "),
		Audience:               slices.Clone(client.Audience),
		IDTokenAlg:             client.IDTokenAlg,
		AccessTokenFormat:      client.AccessTokenFormat,
		SkipConsent:            client.SkipConsent,
		PKCEOptional:           client.PKCEOptional(),
		ClaimMappings:          client.ClaimMappings(),
		JWKSURI:                text(client.JWKSURI),
		ClientURI:              text(client.ClientURI),
		LogoURI:                text(client.LogoURI),
		PolicyURI:              text(client.PolicyURI),
		TosURI:                 text(client.TosURI),
		Metadata:               maps.Clone(client.Metadata),
	}
	if client.JWKS != nil {
		s.JWKS = json.RawMessage(*client.JWKS)
	}
	switch contacts := s.Metadata["contacts"].(type) {
	case []string:
		s.Contacts = contacts
	case []any: // as it comes from the database
		for _, contact := range contacts {
			if text, ok := contact.(string); ok {
				s.Contacts = append(s.Contacts, text)
			}
		}
	}
	delete(s.Metadata, "contacts")
	delete(s.Metadata, storage.PKCEOptional)
	delete(s.Metadata, storage.ClaimMappings)
	return s
}

func filled(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func oneOf(c *complaints, field, value string, allowed []string) {
	if !slices.Contains(allowed, value) {
		c.add(field, "%q is not one of %s", value, strings.Join(allowed, ", "))
	}
}

func distinct(c *complaints, field string, values []string) {
	for i, value := range values {
		if slices.Contains(values[:i], value) {
			c.add(field, "%q stands there twice", value)
		}
	}
}

// each checks the elements of a list, and that none is there twice.
func each(c *complaints, field string, values []string, most int, check func(string) error) {
	if len(values) > most {
		c.add(field, "there are more than %d", most)
		return
	}
	for _, value := range values {
		if err := check(value); err != nil {
			c.add(field, "%q: %s", value, err)
		}
	}
	distinct(c, field, values)
}

// checkScope is RFC 6749 §3.3.
func checkScope(scope string) error {
	if scope == "" || len(scope) > maxScope {
		return fmt.Errorf("a scope has 1 to %d characters", maxScope)
	}
	for _, c := range []byte(scope) {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return errors.New("it has characters that a scope cannot have")
		}
	}
	return nil
}

// checkAudience lets an API be named by a URI (RFC 8707 §2) or by any word without spaces. A fragment would name a part of it.
func checkAudience(audience string) error {
	if audience == "" || len(audience) > maxURI {
		return fmt.Errorf("an audience has 1 to %d characters", maxURI)
	}
	for _, c := range []byte(audience) {
		if c <= ' ' || c > '~' || c == '#' {
			return errors.New("it has characters that an audience cannot have")
		}
	}
	return nil
}

// isLanguage takes the forms that BCP 47 tags have in practice.
func isLanguage(tag string) bool {
	if tag == "" || len(tag) > 35 {
		return false
	}
	for part := range strings.SplitSeq(tag, "-") {
		if part == "" || len(part) > 8 || strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			return false
		}
	}
	return true
}
