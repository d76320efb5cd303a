package manage

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/storage"
)

// Federating returns operators who set up providers that people sign in at, by way of there, and clients: of those that reach lets be
// asked for something.
func (o *Operators) Federating(reach outbound.Options, there *upstream.Upstream) *Operators {
	federating := *o
	federating.reach, federating.upstream = reach, there
	return &federating
}

const (
	// maxProviders is how many an organization has at the most: the page of a sign-in reads all of them.
	maxProviders = 50
	// maxClientID bounds what we are called at a provider, in bytes.
	maxClientID = 500
)

// providerName is a name as it stands in the address that people come back to.
var providerName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

// reservedProviders are, or may come to be, pages below /login.
var reservedProviders = []string{
	"authorize", "callback", "cancel", "choose", "device", "email", "enroll", "factor", "finish", "forgot", "home", "link", "linked", "logout", "new", "passkey",
	"password", "recover", "recovery", "recovery-codes", "register", "reset", "select", "start", "verify",
}

func checkProviderName(name string) error {
	switch {
	case !providerName.MatchString(name):
		return errors.New("it must have 1 to 40 lower-case letters, digits and hyphens, and no hyphen at either end: it stands in an address")
	case slices.Contains(reservedProviders, name):
		return errors.New("it is reserved")
	}
	return nil
}

// ProviderPatch is a change to a provider. What is nil stays as it is. Its name always does: it stands in the address that is
// registered at the provider.
type ProviderPatch struct {
	ClientID *string
	Secret   *secret.Text
	Settings upstream.Patch
}

// CreateProvider sets up a provider at which people of the organization sign in. A name that is taken is a Conflict, and so is a mail
// domain that has its home elsewhere.
func (o *Operators) CreateProvider(ctx context.Context, name string, wanted ProviderPatch) (*storage.UpstreamProvider, error) {
	var made *storage.UpstreamProvider
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		others, err := o.lockedProviders(ctx)
		if err != nil {
			return err
		}
		made = &storage.UpstreamProvider{Name: name}
		var c complaints
		c.check("name", checkProviderName(name))
		if err := errors.Join(c.err(), o.changeProvider(ctx, made, wanted, others)); err != nil {
			return err
		}
		if len(others) >= maxProviders {
			return &Conflict{Field: "name", Message: fmt.Sprintf("there are %d providers already, which is the most", maxProviders)}
		}
		if err := o.db.CreateUpstreamProvider(ctx, made); err != nil {
			return err
		}
		return o.audit(ctx, "provider.created", made.ID.String(), map[string]any{"before": nil, "after": providerState(made)})
	})
	var conflict *Conflict
	if errors.Is(err, storage.ErrConflict) && !errors.As(err, &conflict) {
		return nil, &Conflict{Field: "name", Message: "the organization has a provider of that name already"}
	}
	if err != nil {
		return nil, during("create provider", err)
	}
	return made, nil
}

// providerState is a provider as the audit tells it: whatever opens nothing.
func providerState(p *storage.UpstreamProvider) map[string]any {
	return map[string]any{"name": p.Name, "client_id": p.ClientID, "settings": p.Settings}
}

// changeProvider writes a patch into a row, if what comes of it is right.
func (o *Operators) changeProvider(ctx context.Context, row *storage.UpstreamProvider, patch ProviderPatch, others []storage.UpstreamProvider) error {
	clientID := row.ClientID
	set(&row.ClientID, patch.ClientID)
	if patch.Secret != nil {
		row.ClientSecret = patch.Secret.Reveal()
	}
	decided, err := patch.Settings.Apply(row.Settings)
	if err != nil {
		return complained(err)
	}
	var before *upstream.Settings
	if row.Settings != nil {
		if before, err = upstream.Parse(row.Settings); err != nil {
			return err
		}
	}
	var c complaints
	if row.ClientID == "" || len(row.ClientID) > maxClientID || unprintable(row.ClientID) {
		c.add("client_id", "it is needed, as the provider has given it")
	}
	if err := decided.Validate(o.reach); err != nil {
		return errors.Join(c.err(), complained(err))
	}
	c.check("client_secret", decided.CheckSecret(secret.Text(row.ClientSecret)))
	if err := c.err(); err != nil {
		return err
	}
	if err := o.checkRoles(ctx, before, decided); err != nil {
		return err
	}
	if before != nil && !(sameLead(before, decided) && row.ClientID == clientID) {
		if err := o.mayLead(ctx, row.ID, decided.Roles); err != nil {
			return err
		}
	}
	if err := homeElsewhere(row, decided, others); err != nil {
		return err
	}
	row.Settings, err = decided.Map()
	return err
}

