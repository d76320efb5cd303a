package manage

import (
	"context"
	"errors"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// RetryMail makes a letter that waits or was given up due at once, whichever organization wrote it. What has left, or never was,
// is storage.ErrNotFound.
func (o *Operators) RetryMail(ctx context.Context, m *storage.Mail) error {
	ctx = tenant.With(ctx, &tenant.Org{ID: m.OrgID})
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		if err := o.db.RetryMail(ctx, m.ID); err != nil {
			return err
		}
		return o.audit(ctx, "mail.retried", "mail:"+m.ID.String(), nil)
	})
	if err != nil {
		return during("retry mail", err)
	}
	return nil
}

// RetryAllMail does so with every letter that has not left, and returns how many those were.
func (o *Operators) RetryAllMail(ctx context.Context) (retried int, err error) {
	const page = 100
	for before := (storage.Mail{}); ; {
		found, err := o.db.ListMail(ctx, storage.MailUndelivered, before, page)
		if err != nil {
			return retried, during("retry mail", err)
		}
		for _, m := range found {
			before = m
			if err := o.RetryMail(ctx, &m); errors.Is(err, storage.ErrNotFound) {
				continue // it has left this moment
			} else if err != nil {
				return retried, err
			}
			retried++
		}
		if len(found) < page {
			return retried, nil
		}
	}
}
