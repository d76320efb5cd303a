package storage

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// UpstreamProvider is somebody else's server at which people of the organization may sign in.
type UpstreamProvider struct {
	ID uuid.UUID `gorm:"column:id;primaryKey"`
	Owned
	Name     string `gorm:"column:name"`
	ClientID string `gorm:"column:client_id"`
	// ClientSecret is what we authenticate there with; the row holds it sealed. It is left out where several are read at once.
	ClientSecret string         `gorm:"-"`
	Sealed       string         `gorm:"column:client_secret"`
	Settings     map[string]any `gorm:"column:settings;serializer:json"`
	// Version counts the changes. UpdateUpstreamProvider changes only the version that was read.
	Version   int64      `gorm:"column:version"`
	CreatedAt time.Time  `gorm:"column:created_at"`
	UpdatedAt *time.Time `gorm:"column:updated_at"`
}

func (UpstreamProvider) TableName() string { return "oauth_providers" }

func (p *UpstreamProvider) secret(q *query) cell {
	return q.cell("oauth_providers", "client_secret", p.ID.String())
}

// CreateUpstreamProvider inserts a provider and seals its secret. A name that is taken is ErrConflict.
func (db *DB) CreateUpstreamProvider(ctx context.Context, p *UpstreamProvider) error {
	return db.scoped(ctx, writing, "create upstream provider", func(q *query) (err error) {
		identify(&p.ID)
		p.Version = max(p.Version, 1)
		at := q.now
		p.UpdatedAt = &at
		if p.Sealed, err = p.secret(q).sealText(p.ClientSecret); err != nil {
			return err
		}
		return q.create(p)
	})
}

// UpstreamProvider returns a provider by its name, its secret opened.
func (db *DB) UpstreamProvider(ctx context.Context, name string) (*UpstreamProvider, error) {
	return db.upstreamProvider(ctx, "name = ?", name)
}

// UpstreamProviderByID returns a provider by its id, its secret opened.
func (db *DB) UpstreamProviderByID(ctx context.Context, id uuid.UUID) (*UpstreamProvider, error) {
	return db.upstreamProvider(ctx, "id = ?", id)
}

func (db *DB) upstreamProvider(ctx context.Context, condition string, value any) (*UpstreamProvider, error) {
	var p UpstreamProvider
	err := db.scoped(ctx, reading, "read upstream provider", func(q *query) (err error) {
		p = UpstreamProvider{}
		if err := q.of(&p).Where(condition, value).Take(&p).Error; err != nil {
			return err
		}
		p.ClientSecret, err = p.secret(q).openText(p.Sealed)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &p, nil
}

// ListUpstreamProviders returns providers in the order of their names, those after the given one, without their secrets.
func (db *DB) ListUpstreamProviders(ctx context.Context, after string, limit int) ([]UpstreamProvider, error) {
	var providers []UpstreamProvider
	err := db.scoped(ctx, reading, "list upstream providers", func(q *query) error {
		return q.of(&UpstreamProvider{}).Where("name > ?", after).Order("name").Limit(limited(limit)).Find(&providers).Error
	})
	return providers, err
}

// UpdateUpstreamProvider writes everything about a provider but its name, its secret sealed anew. If it was changed since it was
// read, that is ErrConflict; else its Version and UpdatedAt are the new ones afterwards.
func (db *DB) UpdateUpstreamProvider(ctx context.Context, p *UpstreamProvider) error {
	decided, err := objectText(p.Settings)
	if err != nil {
		return fmt.Errorf("update upstream provider: %w", err)
	}
	var at time.Time
	err = db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "update upstream provider", func(q *query) error {
			at = q.now
			sealed, err := p.secret(q).sealText(p.ClientSecret)
			if err != nil {
				return err
			}
			g := q.of(&UpstreamProvider{}).Where("id = ? AND version = ?", p.ID, p.Version).UpdateColumns(map[string]any{
				"client_id": p.ClientID, "client_secret": sealed, "settings": decided, "version": p.Version + 1, "updated_at": at,
			})
			if g.Error != nil || g.RowsAffected == 1 {
				return g.Error
			}
			if err := q.of(&UpstreamProvider{}).Where("id = ?", p.ID).Select("id").Take(&UpstreamProvider{}).Error; err != nil {
				return err
			}
			return ErrConflict
		})
	})
	if err == nil {
		p.Version++
		p.UpdatedAt = &at
	}
	return err
}