// unprintable reports whether a text is none on one line.
func unprintable(text string) bool { return checkDescription(text) != nil }

// complained are the complaints of package upstream as ours.
func complained(err error) error {
	var c complaints
	for _, complaint := range upstream.Complaints(err) {
		c.add(complaint.Path, "%s", complaint.Message)
	}
	if c.err() != nil {
		return c.err()
	}
	return err
}

// checkRoles looks at the roles that follow from what a provider tells: they exist, are no system roles (S-242), and allow nothing that
// the actor does not hold.
func (o *Operators) checkRoles(ctx context.Context, before, after *upstream.Settings) error {
	var named []string
	if before != nil {
		if reflect.DeepEqual(before.Roles, after.Roles) {
			return nil
		}
		named = before.Roles.Named()
	}
	var c complaints
	for _, name := range after.Roles.Named() {
		role, err := o.db.RoleByName(ctx, name)
		switch {
		case errors.Is(err, storage.ErrNotFound):
			if !slices.Contains(named, name) { // what was deleted since is given to nobody
				c.check("roles.map", noRole(name))
			}
			continue
		case err != nil:
			return err
		case role.IsSystemRole:
			c.add("roles.map", "%s is a system role: no provider has the say over it", name)
			continue
		}
		allowed, err := o.db.PermissionsOfRoles(ctx, []uuid.UUID{role.ID})
		if err == nil {
			err = mayGive(ctx, allowed[role.ID]...)
		}
		if err != nil {
			return err
		}
	}
	return c.err()
}

// sameLead reports whether a provider is where it was and says what it said: only how it is offered is another.
func sameLead(before, after *upstream.Settings) bool {
	one, other := *before, *after
	for _, s := range []*upstream.Settings{&one, &other} {
		s.Title, s.Hidden, s.Disabled = "", false, false
	}
	return reflect.DeepEqual(one, other)
}

// mayLead refuses what would have somebody else say who comes from a provider, to an actor who may do less than the people who come
// from there, or than the roles that follow from it allow: it would be a way to become them.
func (o *Operators) mayLead(ctx context.Context, id uuid.UUID, roles upstream.Roles) error {
	if actorOf(ctx).Bound == nil {
		return nil
	}
	for _, name := range roles.Named() {
		role, err := o.db.RoleByName(ctx, name)
		if errors.Is(err, storage.ErrNotFound) {
			continue // it was deleted since, and is given to nobody
		}
		if err != nil {
			return err
		}
		allowed, err := o.db.PermissionsOfRoles(ctx, []uuid.UUID{role.ID})
		if err == nil {
			err = mayGive(ctx, allowed[role.ID]...)
		}
		if err != nil {
			return err
		}
	}
	held, err := o.db.RightsAtProvider(ctx, id)
	if err != nil {
		return err
	}
	return mayGive(ctx, held...)
}

// homeElsewhere refuses a mail domain that is at home at another provider.
func homeElsewhere(row *storage.UpstreamProvider, decided *upstream.Settings, others []storage.UpstreamProvider) error {
	for _, other := range others {
		if other.ID == row.ID {
			continue
		}
		theirs, err := upstream.Parse(other.Settings)
		if err != nil {
			return err
		}
		for _, domain := range decided.HomeDomains {
			if slices.Contains(theirs.HomeDomains, domain) {
				return &Conflict{Field: "home_domains", Message: fmt.Sprintf("%q has its home at the provider %s", domain, other.Name)}
			}
		}
	}
	return nil
}

// lockedProviders returns those of the organization, and has whoever else would change one wait for the end of the transaction: of two that
// take one mail domain at once, one hears of the other.
func (o *Operators) lockedProviders(ctx context.Context) ([]storage.UpstreamProvider, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.db.LockOrganization(ctx, org.ID); err != nil {
		return nil, err
	}
	return o.db.ListUpstreamProviders(ctx, "", 0)
}

