package manage

import (
	"context"
	"errors"
	"fmt"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// SealAnew seals whatever is sealed in the database anew under the current master key, the links of others included, so that the older
// ones are needed no more. It may be interrupted and repeated; the server goes on meanwhile. When nothing is left, a process that does
// not have the current key does not start any more, and that is written down in the organization of ctx, if there is one.
func (o *Operators) SealAnew(ctx context.Context, keyID string, links func(context.Context) (storage.Resealed, error)) ([]storage.Resealed, error) {
	all, err := o.db.Reseal(ctx)
	if err == nil {
		var others storage.Resealed
		others, err = links(ctx)
		all = append(all, others)
	}
	if err != nil {
		return all, fmt.Errorf("seal anew: %w", err)
	}
	var done int64
	for _, one := range all {
		if one.Stuck > 0 {
			return all, nil // and so the older key may be needed still
		}
		done += one.Done
	}
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		changed, err := o.db.ResealInstance(ctx)
		if err != nil || !changed && done == 0 {
			return err
		}
		if _, err := tenant.From(ctx); errors.Is(err, storage.ErrNoTenant) {
			return nil
		}
		return o.audit(ctx, "master_key.rotated", keyID, map[string]any{"sealed_anew": done})
	})
	if err != nil {
		return all, fmt.Errorf("seal anew: %w", err)
	}
	return all, nil
}
