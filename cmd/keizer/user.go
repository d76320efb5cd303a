package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

// person is a user as they are shown. The members have the names of the columns.
type person struct {
	ID           string         `json:"id"`
	Organization string         `json:"organization"`
	Username     string         `json:"username,omitempty"`
	Email        string         `json:"email"`
	FullName     string         `json:"full_name,omitempty"`
	IsActive     bool           `json:"is_active"`
	IsVerified   bool           `json:"is_verified"`
	Roles        []string       `json:"roles,omitempty"` // not in lists
	Metadata     map[string]any `json:"metadata,omitempty"`
	CreatedAt    time.Time      `json:"created_at"`
	LastLogin    *time.Time     `json:"last_login,omitempty"`
}

func personOf(org *tenant.Org, row *storage.User) person {
	one := person{
		ID: row.ID.String(), Organization: org.Slug, Email: row.Email, IsActive: row.IsActive, IsVerified: row.IsVerified, Metadata: row.Metadata,
		CreatedAt: row.CreatedAt.UTC(), LastLogin: row.LastLogin,
	}
	if row.Username != nil {
		one.Username = *row.Username
	}
	if row.FullName != nil {
		one.FullName = *row.FullName
	}
	return one
}

// personHeadings are those of a list of people.
var personHeadings = []string{"ID", "USERNAME", "EMAIL", "NAME", "ACTIVE", "VERIFIED", "LAST LOGIN"}

func (u person) cells() []string {
	return []string{u.ID, u.Username, u.Email, u.FullName, yes(u.IsActive), yes(u.IsVerified), date(u.LastLogin)}
}

func (u person) fields() []field {
	return []field{
		{"id", u.ID}, {"organization", u.Organization}, {"username", u.Username}, {"email", u.Email}, {"name", u.FullName}, {"active", yes(u.IsActive)},
		{"verified", yes(u.IsVerified)}, {"roles", strings.Join(u.Roles, " ")}, {"created", date(&u.CreatedAt)}, {"last login", date(u.LastLogin)},
	}
}

// user is `keizer user`.
func (p *program) user() *cobra.Command {
	return orgFlag(group("user", "The people of an organization", p.userCreate(), p.userList(), p.userShow(), p.userSetPassword(), p.userInvite(),
		p.userUpdate(), p.userDisable(), p.userEnable(), p.userDelete(), p.userResetMFA(), p.userImport(), p.userExport()))
}

func (p *program) userCreate() *cobra.Command {
	var wanted manage.NewUser
	cmd := passwordFlag(&cobra.Command{
		Use: "create", Short: "Make a person who can sign in", Args: takes(), Annotations: eitherWay,
		Long: "Make a person who can sign in. The password is asked for at the terminal, or read from standard input with --password-stdin. Who is made\n" +
			"--without-password gets in by a provider that vouches for their address, or chooses one by a letter that they ask for.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wanted.Email == "" {
				return usage("--email is needed")
			}
			if wanted.Passwordless && cmd.Flags().Changed("password-stdin") {
				return usage("--without-password and --password-stdin contradict one another")
			}
			if !wanted.Passwordless {
				password, err := p.readPassword(cmd)
				if err != nil {
					return err
				}
				wanted.Password = password
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					made := map[string]any{
						"email": wanted.Email, "username": wanted.Username, "full_name": wanted.FullName, "is_verified": wanted.Verified,
						"roles": append([]string{}, wanted.Roles...),
					}
					if !wanted.Passwordless {
						made["password"] = wanted.Password.Reveal()
					}
					var shown person
					if err := r.post(ctx, made, &shown, r.in("users")...); err != nil {
						return err
					}
					return r.showPerson(ctx, shown)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				row, err := house.Operators.CreateUser(ctx, wanted)
				if err != nil {
					return err
				}
				return p.showPerson(ctx, house, org, row)
			})
		},
	})
	flags := cmd.Flags()
	flags.StringVar(&wanted.Username, "username", "", "user name")
	flags.StringVar(&wanted.Email, "email", "", "e-mail address")
	flags.StringVar(&wanted.FullName, "name", "", "full name")
	flags.BoolVar(&wanted.Verified, "verified", false, "the e-mail address is known to be theirs")
	flags.BoolVar(&wanted.Passwordless, "without-password", false, "they have no password")
	flags.StringArrayVar(&wanted.Roles, "role", nil, "role, such as member or owner (which may be called operator); may be repeated")
	return cmd
}

func (p *program) userList() *cobra.Command {
	var query string
	var limit int
	cmd := &cobra.Command{
		Use: "list", Short: "List people", Args: takes(), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usage("--limit must not be negative")
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					return list(p, personHeadings, r.searchUsers(ctx, query, limit))
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				after, left := uuid.Nil, limit
				return list(p, personHeadings, func() ([]person, error) {
					size := pageSize
					if limit > 0 {
						if size = min(size, left); size == 0 {
							return nil, nil
						}
					}
					rows, err := house.DB.SearchUsers(ctx, query, after, size)
					people := make([]person, len(rows))
					for i := range rows {
						people[i], after = personOf(org, &rows[i]), rows[i].ID
					}
					left -= len(rows)
					return people, err
				})
			})
		},
	}
	cmd.Flags().StringVar(&query, "query", "", "only those in whose e-mail address, user name or name this stands")
	cmd.Flags().IntVar(&limit, "limit", 0, "as many as this at the most; 0 is all")
	return cmd
}

