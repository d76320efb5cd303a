package people

import (
	"context"
	"crypto/rand"
	"strconv"
	"strings"
	"unicode"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

const (
	// recoveryCodes is how many there are in a set.
	recoveryCodes = 10
	// recoveryLength is that of a code, in characters of five bits each: 80 bits, more than anybody can try out, also of a database
	// that was stolen.
	recoveryLength = 16
	// recoveryAlphabet has no letter that is taken for a digit, nor for another letter (Crockford's base 32).
	recoveryAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
)

// NewCodes are recovery codes that a page shows, once. Sealed goes through the page and comes back when its reader has kept them.
type NewCodes struct {
	Codes  []string
	Sealed string
}

// BeginRecoveryCodes makes a set of recovery codes. They are worth nothing, and those before are still good, until their person says
// that they have kept them. browser is what the page is bound to.
func (p *People) BeginRecoveryCodes(ctx context.Context, browser string, user *storage.User) (*NewCodes, error) {
	made := &NewCodes{Codes: make([]string, recoveryCodes)}
	for i := range made.Codes {
		random := make([]byte, recoveryLength)
		rand.Read(random)
		var b strings.Builder
		for _, r := range random {
			b.WriteByte(recoveryAlphabet[r%byte(len(recoveryAlphabet))])
		}
		made.Codes[i] = groups(b.String(), 4, "-")
	}
	digests := make([]string, len(made.Codes))
	for i, code := range made.Codes {
		digests[i] = recoveryDigest(user, recoveryText(code))
	}
	var err error
	made.Sealed, err = p.sealChallenge(ctx, digests, "recovery codes", browser, user.ID.String())
	if err != nil {
		return nil, err
	}
	return made, nil
}

// KeepRecoveryCodes gives a person the recovery codes that a page has shown them. Those before are worth nothing from then on. Whoever
// has no second factor that they could stand in for is refused (*Invalid).
func (p *People) KeepRecoveryCodes(ctx context.Context, who visitor.Visitor, browser string, user *storage.User, sealed string) error {
	var digests []string
	opened, err := p.openChallenge(ctx, sealed, &digests, "recovery codes", browser, user.ID.String())
	if err != nil {
		return err
	}
	return p.db.InTx(ctx, func(ctx context.Context) error {
		if err := p.spend(ctx, opened); err != nil {
			return err
		}
		if _, err := p.db.LockUser(ctx, user.ID); err != nil {
			return err
		}
		counts, err := p.db.FactorCounts(ctx, user.ID)
		if err != nil {
			return err
		}
		if !counts.Second() {
			return &Invalid{Field: "factor", Message: "factor.codes_for_nothing"}
		}
		if err := p.db.ReplaceRecoveryCodes(ctx, user.ID, digests); err != nil {
			return err
		}
		if err := p.audit(ctx, who, byUser(user.ID), "recovery_codes.made", user.ID.String(), map[string]any{"count": len(digests)}); err != nil {
			return err
		}
		return p.post(ctx, user, mail.Letter{Kind: mail.FactorAdded, What: "mail.what.recovery", Language: who.Language})
	})
}

// recoveryDigest is what is stored of a code.
func recoveryDigest(user *storage.User, code string) string {
	return secret.Digest("recovery " + user.ID.String() + " " + code)
}

func (p *People) tryRecoveryCode(ctx context.Context, who visitor.Visitor, user *storage.User, code string) (*Given, error) {
	code = recoveryText(code)
	factors, err := p.Factors(ctx, user)
	if err != nil {
		return nil, err
	}
	if code == "" || !factors.Enrolled() {
		return nil, wrongCode()
	}
	digest := recoveryDigest(user, code)
	known, err := p.db.RecoveryCodeUnused(ctx, user.ID, digest)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, wrongCode()
	}
	return &Given{UserID: user.ID, AMR: []string{proof.OTP}, take: func(ctx context.Context) error {
		left, err := p.db.SpendRecoveryCode(ctx, user.ID, digest)
		if err != nil {
			return err
		}
		if err := p.audit(ctx, who, byUser(user.ID), "recovery_code.used", user.ID.String(), map[string]any{"left": left}); err != nil {
			return err
		}
		return p.post(ctx, user, mail.Letter{Kind: mail.RecoveryUsed, Left: strconv.Itoa(left), Language: who.Language})
	}}, nil
}

// recoveryText is a recovery code as it was made, from how somebody has copied it: in any case, with any separators, an O for a
// zero. What is none is empty.
func recoveryText(code string) string {
	if len(code) > 4*recoveryLength {
		return ""
	}
	code = strings.NewReplacer(" ", "", "-", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(code))
	if len(code) != recoveryLength || strings.Trim(code, recoveryAlphabet) != "" {
		return ""
	}
	return code
}

// printable drops what a name cannot be shown with.
func printable(r rune) rune {
	if unicode.IsSpace(r) {
		return ' '
	}
	if !unicode.IsPrint(r) {
		return -1
	}
	return r
}
