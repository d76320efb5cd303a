package people

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/storage"
)

// FederationLife is how long somebody may take at a provider, and then over what else has to be proven.
const FederationLife = 10 * time.Minute

var (
	// ErrForeignReturn is the answer to a browser that comes back from a provider with what is not its own: another's, used before,
	// too late, or never given (S-232). Which of them it was is not told.
	ErrForeignReturn = errors.New("nobody was sent there who would come back so")
	// ErrDeclined says that the person has changed their mind at the provider.
	ErrDeclined = errors.New("the person has declined")
	// ErrNotLetIn says that the provider is not for people with such an address.
	ErrNotLetIn = errors.New("people with such an address do not come in this way")
	// ErrLinkedElsewhere says that somebody else's account has the identity already.
	ErrLinkedElsewhere = errors.New("somebody else is known by it")
	// ErrProveHere says that the person is to prove anew who they are, and that the provider cannot tell whether they did.
	ErrProveHere = errors.New("the provider does not say when the person has proven who they are")
)

// Provider is one that people can sign in at, as pages show it.
type Provider struct {
	Name, Title string
	Hidden      bool
	// Proves is true where it can be told that somebody has proven anew who they are.
	Proves bool
	id     uuid.UUID
	homes  *upstream.Settings
}

// Providers returns those of the organization at which somebody can sign in, by what they are called.
func (p *People) Providers(ctx context.Context) ([]Provider, error) {
	rows, err := p.db.ListUpstreamProviders(ctx, "", 0)
	if err != nil {
		return nil, err
	}
	var all []Provider
	for _, row := range rows {
		provider, err := upstream.NewProvider(row.ID, row.Name, row.ClientID, "", row.Settings)
		if err != nil {
			p.log.ErrorContext(ctx, "a provider cannot be used", "provider", row.Name, "cause", err)
			continue
		}
		if !provider.Settings.Disabled {
			all = append(all, Provider{row.Name, provider.Title(), provider.Settings.Hidden, provider.Proves(), row.ID, provider.Settings})
		}
	}
	slices.SortStableFunc(all, func(a, b Provider) int { return strings.Compare(strings.ToLower(a.Title), strings.ToLower(b.Title)) })
	return all, nil
}

// ProvidersOf returns those of all at which a person is known, and proves anew who they are; or has no password to do it by.
func (p *People) ProvidersOf(ctx context.Context, user *storage.User, all []Provider) ([]Provider, error) {
	if len(all) == 0 {
		return nil, nil
	}
	accounts, err := p.db.UpstreamAccountsOf(ctx, user.ID)
	if err != nil {
		return nil, err
	}
	has, err := p.HasPassword(ctx, user.ID)
	if err != nil {
		return nil, err
	}
	var theirs []Provider
	for _, provider := range all {
		known := slices.ContainsFunc(accounts, func(a storage.LinkedAccount) bool { return a.ProviderID == provider.id })
		if known && (provider.Proves || !has) {
			theirs = append(theirs, provider)
		}
	}
	return theirs, nil
}

// HomeOf returns the provider at which somebody signs in who has typed an address, by its mail domain alone; nil where they sign in here.
// Whether there is such a person makes no difference.
func HomeOf(all []Provider, login string) *Provider {
	canonical, err := identity.Email(login)
	if err != nil {
		return nil
	}
	for i := range all {
		if all[i].homes.IsHomeOf(canonical) {
			return &all[i]
		}
	}
	return nil
}

// provider reads one that somebody can sign in at.
func (p *People) provider(ctx context.Context, name string) (*upstream.Provider, error) {
	return p.usable(p.db.UpstreamProvider(ctx, name))
}

func (p *People) usable(row *storage.UpstreamProvider, err error) (*upstream.Provider, error) {
	if err != nil {
		return nil, err
	}
	provider, err := upstream.NewProvider(row.ID, row.Name, row.ClientID, row.ClientSecret, row.Settings)
	if err != nil {
		return nil, err
	}
	if provider.Settings.Disabled {
		return nil, fmt.Errorf("provider %s is switched off: %w", row.Name, storage.ErrNotFound)
	}
	return provider, nil
}

// Errand is what a browser is sent to a provider for.
type Errand struct {
	// Interaction is the authorization request that its person is on the way to, as it stands in the address; else ReturnTo is a page
	// of ours.
	Interaction string `json:"interaction,omitempty"`
	ReturnTo    string `json:"return_to,omitempty"`
	// Fresh is true where a page of ours wants it proven anew who they are, and Again where whoever asks does.
	Fresh bool `json:"fresh,omitempty"`
	Again bool `json:"again,omitempty"`
	// Link is the person that the identity is to be linked to, who is signed in.
	Link *uuid.UUID `json:"-"`
	// Hint is whom we expect.
	Hint string `json:"-"`
}

