package storage

import (
	"context"
	"encoding/base64"
	"time"

	"github.com/google/uuid"
)

// UpstreamProvider is somebody else's server at which people of the organization may sign in.
type UpstreamProvider struct {
	ID uuid.UUID `gorm:"column:id;primaryKey"`
	Owned
	Name     string `gorm:"column:name"`
	ClientID string `gorm:"column:client_id"`
	// ClientSecret is what we authenticate there with; the row holds it sealed.
	ClientSecret string         `gorm:"-"`
	Sealed       string         `gorm:"column:client_secret"`
	Settings     map[string]any `gorm:"column:settings;serializer:json"`
	CreatedAt    time.Time      `gorm:"column:created_at"`
}

func (UpstreamProvider) TableName() string { return "oauth_providers" }

// UpstreamAccount links a person to who they are at an upstream provider.
type UpstreamAccount struct {
	ID uuid.UUID `gorm:"column:id;primaryKey"`
	Owned
	UserID         uuid.UUID `gorm:"column:user_id"`
	ProviderID     uuid.UUID `gorm:"column:provider_id"`
	ProviderUserID string    `gorm:"column:provider_user_id"`
	// The tokens are the provider's own; the row holds them sealed. Empty is none.
	AccessToken   string     `gorm:"-"`
	RefreshToken  string     `gorm:"-"`
	SealedAccess  *string    `gorm:"column:access_token"`
	SealedRefresh *string    `gorm:"column:refresh_token"`
	ExpiresAt     *time.Time `gorm:"column:expires_at"`
	CreatedAt     time.Time  `gorm:"column:created_at"`
}

func (UpstreamAccount) TableName() string { return "oauth_accounts" }

// CreateUpstreamProvider inserts a provider and seals its secret.
func (db *DB) CreateUpstreamProvider(ctx context.Context, p *UpstreamProvider) error {
	return db.scoped(ctx, writing, "create upstream provider", func(q *query) (err error) {
		identify(&p.ID)
		if p.Sealed, err = q.cell("oauth_providers", "client_secret", p.ID.String()).sealText(p.ClientSecret); err != nil {
			return err
		}
		return q.create(p)
	})
}

// UpstreamProvider returns a provider by its name, its secret opened.
func (db *DB) UpstreamProvider(ctx context.Context, name string) (*UpstreamProvider, error) {
	var p UpstreamProvider
	err := db.scoped(ctx, reading, "read upstream provider", func(q *query) (err error) {
		if err := q.of(&p).Where("name = ?", name).Take(&p).Error; err != nil {
			return err
		}
		p.ClientSecret, err = q.cell("oauth_providers", "client_secret", p.ID.String()).openText(p.Sealed)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// CreateUpstreamAccount links a person to an account at a provider, both of the organization, and seals the account's tokens.
func (db *DB) CreateUpstreamAccount(ctx context.Context, a *UpstreamAccount) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "create upstream account", func(q *query) error {
			identify(&a.ID)
			a.SealedAccess, a.SealedRefresh = nil, nil
			for _, token := range []struct {
				plain  string
				column string
				sealed **string
			}{
				{a.AccessToken, "access_token", &a.SealedAccess},
				{a.RefreshToken, "refresh_token", &a.SealedRefresh},
			} {
				if token.plain == "" {
					continue
				}
				sealed, err := q.cell("oauth_accounts", token.column, a.ID.String()).sealText(token.plain)
				if err != nil {
					return err
				}
				*token.sealed = &sealed
			}
			if err := q.of(&User{}).Where("id = ?", a.UserID).Select("id").Take(&User{}).Error; err != nil {
				return err
			}
			if err := q.of(&UpstreamProvider{}).Where("id = ?", a.ProviderID).Select("id").Take(&UpstreamProvider{}).Error; err != nil {
				return err
			}
			return q.create(a)
		})
	})
}

// UpstreamAccount returns the account of a provider's person, its tokens opened.
func (db *DB) UpstreamAccount(ctx context.Context, providerID uuid.UUID, providerUserID string) (*UpstreamAccount, error) {
	var a UpstreamAccount
	err := db.scoped(ctx, reading, "read upstream account", func(q *query) (err error) {
		err = q.of(&a).Where("provider_id = ? AND provider_user_id = ?", providerID, providerUserID).Take(&a).Error
		if err != nil {
			return err
		}
		if a.SealedAccess != nil {
			if a.AccessToken, err = q.cell("oauth_accounts", "access_token", a.ID.String()).openText(*a.SealedAccess); err != nil {
				return err
			}
		}
		if a.SealedRefresh != nil {
			a.RefreshToken, err = q.cell("oauth_accounts", "refresh_token", a.ID.String()).openText(*a.SealedRefresh)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &a, nil
}

// sealText and openText are for columns of text.
func (c cell) sealText(plain string) (string, error) {
	sealed, err := c.seal([]byte(plain))
	return base64.RawStdEncoding.EncodeToString(sealed), err
}

func (c cell) openText(sealed string) (string, error) {
	raw, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil {
		raw = nil // not sealed by us: it does not open
	}
	plain, err := c.open(raw)
	return string(plain), err
}
