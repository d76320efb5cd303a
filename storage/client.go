package storage

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/claimmap"
)

// Client is an application that asks for people to be signed in, or for tokens of its own (RFC 6749 §2).
type Client struct {
	ID uuid.UUID `gorm:"column:id;primaryKey"`
	Owned
	ClientID string `gorm:"column:client_id"`
	Name     string `gorm:"column:name"`

	// Two secrets may live while one is being replaced. Both are digests.
	SecretDigest       *string    `gorm:"column:secret_digest"`
	SecretDigestOld    *string    `gorm:"column:secret_digest_old"`
	SecretOldExpiresAt *time.Time `gorm:"column:secret_old_expires_at"`
	AuthMethod         string     `gorm:"column:auth_method"`
	// SealedSecrets are the secrets themselves, of a client that needs that; see SealClientSecrets.
	SealedSecrets []byte `gorm:"column:sealed_secrets"`

	RedirectURIs           []string `gorm:"column:redirect_uris;serializer:json"`
	PostLogoutRedirectURIs []string `gorm:"column:post_logout_redirect_uris;serializer:json"`
	GrantTypes             []string `gorm:"column:grant_types;serializer:json"`
	ResponseTypes          []string `gorm:"column:response_types;serializer:json"`
	ResponseModes          []string `gorm:"column:response_modes;serializer:json"`
	Scopes                 []string `gorm:"column:scopes;serializer:json"`
	Audience               []string `gorm:"column:audience;serializer:json"`

	JWKS    *string `gorm:"column:jwks"`
	JWKSURI *string `gorm:"column:jwks_uri"`

	IDTokenAlg        string `gorm:"column:id_token_alg"`
	AccessTokenFormat string `gorm:"column:access_token_format"` // "opaque" or "jwt"
	SkipConsent       bool   `gorm:"column:skip_consent"`
	Disabled          bool   `gorm:"column:disabled"`

	LogoURI   *string        `gorm:"column:logo_uri"`
	PolicyURI *string        `gorm:"column:policy_uri"`
	TosURI    *string        `gorm:"column:tos_uri"`
	ClientURI *string        `gorm:"column:client_uri"`
	Metadata  map[string]any `gorm:"column:metadata;serializer:json"`

	// RegisteredAt is when it was registered by whoever wanted one (RFC 7591); nil is a client that operators made. RegisteredBy is the
	// registration token that it took; nil is none.
	RegisteredAt *time.Time `gorm:"column:registered_at"`
	RegisteredBy *uuid.UUID `gorm:"column:registered_by"`
	// RegistrationDigest is the digest of what its registration is looked after with (RFC 7592).
	RegistrationDigest *string `gorm:"column:registration_digest"`
	// SoftwareStatement is what somebody else says of it, as it was shown.
	SoftwareStatement *string `gorm:"column:software_statement"`
	// LastUsedAt is when a registered client was of use, to within UseEvery.
	LastUsedAt *time.Time `gorm:"column:last_used_at"`

	// Version counts the changes. UpdateClient changes only the version that was read.
	Version   int64     `gorm:"column:version"`
	CreatedAt time.Time `gorm:"column:created_at"`
	UpdatedAt time.Time `gorm:"column:updated_at"`
}

func (Client) TableName() string { return "oauth_clients" }

// DefaultACRValues are the authentication contexts that the client asks for where a request does not say (OpenID Connect Dynamic
// Client Registration 1.0 §2).
func (c *Client) DefaultACRValues() []string { return c.texts("default_acr_values") }

// BackChannelLogoutURI is where the client wants to be told of the end of sessions (OpenID Connect Back-Channel Logout 1.0 §2.2); or empty.
func (c *Client) BackChannelLogoutURI() string { return c.text("backchannel_logout_uri") }

// FrontChannelLogoutURI is what the client wants to have loaded by the browser in which a session ends (OpenID Connect Front-Channel Logout
// 1.0 §2); or empty.
func (c *Client) FrontChannelLogoutURI() string { return c.text("frontchannel_logout_uri") }

// LoginInitiation is the address at which an application with that initiate_login_uri begins a sign-in at an issuer, on behalf of somebody who
// comes from there (OpenID Connect Core 1.0 §4); empty for one that has none, or one that a browser had better not open.
func LoginInitiation(initiateLoginURI, issuer string) string {
	if !strings.HasPrefix(initiateLoginURI, "https://") || strings.Contains(initiateLoginURI, "#") {
		return ""
	}
	separator := "?"
	if strings.Contains(initiateLoginURI, "?") {
		separator = "&"
	}
	return initiateLoginURI + separator + url.Values{"iss": {issuer}}.Encode()
}

