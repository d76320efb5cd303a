package people

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// ErrRefused is the one answer to a sign-in that does not succeed: nobody of that name, another password, an account that is
// switched off, or one that strangers have guessed at too often. Which it was stands in the audit.
var ErrRefused = errors.New("the sign-in was refused")

// Why a sign-in was refused, for the audit.
const (
	UnknownLogin  = "unknown"
	WrongPassword = "password"
	SwitchedOff   = "disabled"
)

// Attempt is somebody's attempt to sign in with a password.
type Attempt struct {
	Login, Password string
	// Device is what the browser is known by, if it is.
	Device string
	// Facts are what else the audit is told, such as the client.
	Facts map[string]any
}

// CheckPassword returns whose password was given. Nobody's is ErrRefused; too many failures from one place are a
// *throttle.Exceeded, and so are too many with a browser that the person has signed in with.
//
// Every way to ErrRefused does the same work: the same look-ups, one hash, one row. For whoever does not exist, or has no password, the
// hash is one of somebody else's, which may have been made elsewhere. Neither the answer nor its time tells a stranger who exists
// (S-196, S-197), nor that a password was not even looked at because the account was guessed at too often:
// whoever guesses cannot know that to go on is in vain. What strangers use up is theirs alone: with a browser that the person has
// signed in with, only what was tried there counts (S-201).
func (p *People) CheckPassword(ctx context.Context, who visitor.Visitor, a Attempt) (*storage.User, error) {
	user, err := p.db.UserByLogin(ctx, a.Login)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, fmt.Errorf("look up who signs in: %w", err)
	}
	hash, id := password.None, uuid.Nil
	if user != nil {
		hash, id = user.PasswordHash, user.ID
	}
	known, err := p.DeviceKnown(ctx, id, a.Device)
	if err != nil {
		return nil, err
	}
	count := p.count(who, a, user, known)
	others, err := p.anothersHash(ctx, count.account) // also where it is not needed
	if err != nil {
		return nil, err
	}

	var ok, outdated bool
	if hash == password.None {
		err = p.hasher.PretendIf(ctx, a.Password, others, count.admit)
	} else {
		ok, outdated, err = p.hasher.VerifyIf(ctx, a.Password, hash, count.admit)
	}
	if errors.Is(err, password.ErrMalformed) {
		// Somebody brought it in from elsewhere. That is the operator's to know, and not the stranger's.
		p.log.ErrorContext(ctx, "the stored password hash of a user cannot be read", "user", id, "cause", err)
		err = p.hasher.PretendIf(ctx, a.Password, others, count.admit)
	}
	var exceeded *throttle.Exceeded
	switch {
	case errors.As(err, &exceeded):
		return nil, p.limitReached(ctx, who, a, user, count, err, exceeded.Name)
	case err != nil:
		return nil, fmt.Errorf("check password: %w", err)
	case count.locked:
		return nil, p.limitReached(ctx, who, a, user, count, ErrRefused, throttle.SignInStrange.Name)
	case user == nil:
		return nil, p.RefuseSignIn(ctx, who, a, nil, UnknownLogin)
	case !ok:
		return nil, p.RefuseSignIn(ctx, who, a, user, WrongPassword)
	case !user.IsActive:
		return nil, p.RefuseSignIn(ctx, who, a, user, SwitchedOff)
	}
	count.giveBack(ctx)
	if outdated {
		p.rehash(ctx, a.Password, user)
	}
	return user, nil
}

// anothersHash is the password hash of whoever of the organization an account leads to: of anybody, and of the same one every time.
// Nobody who does not know our keys can tell whose it is.
func (p *People) anothersHash(ctx context.Context, account string) (string, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return "", err
	}
	at := uuid.NewSHA1(uuid.Nil, []byte(p.keyring.MAC("another's hash", org.ID.String(), account)))
	hash, err := p.db.PasswordHashFrom(ctx, at)
	if errors.Is(err, storage.ErrNotFound) {
		hash, err = p.db.PasswordHashFrom(ctx, uuid.Nil)
	}
	if errors.Is(err, storage.ErrNotFound) {
		return password.None, nil
	}
	if err != nil {
		return "", fmt.Errorf("look up a hash: %w", err)
	}
	return hash, nil
}

// RefuseSignIn writes a refused sign-in down and returns ErrRefused. What was typed in place of a name is kept as a keyed
// digest: by it the attempts on one name can be counted, and a password that was typed into the wrong field cannot be guessed
// from it.
func (p *People) RefuseSignIn(ctx context.Context, who visitor.Visitor, a Attempt, user *storage.User, reason string) error {
	facts, target, err := p.told(ctx, a, user)
	if err != nil {
		return err
	}
	facts["reason"] = reason
	if err := p.audit(ctx, who, Anonymous, "user.sign_in_failed", target, facts); err != nil {
		return err
	}
	return ErrRefused
}

