package people

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// ErrSignUpClosed is the answer to whoever wants an account where they cannot make one themselves.
var ErrSignUpClosed = errors.New("nobody can sign up here")

// PendingLife is how long a sign-up waits for its address to be proven.
const PendingLife = verificationLife

// SignUp is what somebody enters who wants an account.
type SignUp struct {
	Email string
	Newcomer
	// Interaction is the authorization request that they are on the way to, as it stands in the address; or empty.
	Interaction string
}

// pending is a sign-up whose address is not proven. Nobody exists yet: it waits in the data of a token.
//
// The password is only good in the browser that it was chosen in. Whoever follows the link elsewhere chooses one of their own:
// so nobody can sign up with another's address, wait until they press the button, and know their password (S-229).
type pending struct {
	Email       string `json:"email"`
	Username    string `json:"username,omitempty"`
	Name        string `json:"name,omitempty"`
	Hash        string `json:"hash"`
	Language    string `json:"language,omitempty"`
	Interaction string `json:"interaction,omitempty"`
	// Client is that of the request, which may have ended when the letter is read.
	Client string `json:"client_id,omitempty"`
	// Upstream is who they are at a provider, which has not vouched for the address: the account will be known by it. Like the
	// password, it counts only in the browser that has brought it.
	Upstream *identityWithTokens `json:"upstream,omitempty"`
	// Code is a keyed digest of the code in the letter; empty when the address has an account, whose letter has none.
	Code string `json:"code,omitempty"`
}

// BeginSignUp takes a sign-up, and sends a letter to the address by which it is completed; or, when it has an account, one that
// says so. Which of them it was does not show: the work is the same, and so is the answer (S-196, S-197). It returns the secret
// by which the browser is known until then.
func (p *People) BeginSignUp(ctx context.Context, who visitor.Visitor, form SignUp) (browser string, err error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return "", err
	}
	if !org.Decided().SignUpOpen() {
		return "", ErrSignUpClosed
	}
	form.Email = strings.TrimSpace(form.Email)
	form.tidy(org.Decided())
	canonical, err := checkAddress(org.Decided(), form.Email)
	if err := errors.Join(err, form.check(org, form.Email)); err != nil {
		return "", err
	}
	// Whether a user name is free has to be told, and only to who could have it: this bounds how many one can ask for.
	if err := p.takeFrom(ctx, who, throttle.SignUpNetwork, throttle.SignUpOrganization); err != nil {
		return "", err
	}
	free, err := p.usernameFree(ctx, form.Username)
	if err != nil {
		return "", err
	}
	if !free {
		return "", &Invalid{FieldUsername, "signup.username_taken"}
	}
	hash, err := p.hasher.Hash(ctx, form.Password.Reveal())
	if err != nil {
		return "", err
	}
	client, err := p.clientOf(ctx, form.Interaction)
	if err != nil {
		return "", err
	}
	browser = secret.New(secret.SignUp)
	err = p.sendPending(ctx, who, canonical, &storage.VerificationToken{Subject: secret.Digest(browser)}, pending{
		Email: form.Email, Username: form.Username, Name: form.Name, Hash: hash, Language: who.Language.String(),
		Interaction: form.Interaction, Client: client,
	})
	if err != nil {
		return "", fmt.Errorf("sign up: %w", err)
	}
	return browser, nil
}

