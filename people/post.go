package people

import (
	"context"

	"github.com/google/uuid"
	"golang.org/x/text/language"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// post puts a letter into the outbox, in the transaction of the deed that it tells of. to is whom it is to, at the address that is
// theirs unless the letter has another; nil is somebody who is no person of the organization yet. The organization, from whom
// it comes and the language, where the letter has none, are filled in.
func (p *People) post(ctx context.Context, to *storage.User, letter mail.Letter) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	var id *uuid.UUID
	if to != nil {
		id = &to.ID
		if letter.To == "" {
			letter.To = to.Email
		}
		if letter.Name == "" && to.FullName != nil {
			letter.Name = *to.FullName
		}
		if letter.Language == language.Und {
			letter.Language = languageOf(to)
		}
	}
	message, err := p.composer.Compose(letter.From(org))
	if err != nil {
		return err
	}
	return p.db.EnqueueMail(ctx, id, message)
}