// limitReached writes down that a limit was reached, and returns what the visitor is told.
func (p *People) limitReached(ctx context.Context, who visitor.Visitor, a Attempt, user *storage.User, count *signInCount, answer error, limit string,
) error {
	facts, target, err := p.told(ctx, a, user)
	if err != nil {
		return err
	}
	return p.reached(ctx, who, limit, count.subject(limit), Anonymous, target, facts, answer)
}

// told is what the audit is told of an attempt.
func (p *People) told(ctx context.Context, a Attempt, user *storage.User) (facts map[string]any, target string, err error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, "", err
	}
	const shown = 16 // characters: enough to tell one from another
	facts = map[string]any{"login": p.keyring.MAC("audit login", org.ID.String(), a.Login)[:shown]}
	for name, fact := range a.Facts {
		facts[name] = fact
	}
	if user != nil {
		target = user.ID.String()
	}
	return facts, target, nil
}

// signInCount is what one attempt to sign in counts against.
type signInCount struct {
	people *People
	// device is the account in a browser that its person has signed in with; else it is empty, and network and account count.
	device           string
	network, account string
	// locked says that the account was guessed at too often, and the password not looked at.
	locked bool
}

func (p *People) count(who visitor.Visitor, a Attempt, user *storage.User, known bool) *signInCount {
	count := &signInCount{people: p, network: throttle.Network(who.Address), account: "login " + canonical(a.Login)}
	if user != nil {
		// Whichever of their names is used. Nobody else has this form: a login is canonical, and an id of ours no secret.
		count.account = guessed(user)
	}
	if known {
		count.device = count.account + " " + secret.Digest(a.Device)
	}
	return count
}

// guessed is what guesses at a person's password are counted for.
func guessed(user *storage.User) string { return "user " + user.ID.String() }

// canonical is one form for all spellings of what somebody signs in with, also if nobody is called so.
func canonical(login string) string {
	name, err := identity.Username(login)
	if strings.Contains(login, "@") {
		name, err = identity.Email(login)
	}
	if err != nil {
		return login
	}
	return name
}

// subject is what a limit is counted for.
func (s *signInCount) subject(limit string) string {
	switch limit {
	case throttle.SignInDevice.Name:
		return s.device
	case throttle.SignInNetwork.Name:
		return s.network
	case throttle.SignInStrange.Name:
		return s.account
	}
	return "" // the organization
}

// admit counts the attempt before the password is looked at: of guesses that come at once, no more are looked at than there
// is room for.
func (s *signInCount) admit(ctx context.Context) (look bool, err error) {
	db := s.people.db
	err = db.Tally(ctx, func(ctx context.Context) error {
		if s.device != "" {
			return db.Take(ctx, throttle.SignInDevice, s.device)
		}
		for _, limit := range []throttle.Limit{throttle.SignInNetwork, throttle.SignInOrganization} {
			if err := db.Take(ctx, limit, s.subject(limit.Name)); err != nil {
				return err
			}
		}
		return db.TakeTurn(ctx, throttle.SignInStrange, s.account)
	})
	var exceeded *throttle.Exceeded
	s.locked = errors.As(err, &exceeded) && exceeded.Name == throttle.SignInStrange.Name
	if s.locked {
		return false, nil
	}
	return err == nil, err
}

// giveBack undoes what was counted: the attempt was none to keep out. That it could not be done is no reason to keep it out
// after all.
func (s *signInCount) giveBack(ctx context.Context) {
	db := s.people.db
	err := db.Tally(ctx, func(ctx context.Context) error {
		if s.device != "" {
			return db.GiveBack(ctx, throttle.SignInDevice, s.device)
		}
		for _, limit := range []throttle.Limit{throttle.SignInNetwork, throttle.SignInOrganization} {
			if err := db.GiveBack(ctx, limit, s.subject(limit.Name)); err != nil {
				return err
			}
		}
		return db.Forgive(ctx, throttle.SignInStrange, s.account)
	})
	if err != nil {
		s.people.log.WarnContext(ctx, "a sign-in that succeeded stays counted as one that failed", "cause", err)
	}
}

// rehash stores the password under today's parameters while it is at hand, and leaves in user what stands there then. That it
// could not be done is no reason to keep anybody out: there will be another time.
func (p *People) rehash(ctx context.Context, text string, user *storage.User) {
	hash, err := p.hasher.Hash(ctx, text)
	stored := hash
	if err == nil {
		err = p.db.InTx(ctx, func(ctx context.Context) error {
			now, err := p.db.LockUser(ctx, user.ID)
			if err != nil {
				return err
			}
			if stored = now.PasswordHash; stored != user.PasswordHash {
				return nil // the password was changed meanwhile, and the change stands
			}
			stored = hash
			return p.db.SetPasswordHash(ctx, user.ID, hash)
		})
	}
	if err != nil {
		p.log.WarnContext(ctx, "an outdated password hash could not be renewed", "user", user.ID, "cause", err)
		return
	}
	if stored != hash {
		// Or it was only renewed, by a sign-in at the same time.
		if same, _, err := p.hasher.Verify(ctx, text, stored); err != nil || !same {
			return
		}
	}
	user.PasswordHash = stored
}