// UpdateProvider changes a provider. Of two changes at once both count, one after the other.
func (o *Operators) UpdateProvider(ctx context.Context, name string, patch ProviderPatch) (row *storage.UpstreamProvider, err error) {
	for range retries {
		err = o.db.InTx(ctx, func(ctx context.Context) error {
			if row, err = o.db.UpstreamProvider(ctx, name); err != nil {
				return err
			}
			others, err := o.lockedProviders(ctx)
			if err != nil {
				return err
			}
			before, secretBefore := providerState(row), row.ClientSecret
			if err := o.changeProvider(ctx, row, patch, others); err != nil {
				return err
			}
			after := providerState(row)
			if sameJSON(before, after) && row.ClientSecret == secretBefore {
				return nil
			}
			if err := o.db.UpdateUpstreamProvider(ctx, row); err != nil {
				return err
			}
			details := map[string]any{"before": before, "after": after}
			if row.ClientSecret != secretBefore {
				details["secret"] = "replaced"
			}
			return o.audit(ctx, "provider.updated", row.ID.String(), details)
		})
		var conflict *Conflict
		if !errors.Is(err, storage.ErrConflict) || errors.As(err, &conflict) {
			break
		}
	}
	if err != nil {
		return nil, during("update provider", err)
	}
	return row, nil
}

// DeleteProvider removes a provider, and who anybody is there: whoever signed in by way of it alone has a new password sent to them.
// It returns how many accounts were linked.
func (o *Operators) DeleteProvider(ctx context.Context, name string) (accounts int64, err error) {
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		row, err := o.db.UpstreamProvider(ctx, name)
		if err != nil {
			return err
		}
		if accounts, err = o.db.DeleteUpstreamProvider(ctx, row.ID); err != nil {
			return err
		}
		return o.audit(ctx, "provider.deleted", row.ID.String(), map[string]any{"before": providerState(row), "after": nil, "accounts": accounts})
	})
	if err != nil {
		return 0, during("delete provider", err)
	}
	return accounts, nil
}

// CallbackOf is the address that the organization's people come back to from a provider, as it has to be registered there.
func CallbackOf(org *tenant.Org, name string) string {
	return org.Issuer + "/login/" + name + "/callback"
}

// TestProvider looks whether people could sign in at a provider, as far as that shows without one.
func (o *Operators) TestProvider(ctx context.Context, name string) ([]upstream.Finding, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	row, err := o.db.UpstreamProvider(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("test provider: %w", err)
	}
	provider, err := upstream.NewProvider(row.ID, row.Name, row.ClientID, row.ClientSecret, row.Settings)
	if err != nil {
		return nil, fmt.Errorf("test provider: %w", err)
	}
	return o.upstream.Test(ctx, provider, CallbackOf(org, name)), nil
}

// tokenLeft is for how long an access token must still be good to be given away.
const tokenLeft = 30 * time.Second

// ProviderToken returns the access token that a provider has given for a person, and until when it is good, if that is known. One that
// ends is renewed first; where the provider renews nothing any more it is upstream.ErrEnded. A person who is nobody there, or of whom
// nothing is kept, is storage.ErrNotFound.
func (o *Operators) ProviderToken(ctx context.Context, name string, userID uuid.UUID) (token secret.Text, expires *time.Time, err error) {
	if err := o.mayActOn(ctx, userID); err != nil {
		return "", nil, err
	}
	row, account, err := o.linked(ctx, name, userID)
	if err == nil && ends(account) {
		account, err = o.renew(ctx, row, account)
	}
	switch {
	case err != nil:
	case account.AccessToken == "":
		err = storage.ErrNotFound
	case account.ExpiresAt != nil && !time.Now().Before(*account.ExpiresAt):
		err = upstream.ErrEnded
	}
	if err == nil {
		err = o.audit(ctx, "provider_token.revealed", userID.String(), map[string]any{"provider": name})
	}
	if err != nil {
		return "", nil, during("reveal provider token", err)
	}
	return secret.Text(account.AccessToken), account.ExpiresAt, nil
}

func ends(account *storage.UpstreamAccount) bool {
	return account.RefreshToken != "" && account.ExpiresAt != nil && time.Until(*account.ExpiresAt) < tokenLeft
}

