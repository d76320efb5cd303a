package people

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// How long the links of a change are good.
const (
	emailChangeLifetime = 24 * time.Hour
	emailUndoLifetime   = 7 * 24 * time.Hour
)

// The pages that the links lead to, below the issuer.
const (
	emailConfirmPath = "/account/email/confirm"
	emailUndoPath    = "/account/email/undo"
)

// EmailChange is what a link of a change of address is about.
type EmailChange struct {
	// From is the address that the account has had, To the one that it is to get.
	From string `json:"from"`
	To   string `json:"to"`
	// Asked is when the change was asked for.
	Asked time.Time `json:"asked"`
	// Turn is that of a change that can be undone, among those that can: whoever had the address first has the lowest.
	Turn int `json:"turn,omitempty"`
}

// emailUndoFactors is how long before a change of address somebody may have prepared for it with a factor of their own.
const emailUndoFactors = 24 * time.Hour

// ChangeEmail asks for another address of a person. Nothing changes before whoever reads mail there agrees; the address that
// the account has is told at once. Of an address that somebody else has nothing else is to be seen than of one that is free: the
// mail that goes there says that there is an account already.
func (p *People) ChangeEmail(ctx context.Context, who visitor.Visitor, userID uuid.UUID, address string) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	canonical, err := identity.Email(address)
	if err != nil {
		return &Invalid{"email", "account.email.form"}
	}
	user, err := p.db.User(ctx, userID)
	if err != nil {
		return fmt.Errorf("change e-mail address: %w", err)
	}
	if address == user.Email {
		return &Invalid{"email", "account.email.same"}
	}
	if !mayMove(org.Decided(), user, canonical) {
		return &Invalid{"email", "account.email.domain"}
	}
	for _, taken := range []struct {
		limit   throttle.Limit
		subject string
	}{
		{throttle.MailNetwork, throttle.Network(who.Address)},
		{throttle.MailAddress, "person " + userID.String()},  // whose present address is written to as well
		{throttle.MailAddress, "e-mail change " + canonical}, // apart from the letters that only who has an account there gets
	} {
		if err := p.take(ctx, who, taken.limit, taken.subject, byUser(userID), userID.String()); err != nil {
			return err
		}
	}

	err = p.db.InTx(ctx, func(ctx context.Context) error {
		user, err := p.db.LockUser(ctx, userID)
		if err != nil {
			return err
		}
		owner, err := p.db.UserByLogin(ctx, address)
		switch {
		case errors.Is(err, storage.ErrNotFound), err == nil && owner.ID == userID:
			err = p.askNewAddress(ctx, who, org, user, address)
		case err == nil:
			// It waits as any other does, for a link that nobody was sent.
			if _, err = p.changeLink(ctx, user, address); err == nil {
				err = p.post(ctx, owner, mail.Letter{Kind: mail.SignUpExists, Language: languageOf(owner), Link: org.Issuer + "/account"})
			}
		}
		if err != nil {
			return err
		}
		letter := mail.Letter{Kind: mail.EmailChanging, Address: address, Language: who.Language, When: moment(time.Now())}
		if err := p.post(ctx, user, letter); err != nil {
			return err
		}
		return p.audit(ctx, who, byUser(userID), "user.email_change_requested", userID.String(), nil)
	})
	if err != nil {
		return fmt.Errorf("change e-mail address: %w", err)
	}
	return nil
}

// mayMove reports whether a person may have another address, in its canonical form. Who was invited from elsewhere may stay elsewhere.
func mayMove(decided *settings.Settings, user *storage.User, canonical string) bool {
	return mayHave(decided, canonical) || user.EmailCanonical != nil && !mayHave(decided, *user.EmailCanonical)
}

// askNewAddress sends the link by which an address becomes the person's.
func (p *People) askNewAddress(ctx context.Context, who visitor.Visitor, org *tenant.Org, user *storage.User, address string) error {
	token, err := p.changeLink(ctx, user, address)
	if err != nil {
		return err
	}
	// To an address that need not be theirs, and so without what they call themselves.
	return p.post(ctx, nil, mail.Letter{
		Kind: mail.ConfirmEmail, To: address, Language: who.Language, Link: linkTo(org, emailConfirmPath, token),
		Until: moment(time.Now().Add(emailChangeLifetime)),
	})
}

// changeLink makes the token by which an address becomes the person's, in place of those that wait.
func (p *People) changeLink(ctx context.Context, user *storage.User, address string) (string, error) {
	change := EmailChange{From: user.Email, To: address, Asked: time.Now().UTC()}
	return p.emailLink(ctx, user.ID, storage.EmailChange, "", change, time.Now().Add(emailChangeLifetime))
}

// emailLink makes a token about a change, and returns it.
func (p *People) emailLink(ctx context.Context, userID uuid.UUID, kind, subject string, change EmailChange, until time.Time) (string, error) {
	data, err := json.Marshal(change)
	if err != nil {
		return "", err
	}
	token := secret.New(secret.Verification)
	return token, p.db.CreateVerificationToken(ctx, &storage.VerificationToken{
		UserID: &userID, Subject: subject, Token: secret.Digest(token), Type: kind, Data: data, ExpiresAt: until,
	})
}

