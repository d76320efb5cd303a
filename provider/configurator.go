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
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage/fositestore"
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
	// Longest is the longest that an organization may let an access token or ID token live, LongestRefresh a grant; 0 is no bound.
	Longest, LongestRefresh time.Duration
}

// of are the lifetimes of an organization: what it has decided, where it has, and no longer than the server allows now.
func (l Lifetimes) of(org *tenant.Org) Lifetimes {
	decided := org.Decided().Tokens
	choose := func(own *time.Duration, value settings.Duration, most time.Duration) {
		if value == 0 {
			return
		}
		if *own = time.Duration(value); most > 0 {
			*own = min(*own, most)
		}
	}
	choose(&l.Code, decided.CodeLifetime, 0)
	choose(&l.Access, decided.AccessLifetime, l.Longest)
	choose(&l.AccessJWT, decided.AccessJWTLifetime, l.Longest)
	choose(&l.ID, decided.IDLifetime, l.Longest)
	choose(&l.RefreshIdle, decided.RefreshIdle, l.LongestRefresh)
	choose(&l.RefreshAbsolute, decided.RefreshAbsolute, l.LongestRefresh)
	if decided.RefreshReplayWindow != nil {
		l.ReplayWindow = time.Duration(*decided.RefreshReplayWindow)
	}
	return l
}

// ofAccess is how long an access token of a client is good for.
func (l Lifetimes) ofAccess(client *fositestore.Client) time.Duration {
	if client.AccessTokenFormat == formatJWT {
		return l.AccessJWT
	}
	return l.Access
}

// in are the lifetimes of the organization of a request.
func (l Lifetimes) in(ctx context.Context) Lifetimes {
	org, err := tenant.From(ctx)
	if err != nil {
		return l // and without an organization nothing is issued
	}
	return l.of(org)
}

// configurator is fosite's configuration. It embeds fosite.Config for the settings of what we do not use, and sets every
// strategy there is explicitly: fosite fills what is missing at first use, without a lock.
type configurator struct {
	*fosite.Config
	lifetimes Lifetimes
}

// GetAuthorizeCodeLifespan implements fosite.AuthorizeCodeLifespanProvider: each organization has lifetimes of its own. Those of tokens
// are set in token.go.
func (c *configurator) GetAuthorizeCodeLifespan(ctx context.Context) time.Duration {
	return c.lifetimes.in(ctx).Code
}

func newConfigurator(lifetimes Lifetimes, authenticate fosite.ClientAuthenticationStrategy) *configurator {
	return &configurator{lifetimes: lifetimes, Config: &fosite.Config{
		AuthorizeCodeLifespan:          lifetimes.Code,
		AccessTokenLifespan:            lifetimes.Access,
		RefreshTokenLifespan:           lifetimes.RefreshIdle,
		IDTokenLifespan:                lifetimes.ID,
		AllowedPromptValues:            []string{"none", "login", "consent", "select_account", "create"},
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

// GetAudienceStrategy implements fosite.AudienceStrategyProvider: besides what a client is registered for, it may have what this
// request was found to reach.
func (c *configurator) GetAudienceStrategy(ctx context.Context) fosite.AudienceMatchingStrategy {
	reached := fositestore.ReachedBy(ctx)
	if len(reached) == 0 {
		return exactAudience
	}
	return func(registered, asked []string) error { return exactAudience(append(reached, registered...), asked) }
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
