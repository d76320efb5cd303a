package storage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/keizer-auth/keizer/internal/identity"
)

// Lists for whoever looks at an organization from outside, a page at a time. What they may be filtered and sorted by is what
// stands here.

// find asks for a page of rows that gorm knows.
func find[T any](g *gorm.DB, s *sorted[T]) (rows []T, next *Position, err error) {
	if s.after != nil {
		g = g.Where(s.condition("?", "?"), s.after...)
	}
	if err := g.Order(s.order()).Limit(s.limit + 1).Find(&rows).Error; err != nil {
		return nil, nil, err
	}
	rows, next = s.page(rows)
	return rows, next, nil
}

// containing is the pattern of LIKE for what has a text in it, in lower case.
func containing(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(text)) + "%"
}

// canonical is the canonical form of what is looked for, if anything is; and whether anybody can have it.
func canonical(text string, form func(string) (string, error)) (string, bool) {
	if text == "" {
		return "", true
	}
	found, err := form(text)
	return found, err == nil
}

// findable reports whether texts are such as can stand in a column at all: no row has another.
func findable(texts ...string) bool {
	return !slices.ContainsFunc(texts, func(text string) bool { return !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 })
}

// OrganizationFilter says which organizations are looked for; what is empty says nothing.
type OrganizationFilter struct {
	// Search is in the slug or the name, in whatever case.
	Search    string
	Suspended *bool
}

var organizationOrders = orders[Organization]{
	id: "organizations.id", of: func(o *Organization) uuid.UUID { return o.ID },
	all: []order[Organization]{
		{name: "slug", column: "organizations.slug", text: func(o *Organization) string { return o.Slug }},
		{name: "name", column: "organizations.name", text: func(o *Organization) string { return o.Name }},
		{name: "created_at", column: "organizations.created_at", time: func(o *Organization) time.Time { return o.CreatedAt }},
	},
}

// OrganizationOrders are the orders that FindOrganizations knows.
func OrganizationOrders() []string { return organizationOrders.names() }

// FindOrganizations returns a page of organizations, suspended ones too, and where the next begins.
func (db *DB) FindOrganizations(ctx context.Context, f OrganizationFilter, l Listing) (orgs []Organization, next *Position, err error) {
	s, err := organizationOrders.sorted(l)
	if err != nil || !findable(f.Search) {
		return nil, nil, err
	}
	err = db.everywhere(ctx, reading, "find organizations", func(q *query) (err error) {
		g := q.of(&Organization{}).Where("organizations.deleted_at IS NULL")
		if f.Search != "" {
			pattern := containing(f.Search)
			g = g.Where(`(organizations.slug LIKE ? ESCAPE '\' OR lower(organizations.name) LIKE ? ESCAPE '\')`, pattern, pattern)
		}
		if f.Suspended != nil {
			g = g.Where("(organizations.suspended_at IS NOT NULL) = ?", *f.Suspended)
		}
		orgs, next, err = find(g, s)
		return err
	})
	return orgs, next, err
}

// UserFilter says which people are looked for; what is empty says nothing.
type UserFilter struct {
	// Search is in the e-mail address, user name or full name, in whatever case.
	Search string
	// Email and Username are whole, in any spelling that means the same.
	Email, Username string
	Active          *bool
	Verified        *bool
	// Role is the name of one that they have.
	Role string
}

var userOrders = orders[User]{
	id: "users.id", of: func(u *User) uuid.UUID { return u.ID },
	all: []order[User]{
		{name: "created_at", column: "users.created_at", time: func(u *User) time.Time { return u.CreatedAt }},
		{name: "email", column: "users.email_canonical", text: func(u *User) string { return *u.EmailCanonical }},
	},
}

// UserOrders are the orders that FindUsers knows.
func UserOrders() []string { return userOrders.names() }