// InitiateLoginURI is where a third party has the client begin a sign-in (OpenID Connect Dynamic Client Registration 1.0 §2); or empty.
func (c *Client) InitiateLoginURI() string { return c.text("initiate_login_uri") }

// RequestURIs are the addresses at which the client keeps request objects (OpenID Connect Dynamic Client Registration 1.0 §2).
func (c *Client) RequestURIs() []string { return c.texts("request_uris") }

// RequestObjectSigningAlg is what the client's request objects must be signed by; empty is whatever is accepted.
func (c *Client) RequestObjectSigningAlg() string { return c.text("request_object_signing_alg") }

// RequestObjectEncryption is how the client encrypts request objects that it encrypts, the way in which the key is agreed upon and the way in
// which the content is encrypted; empty is whatever is accepted.
func (c *Client) RequestObjectEncryption() (alg, enc string) {
	return c.text("request_object_encryption_alg"), c.text("request_object_encryption_enc")
}

// RequiresSignedRequestObject reports whether the client asks by signed request objects only (RFC 9101 §10.5).
func (c *Client) RequiresSignedRequestObject() bool {
	return c.Metadata["require_signed_request_object"] == true
}

// RequiresPushedRequests reports whether the client pushes every request (RFC 9126 §6).
func (c *Client) RequiresPushedRequests() bool {
	return c.Metadata["require_pushed_authorization_requests"] == true
}

// text is a member of the metadata that is a text, or empty.
func (c *Client) text(name string) string {
	value, _ := c.Metadata[name].(string)
	return value
}

// texts is a member of the metadata that is an array of texts.
func (c *Client) texts(name string) (values []string) {
	listed, _ := c.Metadata[name].([]any)
	for _, one := range listed {
		if value, ok := one.(string); ok {
			values = append(values, value)
		}
	}
	return values
}

// Protection is how something that a client is given is signed and encrypted. What is empty is not done.
type Protection struct{ SigningAlg, KeyAlg, ContentAlg string }

// IDTokenProtection is that of ID tokens and logout tokens (OpenID Connect Dynamic Client Registration 1.0 §2).
func (c *Client) IDTokenProtection() Protection {
	return c.encryption(c.IDTokenAlg, "id_token_encrypted_response_alg", "id_token_encrypted_response_enc")
}

// UserInfoProtection is that of the answers of userinfo (OpenID Connect Dynamic Client Registration 1.0 §2).
func (c *Client) UserInfoProtection() Protection {
	return c.encryption(c.text("userinfo_signed_response_alg"), "userinfo_encrypted_response_alg", "userinfo_encrypted_response_enc")
}

// IntrospectionProtection is that of the answers of introspection, where they are JWTs (RFC 9701 §6).
func (c *Client) IntrospectionProtection() Protection {
	return c.encryption(c.text("introspection_signed_response_alg"), "introspection_encrypted_response_alg", "introspection_encrypted_response_enc")
}

func (c *Client) encryption(signingAlg, keyAlg, contentAlg string) Protection {
	p := Protection{SigningAlg: signingAlg, KeyAlg: c.text(keyAlg)}
	if p.KeyAlg != "" {
		p.ContentAlg = cmp.Or(c.text(contentAlg), "A128CBC-HS256") // the default of all of these specifications
	}
	return p
}

// ClaimMappings is the name under which it is written down what a client is told of people besides what everybody is.
const ClaimMappings = "claim_mappings"

// ClaimMappings are what the client is told of people besides, or under other names.
func (c *Client) ClaimMappings() []claimmap.Mapping { return claimmap.Read(c.Metadata[ClaimMappings]) }

// PKCEOptional is the name under which it is written down that a client may do without PKCE.
const PKCEOptional = "pkce_optional"

// PKCEOptional reports whether codes are given to the client without a challenge (RFC 7636) where it sends none.
func (c *Client) PKCEOptional() bool { return c.Metadata[PKCEOptional] == true }

func (c *Client) fill() {
	filled(&c.RedirectURIs, &c.PostLogoutRedirectURIs, &c.GrantTypes, &c.ResponseTypes, &c.ResponseModes, &c.Scopes, &c.Audience)
}

// CreateClient inserts a client. A client_id that is taken is ErrConflict.
func (db *DB) CreateClient(ctx context.Context, client *Client) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "create client", func(q *query) error {
			identify(&client.ID)
			client.fill()
			client.Version = max(client.Version, 1)
			if err := q.create(client); err != nil {
				return err
			}
			return q.writeOrigins(client)
		})
	})
}

