package manage

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"golang.org/x/text/language"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// Mailing returns operators whose deeds can be told of by mail.
func (o *Operators) Mailing(composer *mail.Composer) *Operators {
	mailing := *o
	mailing.composer = composer
	return &mailing
}

// post puts a letter into the outbox, in the transaction of the deed that it tells of. to is whom it is to, or nil for somebody
// who is no person of the organization yet. The organization, whose issuer must be known, from whom it comes, and the language,
// where the letter has none, are filled in.
func (o *Operators) post(ctx context.Context, to *storage.User, letter mail.Letter) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	if o.composer == nil || org.Issuer == "" {
		return errors.New("mail cannot be written here")
	}
	var id *uuid.UUID
	if to != nil {
		id = &to.ID
		if letter.Language == language.Und {
			letter.Language = profile.Language(to.Metadata)
		}
	}
	message, err := o.composer.Compose(letter.From(org))
	if err != nil {
		return err
	}
	return o.db.EnqueueMail(ctx, id, message)
}