// LockUpstreamProvider keeps everybody else from changing a provider until the transaction ends.
func (db *DB) LockUpstreamProvider(ctx context.Context, name string) error {
	return db.scoped(ctx, writing, "lock upstream provider", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE oauth_providers SET version = version WHERE name = $1 AND org_id = $2`, name, q.org))
	})
}

// RightsAtProvider returns what the people who are linked to a provider may do, each permission once and in order.
func (db *DB) RightsAtProvider(ctx context.Context, id uuid.UUID) (permissions []string, err error) {
	err = db.scoped(ctx, reading, "read rights at upstream provider", func(q *query) error {
		permissions = []string{}
		rows, err := q.pool.QueryContext(q.ctx, `SELECT DISTINCT p.name FROM oauth_accounts a JOIN user_roles ur ON ur.user_id = a.user_id
			JOIN role_permissions rp ON rp.role_id = ur.role_id JOIN permissions p ON p.id = rp.permission_id
			WHERE a.provider_id = $1 AND a.org_id = $2 AND p.org_id = $3 ORDER BY p.name`, id, q.org, q.org)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name string
			if err := rows.Scan(&name); err != nil {
				return err
			}
			permissions = append(permissions, name)
		}
		return rows.Err()
	})
	return permissions, err
}

// DeleteUpstreamProvider removes a provider, and who anybody is there. It returns how many accounts that were.
func (db *DB) DeleteUpstreamProvider(ctx context.Context, id uuid.UUID) (accounts int64, err error) {
	err = db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "delete upstream provider", func(q *query) (err error) {
			accounts, err = q.exec(`DELETE FROM oauth_accounts WHERE provider_id = $1 AND org_id = $2`, id, q.org)
			if err != nil {
				return err
			}
			return changed(q.of(&UpstreamProvider{}).Where("id = ?", id).Delete(&UpstreamProvider{}), ErrNotFound)
		})
	})
	return accounts, err
}

// UpstreamAccount links a person to who they are at an upstream provider.
type UpstreamAccount struct {
	ID uuid.UUID `gorm:"column:id;primaryKey"`
	Owned
	UserID     uuid.UUID `gorm:"column:user_id"`
	ProviderID uuid.UUID `gorm:"column:provider_id"`
	// Issuer and Subject are who it is: a subject means something together with whoever issued it, and nothing without (OpenID
	// Connect Core 1.0 §2). The column holds both.
	Issuer, Subject string `gorm:"-"`
	ProviderUserID  string `gorm:"column:provider_user_id"`
	// Label is what the person is called there, for people to read.
	Label string `gorm:"column:label"`
	// The tokens are the provider's own; the row holds them sealed. Empty is none.
	AccessToken   string  `gorm:"-"`
	RefreshToken  string  `gorm:"-"`
	SealedAccess  *string `gorm:"column:access_token"`
	SealedRefresh *string `gorm:"column:refresh_token"`
	// ClaimSources are the claims of which the provider says where they are to be had, as claimsource writes them. Empty is none.
	ClaimSources string  `gorm:"-"`
	SealedClaims *string `gorm:"column:claim_sources"`
	// ExpiresAt is when the access token ends, if that is known.
	ExpiresAt  *time.Time `gorm:"column:expires_at"`
	CreatedAt  time.Time  `gorm:"column:created_at"`
	LastUsedAt *time.Time `gorm:"column:last_used_at"`
}

func (UpstreamAccount) TableName() string { return "oauth_accounts" }

// upstreamIdentity is issuer and subject as the column holds them. No issuer has a space in it.
func upstreamIdentity(issuer, subject string) string { return issuer + " " + subject }

// open reads what the row holds of the account in a form of its own.
func (a *UpstreamAccount) open(q *query) (err error) {
	a.Issuer, a.Subject, _ = strings.Cut(a.ProviderUserID, " ")
	if a.SealedAccess != nil {
		if a.AccessToken, err = a.cell(q, "access_token").openText(*a.SealedAccess); err != nil {
			return err
		}
	}
	if a.SealedRefresh != nil {
		if a.RefreshToken, err = a.cell(q, "refresh_token").openText(*a.SealedRefresh); err != nil {
			return err
		}
	}
	if a.SealedClaims != nil {
		a.ClaimSources, err = a.cell(q, "claim_sources").openText(*a.SealedClaims)
	}
	return err
}

// seal writes it. A token that is empty is none.
func (a *UpstreamAccount) seal(q *query) error {
	a.ProviderUserID = upstreamIdentity(a.Issuer, a.Subject)
	a.SealedAccess, a.SealedRefresh, a.SealedClaims = nil, nil, nil
	for _, token := range []struct {
		plain, column string
		sealed        **string
	}{{a.AccessToken, "access_token", &a.SealedAccess}, {a.RefreshToken, "refresh_token", &a.SealedRefresh}, {a.ClaimSources, "claim_sources", &a.SealedClaims}} {
		if token.plain == "" {
			continue
		}
		sealed, err := a.cell(q, token.column).sealText(token.plain)
		if err != nil {
			return err
		}
		*token.sealed = &sealed
	}
	return nil
}

func (a *UpstreamAccount) cell(q *query, column string) cell {
	return q.cell("oauth_accounts", column, a.ID.String())
}

// CreateUpstreamAccount links a person to an account at a provider, both of the organization, and seals the account's tokens. An
// account that is linked already, to whomsoever, is ErrConflict.
func (db *DB) CreateUpstreamAccount(ctx context.Context, a *UpstreamAccount) error {
	return db.InTx(ctx, func(ctx context.Context) error {
		return db.scoped(ctx, writing, "create upstream account", func(q *query) error {
			identify(&a.ID)
			if err := a.seal(q); err != nil {
				return err
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
func (db *DB) UpstreamAccount(ctx context.Context, providerID uuid.UUID, issuer, subject string) (*UpstreamAccount, error) {
	return db.upstreamAccount(ctx, "provider_id = ? AND provider_user_id = ?", providerID, upstreamIdentity(issuer, subject))
}

// UpstreamAccountOf returns an account of a person by its id, its tokens opened. Somebody else's is ErrNotFound.
func (db *DB) UpstreamAccountOf(ctx context.Context, userID, id uuid.UUID) (*UpstreamAccount, error) {
	return db.upstreamAccount(ctx, "user_id = ? AND id = ?", userID, id)
}

func (db *DB) upstreamAccount(ctx context.Context, condition string, values ...any) (*UpstreamAccount, error) {
	var a UpstreamAccount
	err := db.scoped(ctx, reading, "read upstream account", func(q *query) error {
		a = UpstreamAccount{}
		if err := q.of(&a).Where(condition, values...).Take(&a).Error; err != nil {
			return err
		}
		return a.open(q)
	})
	if err != nil {
		return nil, err
	}
	return &a, nil
}

// UseUpstreamAccount writes down that a person has signed in with an account: with which tokens, and what is told of them there. Without
// a refresh token the one that is there goes on: it may be a newer one than whoever signs in has read.
func (db *DB) UseUpstreamAccount(ctx context.Context, a *UpstreamAccount) error {
	return db.scoped(ctx, writing, "use upstream account", func(q *query) error {
		if err := a.seal(q); err != nil {
			return err
		}
		at := q.now
		a.LastUsedAt = &at
		return one(ErrNotFound)(q.exec(`UPDATE oauth_accounts SET access_token = $1, refresh_token = coalesce($2, refresh_token), expires_at = $3, label = $4,
			claim_sources = $5, last_used_at = $6 WHERE id = $7 AND org_id = $8`,
			a.SealedAccess, a.SealedRefresh, a.ExpiresAt, a.Label, a.SealedClaims, at, a.ID, q.org))
	})
}

// ClaimUpstreamRenewal lets whoever is first renew the tokens of an account, until a moment. Everybody else gets ErrSpent, and so does
// whoever has read another refresh token than the account's.
func (db *DB) ClaimUpstreamRenewal(ctx context.Context, a *UpstreamAccount, until time.Time) error {
	return db.scoped(ctx, writing, "claim upstream renewal", func(q *query) error {
		return q.spend(`UPDATE oauth_accounts SET renewing_until = $1 WHERE id = $2 AND org_id = $3 AND refresh_token = $4
			AND (renewing_until IS NULL OR renewing_until <= $5)`, until, a.ID, q.org, a.SealedRefresh, q.now)
	})
}

// GiveUpUpstreamRenewal lets somebody else try. Where the tokens are others by now there is nothing to give up.
func (db *DB) GiveUpUpstreamRenewal(ctx context.Context, a *UpstreamAccount) error {
	return db.scoped(ctx, writing, "give up upstream renewal", func(q *query) error {
		_, err := q.exec(`UPDATE oauth_accounts SET renewing_until = NULL WHERE id = $1 AND org_id = $2 AND refresh_token = $3`, a.ID, q.org, a.SealedRefresh)
		return err
	})
}

// RenewUpstreamTokens writes the tokens that an account was given for its refresh token, of which none may be left. Of several that have
// used the same one, one succeeds: the tokens of the others, ErrSpent, may be worth nothing by now.
func (db *DB) RenewUpstreamTokens(ctx context.Context, a *UpstreamAccount, accessToken, refreshToken string, expires *time.Time) error {
	return db.scoped(ctx, writing, "renew upstream tokens", func(q *query) error {
		renewed, before := *a, a.SealedRefresh
		renewed.AccessToken, renewed.RefreshToken, renewed.ExpiresAt = accessToken, refreshToken, expires
		if err := renewed.seal(q); err != nil {
			return err
		}
		// What is sealed is never the same twice, so that the text tells which token it was.
		err := q.spend(`UPDATE oauth_accounts SET access_token = $1, refresh_token = $2, expires_at = $3, renewing_until = NULL
			WHERE id = $4 AND org_id = $5 AND refresh_token = $6`,
			renewed.SealedAccess, renewed.SealedRefresh, renewed.ExpiresAt, renewed.ID, q.org, before)
		if err == nil {
			*a = renewed
		}
		return err
	})
}

// ClaimSourcesOf returns the claims about a person of which providers say where they are to be had, of the account that is linked longest
// first.
func (db *DB) ClaimSourcesOf(ctx context.Context, userID uuid.UUID) ([]string, error) {
	var texts []string
	err := db.scoped(ctx, reading, "read claim sources", func(q *query) error {
		texts = nil
		var accounts []UpstreamAccount
		err := q.of(&UpstreamAccount{}).Where("user_id = ? AND claim_sources IS NOT NULL", userID).Order("created_at, id").
			Select("id", "claim_sources").Find(&accounts).Error
		if err != nil {
			return err
		}
		for i := range accounts {
			text, err := accounts[i].cell(q, "claim_sources").openText(*accounts[i].SealedClaims)
			if err != nil {
				return err
			}
			texts = append(texts, text)
		}
		return nil
	})
	return texts, err
}

// HasClaimSources reports whether there is anybody in the organization of whom ClaimSourcesOf returns something.
func (db *DB) HasClaimSources(ctx context.Context) (bool, error) {
	var has bool
	err := db.scoped(ctx, reading, "look for claim sources", func(q *query) error {
		return q.row(`SELECT EXISTS (SELECT 1 FROM oauth_accounts WHERE org_id = $1 AND claim_sources IS NOT NULL)`, q.org).Scan(&has)
	})
	return has, err
}

// DeleteUpstreamAccount takes an account from a person. Somebody else's is ErrNotFound.
func (db *DB) DeleteUpstreamAccount(ctx context.Context, userID, id uuid.UUID) error {
	return db.scoped(ctx, writing, "delete upstream account", func(q *query) error {
		return one(ErrNotFound)(q.exec(`DELETE FROM oauth_accounts WHERE id = $1 AND user_id = $2 AND org_id = $3`, id, userID, q.org))
	})
}

// DeleteUpstreamAccounts takes every account from a person, and returns how many those were.
func (db *DB) DeleteUpstreamAccounts(ctx context.Context, userID uuid.UUID) (n int64, err error) {
	err = db.scoped(ctx, writing, "delete upstream accounts", func(q *query) error {
		n, err = q.exec(`DELETE FROM oauth_accounts WHERE user_id = $1 AND org_id = $2`, userID, q.org)
		return err
	})
	return n, err
}

// LinkedAccount is who a person is at an upstream provider.
type LinkedAccount struct {
	ID         uuid.UUID
	ProviderID uuid.UUID
	// Provider is its name, Settings are its own.
	Provider        string
	Settings        map[string]any
	Issuer, Subject string
	Label           string
	CreatedAt       time.Time
	LastUsedAt      *time.Time
}

// UpstreamAccountsOf returns who a person is elsewhere, by the name of the provider.
func (db *DB) UpstreamAccountsOf(ctx context.Context, userID uuid.UUID) ([]LinkedAccount, error) {
	var accounts []LinkedAccount
	err := db.scoped(ctx, reading, "list upstream accounts of user", func(q *query) error {
		accounts = nil
		rows, err := q.pool.QueryContext(q.ctx, `SELECT a.id, p.id, p.name, p.settings, a.provider_user_id, a.label, a.created_at, a.last_used_at
			FROM oauth_accounts a JOIN oauth_providers p ON p.id = a.provider_id AND p.org_id = a.org_id
			WHERE a.user_id = $1 AND a.org_id = $2 ORDER BY p.name, a.provider_user_id`, userID, q.org)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var a LinkedAccount
			var who string
			err := rows.Scan(&a.ID, &a.ProviderID, &a.Provider, object{&a.Settings}, &who, &a.Label, maybe[time.Time]{&a.CreatedAt}, &a.LastUsedAt)
			if err != nil {
				return err
			}
			a.Issuer, a.Subject, _ = strings.Cut(who, " ")
			accounts = append(accounts, a)
		}
		return rows.Err()
	})
	return accounts, err
}

// UpstreamRequest is a browser that was sent to a provider and is to come back; Digest is that of the state it comes with. Or, where
// it is held, it is an identity that a provider has vouched for, and that waits for its person to prove something more.
type UpstreamRequest struct {
	Digest string
	Owned
	BrowserDigest string
	ProviderID    uuid.UUID
	// UserID is the person it is to be linked to, if that is known.
	UserID *uuid.UUID
	Held   bool
	// Data is JSON of whoever made the request; the row holds it sealed.
	Data []byte
	// AnsweredAt is when an answer came that the browser did not bring in the address.
	AnsweredAt *time.Time
	ExpiresAt  time.Time
	CreatedAt  time.Time
}

func (r *UpstreamRequest) cell(q *query) cell {
	return q.cell("upstream_requests", "data", r.Digest+" "+r.BrowserDigest)
}

// CreateUpstreamRequest inserts a request to a provider of the organization, and for a person of it, if for any.
func (db *DB) CreateUpstreamRequest(ctx context.Context, r *UpstreamRequest) error {
	return db.scoped(ctx, writing, "create upstream request", func(q *query) error {
		if err := r.own(q.org); err != nil {
			return err
		}
		date(&r.CreatedAt, q.now)
		sealed, err := r.cell(q).seal(r.Data)
		if err != nil {
			return err
		}
		return one(ErrNotFound)(q.exec(`INSERT INTO upstream_requests (digest, org_id, browser_digest, provider_id, user_id, held, data, expires_at, created_at)
			SELECT $1, p.org_id, $2, p.id, `+q.db.cast("$3", "uuid")+`, $4, $5, $6, $7 FROM oauth_providers p WHERE p.id = $8 AND p.org_id = $9
			AND ($10 OR EXISTS (SELECT 1 FROM users u WHERE u.id = $11 AND u.org_id = p.org_id))`,
			r.Digest, r.BrowserDigest, r.UserID, r.Held, sealed, r.ExpiresAt, r.CreatedAt, r.ProviderID, q.org, r.UserID == nil, r.UserID))
	})
}

const upstreamRequestColumns = `digest, browser_digest, provider_id, user_id, held, data, answered_at, expires_at, created_at`

// UpstreamRequest returns a request by the digest of its state, unless it is over.
func (db *DB) UpstreamRequest(ctx context.Context, digest string) (*UpstreamRequest, error) {
	return db.upstreamRequest(ctx, `digest = $1 AND held = FALSE`, digest)
}

// HeldUpstreamRequest returns the identity that was held for a browser last.
func (db *DB) HeldUpstreamRequest(ctx context.Context, browserDigest string) (*UpstreamRequest, error) {
	return db.upstreamRequest(ctx, `browser_digest = $1 AND held = TRUE`, browserDigest)
}

func (db *DB) upstreamRequest(ctx context.Context, condition, value string) (*UpstreamRequest, error) {
	var r UpstreamRequest
	err := db.scoped(ctx, reading, "read upstream request", func(q *query) (err error) {
		r = UpstreamRequest{Owned: Owned{q.org}}
		var sealed []byte
		err = q.row(`SELECT `+upstreamRequestColumns+` FROM upstream_requests WHERE `+condition+`
			AND org_id = $2 AND spent_at IS NULL AND expires_at > $3 ORDER BY created_at DESC LIMIT 1`, value, q.org, q.now).Scan(
			&r.Digest, &r.BrowserDigest, &r.ProviderID, &r.UserID, &r.Held, &sealed, &r.AnsweredAt, &r.ExpiresAt, &r.CreatedAt)
		if err != nil {
			return err
		}
		r.Data, err = r.cell(q).open(sealed)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// AnswerUpstreamRequest keeps what came of a request, in place of what was known of it. Of several answers the first is kept; the
// others get ErrSpent.
func (db *DB) AnswerUpstreamRequest(ctx context.Context, r *UpstreamRequest) error {
	return db.scoped(ctx, writing, "answer upstream request", func(q *query) error {
		sealed, err := r.cell(q).seal(r.Data)
		if err != nil {
			return err
		}
		return q.spend(`UPDATE upstream_requests SET data = $1, answered_at = $2
			WHERE digest = $3 AND org_id = $4 AND held = FALSE AND answered_at IS NULL AND spent_at IS NULL AND expires_at > $5`,
			sealed, q.now, r.Digest, q.org, q.now)
	})
}

// SpendUpstreamRequest ends a request, or an identity that is held. Of several at once, one succeeds; the others get ErrSpent.
func (db *DB) SpendUpstreamRequest(ctx context.Context, digest string) error {
	return db.scoped(ctx, writing, "spend upstream request", func(q *query) error {
		return q.spend(`UPDATE upstream_requests SET spent_at = $1 WHERE digest = $2 AND org_id = $3 AND spent_at IS NULL AND expires_at > $4`,
			q.now, digest, q.org, q.now)
	})
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