// begun is what is kept of an errand until the browser comes back.
type begun struct {
	Errand
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"`
	At       time.Time `json:"at"`
	// Answer is what the browser has brought in a form.
	Answer *upstream.Answer `json:"answer,omitempty"`
}

// Departure is how a browser leaves for a provider.
type Departure struct {
	// Address is where it goes, and Browser what it is known by until it is back.
	Address, Browser string
	// PostsBack is true where it is brought back by a form of the provider's.
	PostsBack bool
}

// Leave sends a browser to a provider. browser is what it is known by, if it is.
func (p *People) Leave(ctx context.Context, who visitor.Visitor, name, browser string, errand Errand) (*Departure, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	provider, err := p.provider(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("leave for a provider: %w", err)
	}
	if err := p.take(ctx, who, throttle.UpstreamNetwork, throttle.Network(who.Address), Anonymous, ""); err != nil {
		return nil, err
	}
	if !secret.Valid(secret.Federation, browser) {
		browser = secret.New(secret.Federation)
	}
	state := secret.New(secret.Upstream)
	ask := upstream.Ask{Callback: callbackOf(org, name), Hint: errand.Hint, Again: errand.Fresh || errand.Again}
	address, request, err := p.upstream.Begin(ctx, provider, state, ask)
	if err != nil {
		return nil, fmt.Errorf("leave for provider %s: %w", name, err)
	}
	data, err := json.Marshal(begun{Errand: errand, Nonce: request.Nonce, Verifier: request.Verifier, At: request.At})
	if err != nil {
		return nil, fmt.Errorf("leave for a provider: %w", err)
	}
	err = p.db.CreateUpstreamRequest(ctx, &storage.UpstreamRequest{
		Digest: secret.Digest(state), BrowserDigest: secret.Digest(browser), ProviderID: provider.ID, UserID: errand.Link, Data: data,
		ExpiresAt: time.Now().Add(FederationLife),
	})
	if err != nil {
		return nil, fmt.Errorf("leave for a provider: %w", err)
	}
	return &Departure{address, browser, provider.PostsBack()}, nil
}

// callbackOf is where browsers come back to from a provider.
func callbackOf(org *tenant.Org, name string) string {
	return org.Issuer + "/login/" + name + "/callback"
}

// Return is a browser that comes back from a provider.
type Return struct {
	// Provider is the name in the address, State and Answer what came along, Browser what it is known by.
	Provider, State, Browser string
	Answer                   upstream.Answer
	// User is who is signed in there, if anybody is.
	User *uuid.UUID
}

// returning finds what a browser was sent for. Another's, or another provider's, is ErrForeignReturn.
func (p *People) returning(ctx context.Context, r Return) (*storage.UpstreamRequest, *upstream.Provider, *begun, error) {
	if !secret.Valid(secret.Upstream, r.State) || !secret.Valid(secret.Federation, r.Browser) {
		return nil, nil, nil, ErrForeignReturn
	}
	row, err := p.db.UpstreamRequest(ctx, secret.Digest(r.State))
	if err != nil {
		return nil, nil, nil, foreign(err)
	}
	if !secret.Equal(secret.Digest(r.Browser), row.BrowserDigest) {
		return nil, nil, nil, ErrForeignReturn
	}
	provider, err := p.usable(p.db.UpstreamProviderByID(ctx, row.ProviderID))
	if err != nil {
		return nil, nil, nil, foreign(err)
	}
	if provider.Name != r.Provider {
		return nil, nil, nil, ErrForeignReturn
	}
	var data begun
	if err := json.Unmarshal(row.Data, &data); err != nil {
		return nil, nil, nil, fmt.Errorf("read what a browser was sent for: %w", err)
	}
	return row, provider, &data, nil
}

func foreign(err error) error {
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrSpent) {
		return fmt.Errorf("%w: %w", ErrForeignReturn, err)
	}
	return err
}

// Keep keeps what a browser has brought in a form of the provider's: with it come no cookies but one, so that the browser is asked to
// come once more.
func (p *People) Keep(ctx context.Context, r Return) error {
	row, provider, data, err := p.returning(ctx, r)
	if err != nil {
		return err
	}
	if !provider.PostsBack() {
		return ErrForeignReturn
	}
	data.Answer = &r.Answer
	if row.Data, err = json.Marshal(data); err != nil {
		return fmt.Errorf("keep what a browser has brought: %w", err)
	}
	return foreign(p.db.AnswerUpstreamRequest(ctx, row))
}

// Outcome is what came of it that somebody was at a provider.
type Outcome int

// What can come of it.
const (
	// CameIn: User is who it is.
	CameIn Outcome = iota
	// Linked: User is known by it from now on, who was signed in.
	Linked
	// SignInFirst: there is an account with the address. Whoever signs in to it is linked.
	SignInFirst
	// ProveAddress: there is none yet, and the address is yet to be proven.
	ProveAddress
)

