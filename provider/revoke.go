package provider

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

// Revoke serves POST /oauth2/revoke (RFC 7009 §2). A client revokes what was issued to it. What is unknown, or another
// client's, is answered with the same 200, and nothing happens to it.
func (p *Provider) Revoke(c *gin.Context) error {
	client, form, err := p.authenticatedForm(c)
	p.allowOrigin(c, client)
	if err == nil && form.Get("token") == "" {
		err = fosite.ErrInvalidRequest.WithHint("The token is missing.")
	}
	if err == nil {
		err = p.revoke(c.Request.Context(), client, form.Get("token"))
	}
	if err != nil {
		p.jsonError(c, err)
		return nil
	}
	c.Header("Cache-Control", "no-store")
	c.Status(http.StatusOK)
	return nil
}

// revoke ends an access token, or with a refresh token the whole grant (RFC 7009 §2.1).
func (p *Provider) revoke(ctx context.Context, client *fositestore.Client, token string) error {
	if secret.Valid(secret.RefreshToken, token) {
		refresh, grant, err := p.db.RefreshToken(ctx, secret.Digest(token))
		if errors.Is(err, storage.ErrNotFound) || err == nil && refresh.ClientID != client.ClientID {
			return nil
		}
		if err != nil {
			return err
		}
		return p.db.RevokeGrant(ctx, grant.ID)
	}
	digest, ok := accessTokenDigest(token)
	if !ok {
		return nil
	}
	access, _, err := p.db.AccessToken(ctx, digest)
	if errors.Is(err, storage.ErrNotFound) || err == nil && access.ClientID != client.ClientID {
		return nil
	}
	if err != nil {
		return err
	}
	return p.db.RevokeAccessToken(ctx, digest)
}
