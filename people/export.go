package people

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// ExportVersion is that of the form of an Export. Members may be added to it; what is there keeps its name and meaning.
const ExportVersion = 1

// Export is everything that is known of a person, for a program to read. Nothing in it opens anything: of what proves who
// they are it says that it is there. Times are RFC 3339, in UTC.
type Export struct {
	Version      int            `json:"version"`
	ExportedAt   time.Time      `json:"exported_at"`
	Organization ExportedOrg    `json:"organization"`
	Profile      ExportedPerson `json:"profile"`
	Roles        []string       `json:"roles"`

	Passkeys       []ExportedFactor `json:"passkeys"`
	Authenticators []ExportedFactor `json:"authenticators"`
	RecoveryCodes  int              `json:"recovery_codes_left"`

	Sessions       []ExportedSession     `json:"sessions"`
	Devices        []ExportedDevice      `json:"devices"`
	Applications   []ExportedApplication `json:"applications"`
	LinkedAccounts []ExportedAccount     `json:"linked_accounts"`
	Activity       []ExportedEvent       `json:"activity"`
	// ActivityTruncated is true when there was more of it than stands here.
	ActivityTruncated bool `json:"activity_truncated"`
}

// ExportedOrg is whose account it is.
type ExportedOrg struct {
	Name   string `json:"name"`
	Issuer string `json:"issuer"`
}

// ExportedPerson is the account itself.
type ExportedPerson struct {
	ID            uuid.UUID      `json:"id"`
	Username      *string        `json:"username"`
	Email         string         `json:"email"`
	EmailVerified bool           `json:"email_verified"`
	Name          *string        `json:"name"`
	HasPassword   bool           `json:"has_password"`
	Claims        map[string]any `json:"claims"`
	CreatedAt     time.Time      `json:"created_at"`
	UpdatedAt     time.Time      `json:"updated_at"`
	LastSignIn    *time.Time     `json:"last_sign_in"`
}

// ExportedFactor is a passkey or an authenticator app.
type ExportedFactor struct {
	Name      string     `json:"name"`
	CreatedAt time.Time  `json:"created_at"`
	LastUsed  *time.Time `json:"last_used"`
}

// ExportedSession is a browser in which the person is signed in.
type ExportedSession struct {
	ID        uuid.UUID `json:"id"`
	Address   *string   `json:"address"`
	UserAgent string    `json:"user_agent"`
	Methods   []string  `json:"methods"`
	CreatedAt time.Time `json:"created_at"`
	LastUsed  time.Time `json:"last_used"`
	ExpiresAt time.Time `json:"expires_at"`
}

// ExportedDevice is a browser that the person has signed in with.
type ExportedDevice struct {
	UserAgent    string     `json:"user_agent"`
	TrustedUntil *time.Time `json:"trusted_until"`
	CreatedAt    time.Time  `json:"created_at"`
	LastSeen     time.Time  `json:"last_seen"`
}

// ExportedApplication is a client that the person has let in.
type ExportedApplication struct {
	ClientID string     `json:"client_id"`
	Name     string     `json:"name"`
	Scopes   []string   `json:"scopes"`
	Since    time.Time  `json:"since"`
	LastUsed *time.Time `json:"last_used"`
}

// ExportedAccount is who the person is at an upstream provider.
type ExportedAccount struct {
	Provider  string     `json:"provider"`
	Issuer    string     `json:"issuer"`
	Subject   string     `json:"subject"`
	Label     string     `json:"label"`
	CreatedAt time.Time  `json:"created_at"`
	LastUsed  *time.Time `json:"last_used"`
}

// ExportedEvent is something that the person did, or that was done to their account.
type ExportedEvent struct {
	At      time.Time `json:"at"`
	Action  string    `json:"action"`
	ByOwner bool      `json:"by_you"`
	// Address is where it came from; that of an operator is not the person's to know.
	Address *string        `json:"address"`
	Details map[string]any `json:"details,omitempty"`
}

// Bounds of what is exported of what grows without end.
const (
	activityPage  = 1000
	activityPages = 10
)

// Export gathers everything about a person, and writes down that it was asked for. Sessions that were not used since a time are
// as good as ended.
func (p *People) Export(ctx context.Context, who visitor.Visitor, userID uuid.UUID, usedSince time.Time) (*Export, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	var made *Export
	err = p.db.InTx(ctx, func(ctx context.Context) error {
		e := &Export{
			Version: ExportVersion, ExportedAt: time.Now().UTC().Truncate(time.Second),
			Organization: ExportedOrg{Name: org.Name, Issuer: org.Issuer},
		}
		for _, gather := range []func(context.Context, *Export, uuid.UUID) error{
			p.exportPerson, p.exportFactors, p.exportApplications, p.exportActivity,
		} {
			if err := gather(ctx, e, userID); err != nil {
				return err
			}
		}
		if err := p.exportBrowsers(ctx, e, userID, usedSince); err != nil {
			return err
		}
		made = e
		return p.audit(ctx, who, byUser(userID), "user.exported", userID.String(), nil)
	})
	if err != nil {
		return nil, fmt.Errorf("export account: %w", err)
	}
	return made, nil
}