// Client returns a client by its client_id, disabled or not.
func (db *DB) Client(ctx context.Context, clientID string) (*Client, error) {
	var client Client
	err := db.scoped(ctx, reading, "read client", func(q *query) error {
		return q.of(&client).Where("client_id = ?", clientID).Take(&client).Error
	})
	if err != nil {
		return nil, err
	}
	return &client, nil
}

// ListClients returns clients in the order of their client_id, those after the given one.
func (db *DB) ListClients(ctx context.Context, after string, limit int) ([]Client, error) {
	var clients []Client
	err := db.scoped(ctx, reading, "list clients", func(q *query) error {
		return q.of(&Client{}).Where("client_id > ?", after).Order("client_id").Limit(limited(limit)).Find(&clients).Error
	})
	return clients, err
}

// UpdateClient writes everything about a client that can be edited. If it was changed since it was read, that is
// ErrConflict; else its Version and UpdatedAt are the new ones afterwards.
func (db *DB) UpdateClient(ctx context.Context, client *Client) error {
	metadata, err := objectText(client.Metadata)
	if err != nil {
		return fmt.Errorf("update client: %w", err)
	}
	client.fill()
	var at time.Time
	err = db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "update client", func(q *query) error {
			at = q.now
			sealed, err := q.sealedAnew(client)
			if err != nil {
				return err
			}
			g := q.of(&Client{}).Where("client_id = ? AND version = ?", client.ClientID, client.Version).UpdateColumns(map[string]any{
				"name":                      client.Name,
				"secret_digest":             client.SecretDigest,
				"secret_digest_old":         client.SecretDigestOld,
				"secret_old_expires_at":     client.SecretOldExpiresAt,
				"sealed_secrets":            sealed,
				"auth_method":               client.AuthMethod,
				"redirect_uris":             listed(client.RedirectURIs),
				"post_logout_redirect_uris": listed(client.PostLogoutRedirectURIs),
				"grant_types":               listed(client.GrantTypes),
				"response_types":            listed(client.ResponseTypes),
				"response_modes":            listed(client.ResponseModes),
				"scopes":                    listed(client.Scopes),
				"audience":                  listed(client.Audience),
				"jwks":                      client.JWKS,
				"jwks_uri":                  client.JWKSURI,
				"id_token_alg":              client.IDTokenAlg,
				"access_token_format":       client.AccessTokenFormat,
				"skip_consent":              client.SkipConsent,
				"disabled":                  client.Disabled,
				"logo_uri":                  client.LogoURI,
				"policy_uri":                client.PolicyURI,
				"tos_uri":                   client.TosURI,
				"client_uri":                client.ClientURI,
				"metadata":                  metadata,
				"software_statement":        client.SoftwareStatement,
				"version":                   client.Version + 1,
				"updated_at":                at,
			})
			if g.Error != nil {
				return g.Error
			}
			if g.RowsAffected == 1 {
				return q.writeOrigins(client)
			}
			if err := q.of(&Client{}).Where("client_id = ?", client.ClientID).Select("id").Take(&Client{}).Error; err != nil {
				return err
			}
			return ErrConflict
		})
	})
	if err == nil {
		client.Version++
		client.UpdatedAt = at
	}
	return err
}

// LockClient keeps everybody else from changing a client until the transaction ends. What is decided by what stands there is decided
// once.
func (db *DB) LockClient(ctx context.Context, clientID string) error {
	return db.scoped(ctx, writing, "lock client", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE oauth_clients SET updated_at = updated_at WHERE client_id = $1 AND org_id = $2`, clientID, q.org))
	})
}

// DeleteClient removes a client and all that was given to it: codes, grants with their refresh tokens, access tokens,
// consents.
func (db *DB) DeleteClient(ctx context.Context, clientID string) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "delete client", func(q *query) error {
			err := changed(q.of(&Client{}).Where("client_id = ?", clientID).Delete(&Client{}), ErrNotFound)
			if err != nil {
				return err
			}
			for _, statement := range []string{
				`DELETE FROM oauth_codes WHERE org_id = $1 AND client_id = $2`, // no index: they are few, and live a minute
				`DELETE FROM oauth_grants WHERE org_id = $1 AND client_id = $2`,
				`DELETE FROM oauth_access_tokens WHERE org_id = $1 AND client_id = $2 AND grant_id IS NULL`,
				`DELETE FROM consents WHERE org_id = $1 AND client_id = $2`,
			} {
				if _, err := q.exec(statement, q.org, clientID); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
