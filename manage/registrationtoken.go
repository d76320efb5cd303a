package manage

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
)

// How long a registration token is good: unless it is said otherwise, at the least, and at the most; and for how many clients at the most,
// where that is bounded.
const (
	DefaultRegistrationTokenLife = 30 * 24 * time.Hour
	minRegistrationTokenLife     = time.Minute
	maxRegistrationTokenLife     = 366 * 24 * time.Hour
	maxRegistrationTokenUses     = 1_000_000
)

// NewRegistrationToken is a registration token that is to be made.
type NewRegistrationToken struct {
	// Name is for people: what, or whom, it is for.
	Name string
	// MaxUses is how many clients can be registered with it; 0 is any number.
	MaxUses int
	// ExpiresIn is how long it is good; 0 is DefaultRegistrationTokenLife.
	ExpiresIn time.Duration
}

// CreateRegistrationToken makes a token with which clients can be registered (RFC 7591 §3). The token is not to be had again.
func (o *Operators) CreateRegistrationToken(ctx context.Context, wanted NewRegistrationToken) (*storage.RegistrationToken, secret.Text, error) {
	if wanted.ExpiresIn == 0 {
		wanted.ExpiresIn = DefaultRegistrationTokenLife
	}
	var c complaints
	c.check("name", profile.Name(wanted.Name))
	if wanted.MaxUses < 0 || wanted.MaxUses > maxRegistrationTokenUses {
		c.add("uses", "it must be between 0, which is any number, and %d", maxRegistrationTokenUses)
	}
	if wanted.ExpiresIn < minRegistrationTokenLife || wanted.ExpiresIn > maxRegistrationTokenLife {
		c.add("expires-in", "it must be between %v and %v", minRegistrationTokenLife, maxRegistrationTokenLife)
	}
	if err := c.err(); err != nil {
		return nil, "", err
	}
	token := secret.New(secret.InitialAccess)
	made := &storage.RegistrationToken{
		Digest: secret.Digest(token), Name: wanted.Name, MaxUses: wanted.MaxUses, ExpiresAt: time.Now().Add(wanted.ExpiresIn).UTC(),
	}
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		row := *made // as with a client
		if err := o.db.CreateRegistrationToken(ctx, &row); err != nil {
			return err
		}
		err := o.audit(ctx, "registration_token.created", row.ID.String(), map[string]any{
			"name": row.Name, "max_uses": row.MaxUses, "expires_at": row.ExpiresAt.Format(time.RFC3339),
		})
		*made = row
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("create registration token: %w", err)
	}
	return made, secret.Text(token), nil
}

// RevokeRegistrationToken makes a registration token useless. The clients that were registered with it stay.
func (o *Operators) RevokeRegistrationToken(ctx context.Context, id uuid.UUID) error {
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		token, err := o.db.RegistrationToken(ctx, id)
		if err != nil {
			return err
		}
		if err := o.db.DeleteRegistrationToken(ctx, id); err != nil {
			return err
		}
		return o.audit(ctx, "registration_token.revoked", id.String(), map[string]any{"name": token.Name, "uses": token.Uses})
	})
	if err != nil {
		return fmt.Errorf("revoke registration token: %w", err)
	}
	return nil
}
