package people

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// FieldLogin is the field of a user name or e-mail address.
const FieldLogin = "login"

// maxLogin is more than any user name or e-mail address has, in bytes.
const maxLogin = 254

// Forgot takes what somebody says who has forgotten their password. What they typed is looked at later, by AnswerResetRequest: the
// work of the request, and so its time, is the same whoever it is about (S-196, S-197).
func (p *People) Forgot(ctx context.Context, who visitor.Visitor, login, interaction string) error {
	login = strings.TrimSpace(login)
	switch {
	case login == "":
		return &Invalid{FieldLogin, "forgot.no_login"}
	case len(login) > maxLogin:
		return &Invalid{FieldLogin, "forgot.long_login"}
	}
	if err := p.takeFrom(ctx, who, throttle.MailNetwork, throttle.MailOrganization); err != nil {
		return err
	}
	shown, err := p.shown(ctx, login)
	if err != nil {
		return err
	}
	id := uuid.New()
	err = p.db.InTx(ctx, func(ctx context.Context) error {
		request := storage.ResetRequest{ID: id, Login: login, Interaction: interaction, Address: who.Address, RequestID: who.RequestID}
		if err := p.db.EnqueueResetRequest(ctx, &request); err != nil {
			return err
		}
		return p.audit(ctx, who, Anonymous, "user.password_reset_requested", "", map[string]any{"login": shown})
	})
	if err != nil {
		return fmt.Errorf("ask for a new password: %w", err)
	}
	select {
	case p.asked <- struct{}{}:
	default: // somebody is told already
	}
	return nil
}

// Asked is told when this process has taken a request for a new password, so that it need not wait for its turn. It has one
// listener.
func (p *People) Asked() <-chan struct{} { return p.asked }

// AnswerResetRequest writes the letter that was asked for, to the address that is stored, if there is such an account and it is
// not switched off. Whoever has no password yet gets it too.
func (p *People) AnswerResetRequest(ctx context.Context, request *storage.ResetRequest) error {
	who := visitor.Visitor{Address: request.Address, RequestID: request.RequestID}
	user, err := p.known(ctx, request.Login)
	if err != nil {
		return fmt.Errorf("answer a reset request: %w", err)
	}
	if user == nil || !user.IsActive || user.EmailCanonical == nil {
		return p.endRequest(ctx, request)
	}
	err = p.take(ctx, who, throttle.MailAddress, *user.EmailCanonical, Anonymous, user.ID.String())
	var exceeded *throttle.Exceeded
	if errors.As(err, &exceeded) {
		return p.endRequest(ctx, request) // and nobody is told
	}
	if err != nil {
		return fmt.Errorf("answer a reset request: %w", err)
	}
	token, row, err := p.linkFor(user, storage.PasswordReset, request.Interaction, resetLife)
	if err != nil {
		return err
	}
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	err = p.db.InTx(ctx, func(ctx context.Context) error {
		if err := p.db.EndResetRequest(ctx, request.ID); err != nil {
			return err
		}
		inserted := *row
		if err := p.db.CreateVerificationToken(ctx, &inserted); err != nil {
			return err
		}
		err := p.post(ctx, user, mail.Letter{
			Kind: mail.PasswordReset, Language: languageOf(user), Link: linkTo(org, "/reset", token), Until: moment(row.ExpiresAt),
		})
		if err != nil {
			return err
		}
		return p.audit(ctx, who, Anonymous, "user.password_reset_sent", user.ID.String(), nil)
	})
	if err == nil {
		return nil
	}
	// No letter was written, so none is counted: what is answered again and again, for whatever reason, is answered in the end.
	err = errors.Join(err, p.db.GiveBack(ctx, throttle.MailAddress, *user.EmailCanonical))
	if errors.Is(err, storage.ErrSpent) { // somebody else has answered it
		return nil
	}
	return fmt.Errorf("answer a reset request: %w", err)
}

func (p *People) endRequest(ctx context.Context, request *storage.ResetRequest) error {
	if err := p.db.EndResetRequest(ctx, request.ID); err != nil && !errors.Is(err, storage.ErrSpent) {
		return fmt.Errorf("end a reset request: %w", err)
	}
	return nil
}

// OpenReset looks whose password a link sets, and spends nothing.
func (p *People) OpenReset(ctx context.Context, who visitor.Visitor, token string) (*storage.User, error) {
	row, err := p.token(ctx, who, token, storage.PasswordReset)
	if err != nil {
		return nil, err
	}
	user, _, err := p.holder(ctx, row)
	return user, err
}

// Reset spends a link and sets a new password. Whoever knew the old one is out: sessions and grants end, and so do other links.
// It signs nobody in, and takes no second factor from anybody. The address was proven along the way. It returns the
// authorization request that the person was on the way to.
func (p *People) Reset(ctx context.Context, who visitor.Visitor, token string, text secret.Text) (interaction string, err error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return "", err
	}
	row, err := p.token(ctx, who, token, storage.PasswordReset)
	if err != nil {
		return "", err
	}
	user, data, err := p.holder(ctx, row)
	if err != nil {
		return "", err
	}
	if err := newPassword(FieldPassword, text, append(about(user), org.Name, org.Slug)...); err != nil {
		return "", err
	}
	hash, err := p.hasher.Hash(ctx, text.Reveal())
	if err != nil {
		return "", err
	}
	err = p.db.InTx(ctx, func(ctx context.Context) error {
		if err := p.db.SpendVerificationToken(ctx, row.Token, storage.PasswordReset); err != nil {
			return err
		}
		// The address must still be the one that the link was sent to, now that the row is ours to change.
		if err := p.db.VerifyUser(ctx, user.ID, data.Email); err != nil {
			return err
		}
		if err := p.db.SetPasswordHash(ctx, user.ID, hash); err != nil {
			return err
		}
		if err := p.db.EndSessionsOfUser(ctx, user.ID); err != nil {
			return err
		}
		if err := p.db.DistrustDevices(ctx, user.ID); err != nil {
			return err
		}
		err := p.db.EndVerificationTokensOfUser(ctx, user.ID, storage.PasswordReset, storage.EmailVerification, storage.EmailChange, storage.EmailCode)
		if err != nil {
			return err
		}
		if err := p.post(ctx, user, mail.Letter{Kind: mail.PasswordChange, Language: languageOf(user), When: moment(time.Now())}); err != nil {
			return err
		}
		return p.audit(ctx, who, byUser(user.ID), "user.password_reset", user.ID.String(), map[string]any{"verified": !user.IsVerified})
	})
	if err != nil {
		return "", fmt.Errorf("reset a password: %w", dead(err))
	}
	// Whoever guessed at the old password is no reason to keep its owner from using the new one.
	if err := p.db.Forgive(ctx, throttle.SignInStrange, guessed(user)); err != nil {
		p.log.WarnContext(ctx, "what strangers have guessed at an account stays counted", "cause", err)
	}
	return data.Interaction, nil
}

// about is what is known of a person, and no good as a password.
func about(user *storage.User) []string {
	known := []string{user.Email}
	if user.Username != nil {
		known = append(known, *user.Username)
	}
	if user.FullName != nil {
		known = append(known, *user.FullName)
	}
	return known
}
