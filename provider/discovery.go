package provider

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"

	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/internal/responsetype"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/provider/prompt"
)

// metadata is OpenID Connect Discovery 1.0 §3 and RFC 8414 §2. Both addresses serve the same document.
type metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	UserInfoEndpoint      string   `json:"userinfo_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	EndSessionEndpoint    string   `json:"end_session_endpoint"`
	CheckSessionIframe    string   `json:"check_session_iframe"`
	PAREndpoint           string   `json:"pushed_authorization_request_endpoint"`
	RegistrationEndpoint  string   `json:"registration_endpoint,omitempty"`
	Scopes                []string `json:"scopes_supported"`
	Claims                []string `json:"claims_supported"`
	ClaimTypes            []string `json:"claim_types_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenAlgs           []string `json:"id_token_signing_alg_values_supported"`
	IDTokenKeyAlgs        []string `json:"id_token_encryption_alg_values_supported"`
	IDTokenContentAlgs    []string `json:"id_token_encryption_enc_values_supported"`
	UserInfoAlgs          []string `json:"userinfo_signing_alg_values_supported"`
	UserInfoKeyAlgs       []string `json:"userinfo_encryption_alg_values_supported"`
	UserInfoContentAlgs   []string `json:"userinfo_encryption_enc_values_supported"`
	IntrospectedAlgs      []string `json:"introspection_signing_alg_values_supported"`
	IntrospectedKeyAlgs   []string `json:"introspection_encryption_alg_values_supported"`
	IntrospectedContent   []string `json:"introspection_encryption_enc_values_supported"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgs         []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectionMethods  []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAlgs     []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	RevocationMethods     []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAlgs        []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	ACRValues             []string `json:"acr_values_supported"`
	PromptValues          []string `json:"prompt_values_supported"`
	DisplayValues         []string `json:"display_values_supported"`
	UILocales             []string `json:"ui_locales_supported"`
	IssParameter          bool     `json:"authorization_response_iss_parameter_supported"`
	ClaimsParameter       bool     `json:"claims_parameter_supported"`
	FrontChannelLogout    bool     `json:"frontchannel_logout_supported"`
	FrontChannelSession   bool     `json:"frontchannel_logout_session_supported"`
	BackChannelLogout     bool     `json:"backchannel_logout_supported"`
	BackChannelSession    bool     `json:"backchannel_logout_session_supported"`
	RequestParameter      bool     `json:"request_parameter_supported"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"`
	RequestURIRegistered  bool     `json:"require_request_uri_registration"`
	RequestObjectAlgs     []string `json:"request_object_signing_alg_values_supported,omitempty"`
	RequestObjectKeyAlgs  []string `json:"request_object_encryption_alg_values_supported,omitempty"`
	RequestObjectEncs     []string `json:"request_object_encryption_enc_values_supported,omitempty"`
	PARRequired           bool     `json:"require_pushed_authorization_requests"`
}

// metadataOf is the truth about one organization.
func (p *Provider) metadataOf(ctx context.Context, org *tenant.Org) (metadata, error) {
	algs, err := p.keys.Algs(ctx)
	if err != nil {
		return metadata{}, err
	}
	keyAlgs, contentAlgs := keys.EncryptionAlgorithms(), keys.ContentAlgorithms()
	methods := []string{methodBasic, methodPost, methodPrivateKeyJWT, methodSecretJWT, methodNone}
	confidential, assertionAlgs := methods[:4], keys.AssertionAlgorithms()
	base := org.Issuer + "/oauth2/"
	claims := []string{
		"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid",
		"name", "preferred_username", "updated_at", "email", "email_verified", "phone_number", "phone_number_verified", "address",
		"roles", "permissions",
	}
	types := []string{"normal"}
	if some, err := p.sources.any(ctx); err != nil {
		return metadata{}, err
	} else if some { // OpenID Connect Core 1.0 §5.6
		types = append(types, "aggregated", "distributed")
	}
	legacy := org.Decided().Tokens.LegacyResponseTypes
	grants := []string{grantAuthorizationCode, grantRefreshToken, grantClientCredentials}
	if legacy {
		grants, claims = append(grants, grantImplicit), append(claims, "c_hash")
	}
	prompts := []string{prompt.None, prompt.LoginValue, prompt.ConsentValue, prompt.SelectAccount}
	if org.Decided().SignUpOpen() {
		prompts = append(prompts, prompt.Create)
	}
	var locales []string
	for _, tag := range p.pages.Languages() {
		locales = append(locales, tag.String())
	}
	requests := org.Decided().Requests
	var objectAlgs, objectKeyAlgs, objectEncs []string
	if requests.Taken() {
		if objectAlgs = p.clientAlgs; requests.Unsigned {
			objectAlgs = append(slices.Clone(objectAlgs), keys.None)
		}
		if requests.Encrypted {
			objectKeyAlgs, objectEncs = keys.EncryptionAlgorithms(), keys.ContentAlgorithms()
		}
	}
	return metadata{
		Issuer:                org.Issuer,
		AuthorizationEndpoint: base + "authorize",
		TokenEndpoint:         base + "token",
		UserInfoEndpoint:      base + "userinfo",
		JWKSURI:               org.Issuer + "/.well-known/jwks.json",
		IntrospectionEndpoint: base + "introspect",
		RevocationEndpoint:    base + "revoke",
		EndSessionEndpoint:    base + "logout",
		CheckSessionIframe:    base + "check-session",
		PAREndpoint:           base + "par",
		RegistrationEndpoint:  registrationEndpoint(base, org.Decided()),
		Scopes:                []string{scopeOpenID, scopeProfile, scopeEmail, scopeAddress, scopePhone, scopeOfflineAccess, scopeRoles, scopePermissions},
		Claims:                append(claims, profileMetadata[:]...),
		ClaimTypes:            types,
		ResponseTypes:         responsetype.Supported(legacy),
		ResponseModes:         []string{modeQuery, modeFragment, modeFormPost},
		GrantTypes:            grants,
		SubjectTypes:          []string{"public", "pairwise"},
		IDTokenAlgs:           algs,
		IDTokenKeyAlgs:        keyAlgs,
		IDTokenContentAlgs:    contentAlgs,
		UserInfoAlgs:          algs,
		UserInfoKeyAlgs:       keyAlgs,
		UserInfoContentAlgs:   contentAlgs,
		IntrospectedAlgs:      algs,
		IntrospectedKeyAlgs:   keyAlgs,
		IntrospectedContent:   contentAlgs,
		TokenAuthMethods:      methods,
		TokenAuthAlgs:         assertionAlgs,
		IntrospectionMethods:  confidential,
		IntrospectionAlgs:     assertionAlgs,
		RevocationMethods:     methods,
		RevocationAlgs:        assertionAlgs,
		ChallengeMethods:      []string{"S256"},
		ACRValues:             proof.Values(),
		PromptValues:          prompts,
		DisplayValues:         []string{"page", "popup", "touch"},
		UILocales:             locales,
		IssParameter:          true,
		ClaimsParameter:       true,
		FrontChannelLogout:    true,
		FrontChannelSession:   true,
		BackChannelLogout:     true,
		BackChannelSession:    true,
		RequestParameter:      requests.ByValue,
		RequestURIParameter:   requests.ByReference,
		RequestURIRegistered:  true,
		RequestObjectAlgs:     objectAlgs,
		RequestObjectKeyAlgs:  objectKeyAlgs,
		RequestObjectEncs:     objectEncs,
	}, nil
}

