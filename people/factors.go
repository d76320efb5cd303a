package people

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// The ways to prove more than a password. A page names them so.
const (
	ByPasskey       = "passkey"
	ByAuthenticator = "app"
	ByRecoveryCode  = "recovery"
	ByEmail         = "email"
)

// Factors is what a person can be asked for besides a password.
type Factors struct {
	Passkeys, Authenticators, RecoveryCodes int
	// Email is true where a code by mail is taken from them: their organization allows it, their address is proven, and they have
	// set up nothing better, which a mailbox must not be the way around of.
	Email bool
}

// Enrolled reports whether the person has set up a second factor.
func (f Factors) Enrolled() bool { return f.Passkeys+f.Authenticators > 0 }

// Possible reports whether there is anything to ask for.
func (f Factors) Possible() bool { return f.Enrolled() || f.Email }

// Factors returns what a person can be asked for.
func (p *People) Factors(ctx context.Context, user *storage.User) (Factors, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return Factors{}, err
	}
	counts, err := p.db.FactorCounts(ctx, user.ID)
	if err != nil {
		return Factors{}, err
	}
	f := Factors{Passkeys: counts.Passkeys, Authenticators: counts.Authenticators}
	if f.Enrolled() {
		f.RecoveryCodes = counts.RecoveryCodes
	} else {
		f.Email = org.Decided().SecondFactor.EmailCode && user.IsVerified
	}
	return f, nil
}

// SecondFactorRequired reports whether the organization asks a person for a second factor.
func (p *People) SecondFactorRequired(ctx context.Context, user *storage.User) (bool, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return false, err
	}
	switch decided := org.Decided().SecondFactor; decided.Require {
	case settings.RequireEveryone:
		return true, nil
	case settings.RequireRoles:
		roles, err := p.db.RolesOf(ctx, user.ID)
		return slices.ContainsFunc(roles, func(role storage.Role) bool { return slices.Contains(decided.Roles, role.Name) }), err
	}
	return false, nil
}

// Due is what a sign-in still wants.
type Due int

// What can be due.
const (
	Nothing   Due = iota
	Factor        // one of their factors
	Enrolment     // to set one up: they have none, and must
)

// Measure is what a sign-in, or a session, is held against.
type Measure struct {
	// Demand is what the request for authentication wants.
	Demand proof.Demand
	// Device is what the browser is known by, if it is and that counts: with one that is trusted the person need not give a second
	// factor, except for a request that wants two.
	Device string
	// Session is true for a session, which was complete by what held when it began. That its person has set up a factor since is no
	// reason to ask for it there; that their organization has come to ask for one is.
	Session bool
}

// Due says what is still wanted after what was proven.
func (p *People) Due(ctx context.Context, user *storage.User, amr []string, by Measure) (Due, Factors, error) {
	if proof.Strong(amr) {
		return Nothing, Factors{}, nil
	}
	required, err := p.SecondFactorRequired(ctx, user)
	if err != nil || !required && by.Session && by.Demand == proof.AsDecided {
		return Nothing, Factors{}, err
	}
	factors, err := p.Factors(ctx, user)
	if err != nil {
		return Nothing, factors, err
	}
	if slices.Contains(amr, proof.Federated) {
		factors.Email = false // whoever has their account elsewhere may well have their mail
	}
	switch {
	case by.Demand == proof.Two:
	case by.Demand == proof.TwoIfThere && factors.Possible():
	case required, factors.Enrolled() && !by.Session:
		trusted, err := p.DeviceTrusted(ctx, user.ID, by.Device)
		if err != nil || trusted {
			return Nothing, factors, err
		}
	default:
		return Nothing, factors, nil
	}
	if !factors.Possible() {
		return Enrolment, factors, nil
	}
	return Factor, factors, nil
}

// Given is a proof that was looked at and is good. It counts when Take has succeeded, in the transaction of what it was given for.
type Given struct {
	UserID uuid.UUID
	AMR    []string
	take   func(context.Context) error
}

// Take uses the proof up. One that was used up meanwhile is storage.ErrSpent.
func (g *Given) Take(ctx context.Context) error { return g.take(ctx) }

// factorPerSignIn is the limit of guessing in one sign-in (S-214), of which each has ten minutes. throttle.FactorPerson holds over
// all of them, whatever the way and the code.
var factorPerSignIn = throttle.Limit{Name: "factor_sign_in", Burst: 5, Per: time.Hour}

// wrongCode is said of every code that is not taken, whatever is wrong with it.
func wrongCode() error { return &Invalid{Field: "code", Message: "factor.code_wrong"} }

// TryCode looks at a code that a person has typed in to complete a sign-in, or to step up a session: under names it. A code that
// is not theirs, or not any more, is *Invalid; too many of them *throttle.Exceeded.
func (p *People) TryCode(ctx context.Context, who visitor.Visitor, user *storage.User, under, way, code string) (*Given, error) {
	var look func(context.Context, visitor.Visitor, *storage.User, string) (*Given, error)
	switch way {
	case ByAuthenticator:
		look = p.tryAuthenticator
	case ByRecoveryCode:
		look = p.tryRecoveryCode
	case ByEmail:
		look = p.tryEmailCode
	default:
		return nil, wrongCode()
	}
	return p.counted(ctx, who, user, under, func() (*Given, error) {
		given, err := look(ctx, who, user, code)
		var invalid *Invalid
		if errors.As(err, &invalid) {
			return nil, errors.Join(err, p.factorFailed(ctx, who, user, way))
		}
		return given, err
	})
}

// counted counts a try at a factor before it is looked at, so that many at once are no more than many one by one. One that is right
// is given back to its person.
func (p *People) counted(ctx context.Context, who visitor.Visitor, user *storage.User, under string, look func() (*Given, error)) (*Given, error) {
	if err := p.take(ctx, who, factorPerSignIn, under, Anonymous, user.ID.String()); err != nil {
		return nil, err
	}
	if err := p.take(ctx, who, throttle.FactorPerson, user.ID.String(), Anonymous, user.ID.String()); err != nil {
		return nil, err
	}
	given, err := look()
	if err != nil {
		return nil, err
	}
	return given, p.db.GiveBack(ctx, throttle.FactorPerson, user.ID.String())
}

// factorFailed writes a failure down.
func (p *People) factorFailed(ctx context.Context, who visitor.Visitor, user *storage.User, way string) error {
	return p.audit(ctx, who, Anonymous, "user.factor_failed", user.ID.String(), map[string]any{"way": way})
}

// keepsOne refuses to take the last second factor from a person who must have one, and the last passkey from one who has nothing
// else to sign in with. It is asked in the transaction that takes it, after it was taken; user is as the row stands there.
func (p *People) keepsOne(ctx context.Context, user *storage.User) error {
	if has, err := p.wayIn(ctx, user); err != nil {
		return err
	} else if !has {
		return &Invalid{Field: "factor", Message: "factor.last_way"}
	}
	factors, err := p.Factors(ctx, user)
	if err != nil || factors.Enrolled() {
		return err
	}
	required, err := p.SecondFactorRequired(ctx, user)
	if err != nil {
		return err
	}
	if required && !factors.Possible() {
		return &Invalid{Field: "factor", Message: "factor.last"}
	}
	// The codes stand in for what is gone.
	return p.db.ReplaceRecoveryCodes(ctx, user.ID, nil)
}
