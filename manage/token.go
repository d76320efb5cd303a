package manage

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// Introspect says what is known of an access or refresh token of the organization, with the names of RFC 7662 §2.2. Unlike the
// endpoint it hides nothing from its caller, who is an operator; like it, of a token that is not good it says only that.
func (o *Operators) Introspect(ctx context.Context, token string) (map[string]any, error) {
	if org, err := tenant.From(ctx); err == nil && org.Suspended {
		return map[string]any{"active": false}, nil
	}
	found, err := o.introspect(ctx, token)
	if errors.Is(err, storage.ErrNotFound) {
		return map[string]any{"active": false}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("introspect token: %w", err)
	}
	return found, nil
}

func (o *Operators) introspect(ctx context.Context, token string) (map[string]any, error) {
	digest, isAccess := secret.AccessTokenDigest(token)
	var found map[string]any
	var grant *storage.Grant
	switch {
	case isAccess:
		access, of, err := o.db.AccessToken(ctx, digest)
		if err != nil {
			return nil, err
		}
		grant = of
		found = map[string]any{
			"token_type": "Bearer", "client_id": access.ClientID, "sub": access.Subject, "scope": strings.Join(access.Scope, " "),
			"exp": access.ExpiresAt.Unix(), "iat": access.CreatedAt.Unix(), "access_token_format": access.Format,
		}
		if len(access.Audience) > 0 {
			found["aud"] = access.Audience
		}
	case secret.Valid(secret.RefreshToken, token):
		refresh, of, err := o.db.RefreshToken(ctx, secret.Digest(token))
		if err != nil {
			return nil, err
		}
		if refresh.SpentAt != nil {
			return nil, storage.ErrNotFound
		}
		grant = of
		found = map[string]any{
			"token_type": "refresh_token", "client_id": refresh.ClientID, "scope": strings.Join(of.Scope, " "), "exp": refresh.ExpiresAt.Unix(),
			"iat": refresh.CreatedAt.Unix(),
		}
		if len(of.Audience) > 0 {
			found["aud"] = of.Audience
		}
	default:
		return nil, storage.ErrNotFound
	}
	found["active"] = true
	if grant == nil {
		return found, nil
	}
	found["grant_id"] = grant.ID.String()
	if grant.SessionID != nil {
		found["sid"] = grant.SessionID.String()
	}
	if grant.UserID != nil {
		user, err := o.db.User(ctx, *grant.UserID)
		if err != nil {
			return nil, err
		}
		if !user.IsActive {
			return nil, storage.ErrNotFound
		}
		found["sub"] = user.ID.String()
		if user.Username != nil {
			found["username"] = *user.Username
		}
	}
	return found, nil
}

// Revoke ends an access token of the organization, or with a refresh token everything of its grant (RFC 7009 §2.1). A token
// that is not good any more is storage.ErrNotFound.
func (o *Operators) Revoke(ctx context.Context, token string) error {
	digest, isAccess := secret.AccessTokenDigest(token)
	if !isAccess {
		digest = secret.Digest(token)
	}
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		var kind, client string
		switch {
		case isAccess:
			access, _, err := o.db.AccessToken(ctx, digest)
			if err != nil {
				return err
			}
			kind, client = "access_token", access.ClientID
			if err := o.db.RevokeAccessToken(ctx, digest); err != nil {
				return err
			}
		case secret.Valid(secret.RefreshToken, token):
			refresh, grant, err := o.db.RefreshToken(ctx, digest)
			if err != nil {
				return err
			}
			kind, client = "refresh_token", refresh.ClientID
			if _, err := o.db.RevokeGrant(ctx, grant.ID); err != nil {
				return err
			}
		default:
			return storage.ErrNotFound
		}
		// The head of the digest finds the row again, and gives nothing away.
		return o.audit(ctx, "token.revoked", digest[:8], map[string]any{"kind": kind, "client_id": client})
	})
	if err != nil {
		return fmt.Errorf("revoke token: %w", err)
	}
	return nil
}