// Arrival is somebody who has come back.
type Arrival struct {
	Errand
	// Provider is where they were, and Title what that is called.
	Provider, Title string
	Outcome         Outcome
	User            *storage.User
	// Email is the address that the provider has told of; it may be empty.
	Email string
}

// ComeBack finds out who has come back from a provider, and what follows from it: one of ours, a new one, or somebody who has more to
// prove. What came along is used up, whatever comes of it. An Arrival is returned also with an error, where it is known what for.
func (p *People) ComeBack(ctx context.Context, who visitor.Visitor, r Return) (*Arrival, error) {
	row, provider, data, err := p.returning(ctx, r)
	if err != nil {
		return nil, err
	}
	// Before anybody is asked: of several with one state, one goes on.
	if err := p.db.SpendUpstreamRequest(ctx, row.Digest); err != nil {
		return nil, foreign(err)
	}
	arrival := &Arrival{Errand: data.Errand, Provider: provider.Name, Title: provider.Title()}
	arrival.Link = row.UserID
	answer := r.Answer
	switch {
	case data.Answer != nil:
		answer = *data.Answer
	case provider.PostsBack():
		return arrival, ErrForeignReturn
	}
	if arrival.Link != nil && (r.User == nil || *r.User != *arrival.Link) {
		return nil, ErrForeignReturn // somebody else is signed in by now
	}
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	request := &upstream.Request{
		State: r.State, Nonce: data.Nonce, Verifier: data.Verifier, Callback: callbackOf(org, provider.Name), Again: data.Fresh || data.Again, At: data.At,
	}
	found, tokens, err := p.upstream.Complete(ctx, provider, request, answer)
	if errors.Is(err, upstream.ErrRefused) && slices.Contains(declined, answer.Error) {
		return arrival, fmt.Errorf("%w: %w", ErrDeclined, err)
	}
	if err != nil {
		return arrival, errors.Join(err, p.failed(ctx, who, provider, reasonOf(err), nil))
	}
	if err := p.db.GiveBack(ctx, throttle.UpstreamNetwork, throttle.Network(who.Address)); err != nil {
		return nil, err
	}
	f := &federation{people: p, who: who, provider: provider, found: found, tokens: tokens, browser: r.Browser}
	for range 2 { // of two at once that make one person, the later finds them
		if err = f.decide(ctx, arrival); !errors.Is(err, storage.ErrConflict) {
			break
		}
	}
	if refusal := (*refusal)(nil); errors.As(err, &refusal) {
		return arrival, errors.Join(refusal.cause, p.failed(ctx, who, provider, refusal.reason, refusal.user))
	}
	return arrival, err
}

// declined are the errors by which a provider says that the person has changed their mind (RFC 6749 §4.1.2.1, and Apple's own).
var declined = []string{"access_denied", "user_cancelled_authorize", "user_cancelled_login"}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, upstream.ErrDown):
		return "provider_down"
	case errors.Is(err, upstream.ErrUntrusted):
		return "provider_untrusted"
	}
	return "provider_refused"
}

// failed writes down that a sign-in by way of a provider has come to nothing.
func (p *People) failed(ctx context.Context, who visitor.Visitor, provider *upstream.Provider, reason string, user *storage.User) error {
	target := ""
	if user != nil {
		target = user.ID.String()
	}
	return p.audit(ctx, who, Anonymous, "user.sign_in_failed", target, map[string]any{"provider": provider.Name, "reason": reason})
}

// refusal is somebody who does not come in.
type refusal struct {
	cause  error
	reason string
	user   *storage.User
}

func (r *refusal) Error() string { return r.reason + ": " + r.cause.Error() }

// federation is an identity that a provider has vouched for.
type federation struct {
	people   *People
	who      visitor.Visitor
	provider *upstream.Provider
	found    *upstream.Identity
	tokens   *upstream.Tokens
	browser  string
}

// canonical is the address in its canonical form, empty where there is none.
func (f *federation) canonical() string {
	canonical, err := identity.Email(f.found.Email)
	if err != nil {
		return ""
	}
	return canonical
}

// decide says whose identity it is. The order is what keeps one person out of another's account: who is known by the identity comes
// first, and the address counts only where the provider says that it is the person's (S-228, S-229, S-230).
func (f *federation) decide(ctx context.Context, a *Arrival) error {
	p := f.people
	if !f.provider.Settings.Lets(f.canonical(), f.found.Verified) {
		return &refusal{ErrNotLetIn, "domain", nil}
	}
	account, err := p.db.UpstreamAccount(ctx, f.provider.ID, f.found.Issuer, f.found.Subject)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	a.Email = f.found.Email
	switch {
	case a.Link != nil:
		a.Outcome = Linked
		return f.linkTo(ctx, a, account)
	case account != nil:
		a.Outcome = CameIn
		return f.comesIn(ctx, a, account)
	}
	var known *storage.User
	if canonical := f.canonical(); canonical != "" && f.found.Verified {
		if known, err = p.known(ctx, canonical); err != nil {
			return err
		}
	}
	switch {
	case known != nil:
		return f.knownBy(ctx, a, known)
	case !f.found.Verified:
		return f.unproven(ctx, a)
	}
	a.Outcome = CameIn
	return f.create(ctx, a)
}

