package people

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// proven is the data of a link that proves an address of somebody who exists: it is worth something as long as it is theirs.
type proven struct {
	Email       string `json:"email"` // in its canonical form
	Interaction string `json:"interaction,omitempty"`
}

// linkFor makes a link for a person's address as it is now.
func (p *People) linkFor(user *storage.User, kind, interaction string, life time.Duration) (token string, row *storage.VerificationToken, err error) {
	if user.EmailCanonical == nil {
		return "", nil, fmt.Errorf("make a link for %s: %w", user.ID, identity.ErrEmail)
	}
	data, err := json.Marshal(proven{Email: *user.EmailCanonical, Interaction: interaction})
	if err != nil {
		return "", nil, fmt.Errorf("make a link for %s: %w", user.ID, err)
	}
	token = secret.New(secret.Verification)
	return token, &storage.VerificationToken{
		UserID: &user.ID, Token: secret.Digest(token), Type: kind, Data: data, ExpiresAt: time.Now().Add(life),
	}, nil
}

// holder returns whose address a link proves. One that was sent to an address that is theirs no longer, or to somebody who was
// switched off, is dead (S-220).
func (p *People) holder(ctx context.Context, row *storage.VerificationToken) (*storage.User, *proven, error) {
	var data proven
	if err := json.Unmarshal(row.Data, &data); err != nil {
		return nil, nil, fmt.Errorf("read the data of a link: %w", err)
	}
	user, err := p.db.User(ctx, *row.UserID)
	if err != nil {
		return nil, nil, dead(err)
	}
	if !user.IsActive || user.EmailCanonical == nil || *user.EmailCanonical != data.Email {
		return nil, nil, ErrDeadLink
	}
	return user, &data, nil
}

// SendVerification sends a person a link by which they prove their address. There is nothing to prove of one that is proven.
func (p *People) SendVerification(ctx context.Context, who visitor.Visitor, user *storage.User) error {
	if user.IsVerified || user.EmailCanonical == nil {
		return nil
	}
	if err := p.take(ctx, who, throttle.MailAddress, *user.EmailCanonical, byUser(user.ID), user.ID.String()); err != nil {
		return err
	}
	token, row, err := p.linkFor(user, storage.EmailVerification, "", verificationLife)
	if err != nil {
		return err
	}
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	err = p.db.InTx(ctx, func(ctx context.Context) error {
		inserted := *row
		if err := p.db.CreateVerificationToken(ctx, &inserted); err != nil {
			return err
		}
		err := p.post(ctx, user, mail.Letter{
			Kind: mail.VerifyEmail, Language: languageOf(user), Link: linkTo(org, "/verify", token), Until: moment(row.ExpiresAt),
		})
		if err != nil {
			return err
		}
		return p.audit(ctx, who, byUser(user.ID), "user.verification_sent", user.ID.String(), nil)
	})
	if err != nil {
		return fmt.Errorf("send a verification: %w", err)
	}
	return nil
}

// Verification is what a link of a letter is about.
type Verification struct {
	// Email is the address that the link proves.
	Email string
	// NewAccount is true when there is no account yet: pressing the button makes it.
	NewAccount bool
	// Here is true when it was asked for in this browser, and nothing more has to be entered. Else a password has to be chosen.
	Here bool
	// Federated is true where a provider has vouched for who they are, in this browser.
	Federated bool
	// Interaction is the authorization request that it was asked for on the way to, in this browser; or empty.
	Interaction string
	// Client is that of the request, whether or not it still waits; in another browser it is empty, too: who has signed up with an address
	// must not be able to say where whoever has that address is sent.
	Client string
	// Username and Name are what was entered at the sign-up.
	Username, Name string
}

// OpenVerification looks what a link is about, and spends nothing.
func (p *People) OpenVerification(ctx context.Context, who visitor.Visitor, token, browser string) (*Verification, error) {
	row, err := p.token(ctx, who, token, storage.EmailVerification)
	if err != nil {
		return nil, err
	}
	if row.UserID != nil {
		user, _, err := p.holder(ctx, row)
		if err != nil {
			return nil, err
		}
		return &Verification{Email: user.Email}, nil
	}
	var data pending
	if err := p.unseal(row, &data); err != nil {
		return nil, err
	}
	switch user, err := p.known(ctx, data.Email); {
	case err != nil:
		return nil, err
	case user != nil:
		return nil, dead(errTaken)
	}
	free, err := p.usernameFree(ctx, data.Username)
	if err != nil {
		return nil, err
	}
	opened := &Verification{Email: data.Email, NewAccount: true, Username: data.Username, Name: data.Name}
	if isFrom(row, browser) {
		opened.Here, opened.Interaction, opened.Client, opened.Federated = free, data.Interaction, data.Client, data.Upstream != nil
	}
	return opened, nil
}

// isFrom reports whether a sign-up was asked for by a browser.
func isFrom(row *storage.VerificationToken, browser string) bool {
	return secret.Valid(secret.SignUp, browser) && secret.Equal(secret.Digest(browser), row.Subject)
}

// Verify spends a link. Where it completes a sign-up it returns the account; what newcomer holds is used if the sign-up was asked
// for in another browser, or with a user name that somebody else has by now. Where there was an account before, it returns nil.
func (p *People) Verify(ctx context.Context, who visitor.Visitor, token, browser string, newcomer Newcomer, also then) (*storage.User, error) {
	row, err := p.token(ctx, who, token, storage.EmailVerification)
	if err != nil {
		return nil, err
	}
	if row.UserID != nil {
		return nil, p.verifyUser(ctx, who, row)
	}
	opened, err := p.OpenVerification(ctx, who, token, browser)
	if err != nil {
		return nil, err
	}
	var data pending
	if err := p.unseal(row, &data); err != nil {
		return nil, err
	}
	if opened.Here {
		newcomer.Username, newcomer.Name = data.Username, data.Name
	} else {
		org, err := tenant.From(ctx)
		if err != nil {
			return nil, err
		}
		newcomer.tidy(org.Decided())
		if err := newcomer.check(org, data.Email); err != nil {
			return nil, err
		}
		if err := p.countLinkName(ctx, who, newcomer.Username, row.ID); err != nil {
			return nil, err
		}
		data.Upstream = nil // whoever has asked for it need not be whose address it is (S-229)
		if data.Hash, err = p.hasher.Hash(ctx, newcomer.Password.Reveal()); err != nil {
			return nil, err
		}
	}
	return p.completeSignUp(ctx, who, row, &data, newcomer.Username, newcomer.Name, data.Hash, also)
}

func (p *People) verifyUser(ctx context.Context, who visitor.Visitor, row *storage.VerificationToken) error {
	user, data, err := p.holder(ctx, row)
	if err != nil {
		return err
	}
	err = p.db.InTx(ctx, func(ctx context.Context) error {
		if err := p.db.SpendVerificationToken(ctx, row.Token, storage.EmailVerification); err != nil {
			return err
		}
		if err := p.db.VerifyUser(ctx, user.ID, data.Email); err != nil {
			return err
		}
		return p.audit(ctx, who, byUser(user.ID), "user.email_verified", user.ID.String(),
			storage.Changes(map[string]any{"verified": user.IsVerified}, map[string]any{"verified": true}))
	})
	if err != nil {
		return fmt.Errorf("verify an address: %w", dead(err))
	}
	return nil
}