// FindUsers returns a page of people, and where the next begins.
func (db *DB) FindUsers(ctx context.Context, f UserFilter, l Listing) (users []User, next *Position, err error) {
	s, err := userOrders.sorted(l)
	if err != nil {
		return nil, nil, err
	}
	email, ok := canonical(f.Email, identity.Email)
	username, ok2 := canonical(f.Username, identity.Username)
	if !ok || !ok2 || !findable(f.Search, f.Role) {
		return nil, nil, nil
	}
	err = db.scoped(ctx, reading, "find users", func(q *query) (err error) {
		g := q.of(&User{})
		if f.Search != "" {
			pattern := containing(f.Search)
			g = g.Where(`(users.email_canonical LIKE ? ESCAPE '\' OR users.username_canonical LIKE ? ESCAPE '\' OR lower(users.full_name) LIKE ? ESCAPE '\')`,
				pattern, pattern, pattern)
		}
		if email != "" {
			g = g.Where("users.email_canonical = ?", email)
		}
		if username != "" {
			g = g.Where("users.username_canonical = ?", username)
		}
		if f.Active != nil {
			g = g.Where("users.is_active = ?", *f.Active)
		}
		if f.Verified != nil {
			g = g.Where("users.is_verified = ?", *f.Verified)
		}
		if f.Role != "" {
			g = g.Where(`users.id IN (SELECT ur.user_id FROM user_roles ur JOIN roles r ON r.id = ur.role_id WHERE r.org_id = ? AND r.name = ?)`, q.org, f.Role)
		}
		if s.by.name == "email" {
			g = g.Where("users.email_canonical IS NOT NULL") // whoever has none can be seen in the other order
		}
		users, next, err = find(g, s)
		return err
	})
	return users, next, err
}

// ClientFilter says which clients are looked for; what is empty says nothing.
type ClientFilter struct {
	// Search is in the name, in whatever case.
	Search   string
	Disabled *bool
	// Registered is whether they were registered by whoever wanted one.
	Registered *bool
}

var clientOrders = orders[Client]{
	id: "oauth_clients.id", of: func(c *Client) uuid.UUID { return c.ID },
	all: []order[Client]{
		{name: "created_at", column: "oauth_clients.created_at", time: func(c *Client) time.Time { return c.CreatedAt }},
		{name: "client_name", column: "oauth_clients.name", text: func(c *Client) string { return c.Name }},
		{name: "client_id", column: "oauth_clients.client_id", text: func(c *Client) string { return c.ClientID }},
	},
}

// ClientOrders are the orders that FindClients knows.
func ClientOrders() []string { return clientOrders.names() }

// FindClients returns a page of clients, and where the next begins.
func (db *DB) FindClients(ctx context.Context, f ClientFilter, l Listing) (clients []Client, next *Position, err error) {
	s, err := clientOrders.sorted(l)
	if err != nil || !findable(f.Search) {
		return nil, nil, err
	}
	err = db.scoped(ctx, reading, "find clients", func(q *query) (err error) {
		g := q.of(&Client{})
		if f.Search != "" {
			g = g.Where(`lower(oauth_clients.name) LIKE ? ESCAPE '\'`, containing(f.Search))
		}
		if f.Disabled != nil {
			g = g.Where("oauth_clients.disabled = ?", *f.Disabled)
		}
		if f.Registered != nil {
			g = g.Where("(oauth_clients.registered_at IS NOT NULL) = ?", *f.Registered)
		}
		clients, next, err = find(g, s)
		return err
	})
	return clients, next, err
}

// SessionFilter says which sessions are looked for; what is empty says nothing.
type SessionFilter struct {
	UserID *uuid.UUID
	// UsedSince leaves out those that have not been used for too long, which are as good as ended.
	UsedSince time.Time
}

// SessionOfPerson is a session with its person.
type SessionOfPerson struct {
	Session Session
	User    User
}

var sessionOrders = orders[SessionOfPerson]{
	id: "s.id", of: func(s *SessionOfPerson) uuid.UUID { return s.Session.ID },
	all: []order[SessionOfPerson]{
		{name: "created_at", column: "s.created_at", time: func(s *SessionOfPerson) time.Time { return s.Session.CreatedAt }},
		{name: "last_used_at", column: "s.last_used_at", time: func(s *SessionOfPerson) time.Time { return s.Session.LastUsedAt }},
	},
}

