package provider

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/internal/claimmap"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

// idTokenHandler adds the ID token to answers of the token endpoint (OpenID Connect Core 1.0 §3.1.3.3 and §12.2). It
// replaces fosite's OpenID Connect handlers and their strategy.
type idTokenHandler struct {
	protector *protector
	subjects  *subjects
	lifetimes Lifetimes
	// about are the claims about the person of a grant.
	about func(ctx context.Context, session *fositestore.Session, t telling) (map[string]any, error)
}

var _ fosite.TokenEndpointHandler = (*idTokenHandler)(nil)

// idTokenClaims are those of OpenID Connect Core 1.0 §2, §3.1.3.6 and §3.3.2.11. Claims about the person are not among them: a
// client that has an access token asks userinfo (§5.4).
type idTokenClaims struct {
	Issuer          string   `json:"iss"`
	Subject         string   `json:"sub"`
	Audience        string   `json:"aud"`
	ExpiresAt       int64    `json:"exp"`
	IssuedAt        int64    `json:"iat"`
	AuthTime        int64    `json:"auth_time,omitempty"`
	Nonce           string   `json:"nonce,omitempty"`
	ACR             string   `json:"acr,omitempty"`
	AMR             []string `json:"amr,omitempty"`
	AccessTokenHash string   `json:"at_hash,omitempty"`
	CodeHash        string   `json:"c_hash,omitempty"`
	SessionID       string   `json:"sid,omitempty"`
}

// CanHandleTokenEndpointRequest implements fosite.TokenEndpointHandler.
func (h *idTokenHandler) CanHandleTokenEndpointRequest(_ context.Context, request fosite.AccessRequester) bool {
	return request.GetGrantTypes().ExactOne(grantAuthorizationCode) || request.GetGrantTypes().ExactOne(grantRefreshToken)
}

// CanSkipClientAuth implements fosite.TokenEndpointHandler.
func (h *idTokenHandler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool {
	return false
}

// HandleTokenEndpointRequest implements fosite.TokenEndpointHandler. Whether the request may be answered is for the handler
// of its grant to say.
func (h *idTokenHandler) HandleTokenEndpointRequest(context.Context, fosite.AccessRequester) error {
	return fosite.ErrUnknownRequest
}

// PopulateTokenEndpointResponse implements fosite.TokenEndpointHandler.
func (h *idTokenHandler) PopulateTokenEndpointResponse(
	ctx context.Context, request fosite.AccessRequester, response fosite.AccessResponder,
) error {
	if !h.CanHandleTokenEndpointRequest(ctx, request) || !request.GetGrantedScopes().Has(scopeOpenID) {
		return fosite.ErrUnknownRequest
	}
	client, session, err := fositestore.Ours(request)
	if err != nil {
		return err
	}
	about, err := h.about(ctx, session, telling{
		client: client, place: claimmap.IDToken, room: maxMapped, granted: request.GetGrantedScopes(), names: session.Facts.Claims.IDToken,
	})
	if err != nil {
		return err
	}
	token, err := h.make(ctx, client, session, given{access: response.GetAccessToken()}, about)
	if err != nil {
		return err
	}
	response.SetExtra("id_token", token)
	return nil
}

// given is what an ID token comes with. It vouches for that.
type given struct{ code, access string }

// make makes an ID token for what is given along with it. about are claims of the person that it says besides.
func (h *idTokenHandler) make(
	ctx context.Context, client *fositestore.Client, session *fositestore.Session, with given, about map[string]any,
) (string, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return "", err
	}
	known, err := h.subjects.of(ctx, session)
	if err != nil {
		return "", err
	}
	now := time.Now()
	claims := idTokenClaims{
		Issuer:    org.Issuer,
		Subject:   known.subject(session.Subject),
		Audience:  client.ClientID,
		ExpiresAt: now.Add(h.lifetimes.of(org).ID).Unix(),
		IssuedAt:  now.Unix(),
		AuthTime:  session.Facts.AuthTime,
		Nonce:     session.Facts.Nonce,
		ACR:       session.Facts.ACR,
		AMR:       session.Facts.AMR,
		SessionID: known.session(session.Facts.SessionID),
	}
	if with.access != "" {
		claims.AccessTokenHash = halfHash(client.IDTokenAlg, with.access)
	}
	if with.code != "" {
		claims.CodeHash = halfHash(client.IDTokenAlg, with.code)
	}
	var said any = claims
	if len(about) > 0 {
		if said, err = withClaims(claims, about); err != nil {
			return "", err
		}
	}
	token, err := h.protector.protect(ctx, client, client.IDTokenProtection(), "JWT", said)
	if err != nil {
		return "", fmt.Errorf("make an ID token: %w", err)
	}
	return token, nil
}

// withClaims adds claims about the person to those of the token itself, which count where both have a name.
func withClaims(claims any, about map[string]any) (map[string]any, error) {
	own, err := json.Marshal(claims)
	if err != nil {
		return nil, fmt.Errorf("encode a token: %w", err)
	}
	all := maps.Clone(about)
	if err := json.Unmarshal(own, &all); err != nil {
		return nil, fmt.Errorf("encode a token: %w", err)
	}
	return all, nil
}

// halfHash is at_hash and c_hash: the left half of the token's hash under the hash function of the ID token's algorithm
// (OpenID Connect Core 1.0 §3.1.3.6). Ed25519 hashes with SHA-512.
func halfHash(alg, token string) string {
	if alg == keys.EdDSA {
		sum := sha512.Sum512([]byte(token))
		return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
	}
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
