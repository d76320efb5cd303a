package manage

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/tenant"
)

// Mailing returns operators whose deeds can be told of by mail.
func (o *Operators) Mailing(composer *mail.Composer) *Operators {
	mailing := *o
	mailing.composer = composer
	return &mailing
}

// post puts a letter into the outbox, in the transaction of the deed that it tells of. user is whom it is to, or nil for somebody
// who is no person of the organization yet. The organization, whose issuer must be known, and from whom it comes are filled in.
func (o *Operators) post(ctx context.Context, user *uuid.UUID, letter mail.Letter) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	if o.composer == nil || org.Issuer == "" {
		return errors.New("mail cannot be written here")
	}
	message, err := o.composer.Compose(letter.From(org))
	if err != nil {
		return err
	}
	return o.db.EnqueueMail(ctx, user, message)
}