// linkTo links the identity to whoever has asked for it and is signed in.
func (f *federation) linkTo(ctx context.Context, a *Arrival, account *storage.UpstreamAccount) error {
	if account != nil && account.UserID != *a.Link {
		return ErrLinkedElsewhere
	}
	return f.people.db.InTx(ctx, func(ctx context.Context) (err error) {
		if a.User, err = f.people.db.LockUser(ctx, *a.Link); err != nil {
			return err
		}
		if !a.User.IsActive {
			return &refusal{ErrRefused, SwitchedOff, a.User}
		}
		if account != nil {
			return f.use(ctx, account)
		}
		return f.link(ctx, a.User)
	})
}

// comesIn lets somebody in who is known by the identity. One who is switched off stays out (S-240).
func (f *federation) comesIn(ctx context.Context, a *Arrival, account *storage.UpstreamAccount) error {
	return f.people.db.InTx(ctx, func(ctx context.Context) (err error) {
		if a.User, err = f.people.db.LockUser(ctx, account.UserID); err != nil {
			return err
		}
		if !a.User.IsActive {
			return &refusal{ErrRefused, SwitchedOff, a.User}
		}
		if (a.Fresh || a.Again) && !f.provider.Proves() && a.User.PasswordHash != password.None {
			return &refusal{ErrProveHere, "not_anew", a.User}
		}
		if err := f.use(ctx, account); err != nil {
			return err
		}
		return f.roles(ctx, a.User)
	})
}

// knownBy is for somebody with an account that has the address, which the provider says is theirs.
func (f *federation) knownBy(ctx context.Context, a *Arrival, known *storage.User) error {
	p := f.people
	err := p.db.InTx(ctx, func(ctx context.Context) error {
		user, err := p.db.LockUser(ctx, known.ID)
		if err != nil {
			return err
		}
		a.User = user
		_, held, err := p.db.RightsOf(ctx, user.ID)
		if err != nil {
			return err
		}
		switch bare, err := f.bare(ctx, user); {
		case err != nil:
			return err
		case !user.IsActive:
			return &refusal{ErrRefused, SwitchedOff, user}
		case user.EmailCanonical == nil || *user.EmailCanonical != f.canonical():
			return storage.ErrConflict // the address is somebody else's by now: look again
		case slices.ContainsFunc(held, permission.Reserved):
			// Whoever sets up providers may have one that vouches for any address, and would come by it to all that this person may do
			// here: so that an account of an operator is opened by what Keizer itself knows of it, if only by a letter.
			a.Outcome = SignInFirst
			return f.hold(ctx, &user.ID, a.Errand)
		case !user.IsVerified:
			// Whoever made the account with an address that they did not prove need not be whose it is. Whose it is has it from now on,
			// and nobody else knows a way into it (S-229).
			if err := f.reclaim(ctx, user); err != nil {
				return err
			}
		case !bare:
			a.Outcome = SignInFirst
			return f.hold(ctx, &user.ID, a.Errand)
		}
		a.Outcome = CameIn
		if err := f.link(ctx, user); err != nil {
			return err
		}
		return f.roles(ctx, user)
	})
	if errors.Is(err, storage.ErrNotFound) {
		return storage.ErrConflict
	}
	return err
}

// bare reports whether a person has no way to sign in at all, so that there is none by which they could be asked to sign in first.
func (f *federation) bare(ctx context.Context, user *storage.User) (bool, error) {
	if user.PasswordHash != password.None {
		return false, nil
	}
	counts, err := f.people.db.FactorCounts(ctx, user.ID)
	if err != nil {
		return false, err
	}
	accounts, err := f.people.db.UpstreamAccountsOf(ctx, user.ID)
	return counts.Passkeys == 0 && len(accounts) == 0, err
}

// reclaim takes whatever opens an account from whoever has it, and lets the address be proven.
func (f *federation) reclaim(ctx context.Context, user *storage.User) error {
	p := f.people
	for _, take := range []func() error{
		func() error { return p.db.SetPasswordHash(ctx, user.ID, password.None) },
		func() error { return p.db.EndSessionsOfUser(ctx, user.ID) },
		func() error { return p.db.EndVerificationTokensOfUser(ctx, user.ID) },
		func() error { return p.db.DeleteFactors(ctx, user.ID) },
		func() error { return p.db.ForgetDevices(ctx, user.ID) },
		func() error { _, err := p.db.DeleteUpstreamAccounts(ctx, user.ID); return err },
		func() error { return p.db.VerifyUser(ctx, user.ID, f.canonical()) },
	} {
		if err := take(); err != nil {
			return err
		}
	}
	user.PasswordHash, user.IsVerified = password.None, true
	return p.audit(ctx, f.who, byUser(user.ID), "user.reclaimed", user.ID.String(), map[string]any{"provider": f.provider.Name})
}

