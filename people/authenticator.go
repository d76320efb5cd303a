package people

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"image/png"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// What every authenticator app understands (RFC 6238): SHA-1, six digits, thirty seconds. Stronger values are in the standard,
// and silently ignored by most apps.
const (
	totpStep   = 30 // seconds
	totpSecret = 20 // bytes
	// totpDrift is how many steps a clock may be off.
	totpDrift = 1
)

const (
	// maxFactors is how many a person may have of each kind.
	maxFactors = 20
	// maxFactorName bounds the name that a person gives to one, in characters.
	maxFactorName = 60
)

// NewApp is an authenticator app that is being set up.
type NewApp struct {
	// Picture is a PNG of a QR code, as a data: URI; Link is what it says; Secret is the part of it to be typed in by hand, in groups.
	Picture, Link, Secret string
	// Sealed goes through the page and comes back with the first code.
	Sealed string
}

// Authenticators are the authenticator apps of a person.
func (p *People) Authenticators(ctx context.Context, user *storage.User) ([]storage.Authenticator, error) {
	return p.db.AuthenticatorsOf(ctx, user.ID)
}

// BeginAuthenticator makes what an app is set up with. Nothing is kept of it until a code of the app has come back. browser is what
// the page is bound to.
func (p *People) BeginAuthenticator(ctx context.Context, browser string, user *storage.User) (*NewApp, error) {
	key := make([]byte, totpSecret)
	rand.Read(key)
	sealed, err := p.sealChallenge(ctx, key, "authenticator", browser, user.ID.String())
	if err != nil {
		return nil, err
	}
	return newApp(ctx, user, key, sealed)
}

// AgainAuthenticator is the app of a page that is shown once more, since its code was mistyped.
func (p *People) AgainAuthenticator(ctx context.Context, browser string, user *storage.User, sealed string) (*NewApp, error) {
	var key []byte
	if _, err := p.openChallenge(ctx, sealed, &key, "authenticator", browser, user.ID.String()); err != nil {
		return nil, err
	}
	return newApp(ctx, user, key, sealed)
}

func newApp(ctx context.Context, user *storage.User, key []byte, sealed string) (*NewApp, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(key)
	// A colon separates the two names of the label, and some apps read it even where it is escaped.
	named := strings.NewReplacer(":", " ").Replace
	link := (&url.URL{
		Scheme: "otpauth", Host: "totp", Path: "/" + named(org.Name) + ":" + named(user.DisplayName()),
		RawQuery: "secret=" + text + "&issuer=" + url.PathEscape(named(org.Name)) + "&algorithm=SHA1&digits=6&period=30",
	}).String()
	app := &NewApp{Link: link, Secret: groups(text, 4, " "), Sealed: sealed}
	parsed, err := otp.NewKeyFromURL(link)
	if err != nil {
		return nil, fmt.Errorf("make the QR code of an authenticator: %w", err)
	}
	const size = 232 // pixels: enough for each dot of the code to be a whole number of them
	picture, err := parsed.Image(size, size)
	var encoded bytes.Buffer
	if err == nil {
		err = png.Encode(&encoded, picture)
	}
	if err != nil {
		return nil, fmt.Errorf("make the QR code of an authenticator: %w", err)
	}
	app.Picture = "data:image/png;base64," + base64.StdEncoding.EncodeToString(encoded.Bytes())
	return app, nil
}

