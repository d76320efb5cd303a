package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/keizer-auth/keizer/internal/claimmap"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

// tokenStrategy makes codes and tokens and finds them again. Opaque ones are 256 random bits; what the database knows of
// any, opaque or JWT, is the SHA-256 of the whole string. A token that differs in one bit is thus simply unknown, and who
// reads the database holds nothing that could be presented.
type tokenStrategy struct {
	keys     *keys.Keys
	subjects *subjects
	// about are the claims about the person of a grant.
	about func(ctx context.Context, session *fositestore.Session, t telling) (map[string]any, error)
}

var _ oauth2.CoreStrategy = (*tokenStrategy)(nil)

// digest returns the look-up key of a token, empty for a string that cannot be one of ours.
func (s *tokenStrategy) digest(kind secret.Kind, token string) string {
	if !secret.Valid(kind, token) {
		return ""
	}
	return secret.Digest(token)
}

// AuthorizeCodeSignature implements oauth2.AuthorizeCodeStrategy.
func (s *tokenStrategy) AuthorizeCodeSignature(_ context.Context, code string) string {
	return s.digest(secret.Code, code)
}

// GenerateAuthorizeCode implements oauth2.AuthorizeCodeStrategy.
func (s *tokenStrategy) GenerateAuthorizeCode(context.Context, fosite.Requester) (string, string, error) {
	code := secret.New(secret.Code)
	return code, secret.Digest(code), nil
}

// ValidateAuthorizeCode implements oauth2.AuthorizeCodeStrategy. Storage has found the code by its digest and unexpired;
// there is nothing left to validate.
func (s *tokenStrategy) ValidateAuthorizeCode(context.Context, fosite.Requester, string) error {
	return nil
}

// RefreshTokenSignature implements oauth2.RefreshTokenStrategy.
func (s *tokenStrategy) RefreshTokenSignature(_ context.Context, token string) string {
	return s.digest(secret.RefreshToken, token)
}

// GenerateRefreshToken implements oauth2.RefreshTokenStrategy.
func (s *tokenStrategy) GenerateRefreshToken(context.Context, fosite.Requester) (string, string, error) {
	token := secret.New(secret.RefreshToken)
	return token, secret.Digest(token), nil
}

// ValidateRefreshToken implements oauth2.RefreshTokenStrategy; see ValidateAuthorizeCode.
func (s *tokenStrategy) ValidateRefreshToken(context.Context, fosite.Requester, string) error {
	return nil
}

// AccessTokenSignature implements oauth2.AccessTokenStrategy.
func (s *tokenStrategy) AccessTokenSignature(_ context.Context, token string) string {
	digest, _ := secret.AccessTokenDigest(token)
	return digest
}

// ValidateAccessToken implements oauth2.AccessTokenStrategy. fosite is never asked to introspect: what it would accept as an
// access token includes refresh tokens and ID tokens.
func (s *tokenStrategy) ValidateAccessToken(context.Context, fosite.Requester, string) error {
	return errors.New("access tokens are not validated through fosite")
}

// GenerateAccessToken implements oauth2.AccessTokenStrategy: opaque, or a JWT for clients registered so.
func (s *tokenStrategy) GenerateAccessToken(ctx context.Context, request fosite.Requester) (string, string, error) {
	client, session, err := fositestore.Ours(request)
	if err != nil {
		return "", "", err
	}
	if client.AccessTokenFormat != formatJWT {
		token := secret.New(secret.AccessToken)
		return token, secret.Digest(token), nil
	}
	token, err := s.jwtAccessToken(ctx, client, session, request)
	if err != nil {
		return "", "", err
	}
	return token, secret.Digest(token), nil
}

// formatJWT is the access_token_format of clients whose access tokens are JWTs.
const formatJWT = "jwt"

// accessTokenClaims are those of RFC 9068 §2.2.
type accessTokenClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	ExpiresAt int64    `json:"exp"`
	IssuedAt  int64    `json:"iat"`
	ID        string   `json:"jti"`
	ClientID  string   `json:"client_id"`
	Scope     string   `json:"scope,omitempty"`
	AuthTime  int64    `json:"auth_time,omitempty"`
	ACR       string   `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`
	SessionID string   `json:"sid,omitempty"`
	fositestore.Rights
}

// jwtAccessToken signs a JWT access token (RFC 9068). The claims are made anew at every call, so that a refreshed token has
// times of its own.
func (s *tokenStrategy) jwtAccessToken(
	ctx context.Context, client *fositestore.Client, session *fositestore.Session, request fosite.Requester,
) (string, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return "", err
	}
	// The client can read the token, so it says of the person what the client may know. Whoever the token is shown to is told the same.
	known, err := s.subjects.of(ctx, session)
	if err != nil {
		return "", err
	}
	claims := accessTokenClaims{
		Issuer:    org.Issuer,
		Subject:   known.subject(session.Subject),
		Audience:  accessAudience(org, request.GetGrantedAudience()),
		ExpiresAt: session.GetExpiresAt(fosite.AccessToken).Unix(),
		IssuedAt:  time.Now().Unix(),
		ID:        uuid.NewString(),
		ClientID:  client.ClientID,
		Scope:     strings.Join(request.GetGrantedScopes(), " "),
		AuthTime:  session.Facts.AuthTime,
		ACR:       session.Facts.ACR,
		AMR:       session.Facts.AMR,
		SessionID: known.session(session.Facts.SessionID),
		Rights:    session.Rights,
	}
	if session.Subject == client.ClientID || len(client.ClaimMappings()) == 0 {
		return s.keys.Sign(ctx, client.IDTokenAlg, "at+jwt", claims)
	}
	own, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode an access token: %w", err)
	}
	about, err := s.about(ctx, session, telling{
		client: client, place: claimmap.AccessToken, room: max(0, min(maxMapped, maxSaid-len(own))), granted: request.GetGrantedScopes(),
	})
	if err != nil {
		return "", err
	}
	said, err := withClaims(claims, about)
	if err != nil {
		return "", err
	}
	return s.keys.Sign(ctx, client.IDTokenAlg, "at+jwt", said)
}

// audienceOf is what a request is granted access to: the resources that it names, else all that its client is registered for.
// Our own userinfo is among the latter when a person is asked about; who names other resources has not asked for it.
func audienceOf(org *tenant.Org, request fosite.Requester, client *fositestore.Client) []string {
	if named := request.GetRequestedAudience(); len(named) > 0 {
		return named
	}
	if len(client.Audience) > 0 && request.GetRequestedScopes().Has(scopeOpenID) {
		return append(slices.Clone(client.Audience), org.Issuer)
	}
	return client.Audience
}

// accessAudience is the audience of an access token: the resource servers that it was granted for, else the issuer itself,
// since RFC 9068 §2.2 requires one and the only resource then is our own userinfo.
func accessAudience(org *tenant.Org, granted []string) audience {
	if len(granted) == 0 {
		return audience{org.Issuer}
	}
	return audience(org.Current(granted))
}
