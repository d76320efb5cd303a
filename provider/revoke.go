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
	"github.com/keizer-auth/keizer/web"
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
		err = p.revoke(c, client, form.Get("token"))
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
func (p *Provider) revoke(c *gin.Context, client *fositestore.Client, token string) error {
	ctx := c.Request.Context()
	if secret.Valid(secret.RefreshToken, token) {
		refresh, grant, err := p.db.RefreshToken(ctx, secret.Digest(token))
		if errors.Is(err, storage.ErrNotFound) || err == nil && refresh.ClientID != client.ClientID {
			return nil
		}
		if err != nil {
			return err
		}
		event := web.Event(c, web.ByClient(client.ClientID), "grant.revoked", grant.ID.String(), revocationDetails(grant))
		return p.db.InTx(ctx, func(ctx context.Context) error {
			ended, err := p.db.RevokeGrant(ctx, grant.ID)
			if err != nil || !ended {
				return err
			}
			return p.db.AppendAudit(ctx, event)
		})
	}
	digest, ok := secret.AccessTokenDigest(token)
	if !ok {
		return nil
	}
	access, grant, err := p.db.AccessToken(ctx, digest)
	if errors.Is(err, storage.ErrNotFound) || err == nil && access.ClientID != client.ClientID {
		return nil
	}
	if err != nil {
		return err
	}
	// The head of the digest finds the row again, and gives nothing away.
	event := web.Event(c, web.ByClient(client.ClientID), "token.revoked", digest[:8], revocationDetails(grant))
	return p.db.InTx(ctx, func(ctx context.Context) error {
		if err := p.db.RevokeAccessToken(ctx, digest); err != nil {
			return err
		}
		return p.db.AppendAudit(ctx, event)
	})
}

// revocationDetails says whose tokens were revoked; a token that a client held for itself is nobody's.
func revocationDetails(grant *storage.Grant) map[string]any {
	if grant == nil || grant.UserID == nil {
		return nil
	}
	return map[string]any{"grant": grant.ID.String(), "user": grant.UserID.String()}
}