// clientOf is the client of an authorization request that somebody is on the way to, or nothing.
func (p *People) clientOf(ctx context.Context, interaction string) (string, error) {
	if interaction == "" {
		return "", nil
	}
	row, err := p.db.Interaction(ctx, secret.Digest(interaction))
	if errors.Is(err, storage.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return row.ClientID, nil
}

func checkAddress(decided *settings.Settings, email string) (canonical string, err error) {
	canonical, err = identity.Email(email)
	switch {
	case email == "":
		return "", &Invalid{FieldEmail, "signup.no_email"}
	case err != nil:
		return "", &Invalid{FieldEmail, "signup.bad_email"}
	case !mayHave(decided, canonical):
		return "", &Invalid{FieldEmail, "signup.bad_domain"}
	}
	return canonical, nil
}

// codeDigits is the length of the code in a letter. With five guesses at each, and three letters an hour, it takes a while.
const codeDigits = 8

// maxGuesses is how often a code may be entered for one sign-up, over all its letters (S-214).
const maxGuesses = 5

// newCode returns a code that is typed by hand.
func newCode() string {
	most := new(big.Int).Exp(big.NewInt(10), big.NewInt(codeDigits), nil)
	n, err := rand.Int(rand.Reader, most)
	if err != nil {
		panic(err) // crypto/rand ends the process instead
	}
	return fmt.Sprintf("%0*d", codeDigits, n)
}

// purposeSignUpCode is what the keyring makes the digests of codes for.
const purposeSignUpCode = "sign-up code"

// sendPending stores a sign-up under a new link and code, in place of those before, and writes the letter. What else has to happen in the
// transaction, if anything, happens first.
func (p *People) sendPending(
	ctx context.Context, who visitor.Visitor, canonical string, row *storage.VerificationToken, data pending, first ...func(context.Context) error,
) error {
	// What is counted is apart from other letters to the address, which only somebody with an account gets.
	if err := p.take(ctx, who, throttle.MailAddress, "sign-up "+canonical, Anonymous, ""); err != nil {
		return err
	}
	token, code := secret.New(secret.Verification), newCode()
	row.Token, row.Type = secret.Digest(token), storage.EmailVerification
	row.ExpiresAt = time.Now().Add(PendingLife)
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	shown, err := p.shown(ctx, canonical)
	if err != nil {
		return err
	}
	return p.db.InTx(ctx, func(ctx context.Context) error {
		for _, do := range first {
			if err := do(ctx); err != nil {
				return err
			}
		}
		user, err := p.known(ctx, data.Email)
		if err != nil {
			return err
		}
		letter := mail.Letter{
			Kind: mail.VerifyEmail, To: data.Email, Language: who.Language, Link: linkTo(org, "/verify", token), Code: code, Until: moment(row.ExpiresAt),
		}
		data := data
		data.Code = p.keyring.MAC(purposeSignUpCode, row.Subject, code)
		if user != nil {
			data.Code = ""
			letter = mail.Letter{Kind: mail.SignUpExists, Language: languageOf(user), Link: org.Issuer + "/login"}
		}
		if row.Data, err = p.seal(row.Token, data); err != nil {
			return err
		}
		inserted := *row
		if err := p.db.CreateVerificationToken(ctx, &inserted); err != nil {
			return err
		}
		// Whoever signs up calls themselves what they like. The letter goes to an address that need not be theirs, and so does not
		// repeat it.
		if err := p.post(ctx, user, letter); err != nil {
			return err
		}
		return p.audit(ctx, who, Anonymous, "sign_up.requested", "", map[string]any{
			"login": shown, "known": user != nil,
		})
	})
}

// shown is what the audit keeps of an address or login that nobody has proven: a keyed digest, by which one can be told from
// another, and nothing can be guessed from it.
func (p *People) shown(ctx context.Context, login string) (string, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return "", err
	}
	const characters = 16
	return p.keyring.MAC("audit login", org.ID.String(), login)[:characters], nil
}

// Pending is a sign-up that waits, as its browser may see it.
type Pending struct {
	Email string
	// Interaction is the authorization request that it is on the way to; or empty.
	Interaction string
	// Client is that of the request, whether or not it still waits.
	Client string
	// Federated is true where a provider has vouched for who they are.
	Federated bool
	// Guesses is how often a code may still be entered.
	Guesses int
}

// Pending returns the sign-up that waits for a browser, or ErrDeadLink.
func (p *People) Pending(ctx context.Context, browser string) (*Pending, error) {
	row, data, err := p.pendingOf(ctx, browser)
	if err != nil {
		return nil, err
	}
	return &Pending{
		Email: data.Email, Interaction: data.Interaction, Client: data.Client, Federated: data.Upstream != nil, Guesses: max(0, maxGuesses-row.Attempts),
	}, nil
}

func (p *People) pendingOf(ctx context.Context, browser string) (*storage.VerificationToken, *pending, error) {
	if !secret.Valid(secret.SignUp, browser) {
		return nil, nil, ErrDeadLink
	}
	row, err := p.db.VerificationTokenOf(ctx, secret.Digest(browser), storage.EmailVerification)
	if err != nil {
		return nil, nil, dead(err)
	}
	var data pending
	if err := p.unseal(row, &data); err != nil {
		return nil, nil, err
	}
	return row, &data, nil
}