// linkTo is a link in mail: of the organization's own issuer, whatever the request has said (S-189).
func linkTo(org *tenant.Org, path, token string) string {
	return org.Issuer + path + "?" + url.Values{"token": {token}}.Encode()
}

// moment is a time as it stands in a letter.
func moment(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") }

// PendingEmail is the address that a person has asked for and not confirmed yet, or nothing.
func (p *People) PendingEmail(ctx context.Context, userID uuid.UUID) (string, error) {
	token, err := p.db.VerificationTokenOf(ctx, userID.String(), storage.EmailChange)
	if errors.Is(err, storage.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var change EmailChange
	err = json.Unmarshal(token.Data, &change)
	return change.To, err
}

// OpenEmailChange returns what the link that was sent to the new address is about, and spends nothing.
func (p *People) OpenEmailChange(ctx context.Context, who visitor.Visitor, token string) (*EmailChange, error) {
	return p.openEmail(ctx, who, token, storage.EmailChange)
}

// OpenEmailUndo returns what the link that was sent to the old address would undo, and spends nothing.
func (p *People) OpenEmailUndo(ctx context.Context, who visitor.Visitor, token string) (*EmailChange, error) {
	return p.openEmail(ctx, who, token, storage.EmailUndo)
}

func (p *People) openEmail(ctx context.Context, who visitor.Visitor, token, kind string) (*EmailChange, error) {
	row, err := p.token(ctx, who, token, kind)
	if err != nil {
		return nil, err
	}
	user, err := p.db.User(ctx, *row.UserID)
	if err != nil {
		return nil, dead(err)
	}
	return changeOf(row, user)
}

// changeOf is what a link is about. It is dead when its person is switched off, and when another change has overtaken it (S-220).
func changeOf(row *storage.VerificationToken, user *storage.User) (*EmailChange, error) {
	change := &EmailChange{}
	if err := json.Unmarshal(row.Data, change); err != nil {
		return nil, fmt.Errorf("read the data of a link: %w", err)
	}
	if !user.IsActive || row.Type == storage.EmailChange && user.Email != change.From {
		return nil, ErrDeadLink
	}
	return change, nil
}

// emailTokens are what was sent to an address: with it they are worth nothing any more.
var emailTokens = []string{storage.PasswordReset, storage.EmailVerification, storage.EmailChange, storage.EmailCode}

// ConfirmEmail makes the address that a link was sent to that of its person. A link whose address somebody else has meanwhile is as
// dead as any other.
func (p *People) ConfirmEmail(ctx context.Context, who visitor.Visitor, token string) (*EmailChange, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	var change *EmailChange
	err = p.spendEmail(ctx, who, token, storage.EmailChange, func(ctx context.Context, user *storage.User, opened *EmailChange) error {
		change = opened
		if canonical, err := identity.Email(change.To); err != nil || !mayMove(org.Decided(), user, canonical) {
			return ErrDeadLink // the organization has changed its mind since
		}
		if err := p.db.ChangeEmail(ctx, user.ID, change.From, change.To); err != nil {
			return err
		}
		if err := p.db.EndVerificationTokensOfUser(ctx, user.ID, emailTokens...); err != nil {
			return err
		}
		told, err := p.undoLetter(ctx, org, user, *change)
		if err != nil {
			return err
		}
		for _, letter := range []mail.Letter{told, {Kind: mail.EmailIsYours, To: change.To, When: moment(time.Now())}} {
			letter.Language = who.Language
			if err := p.post(ctx, user, letter); err != nil {
				return err
			}
		}
		return p.audit(ctx, who, byUser(user.ID), "user.email_changed", user.ID.String(), emailMoved(change.From, change.To))
	})
	if err != nil {
		return nil, fmt.Errorf("confirm e-mail address: %w", err)
	}
	return change, nil
}

// undoLetter is what the address before is told, with the link that brings it back. Each has a link of its own, so that a second
// change does not take the first one's away. There is none where the account comes back to an address that has one: whoever has
// taken it away could take it once more, after all that its owner has changed (S-209). Nor is there one for an address that was
// never proven to be theirs: a stranger may read it.
func (p *People) undoLetter(ctx context.Context, org *tenant.Org, user *storage.User, change EmailChange) (mail.Letter, error) {
	letter := mail.Letter{Kind: mail.EmailMoved, To: change.From, Address: change.To, When: moment(time.Now())}
	links, err := p.undoLinks(ctx, user.ID)
	if err != nil || !user.IsVerified {
		return letter, err
	}
	change.Turn = 1
	for _, link := range links {
		if sameAddress(link.change.From, change.To) {
			return letter, nil
		}
		change.Turn = max(change.Turn, link.change.Turn+1)
	}
	subject := user.ID.String() + " " + change.From
	for _, link := range links {
		if sameAddress(link.change.From, change.From) {
			subject, change.Turn = link.row.Subject, link.change.Turn // it takes the place of the link that there is
		}
	}
	until := time.Now().Add(emailUndoLifetime)
	undo, err := p.emailLink(ctx, user.ID, storage.EmailUndo, subject, change, until)
	letter.Kind, letter.Link, letter.Until = mail.EmailChanged, linkTo(org, emailUndoPath, undo), moment(until)
	return letter, err
}

// undoLink is a link that brings an address back, and what it is about.
type undoLink struct {
	row    storage.VerificationToken
	change EmailChange
}

// undoLinks are those that work.
func (p *People) undoLinks(ctx context.Context, userID uuid.UUID) ([]undoLink, error) {
	rows, err := p.db.VerificationTokensOfUser(ctx, userID, storage.EmailUndo)
	if err != nil {
		return nil, err
	}
	links := make([]undoLink, len(rows))
	for i, row := range rows {
		links[i].row = row
		if err := json.Unmarshal(row.Data, &links[i].change); err != nil {
			return nil, fmt.Errorf("read the data of a link: %w", err)
		}
	}
	return links, nil
}

// endUndoLinks ends the links of changes that came after one that was undone. Those before it go on: whoever had the address first
// has their week, whatever was done by way of an address that came later (S-209).
func (p *People) endUndoLinks(ctx context.Context, userID uuid.UUID, undone *EmailChange) error {
	links, err := p.undoLinks(ctx, userID)
	if err != nil {
		return err
	}
	for _, link := range links {
		if link.change.Turn < undone.Turn {
			continue
		}
		if err := p.db.EndVerificationToken(ctx, link.row.ID, storage.EmailUndo); err != nil {
			return err
		}
	}
	return nil
}

// emailMoved is what the audit tells of an address that took the place of another.
func emailMoved(from, to string) map[string]any {
	return storage.Changes(map[string]any{"email": from}, map[string]any{"email": to})
}

// sameAddress reports whether two addresses are spellings of one.
func sameAddress(a, b string) bool {
	one, errOne := identity.Email(a)
	other, errOther := identity.Email(b)
	return a == b || errOne == nil && errOther == nil && one == other
}

// UndoEmail gives a person back the address that they had. Whoever changed it knew enough to sign in: they are out, everywhere,
// and what they knew is worth nothing, for the password has to be set anew by way of the old address.
func (p *People) UndoEmail(ctx context.Context, who visitor.Visitor, token string) (*EmailChange, error) {
	var change *EmailChange
	err := p.spendEmail(ctx, who, token, storage.EmailUndo, func(ctx context.Context, user *storage.User, opened *EmailChange) error {
		change = opened
		if user.Email != change.From {
			if err := p.db.ChangeEmail(ctx, user.ID, user.Email, change.From); err != nil {
				return err
			}
			// To the address that loses it: whoever reads mail at the other may not be the person any more.
			moved := mail.Letter{Kind: mail.EmailMoved, Address: change.From, Language: who.Language, When: moment(time.Now())}
			if err := p.post(ctx, user, moved); err != nil {
				return err
			}
		}
		if err := errors.Join(p.endUndoLinks(ctx, user.ID, opened), p.db.EndVerificationTokensOfUser(ctx, user.ID, emailTokens...)); err != nil {
			return err
		}
		if err := p.db.SetPasswordHash(ctx, user.ID, password.None); err != nil {
			return err
		}
		if err := p.db.EndSessionsOfUser(ctx, user.ID); err != nil {
			return err
		}
		// A passkey that was set up along with the change would lead back in. What was there before it stays, and stands in the way
		// of whoever reads the old address's mail without right.
		if err := p.db.DeleteFactorsSince(ctx, user.ID, change.Asked.Add(-emailUndoFactors)); err != nil {
			return err
		}
		letter := mail.Letter{Kind: mail.PasswordChange, To: change.From, Language: who.Language, When: moment(time.Now())}
		if err := p.post(ctx, user, letter); err != nil {
			return err
		}
		return p.audit(ctx, who, byUser(user.ID), "user.email_change_undone", user.ID.String(), emailMoved(user.Email, change.From))
	})
	if err != nil {
		return nil, fmt.Errorf("undo change of e-mail address: %w", err)
	}
	return change, nil
}

// spendEmail uses a link up along with what it is for. That its address is taken makes it as dead as any other.
func (p *People) spendEmail(ctx context.Context, who visitor.Visitor, token, kind string, do func(context.Context, *storage.User, *EmailChange) error) error {
	row, err := p.token(ctx, who, token, kind)
	if err != nil {
		return err
	}
	err = p.db.InTx(ctx, func(ctx context.Context) error {
		// First the row by which everything is decided, so that it stays as it is.
		user, err := p.db.LockUser(ctx, *row.UserID)
		if err != nil {
			return err
		}
		change, err := changeOf(row, user)
		if err != nil {
			return err
		}
		if err := p.db.SpendVerificationToken(ctx, row.Token, kind); err != nil {
			return err
		}
		return do(ctx, user, change)
	})
	if errors.Is(err, storage.ErrConflict) {
		return dead(errTaken)
	}
	return dead(err)
}