// unproven is for somebody whose address the provider does not vouch for: they prove it to us, if they may have an account at all.
func (f *federation) unproven(ctx context.Context, a *Arrival) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	if !mayMake(org.Decided(), f.provider.Settings) {
		return &refusal{ErrSignUpClosed, "sign_up", nil}
	}
	a.Outcome = ProveAddress
	return f.hold(ctx, nil, a.Errand)
}

// mayMake reports whether whoever comes by way of a provider may make an account, whatever their address.
func mayMake(decided *settings.Settings, s *upstream.Settings) bool {
	return s.SignUp == upstream.SignUpAlways || s.SignUp == upstream.SignUpFollow && decided.SignUp.Mode == settings.SignUpOpen
}

// mayComplete reports whether a sign-up may be completed: of somebody whom a provider vouches for, or, where f is nil, who has come by
// themselves and so has a password.
func (f *federation) mayComplete(decided *settings.Settings) bool {
	if f == nil {
		return decided.SignUpOpen()
	}
	return mayMake(decided, f.provider.Settings)
}

// always reports whether a provider is there that decides by itself who may have an account.
func (f *federation) always() bool {
	return f != nil && f.provider.Settings.SignUp == upstream.SignUpAlways
}

// create makes the account of somebody whose address the provider vouches for, if they may have one (S-224).
func (f *federation) create(ctx context.Context, a *Arrival) error {
	p := f.people
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	decided, canonical := org.Decided(), f.canonical()
	err = p.db.InTx(ctx, func(ctx context.Context) error {
		details := map[string]any{"by": "provider", "provider": f.provider.Name, "verified": true}
		invitation, err := f.invitation(ctx, decided, canonical)
		if err != nil {
			return err
		}
		operator, err := f.invitesOperator(ctx, invitation)
		switch {
		case err != nil:
			return err
		case operator:
			return &refusal{ErrSignUpClosed, "invitation", nil} // which is accepted by its letter, and by nothing else
		case invitation != nil:
			if err := p.db.SpendVerificationToken(ctx, invitation.Token, storage.InvitationToken); err != nil {
				return err
			}
			details["invitation"], details["roles"] = invitation.ID.String(), len(invitation.Roles)
		case !mayMake(decided, f.provider.Settings) || f.provider.Settings.SignUp == upstream.SignUpFollow && !mayHave(decided, canonical):
			return &refusal{ErrSignUpClosed, "sign_up", nil}
		}
		if a.User, err = f.insert(ctx, decided); err != nil {
			return err
		}
		if invitation != nil {
			if err := p.grantAll(ctx, a.User.ID, invitation.Roles); err != nil {
				return err
			}
		}
		if err := p.audit(ctx, f.who, byUser(a.User.ID), "user.created", a.User.ID.String(), details); err != nil {
			return err
		}
		if err := f.attach(ctx, a.User); err != nil {
			return err
		}
		return f.roles(ctx, a.User)
	})
	if errors.Is(err, storage.ErrSpent) {
		return storage.ErrConflict // somebody has accepted the invitation at this moment
	}
	return err
}

// invitation is that of whoever comes, where it counts.
func (f *federation) invitation(ctx context.Context, decided *settings.Settings, canonical string) (*storage.Invitation, error) {
	if f.provider.Settings.SignUp == upstream.SignUpNever || decided.SignUp.Mode == settings.SignUpClosed {
		return nil, nil //nolint:nilnil // none counts
	}
	invitation, err := f.people.db.InvitationOf(ctx, canonical)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil //nolint:nilnil // as above
	}
	return invitation, err
}

// invitesOperator reports whether an invitation is to roles that may do something through Keizer itself. Whoever sets up providers may have
// one that vouches for any address, and would come by it to what they were not given.
func (f *federation) invitesOperator(ctx context.Context, invitation *storage.Invitation) (bool, error) {
	if invitation == nil || len(invitation.Roles) == 0 {
		return false, nil
	}
	names, err := f.people.db.PermissionsOfRoles(ctx, invitation.Roles)
	if err != nil {
		return false, err
	}
	for _, held := range names {
		if slices.ContainsFunc(held, permission.Reserved) {
			return true, nil
		}
	}
	return false, nil
}

// insert makes a person of what the provider tells. What they could not have written themselves is left out.
func (f *federation) insert(ctx context.Context, decided *settings.Settings) (*storage.User, error) {
	p := f.people
	username := ""
	if asked, _ := Asked(decided, FieldUsername); asked {
		if _, err := identity.Username(f.found.Username); err == nil {
			free, err := p.usernameFree(ctx, f.found.Username)
			if err != nil {
				return nil, err
			}
			if free {
				username = f.found.Username
			}
		}
	}
	name := f.found.Name
	if profile.Name(name) != nil {
		name = ""
	}
	user := &storage.User{
		Email: f.found.Email, Username: orNil(username), FullName: orNil(name), PasswordHash: password.None, IsActive: true, IsVerified: true,
		Metadata: f.metadata(),
	}
	return user, p.db.CreateUser(ctx, user)
}