func (p *program) userShow() *cobra.Command {
	var client string
	cmd := &cobra.Command{
		Use: "show USER", Short: "Show a person, by user name, e-mail address or id", Args: takes("USER"), Annotations: eitherWay,
		Long: "Show a person, by user name, e-mail address or id. With --client, USER is what that client knows them by: the sub of its tokens, also where\n" +
			"that is pairwise.",
		RunE: func(cmd *cobra.Command, args []string) error {
			by := cmd.Flags().Changed("client")
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					if by {
						var shown person
						if err := r.get(ctx, &shown, r.in("clients", client, "subjects", args[0])...); err != nil {
							return noSubject(err, r.org, args[0], client)
						}
						return r.showPerson(ctx, shown)
					}
					shown, err := r.user(ctx, args[0])
					if err != nil {
						return noUser(err, r.org, args[0])
					}
					return r.showPerson(ctx, *shown)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				if by {
					row, err := house.Operators.UserBehind(ctx, client, args[0])
					if err != nil {
						return noSubject(err, org, args[0], client)
					}
					return p.showPerson(ctx, house, org, row)
				}
				row, err := findUser(ctx, house.DB, args[0])
				if err != nil {
					return noUser(err, org, args[0])
				}
				return p.showPerson(ctx, house, org, row)
			})
		},
	}
	cmd.Flags().StringVar(&client, "client", "", "the client that knows the person by USER")
	return cmd
}

// noSubject says that nobody is known to a client by a sub, or that there is no such client.
func noSubject(err error, org *tenant.Org, subject, clientID string) error {
	if errors.Is(err, storage.ErrNotFound) {
		return notFound("nobody in organization %q is known to a client %q as %q", org.Slug, clientID, subject)
	}
	return err
}

func (p *program) userSetPassword() *cobra.Command {
	return passwordFlag(&cobra.Command{
		Use: "set-password USER", Short: "Give a person a new password, which ends their sessions", Args: takes("USER"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := p.readPassword(cmd)
			if err != nil {
				return err
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					shown, err := r.user(ctx, args[0])
					if err == nil {
						err = r.put(ctx, map[string]any{"password": password.Reveal()}, r.in("users", shown.ID, "password")...)
					}
					if err != nil {
						return noUser(err, r.org, args[0])
					}
					return r.showPerson(ctx, *shown)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				row, err := findUser(ctx, house.DB, args[0])
				if err != nil {
					return noUser(err, org, args[0])
				}
				if err := house.Operators.SetPassword(ctx, row.Email, password); err != nil {
					return err
				}
				return p.showPerson(ctx, house, org, row)
			})
		},
	})
}

func (p *program) showPerson(ctx context.Context, house *server.House, org *tenant.Org, row *storage.User) error {
	roles, err := house.DB.RolesOf(ctx, row.ID)
	if err != nil {
		return fmt.Errorf("show user: %w", err)
	}
	shown := personOf(org, row)
	for _, role := range roles {
		shown.Roles = append(shown.Roles, role.Name)
	}
	return p.show(shown, shown.fields()...)
}

// findUser finds a person by what they sign in with, or by id.
func findUser(ctx context.Context, db *storage.DB, login string) (*storage.User, error) {
	row, err := db.UserByLogin(ctx, login)
	if id, notID := uuid.Parse(login); notID == nil && errors.Is(err, storage.ErrNotFound) {
		return db.User(ctx, id)
	}
	return row, err
}

func noUser(err error, org *tenant.Org, login string) error {
	var known *exit
	switch {
	case errors.As(err, &known), len(manage.Complaints(err)) > 0, errors.Is(err, storage.ErrConflict):
		return err // it says by itself what the matter is
	case errors.Is(err, storage.ErrNotFound):
		return notFound("user %q does not exist in organization %q", login, org.Slug)
	}
	return fmt.Errorf("find user: %w", err)
}

// searchUsers are the people in whom a text stands, limit of them at the most; 0 is all.
func (r *remote) searchUsers(ctx context.Context, query string, limit int) func() ([]person, error) {
	filter := url.Values{}
	if query != "" {
		filter.Set("search", query)
	}
	next, left := pages(ctx, r, filter, r.completePerson, r.in("users")...), limit
	return func() ([]person, error) {
		if limit > 0 && left == 0 {
			return nil, nil
		}
		people, err := next()
		if limit > 0 {
			people = people[:min(left, len(people))]
			left -= len(people)
		}
		return people, err
	}
}

func (r *remote) completePerson(u *person) { u.Organization = r.org.Slug }

// user finds a person by what they sign in with, or by id.
func (r *remote) user(ctx context.Context, login string) (*person, error) {
	by := "username"
	if strings.Contains(login, "@") {
		by = "email"
	}
	if login != "" {
		found, err := pages(ctx, r, url.Values{by: {login}, "limit": {"1"}}, r.completePerson, r.in("users")...)()
		if err != nil || len(found) > 0 {
			return first(found), err
		}
	}
	if _, err := uuid.Parse(login); err != nil {
		return nil, storage.ErrNotFound
	}
	one := &person{Organization: r.org.Slug}
	return one, r.get(ctx, one, r.in("users", login)...)
}

func first[T any](all []T) *T {
	if len(all) == 0 {
		return nil
	}
	return &all[0]
}

// showPerson shows a person with their roles, as far as the token may see those.
func (r *remote) showPerson(ctx context.Context, shown person) error {
	shown.Organization = r.org.Slug
	roles, err := unpaged[roleShown](ctx, r, nil, r.in("users", shown.ID, "roles")...)
	if err != nil && !errors.Is(err, errNotAllowed) {
		return err
	}
	for _, role := range roles {
		shown.Roles = append(shown.Roles, role.Name)
	}
	return r.p.show(shown, shown.fields()...)
}