func (p *People) exportPerson(ctx context.Context, e *Export, userID uuid.UUID) error {
	user, err := p.db.User(ctx, userID)
	if err != nil {
		return err
	}
	e.Profile = ExportedPerson{
		ID: user.ID, Username: user.Username, Email: user.Email, EmailVerified: user.IsVerified, Name: user.FullName,
		HasPassword: user.PasswordHash != password.None, Claims: user.Metadata, CreatedAt: user.CreatedAt.UTC(), UpdatedAt: user.UpdatedAt.UTC(),
		LastSignIn: inUTC(user.LastLogin),
	}
	if e.Profile.Claims == nil {
		e.Profile.Claims = map[string]any{}
	}
	roles, err := p.db.RolesOf(ctx, userID)
	if err != nil {
		return err
	}
	e.Roles = make([]string, len(roles))
	for i, role := range roles {
		e.Roles[i] = role.Name
	}
	accounts, err := p.db.UpstreamAccountsOf(ctx, userID)
	if err != nil {
		return err
	}
	e.LinkedAccounts = make([]ExportedAccount, len(accounts))
	for i, a := range accounts {
		e.LinkedAccounts[i] = ExportedAccount{a.Provider, a.Issuer, a.Subject, a.Label, a.CreatedAt.UTC(), inUTC(a.LastUsedAt)}
	}
	return nil
}

func (p *People) exportFactors(ctx context.Context, e *Export, userID uuid.UUID) error {
	passkeys, err := p.db.PasskeysOf(ctx, userID)
	if err != nil {
		return err
	}
	e.Passkeys = make([]ExportedFactor, len(passkeys))
	for i, f := range passkeys {
		e.Passkeys[i] = ExportedFactor{f.Name, f.CreatedAt.UTC(), inUTC(f.LastUsedAt)}
	}
	authenticators, err := p.db.AuthenticatorsOf(ctx, userID)
	if err != nil {
		return err
	}
	e.Authenticators = make([]ExportedFactor, len(authenticators))
	for i, f := range authenticators {
		e.Authenticators[i] = ExportedFactor{f.Name, f.CreatedAt.UTC(), inUTC(f.LastUsedAt)}
	}
	counts, err := p.db.FactorCounts(ctx, userID)
	e.RecoveryCodes = counts.RecoveryCodes
	return err
}

func (p *People) exportBrowsers(ctx context.Context, e *Export, userID uuid.UUID, usedSince time.Time) error {
	sessions, err := p.db.SessionsOfUser(ctx, userID, usedSince)
	if err != nil {
		return err
	}
	e.Sessions = make([]ExportedSession, len(sessions))
	for i, s := range sessions {
		e.Sessions[i] = ExportedSession{
			ID: s.ID, Address: s.IPAddress, UserAgent: s.UserAgent, Methods: s.AMR, CreatedAt: s.CreatedAt.UTC(), LastUsed: s.LastUsedAt.UTC(),
			ExpiresAt: s.ExpiresAt.UTC(),
		}
	}
	devices, err := p.db.DevicesOf(ctx, userID)
	if err != nil {
		return err
	}
	e.Devices = make([]ExportedDevice, len(devices))
	for i, d := range devices {
		e.Devices[i] = ExportedDevice{d.UserAgent, inUTC(d.TrustedUntil), d.CreatedAt.UTC(), d.LastSeenAt.UTC()}
	}
	return nil
}

func (p *People) exportApplications(ctx context.Context, e *Export, userID uuid.UUID) error {
	applications, err := p.db.ApplicationsOfUser(ctx, userID)
	if err != nil {
		return err
	}
	e.Applications = make([]ExportedApplication, len(applications))
	for i, a := range applications {
		e.Applications[i] = ExportedApplication{ClientID: a.ClientID, Name: a.Name, Scopes: a.Scopes, Since: a.Since.UTC()}
		if !a.LastUsed.IsZero() {
			used := a.LastUsed.UTC()
			e.Applications[i].LastUsed = &used
		}
	}
	return nil
}

func (p *People) exportActivity(ctx context.Context, e *Export, userID uuid.UUID) error {
	e.Activity = []ExportedEvent{}
	var last *storage.AuditEvent
	for range activityPages {
		events, err := p.Activity(ctx, userID, last, activityPage)
		if err != nil {
			return err
		}
		for _, event := range events {
			e.Activity = append(e.Activity, exported(event, userID))
		}
		if len(events) < activityPage {
			return nil
		}
		last = &events[len(events)-1]
	}
	e.ActivityTruncated = true
	return nil
}

func exported(event storage.AuditEvent, userID uuid.UUID) ExportedEvent {
	told := ExportedEvent{At: event.CreatedAt.UTC(), Action: event.Action, ByOwner: event.Actor == byUser(userID)}
	if told.ByOwner {
		told.Details = event.Details
	}
	if told.ByOwner || event.Actor == Anonymous {
		told.Address = event.IPAddress
	}
	return told
}

func inUTC(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	utc := at.UTC()
	return &utc
}