// metadata is what people write of themselves, as far as the provider tells it in a form that it may have.
func (f *federation) metadata() map[string]any {
	metadata := make(map[string]any)
	for name, text := range f.found.Claims {
		ok := false
		switch name {
		case "given_name", "family_name", "nickname":
			ok = profile.Name(text) == nil
		case "birthdate":
			ok = profile.Birthdate(text)
		case "zoneinfo":
			_, ok = profile.Zone(text)
		case "locale":
			ok = profile.Locale(text)
		case "picture", "website":
			ok = profile.Link(text) == nil
		}
		if ok {
			metadata[name] = text
		}
	}
	if _, ok := metadata["locale"]; !ok && f.who.Language.String() != "und" {
		metadata["locale"] = f.who.Language.String()
	}
	if len(profile.Metadata(metadata)) > 0 {
		return map[string]any{}
	}
	return metadata
}

// row is the account of a person at the provider.
func (f *federation) row(user *storage.User) *storage.UpstreamAccount {
	return &storage.UpstreamAccount{
		UserID: user.ID, ProviderID: f.provider.ID, Issuer: f.found.Issuer, Subject: f.found.Subject, Label: f.found.Label(),
		AccessToken: f.tokens.Access.Reveal(), RefreshToken: f.tokens.Refresh.Reveal(), ExpiresAt: f.expires(), ClaimSources: f.found.Sources.Text(),
	}
}

func (f *federation) expires() *time.Time {
	if f.tokens.Expires.IsZero() {
		return nil
	}
	return &f.tokens.Expires
}

// attach makes a person known by the identity, and writes it down.
func (f *federation) attach(ctx context.Context, user *storage.User) error {
	p, row := f.people, f.row(user)
	if err := p.db.CreateUpstreamAccount(ctx, row); err != nil {
		return err
	}
	if err := p.db.UseUpstreamAccount(ctx, row); err != nil {
		return err
	}
	details := map[string]any{"provider": f.provider.Name, "issuer": row.Issuer, "subject": row.Subject}
	return p.audit(ctx, f.who, byUser(user.ID), "linked_account.added", user.ID.String(), details)
}

// link is attach for an account that was there before: its person is told (S-209).
func (f *federation) link(ctx context.Context, user *storage.User) error {
	if err := f.attach(ctx, user); err != nil {
		return err
	}
	return f.people.post(ctx, user, mail.Letter{
		Kind: mail.FactorAdded, What: "mail.what.linked", Item: f.provider.Title() + ", " + f.found.Label(), Language: languageOf(user),
	})
}

// use notes that somebody has come by an account, and keeps the tokens. A provider gives a refresh token once in a while; the one
// before goes on until then.
func (f *federation) use(ctx context.Context, account *storage.UpstreamAccount) error {
	account.Label, account.AccessToken, account.ExpiresAt = f.found.Label(), f.tokens.Access.Reveal(), f.expires()
	account.RefreshToken, account.ClaimSources = f.tokens.Refresh.Reveal(), f.found.Sources.Text()
	return f.people.db.UseUpstreamAccount(ctx, account)
}

// roles gives and takes the roles that the provider has the say over. System roles are none of them, whatever the settings say (S-242).
func (f *federation) roles(ctx context.Context, user *storage.User) error {
	p, named := f.people, f.provider.Settings.Roles.Named()
	if len(named) == 0 {
		return nil
	}
	held, err := p.db.RolesOf(ctx, user.ID)
	if err != nil {
		return err
	}
	given, taken := []string{}, []string{}
	for _, name := range named {
		role, err := p.db.RoleByName(ctx, name)
		if errors.Is(err, storage.ErrNotFound) || err == nil && role.IsSystemRole {
			continue
		}
		if err != nil {
			return err
		}
		has := slices.ContainsFunc(held, func(r storage.Role) bool { return r.ID == role.ID })
		switch wanted := slices.Contains(f.found.Roles, name); {
		case wanted && !has:
			given = append(given, name)
			err = p.db.GrantRole(ctx, user.ID, role.ID)
		case !wanted && has:
			taken = append(taken, name)
			err = p.db.RevokeRole(ctx, user.ID, role.ID)
		}
		if err != nil {
			return err
		}
	}
	if len(given)+len(taken) == 0 {
		return nil
	}
	details := map[string]any{"provider": f.provider.Name, "granted": given, "revoked": taken}
	return p.audit(ctx, f.who, byUser(user.ID), "user.roles_mapped", user.ID.String(), details)
}

// held is an identity that waits for its person to prove something more, for one browser.
type held struct {
	Errand
	identityWithTokens
}