// linked is who a person is at a provider.
func (o *Operators) linked(ctx context.Context, name string, userID uuid.UUID) (*storage.UpstreamProvider, *storage.UpstreamAccount, error) {
	row, err := o.db.UpstreamProvider(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	accounts, err := o.db.UpstreamAccountsOf(ctx, userID)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range accounts {
		if a.ProviderID == row.ID {
			account, err := o.db.UpstreamAccountOf(ctx, userID, a.ID)
			return row, account, err
		}
	}
	return nil, nil, fmt.Errorf("find who the person is there: %w", storage.ErrNotFound)
}

const (
	// renewalTakes is for how long somebody may renew tokens, which is longer than a provider is waited for, and everybody else waits for
	// them. They look every renewalLook.
	renewalTakes = 6 * time.Second
	renewalLook  = 50 * time.Millisecond
)

// renew exchanges the refresh token of an account. One at a time does, at whichever replica: a provider that is shown a refresh token
// twice may take it for stolen, and end whatever it has given (RFC 9700 §4.14.2).
func (o *Operators) renew(ctx context.Context, row *storage.UpstreamProvider, account *storage.UpstreamAccount) (*storage.UpstreamAccount, error) {
	provider, err := upstream.NewProvider(row.ID, row.Name, row.ClientID, row.ClientSecret, row.Settings)
	if err != nil {
		return nil, err
	}
	patience := time.After(renewalTakes)
	tick := time.NewTicker(renewalLook)
	defer tick.Stop()
	for {
		err := o.db.ClaimUpstreamRenewal(ctx, account, time.Now().Add(renewalTakes))
		if err == nil {
			// Whoever has asked may leave: what the provider gives for a refresh token that is spent then is kept all the same.
			return o.exchange(context.WithoutCancel(ctx), provider, account)
		}
		if !errors.Is(err, storage.ErrSpent) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-patience:
			return nil, fmt.Errorf("%w: somebody else is waiting for it", upstream.ErrDown)
		case <-tick.C:
		}
		if account, err = o.db.UpstreamAccountOf(ctx, account.UserID, account.ID); err != nil || !ends(account) {
			return account, err
		}
	}
}

// exchange is renew for whoever may. A refresh token that the provider takes no more is kept no longer.
func (o *Operators) exchange(ctx context.Context, provider *upstream.Provider, account *storage.UpstreamAccount) (*storage.UpstreamAccount, error) {
	tokens, err := o.upstream.Refresh(ctx, provider, secret.Text(account.RefreshToken))
	var kept error
	switch {
	case errors.Is(err, upstream.ErrEnded):
		kept = o.db.RenewUpstreamTokens(ctx, account, account.AccessToken, "", account.ExpiresAt)
	case err != nil:
		kept = o.db.GiveUpUpstreamRenewal(ctx, account)
	default:
		var until *time.Time
		if !tokens.Expires.IsZero() {
			until = &tokens.Expires
		}
		kept = o.db.RenewUpstreamTokens(ctx, account, tokens.Access.Reveal(), tokens.Refresh.Reveal(), until)
	}
	if errors.Is(kept, storage.ErrSpent) { // the person has signed in there meanwhile, and has brought others
		return o.db.UpstreamAccountOf(ctx, account.UserID, account.ID)
	}
	if err := errors.Join(err, kept); err != nil {
		return nil, err
	}
	return account, nil
}

// ProviderInformation is a provider as it is shown. Its secret is not to be had again.
type ProviderInformation struct {
	ID       string `json:"id" format:"uuid"`
	Name     string `json:"name"`
	ClientID string `json:"client_id"`
	// CallbackURI is what has to be registered at the provider.
	CallbackURI string     `json:"callback_uri" format:"uri"`
	CreatedAt   time.Time  `json:"created_at"`
	UpdatedAt   *time.Time `json:"updated_at,omitempty"`

	Settings map[string]any `json:"-"`
}

// ProviderInformationOf returns a provider of an organization as it is shown.
func ProviderInformationOf(org *tenant.Org, row *storage.UpstreamProvider) ProviderInformation {
	return ProviderInformation{
		ID: row.ID.String(), Name: row.Name, ClientID: row.ClientID, CallbackURI: CallbackOf(org, row.Name), CreatedAt: row.CreatedAt.UTC(), UpdatedAt: row.UpdatedAt,
		Settings: row.Settings,
	}
}

// MarshalJSON writes everything as one object.
func (i ProviderInformation) MarshalJSON() ([]byte, error) {
	type own ProviderInformation
	return mergeJSON(i.Settings, own(i))
}