// ResendSignUp sends another letter for the sign-up that waits for a browser. What was guessed at the code before counts on.
func (p *People) ResendSignUp(ctx context.Context, who visitor.Visitor, browser string) error {
	row, data, err := p.pendingOf(ctx, browser)
	if err != nil {
		return err
	}
	canonical, err := identity.Email(data.Email)
	if err != nil {
		return fmt.Errorf("send another letter: %w", err)
	}
	if err := p.takeFrom(ctx, who, throttle.MailNetwork, throttle.MailOrganization); err != nil {
		return err
	}
	next := &storage.VerificationToken{Subject: row.Subject, Attempts: row.Attempts}
	if err := p.sendPending(ctx, who, canonical, next, *data); err != nil {
		return fmt.Errorf("send another letter: %w", err)
	}
	return nil
}

// A then is what else has to happen in the transaction of a deed.
type then func(context.Context, *storage.User) error

// CompleteByCode completes the sign-up that waits for a browser, by the code in the letter.
func (p *People) CompleteByCode(ctx context.Context, who visitor.Visitor, browser, code string, also then) (*storage.User, error) {
	row, data, err := p.pendingOf(ctx, browser)
	if err != nil {
		return nil, err
	}
	code = strings.Join(strings.Fields(code), "")
	if code == "" {
		return nil, &Invalid{FieldCode, "verify.no_code"}
	}
	network := throttle.Network(who.Address)
	if err := p.take(ctx, who, throttle.LinkNetwork, network, Anonymous, ""); err != nil {
		return nil, err
	}
	// The guess counts before it is looked at, and in no transaction that a refusal would undo.
	err = p.db.TryVerificationToken(ctx, row.Token, storage.EmailVerification, maxGuesses)
	if errors.Is(err, storage.ErrSpent) {
		return nil, &Invalid{FieldCode, "verify.too_many"}
	}
	if err != nil {
		return nil, err
	}
	right := p.keyring.VerifyMAC(purposeSignUpCode, data.Code, row.Subject, code)
	if !right || data.Code == "" {
		return nil, &Invalid{FieldCode, "verify.wrong_code"}
	}
	if err := p.db.GiveBack(ctx, throttle.LinkNetwork, network); err != nil {
		return nil, err
	}
	user, err := p.completeSignUp(ctx, who, row, data, data.Username, data.Name, data.Hash, also)
	if Problems(err)[FieldUsername] != "" {
		return nil, &Invalid{FieldCode, "verify.username_gone"}
	}
	return user, err
}

// completeSignUp makes a person of a sign-up whose address is proven.
func (p *People) completeSignUp(ctx context.Context, who visitor.Visitor, row *storage.VerificationToken, data *pending,
	username, name, hash string, also then,
) (user *storage.User, err error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	canonical, err := identity.Email(data.Email)
	if err != nil {
		return nil, fmt.Errorf("complete sign-up: %w", err)
	}
	federated, err := p.federated(ctx, who, data)
	if err != nil {
		return nil, err
	}
	// The organization may have changed its mind since.
	if open := federated.mayComplete(org.Decided()); !open || !federated.always() && !mayHave(org.Decided(), canonical) {
		return nil, ErrSignUpClosed
	}
	err = p.db.InTx(ctx, func(ctx context.Context) (err error) {
		if err := p.db.SpendVerificationToken(ctx, row.Token, storage.EmailVerification); err != nil {
			return err
		}
		if user, err = p.insert(ctx, data.Email, username, name, hash, data.Language); err != nil {
			return err
		}
		details := map[string]any{"by": "sign_up", "verified": true}
		if federated != nil {
			details["provider"] = federated.provider.Name
		}
		if err := p.audit(ctx, who, byUser(user.ID), "user.created", user.ID.String(), details); err != nil {
			return err
		}
		if federated != nil {
			if err := federated.attach(ctx, user); err != nil {
				return err
			}
			if err := federated.roles(ctx, user); err != nil {
				return err
			}
		}
		return also(ctx, user)
	})
	if errors.Is(err, storage.ErrConflict) && federated != nil {
		return nil, dead(errTaken) // the address, or the identity: there is nothing that they could choose otherwise
	}
	if errors.Is(err, storage.ErrConflict) {
		return nil, p.whoseIsTaken(ctx, data.Email)
	}
	if err != nil {
		return nil, fmt.Errorf("complete sign-up: %w", dead(err))
	}
	return user, nil
}

// federated is who somebody is at a provider whose sign-up is completed, or nil.
func (p *People) federated(ctx context.Context, who visitor.Visitor, data *pending) (*federation, error) {
	if data.Upstream == nil {
		return nil, nil //nolint:nilnil // most come by themselves
	}
	f, err := data.Upstream.again(ctx, p, who)
	return f, dead(err)
}