// SessionOrders are the orders that FindSessions knows.
func SessionOrders() []string { return sessionOrders.names() }

// FindSessions returns a page of the sessions in which somebody is signed in, and where the next begins.
func (db *DB) FindSessions(ctx context.Context, f SessionFilter, l Listing) (found []SessionOfPerson, next *Position, err error) {
	s, err := sessionOrders.sorted(l)
	if err != nil {
		return nil, nil, err
	}
	err = db.scoped(ctx, reading, "find sessions", func(q *query) error {
		condition, args := "", []any{q.org, q.now, f.UsedSince}
		if f.UserID != nil {
			condition, args = " AND s.user_id = $4", append(args, *f.UserID)
		}
		found, err = q.sessions(s, condition, args)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	found, next = s.page(found)
	return found, next, nil
}

// SessionByID returns a session in which somebody is signed in, with its person. One that has ended, was not used since a time, or
// whose person is switched off is ErrNotFound.
func (db *DB) SessionByID(ctx context.Context, id uuid.UUID, usedSince time.Time) (*SessionOfPerson, error) {
	s, err := sessionOrders.sorted(Listing{Limit: 1})
	if err != nil {
		return nil, err
	}
	var found []SessionOfPerson
	err = db.scoped(ctx, reading, "read session by id", func(q *query) error {
		found, err = q.sessions(s, " AND s.id = $4", []any{q.org, q.now, usedSince, id})
		if err == nil && len(found) == 0 {
			return ErrNotFound
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}

func (q *query) sessions(s *sorted[SessionOfPerson], condition string, args []any) ([]SessionOfPerson, error) {
	statement, args := s.statement(`SELECT s.id, s.user_id, s.ip_address, s.user_agent, s.auth_time, s.amr, s.acr, s.expires_at,
			s.created_at, s.last_used_at, `+userColumns+`
		FROM sessions s JOIN users u ON u.id = s.user_id AND u.org_id = s.org_id
		WHERE s.org_id = $1 AND s.is_valid = TRUE AND s.expires_at > $2 AND u.is_active = TRUE AND s.last_used_at >= $3`+condition, args...)
	rows, err := q.pool.QueryContext(q.ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []SessionOfPerson
	for rows.Next() {
		one := SessionOfPerson{Session: Session{Owned: Owned{q.org}, IsValid: true}, User: User{Owned: Owned{q.org}}}
		s := &one.Session
		if err := rows.Scan(append([]any{
			&s.ID, &s.UserID, &s.IPAddress, maybe[string]{&s.UserAgent}, maybe[time.Time]{&s.AuthTime}, array{&s.AMR},
			maybe[string]{&s.ACR}, &s.ExpiresAt, maybe[time.Time]{&s.CreatedAt}, maybe[time.Time]{&s.LastUsedAt},
		}, one.User.scan()...)...); err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	return found, rows.Err()
}

// GrantFilter says which grants are looked for; what is empty says nothing.
type GrantFilter struct {
	UserID   *uuid.UUID
	ClientID string
}

var grantOrders = orders[Grant]{
	id: "g.id", of: func(g *Grant) uuid.UUID { return g.ID },
	all: []order[Grant]{{name: "created_at", column: "g.created_at", time: func(g *Grant) time.Time { return g.CreatedAt }}},
}

// GrantOrders are the orders that FindGrants knows.
func GrantOrders() []string { return grantOrders.names() }

// FindGrants returns a page of the grants that have neither ended nor been revoked, and where the next begins.
func (db *DB) FindGrants(ctx context.Context, f GrantFilter, l Listing) (grants []Grant, next *Position, err error) {
	s, err := grantOrders.sorted(l)
	if err != nil || !findable(f.ClientID) {
		return nil, nil, err
	}
	err = db.scoped(ctx, reading, "find grants", func(q *query) error {
		condition, args := "", []any{q.org, q.now}
		if f.UserID != nil {
			condition, args = " AND g.user_id = $3", append(args, *f.UserID)
		}
		if f.ClientID != "" {
			args = append(args, f.ClientID)
			condition += fmt.Sprintf(" AND g.client_id = $%d", len(args))
		}
		grants, err = q.grants(s, condition, args)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	grants, next = s.page(grants)
	return grants, next, nil
}

// Grant returns a grant that has neither ended nor been revoked.
func (db *DB) Grant(ctx context.Context, id uuid.UUID) (*Grant, error) {
	s, err := grantOrders.sorted(Listing{Limit: 1})
	if err != nil {
		return nil, err
	}
	var found []Grant
	err = db.scoped(ctx, reading, "read grant", func(q *query) error {
		found, err = q.grants(s, " AND g.id = $3", []any{q.org, q.now, id})
		if err == nil && len(found) == 0 {
			return ErrNotFound
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}

func (q *query) grants(s *sorted[Grant], condition string, args []any) ([]Grant, error) {
	statement, args := s.statement(`SELECT `+grantColumns+` FROM oauth_grants g
		WHERE g.org_id = $1 AND g.revoked_at IS NULL AND g.expires_at > $2`+condition, args...)
	rows, err := q.pool.QueryContext(q.ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []Grant
	for rows.Next() {
		var g nullableGrant
		if err := rows.Scan(g.scan()...); err != nil {
			return nil, err
		}
		found = append(found, *g.grant(q.org))
	}
	return found, rows.Err()
}

var invitationOrders = orders[Invitation]{
	id: "verification_tokens.id", of: func(i *Invitation) uuid.UUID { return i.ID },
	all: []order[Invitation]{
		{name: "created_at", column: "verification_tokens.created_at", time: func(i *Invitation) time.Time { return i.CreatedAt }},
	},
}

// InvitationOrders are the orders that FindInvitations knows.
func InvitationOrders() []string { return invitationOrders.names() }

// FindInvitations returns a page of the invitations that can still be accepted, only those of an address if one is given, and where
// the next begins.
func (db *DB) FindInvitations(ctx context.Context, email string, l Listing) (invitations []Invitation, next *Position, err error) {
	s, err := invitationOrders.sorted(l)
	if err != nil {
		return nil, nil, err
	}
	email, ok := canonical(email, identity.Email)
	if !ok {
		return nil, nil, nil
	}
	err = db.scoped(ctx, reading, "find invitations", func(q *query) error {
		condition, args := "", []any{InvitationToken, q.org, q.now}
		if email != "" {
			condition, args = " AND subject = $4", append(args, email)
		}
		invitations, err = q.invitations(s, condition, args)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	invitations, next = s.page(invitations)
	return invitations, next, nil
}

// InvitationByID returns an invitation that can still be accepted.
func (db *DB) InvitationByID(ctx context.Context, id uuid.UUID) (*Invitation, error) {
	s, err := invitationOrders.sorted(Listing{Limit: 1})
	if err != nil {
		return nil, err
	}
	var found []Invitation
	err = db.scoped(ctx, reading, "read invitation by id", func(q *query) error {
		found, err = q.invitations(s, " AND verification_tokens.id = $4", []any{InvitationToken, q.org, q.now, id})
		if err == nil && len(found) == 0 {
			return ErrNotFound
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}

func (q *query) invitations(s *sorted[Invitation], condition string, args []any) ([]Invitation, error) {
	statement, args := s.statement(`SELECT `+verificationColumns+` FROM verification_tokens
		WHERE type = $1 AND org_id = $2 AND used_at IS NULL AND expires_at > $3`+condition, args...)
	rows, err := q.pool.QueryContext(q.ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []Invitation
	for rows.Next() {
		var token VerificationToken
		if err := rows.Scan(token.scan()...); err != nil {
			return nil, err
		}
		one, err := token.invitation()
		if err != nil {
			return nil, err
		}
		found = append(found, *one)
	}
	return found, rows.Err()
}
