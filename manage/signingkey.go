package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

// RotateKey replaces the key that the organization signs with by alg: at once if now, else after it has been published for
// long enough. It returns the key that will sign. If a rotation is under way already it is left to itself.
func (o *Operators) RotateKey(ctx context.Context, alg string, now bool, longestToken time.Duration) (kid string, err error) {
	plan, err := keys.PlanRotation(ctx, o.db, alg, now, longestToken)
	if errors.Is(err, keys.ErrNoKey) {
		return "", &Invalid{Field: "alg", Message: "the organization takes nothing that is encrypted (request_objects.encrypted)"}
	}
	if err != nil {
		return "", fmt.Errorf("rotate key: %w", err)
	}
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		var rotated bool
		if kid, rotated, err = plan.Apply(ctx, o.db); err != nil || !rotated {
			return err
		}
		return o.audit(ctx, "key.rotated", kid, map[string]any{"alg": alg, "now": now})
	})
	if err != nil {
		return "", fmt.Errorf("rotate key: %w", err)
	}
	return kid, nil
}

// ensureKeys sees to it, in a transaction, that the organization can sign whatever a client is registered for.
func (o *Operators) ensureKeys(ctx context.Context, client *storage.Client) error {
	for _, alg := range signedBy(client) {
		made, err := keys.Ensure(ctx, o.db, alg)
		if err != nil {
			return err
		}
		if made == "" {
			continue
		}
		if err := o.audit(ctx, "key.rotated", made, map[string]any{"alg": alg, "now": true, "client": client.ClientID}); err != nil {
			return err
		}
	}
	return nil
}

// signedBy are the algorithms that what a client is given may be signed by.
func signedBy(client *storage.Client) (algs []string) {
	for _, how := range []storage.Protection{client.IDTokenProtection(), client.UserInfoProtection(), client.IntrospectionProtection()} {
		if how.SigningAlg != "" && !slices.Contains(algs, how.SigningAlg) {
			algs = append(algs, how.SigningAlg)
		}
	}
	return algs
}

// settleEncryption sees to it, in a transaction, that the organization has keys to decrypt with if it takes what is encrypted to it, and else none.
func (o *Operators) settleEncryption(ctx context.Context, taken bool) error {
	for _, alg := range keys.EncryptionKeys() {
		if taken {
			made, err := keys.Ensure(ctx, o.db, alg)
			if err == nil && made != "" {
				err = o.audit(ctx, "key.rotated", made, map[string]any{"alg": alg, "now": true})
			}
			if err != nil {
				return err
			}
			continue
		}
		kids, err := keys.Forget(ctx, o.db, alg)
		if err != nil {
			return err
		}
		for _, kid := range kids {
			if err := o.audit(ctx, "key.revoked", kid, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// RevokeKey ends a key of the organization at once, and all that it signed.
func (o *Operators) RevokeKey(ctx context.Context, kid string) error {
	plan, err := keys.PlanRevocation(ctx, o.db, kid)
	if err != nil {
		return fmt.Errorf("revoke key: %w", err)
	}
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		if err := plan.Apply(ctx, o.db); err != nil {
			return err
		}
		return o.audit(ctx, "key.revoked", kid, nil)
	})
	if err != nil {
		return fmt.Errorf("revoke key: %w", err)
	}
	return nil
}