// identityWithTokens is what a provider has vouched for, and given.
type identityWithTokens struct {
	Provider uuid.UUID         `json:"provider"`
	Found    upstream.Identity `json:"identity"`
	Access   string            `json:"access,omitempty"`
	Refresh  string            `json:"refresh,omitempty"`
	Expires  time.Time         `json:"expires,omitzero"`
}

func (f *federation) kept() identityWithTokens {
	return identityWithTokens{f.provider.ID, *f.found, f.tokens.Access.Reveal(), f.tokens.Refresh.Reveal(), f.tokens.Expires}
}

// again is the identity as it was vouched for, if the provider is still one that people sign in at.
func (k identityWithTokens) again(ctx context.Context, p *People, who visitor.Visitor) (*federation, error) {
	provider, err := p.usable(p.db.UpstreamProviderByID(ctx, k.Provider))
	if err != nil {
		return nil, err
	}
	tokens := &upstream.Tokens{Access: secret.Text(k.Access), Refresh: secret.Text(k.Refresh), Expires: k.Expires}
	return &federation{people: p, who: who, provider: provider, found: &k.Found, tokens: tokens}, nil
}

// hold keeps an identity for the browser that has brought it: for a person who has yet to sign in, or for nobody yet.
func (f *federation) hold(ctx context.Context, userID *uuid.UUID, errand Errand) error {
	data, err := json.Marshal(held{errand, f.kept()})
	if err != nil {
		return fmt.Errorf("hold an identity: %w", err)
	}
	return f.people.db.CreateUpstreamRequest(ctx, &storage.UpstreamRequest{
		Digest: secret.Digest(secret.New(secret.Upstream)), BrowserDigest: secret.Digest(f.browser), ProviderID: f.provider.ID, UserID: userID, Held: true,
		Data: data, ExpiresAt: time.Now().Add(FederationLife),
	})
}

func (p *People) held(ctx context.Context, browser string) (*storage.UpstreamRequest, *held, error) {
	if !secret.Valid(secret.Federation, browser) {
		return nil, nil, ErrForeignReturn
	}
	row, err := p.db.HeldUpstreamRequest(ctx, secret.Digest(browser))
	if err != nil {
		return nil, nil, foreign(err)
	}
	var data held
	if err := json.Unmarshal(row.Data, &data); err != nil {
		return nil, nil, fmt.Errorf("read an identity that is held: %w", err)
	}
	return row, &data, nil
}

// LinkHeld links the identity that is held for a browser to a person who has signed in there just now, if it waits for them. It is
// called in the transaction of the sign-in.
func (p *People) LinkHeld(ctx context.Context, who visitor.Visitor, user *storage.User, browser string) error {
	row, data, err := p.held(ctx, browser)
	if errors.Is(err, ErrForeignReturn) || err == nil && (row.UserID == nil || *row.UserID != user.ID) {
		return nil // there is none, or it waits for somebody else
	}
	if err != nil {
		return err
	}
	f, err := data.again(ctx, p, who)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := p.db.SpendUpstreamRequest(ctx, row.Digest); err != nil {
		if errors.Is(err, storage.ErrSpent) {
			return nil
		}
		return err
	}
	switch _, err := p.db.UpstreamAccount(ctx, f.provider.ID, f.found.Issuer, f.found.Subject); {
	case err == nil:
		return nil // somebody is known by it meanwhile
	case !errors.Is(err, storage.ErrNotFound):
		return err
	}
	if err := f.link(ctx, user); err != nil {
		return err
	}
	return f.roles(ctx, user)
}

// HeldIdentity is an identity that waits for a browser, as its person may see it.
type HeldIdentity struct {
	Errand
	// Provider is the name of whoever vouches for it, and Title what that is called.
	Provider, Title, Email string
}

// Held returns the identity that waits for the address of its person to be proven, or ErrForeignReturn.
func (p *People) Held(ctx context.Context, browser string) (*HeldIdentity, error) {
	return p.heldFor(ctx, browser, false)
}

// LinkWaiting returns the identity that waits for its person to sign in to their account, or ErrForeignReturn.
func (p *People) LinkWaiting(ctx context.Context, browser string) (*HeldIdentity, error) {
	return p.heldFor(ctx, browser, true)
}

func (p *People) heldFor(ctx context.Context, browser string, somebody bool) (*HeldIdentity, error) {
	row, data, err := p.held(ctx, browser)
	if err == nil && (row.UserID != nil) != somebody {
		err = ErrForeignReturn
	}
	if err != nil {
		return nil, err
	}
	provider, err := p.usable(p.db.UpstreamProviderByID(ctx, row.ProviderID))
	if err != nil {
		return nil, foreign(err)
	}
	return &HeldIdentity{data.Errand, provider.Name, provider.Title(), data.Found.Email}, nil
}

