package people

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

const (
	emailCodeLifetime = 10 * time.Minute
	// emailCodeTries is how often one code may be guessed at; a new one brings as many again, and there are few (S-214).
	emailCodeTries = 5
	// purposeEmailCode is what the digest of a code is made for: six digits would be found from any that has no key.
	purposeEmailCode = "email code"
)

// emailCodeData is what a token of the kind holds.
type emailCodeData struct {
	MAC string `json:"mac"`
}

// SendEmailCode sends a person a code that can be their second factor, in place of those before.
func (p *People) SendEmailCode(ctx context.Context, who visitor.Visitor, user *storage.User) error {
	if err := p.take(ctx, who, throttle.CodesPerson, user.ID.String(), Anonymous, user.ID.String()); err != nil {
		return err
	}
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return fmt.Errorf("make a code: %w", err)
	}
	code := fmt.Sprintf("%0*d", factorDigits, n.Int64())
	id := uuid.New()
	data, err := json.Marshal(emailCodeData{p.keyring.MAC(purposeEmailCode, user.OrgID.String(), id.String(), code)})
	if err != nil {
		return fmt.Errorf("write a code: %w", err)
	}
	return p.db.InTx(ctx, func(ctx context.Context) error {
		err := p.db.CreateVerificationToken(ctx, &storage.VerificationToken{
			ID: id, UserID: &user.ID, Token: secret.Digest(secret.New(secret.Verification)), Type: storage.EmailCode, Data: data,
			ExpiresAt: time.Now().UTC().Add(emailCodeLifetime),
		})
		if err != nil {
			return err
		}
		if err := p.audit(ctx, who, Anonymous, "email_code.sent", user.ID.String(), nil); err != nil {
			return err
		}
		return p.post(ctx, user, mail.Letter{Kind: mail.EmailCode, Code: code, Language: who.Language})
	})
}

// EmailCodeSent reports whether a code is on its way to a person that can still be used.
func (p *People) EmailCodeSent(ctx context.Context, user *storage.User) (bool, error) {
	_, err := p.db.VerificationTokenOf(ctx, user.ID.String(), storage.EmailCode)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (p *People) tryEmailCode(ctx context.Context, _ visitor.Visitor, user *storage.User, code string) (*Given, error) {
	factors, err := p.Factors(ctx, user)
	if err != nil {
		return nil, err
	}
	token, err := p.db.VerificationTokenOf(ctx, user.ID.String(), storage.EmailCode)
	if errors.Is(err, storage.ErrNotFound) || err == nil && !factors.Email {
		return nil, wrongCode()
	}
	if err != nil {
		return nil, err
	}
	// The guess is counted before it is looked at, so that many at once are no more than many one by one.
	err = p.db.TryVerificationToken(ctx, token.Token, storage.EmailCode, emailCodeTries)
	if errors.Is(err, storage.ErrSpent) {
		return nil, wrongCode()
	}
	var data emailCodeData
	if err == nil {
		err = json.Unmarshal(token.Data, &data)
	}
	if err != nil {
		return nil, err
	}
	code = digitsOf(code)
	if code == "" || !p.keyring.VerifyMAC(purposeEmailCode, data.MAC, user.OrgID.String(), token.ID.String(), code) {
		return nil, wrongCode()
	}
	return &Given{UserID: user.ID, AMR: []string{proof.OTP, proof.Channel}, take: func(ctx context.Context) error {
		return p.db.SpendVerificationToken(ctx, token.Token, storage.EmailCode)
	}}, nil
}