// document is a prepared answer: it is rendered when something changes, not when somebody asks.
type document struct {
	body []byte
	etag string
}

// documentOf is whose metadata it is. It says what the issuer is, so that it is another one from the moment that the issuer is.
type documentOf struct {
	org    uuid.UUID
	issuer string
}

// documents keeps each organization's metadata for a while.
type documents = otter.Cache[documentOf, *document]

// metadataCacheTime bounds how long a change of what an organization supports takes to show.
const metadataCacheTime = 5 * time.Second

func newDocuments() *documents {
	return otter.Must(&otter.Options[documentOf, *document]{
		MaximumSize:      20_000,
		ExpiryCalculator: otter.ExpiryWriting[documentOf, *document](metadataCacheTime),
	})
}

// Discovery serves GET /.well-known/openid-configuration and /.well-known/oauth-authorization-server, behind the issuer and,
// as RFC 8414 §3.1 has it, inserted before its path.
func (p *Provider) Discovery(c *gin.Context) error {
	org, err := orgOf(c)
	if err != nil {
		return err
	}
	key := documentOf{org.ID, org.Issuer}
	doc, ok := p.metadata.GetIfPresent(key)
	if !ok {
		said, err := p.metadataOf(c.Request.Context(), org)
		if err != nil {
			p.jsonError(c, err)
			return nil
		}
		body, err := json.Marshal(said)
		if err != nil {
			p.jsonError(c, err)
			return nil
		}
		sum := sha256.Sum256(body)
		doc = &document{body, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
		p.metadata.Set(key, doc)
	}
	p.serveDocument(c, doc.body, doc.etag)
	return nil
}

// JWKS serves GET /.well-known/jwks.json (RFC 7517 §5).
func (p *Provider) JWKS(c *gin.Context) error {
	body, etag, err := p.keys.JWKS(c.Request.Context())
	if err != nil {
		p.jsonError(c, err)
		return nil
	}
	p.serveDocument(c, body, etag)
	return nil
}

// serveDocument serves what everybody may read and keep for five minutes.
func (p *Provider) serveDocument(c *gin.Context, body []byte, etag string) {
	header := c.Writer.Header()
	header["Cache-Control"] = publicCache
	header["Etag"] = []string{etag}
	header["Access-Control-Allow-Origin"] = anyOrigin
	header["Cross-Origin-Resource-Policy"] = crossOrigin
	if match := c.GetHeader("If-None-Match"); match != "" && matches(match, etag) {
		c.Status(http.StatusNotModified)
		return
	}
	writeBody(c, http.StatusOK, jsonContent, body)
}

// matches reports whether a visitor has the document already. The comparison is weak: a proxy that compresses marks what it
// passes on as W/ (RFC 9110 §13.1.2).
func matches(ifNoneMatch, etag string) bool {
	for tag := range strings.SplitSeq(ifNoneMatch, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

// Header values that never change, shared so that answering allocates nothing for them.
var (
	publicCache = []string{"public, max-age=300"}
	anyOrigin   = []string{"*"}
	crossOrigin = []string{"cross-origin"}
	jsonContent = []string{"application/json"}
	jwtContent  = []string{"application/jwt"}
	noStore     = []string{"no-store"}
)
