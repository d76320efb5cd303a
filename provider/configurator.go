package provider

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/ory/fosite"
	"github.com/ory/fosite/token/jwt"

	"github.com/keizer-auth/keizer/internal/redirect"
)

// Lifetimes are how long what Keizer issues may be used.
type Lifetimes struct {
	Code            time.Duration // authorization code (RFC 6749 §4.1.2)
	Access          time.Duration // opaque access token
	AccessJWT       time.Duration // JWT access token, which resource servers cannot see revoked
	ID              time.Duration // ID token
	RefreshIdle     time.Duration // refresh token that is not used
	RefreshAbsolute time.Duration // grant, however often it is refreshed
	// ReplayWindow is how long a spent refresh token is answered with its one successor; 0 turns that off.
	ReplayWindow time.Duration
}

// configurator is fosite's configuration. It embeds fosite.Config for the settings of what we do not use, and sets every
// strategy there is explicitly: fosite fills what is missing at first use, without a lock.
type configurator struct {
	*fosite.Config
}

func newConfigurator(lifetimes Lifetimes, authenticate fosite.ClientAuthenticationStrategy) *configurator {
	return &configurator{&fosite.Config{
		AuthorizeCodeLifespan:          lifetimes.Code,
		AccessTokenLifespan:            lifetimes.Access,
		RefreshTokenLifespan:           lifetimes.RefreshIdle,
		IDTokenLifespan:                lifetimes.ID,
		AllowedPromptValues:            []string{"none", "login", "consent", "select_account"},
		RefreshTokenScopes:             []string{scopeOfflineAccess},
		MinParameterEntropy:            1,
		EnforcePKCE:                    true,
		EnforcePKCEForPublicClients:    true,
		EnablePKCEPlainChallengeMethod: false,
		OmitRedirectScopeParam:         true,
		// code_challenge and redirect_uri are kept by our own store; the list replaces fosite's, so both must stand here.
		SanitationWhiteList:          []string{"redirect_uri", "code_challenge", "code_challenge_method"},
		ScopeStrategy:                fosite.ExactScopeStrategy,
		AudienceMatchingStrategy:     exactAudience,
		RedirectSecureChecker:        registeredRedirect,
		ClientAuthenticationStrategy: authenticate,
		ClientSecretsHasher:          noHasher{},
		JWTScopeClaimKey:             jwt.JWTScopeFieldString,
		ResponseModeHandlerExtension: &fosite.DefaultResponseModeHandler{},
		SendDebugMessagesToClients:   false,
		TokenEntropy:                 32,
	}}
}

// exactAudience lets a client have the audiences it is registered for, compared as whole strings (RFC 8707 §2): fosite's own
// strategy lets a path below a registered one pass.
func exactAudience(registered, asked []string) error {
	for _, one := range asked {
		if !slices.Contains(registered, one) {
			return errInvalidTarget
		}
	}
	return nil
}

// registeredRedirect is fosite's last look at a redirect URI before a code goes there. It was matched against the client's
// own by then; that it could be registered today is asked once more, because rules get stricter over time.
func registeredRedirect(_ context.Context, uri *url.URL) bool {
	return uri != nil && redirect.ValidateRegistration(uri.String()) == nil
}

// noHasher stands where fosite keeps bcrypt. Client secrets are compared in clientauth.go; nothing else may pass.
type noHasher struct{}

var errNoHasher = errors.New("client secrets are not compared through fosite")

// Compare implements fosite.Hasher.
func (noHasher) Compare(context.Context, []byte, []byte) error { return errNoHasher }

// Hash implements fosite.Hasher.
func (noHasher) Hash(context.Context, []byte) ([]byte, error) { return nil, errNoHasher }

// GetHTTPClient implements fosite.HTTPClientProvider. fosite fetches nothing: request objects and client assertions, for
// which it would, are ours. Without a client an attempt to would end the request, and not reach the network.
func (*configurator) GetHTTPClient(context.Context) *retryablehttp.Client { return nil }

// GetJWKSFetcherStrategy implements fosite.JWKSFetcherStrategyProvider; see GetHTTPClient.
func (*configurator) GetJWKSFetcherStrategy(context.Context) fosite.JWKSFetcherStrategy { return nil }