// ProveHeld sends a letter to the address that is to be that of a new account, to which the identity that is held for a browser will
// belong. As at any sign-up, whether the address has an account does not show (S-196). It returns the secret by which the browser is
// known until then.
func (p *People) ProveHeld(ctx context.Context, who visitor.Visitor, browser, email string) (signUp string, err error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return "", err
	}
	row, data, err := p.held(ctx, browser)
	if err == nil && row.UserID != nil {
		err = ErrForeignReturn
	}
	if err != nil {
		return "", err
	}
	provider, err := p.usable(p.db.UpstreamProviderByID(ctx, row.ProviderID))
	if err != nil {
		return "", foreign(err)
	}
	if !mayMake(org.Decided(), provider.Settings) {
		return "", ErrSignUpClosed
	}
	decided := org.Decided()
	if provider.Settings.SignUp == upstream.SignUpAlways {
		decided = settings.Default() // which has no domains
	}
	canonical, err := checkAddress(decided, email)
	if err != nil {
		return "", err
	}
	if err := p.takeFrom(ctx, who, throttle.SignUpNetwork, throttle.SignUpOrganization); err != nil {
		return "", err
	}
	signUp = secret.New(secret.SignUp)
	name := data.Found.Name
	if profile.Name(name) != nil {
		name = ""
	}
	client, err := p.clientOf(ctx, data.Interaction)
	if err != nil {
		return "", err
	}
	kept := data.identityWithTokens
	spend := func(ctx context.Context) error { return foreign(p.db.SpendUpstreamRequest(ctx, row.Digest)) }
	err = p.sendPending(ctx, who, canonical, &storage.VerificationToken{Subject: secret.Digest(signUp)}, pending{
		Email: email, Name: name, Hash: password.None, Language: who.Language.String(), Interaction: data.Interaction, Client: client,
		Upstream: &kept,
	}, spend)
	if err != nil {
		return "", fmt.Errorf("prove an address: %w", err)
	}
	return signUp, nil
}

// LinkedAccounts returns who a person is elsewhere.
func (p *People) LinkedAccounts(ctx context.Context, userID uuid.UUID) ([]storage.LinkedAccount, error) {
	return p.db.UpstreamAccountsOf(ctx, userID)
}

// Unlink takes an account elsewhere from a person, unless they could not sign in any more (*Invalid). Somebody else's is
// storage.ErrNotFound.
func (p *People) Unlink(ctx context.Context, who visitor.Visitor, userID, id uuid.UUID) error {
	err := p.db.InTx(ctx, func(ctx context.Context) error {
		user, err := p.db.LockUser(ctx, userID)
		if err != nil {
			return err
		}
		account, err := p.db.UpstreamAccountOf(ctx, userID, id)
		if err != nil {
			return err
		}
		row, err := p.db.UpstreamProviderByID(ctx, account.ProviderID)
		if err != nil {
			return err
		}
		if err := p.db.DeleteUpstreamAccount(ctx, userID, id); err != nil {
			return err
		}
		if err := p.keepsAWayIn(ctx, user); err != nil {
			return err
		}
		title := row.Name
		if provider, err := upstream.NewProvider(row.ID, row.Name, row.ClientID, "", row.Settings); err == nil {
			title = provider.Title()
		}
		letter := mail.Letter{Kind: mail.FactorRemoved, What: "mail.what.linked", Item: title + ", " + account.Label, Language: who.Language}
		if err := p.post(ctx, user, letter); err != nil {
			return err
		}
		details := map[string]any{"provider": row.Name, "issuer": account.Issuer, "subject": account.Subject}
		return p.audit(ctx, who, byUser(userID), "linked_account.removed", userID.String(), details)
	})
	if err != nil {
		return fmt.Errorf("unlink an account: %w", err)
	}
	return nil
}

// keepsAWayIn refuses to take the last way to sign in from a person.
func (p *People) keepsAWayIn(ctx context.Context, user *storage.User) error {
	if has, err := p.wayIn(ctx, user); err != nil || has {
		return err
	}
	return &Invalid{Field: "account", Message: "account.linked.last"}
}

// wayIn reports whether a person can sign in: by a password or a passkey, where the organization offers that, or at a provider that is
// switched on.
func (p *People) wayIn(ctx context.Context, user *storage.User) (bool, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return false, err
	}
	offered := org.Decided().Login
	if user.PasswordHash != password.None && offered.Offers(settings.WithPassword) {
		return true, nil
	}
	if offered.Offers(settings.WithPasskey) && PasskeysPossible(org) {
		keys, err := p.db.PasskeysOf(ctx, user.ID)
		if err != nil || slices.ContainsFunc(keys, func(key storage.Passkey) bool { return key.ClonedAt == nil }) {
			return err == nil, err
		}
	}
	accounts, err := p.db.UpstreamAccountsOf(ctx, user.ID)
	return err == nil && slices.ContainsFunc(accounts, func(account storage.LinkedAccount) bool {
		decided, err := upstream.Parse(account.Settings)
		return err == nil && !decided.Disabled
	}), err
}