// groups puts a separator after every n characters.
func groups(text string, n int, separator string) string {
	var b strings.Builder
	for i, r := range text {
		if i > 0 && i%n == 0 {
			b.WriteString(separator)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Enrolled is done in the transaction that gives a person a factor, with what showing it has proven.
type Enrolled func(ctx context.Context, amr []string) error

// ConfirmAuthenticator gives a person the app that a page has set up, now that it has shown a right code.
func (p *People) ConfirmAuthenticator(
	ctx context.Context, who visitor.Visitor, browser string, user *storage.User, sealed, code, name string, also Enrolled,
) error {
	var key []byte
	opened, err := p.openChallenge(ctx, sealed, &key, "authenticator", browser, user.ID.String())
	if err != nil {
		return err
	}
	if err := p.take(ctx, who, throttle.FactorPerson, user.ID.String(), byUser(user.ID), user.ID.String()); err != nil {
		return err
	}
	step, ok := stepOf(key, code, 0, time.Now())
	if !ok {
		return wrongCode()
	}
	if err := p.db.GiveBack(ctx, throttle.FactorPerson, user.ID.String()); err != nil {
		return err
	}
	name = factorName(name, "TOTP")
	return p.db.InTx(ctx, func(ctx context.Context) error {
		if err := p.spend(ctx, opened); err != nil {
			return err
		}
		if err := p.roomForFactor(ctx, user); err != nil {
			return err
		}
		app := &storage.Authenticator{UserID: user.ID, Name: name, Secret: key, LastStep: step}
		if err := p.db.CreateAuthenticator(ctx, app); err != nil {
			return err
		}
		if err := p.audit(ctx, who, byUser(user.ID), "authenticator.added", app.ID.String(), map[string]any{"name": name}); err != nil {
			return err
		}
		if err := p.post(ctx, user, mail.Letter{Kind: mail.FactorAdded, What: "mail.what.app", Item: name, Language: who.Language}); err != nil {
			return err
		}
		return also(ctx, []string{proof.OTP})
	})
}

// roomForFactor refuses more than a person can have use for. The person's row is locked, so that several at once are counted.
func (p *People) roomForFactor(ctx context.Context, user *storage.User) error {
	if _, err := p.db.LockUser(ctx, user.ID); err != nil {
		return err
	}
	counts, err := p.db.FactorCounts(ctx, user.ID)
	if err == nil && max(counts.Passkeys, counts.Authenticators) >= maxFactors {
		return &Invalid{Field: "factor", Message: "factor.too_many"}
	}
	return err
}

// RemoveAuthenticator takes an app from a person, unless it is the last factor of one who must have one (*Invalid).
func (p *People) RemoveAuthenticator(ctx context.Context, who visitor.Visitor, user *storage.User, id uuid.UUID) error {
	return p.db.InTx(ctx, func(ctx context.Context) error {
		user, err := p.db.LockUser(ctx, user.ID)
		if err != nil {
			return err
		}
		apps, err := p.db.AuthenticatorsOf(ctx, user.ID)
		if err != nil {
			return err
		}
		name := ""
		for _, app := range apps {
			if app.ID == id {
				name = app.Name
			}
		}
		if err := p.db.DeleteAuthenticator(ctx, user.ID, id); err != nil {
			return err
		}
		return p.removed(ctx, who, user, "authenticator.removed", "mail.what.app", id, name)
	})
}

// removed is what follows when a factor was removed.
func (p *People) removed(ctx context.Context, who visitor.Visitor, user *storage.User, action, what string, id uuid.UUID, name string) error {
	if err := p.keepsOne(ctx, user); err != nil {
		return err
	}
	if err := p.audit(ctx, who, byUser(user.ID), action, id.String(), map[string]any{"name": name}); err != nil {
		return err
	}
	return p.post(ctx, user, mail.Letter{Kind: mail.FactorRemoved, What: what, Item: name, Language: who.Language})
}

func (p *People) tryAuthenticator(ctx context.Context, _ visitor.Visitor, user *storage.User, code string) (*Given, error) {
	apps, err := p.db.AuthenticatorsOf(ctx, user.ID)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	for _, app := range apps {
		if step, ok := stepOf(app.Secret, code, app.LastStep, now); ok {
			return &Given{UserID: user.ID, AMR: []string{proof.OTP}, take: func(ctx context.Context) error {
				return p.db.UseAuthenticator(ctx, app.ID, step)
			}}, nil
		}
	}
	return nil, wrongCode()
}

// stepOf is the time step that a code is of, if it is one of the few that are taken now, and later than the last one taken.
func stepOf(key []byte, code string, last int64, now time.Time) (int64, bool) {
	code = digitsOf(code)
	if code == "" {
		return 0, false
	}
	text := base32.StdEncoding.EncodeToString(key)
	for step := now.Unix()/totpStep - totpDrift; step <= now.Unix()/totpStep+totpDrift; step++ {
		if step <= last {
			continue
		}
		counter := uint64(step) //nolint:gosec // a time after 1970
		want, err := hotp.GenerateCodeCustom(text, counter, hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && secret.Equal(want, code) {
			return step, true
		}
	}
	return 0, false
}

// factorDigits is how long the codes of second factors are, of apps and by mail.
const factorDigits = 6

// digitsOf is a code without what people put between its digits; nothing when it is none.
func digitsOf(code string) string {
	if len(code) > 4*factorDigits {
		return ""
	}
	code = strings.NewReplacer(" ", "", "-", "", "\u00a0", "").Replace(code)
	if len(code) != factorDigits || strings.Trim(code, "0123456789") != "" {
		return ""
	}
	return code
}

// factorName is the name that a person gives to a factor, made fit to be shown; without one it has the fallback.
func factorName(name, fallback string) string {
	name = strings.Join(strings.Fields(strings.Map(printable, strings.ToValidUTF8(name, ""))), " ")
	if name == "" {
		return fallback
	}
	if utf8.RuneCountInString(name) > maxFactorName {
		name = strings.TrimSpace(string([]rune(name)[:maxFactorName]))
	}
	return name
}
