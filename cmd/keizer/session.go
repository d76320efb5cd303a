package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

// signedIn is a session as it is shown.
type signedIn struct {
	ID           string    `json:"id"`
	Organization string    `json:"organization"`
	UserID       string    `json:"user_id"`
	User         string    `json:"user"`
	UserAgent    string    `json:"user_agent,omitempty"`
	IPAddress    string    `json:"ip_address,omitempty"`
	AuthTime     time.Time `json:"auth_time"`
	AMR          []string  `json:"amr"`
	ACR          string    `json:"acr,omitempty"`
	CreatedAt    time.Time `json:"created_at"`
	LastUsedAt   time.Time `json:"last_used_at"`
	ExpiresAt    time.Time `json:"expires_at"`
}

func (s signedIn) cells() []string {
	const agent = 48 // characters
	name := []rune(s.UserAgent)
	return []string{
		s.ID, s.User, string(name[:min(len(name), agent)]), s.IPAddress, strings.Join(s.AMR, " "), date(&s.CreatedAt), date(&s.LastUsedAt), date(&s.ExpiresAt),
	}
}

// session is `keizer session`.
func (p *program) session() *cobra.Command {
	return orgFlag(group("session", "The browsers in which people are signed in", p.sessionList(), p.sessionRevoke()))
}

func (p *program) sessionList() *cobra.Command {
	var login string
	cmd := &cobra.Command{
		Use: "list", Short: "List the browsers in which people are signed in", Args: takes(), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, _ []string) error {
			headings := []string{"ID", "USER", "DEVICE", "ADDRESS", "BY", "SINCE", "LAST USED", "ENDS"}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					path := r.in("sessions")
					if login != "" {
						user, err := r.user(ctx, login)
						if err != nil {
							return noUser(err, r.org, login)
						}
						path = r.in("users", user.ID, "sessions")
					}
					return list(p, headings, pages(ctx, r, nil, func(s *signedIn) { s.Organization = r.org.Slug }, path...))
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				var of *uuid.UUID
				if login != "" {
					user, err := findUser(ctx, house.DB, login)
					if err != nil {
						return noUser(err, org, login)
					}
					of = &user.ID
				}
				idle := cmp.Or(time.Duration(org.Decided().Sessions.Idle), house.Cfg.Session.IdleTimeout)
				since, after := time.Now().Add(-idle), uuid.Nil
				return list(p, headings, func() ([]signedIn, error) {
					sessions, users, err := house.DB.ListSessions(ctx, of, since, after, pageSize)
					shown := make([]signedIn, len(sessions))
					for i, s := range sessions {
						after = s.ID
						shown[i] = signedIn{
							ID: s.ID.String(), Organization: org.Slug, UserID: s.UserID.String(), User: users[i].DisplayName(), UserAgent: s.UserAgent,
							AuthTime: s.AuthTime.UTC(), AMR: s.AMR, ACR: s.ACR, CreatedAt: s.CreatedAt.UTC(), LastUsedAt: s.LastUsedAt.UTC(), ExpiresAt: s.ExpiresAt.UTC(),
						}
						if s.IPAddress != nil {
							shown[i].IPAddress = *s.IPAddress
						}
					}
					return shown, err
				})
			})
		},
	}
	cmd.Flags().StringVar(&login, "user", "", "only this person's: user name, e-mail address or id")
	return cmd
}

func (p *program) sessionRevoke() *cobra.Command {
	var login string
	var all bool
	cmd := &cobra.Command{
		Use: "revoke [SESSION]", Short: "Sign somebody out of one browser, of all (--user), or everybody (--all)",
		Long: "Sign somebody out: of the browser whose session is named, of all with --user, or everybody of the organization with --all.\n\n" +
			"What was granted for offline access outlives a session unless the organization's sessions.end_tokens is set; --user ends it always.",
		Args: cobra.MaximumNArgs(1), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			named := len(args)
			for _, given := range []bool{login != "", all} {
				if given {
					named++
				}
			}
			if named != 1 {
				return usage("%s needs one of SESSION, --user and --all", cmd.CommandPath())
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					ended := struct {
						SessionsEnded int64 `json:"sessions_ended"`
					}{1}
					var err error
					switch {
					case all:
						err = r.remove(ctx, &ended, r.in("sessions")...)
					case login != "":
						var user *person
						if user, err = r.user(ctx, login); err == nil {
							err = r.remove(ctx, &ended, r.in("users", user.ID, "sessions")...)
						}
						if err != nil {
							err = noUser(err, r.org, login)
						}
					default:
						id, notID := storage.ParseID(args[0])
						if err = notID; err == nil {
							err = r.remove(ctx, nil, r.in("sessions", id.String())...)
						}
						err = noSession(err, r.org, args[0])
					}
					return p.showEnded(r.org, ended.SessionsEnded, err)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				var ended int64
				var err error
				switch {
				case all:
					ended, err = house.Operators.RevokeEverySession(ctx)
				case login != "":
					ended, err = revokeOf(ctx, house, org, login)
				default:
					ended, err = 1, revokeOne(ctx, house, org, args[0])
				}
				return p.showEnded(org, ended, err)
			})
		},
	}
	cmd.Flags().StringVar(&login, "user", "", "everywhere this person is signed in: user name, e-mail address or id")
	cmd.Flags().BoolVar(&all, "all", false, "everybody of the organization")
	return cmd
}

func (p *program) showEnded(org *tenant.Org, ended int64, err error) error {
	if err != nil {
		return err
	}
	return p.show(map[string]any{"organization": org.Slug, "sessions_ended": ended}, field{"sessions ended", fmt.Sprint(ended)})
}

func noSession(err error, org *tenant.Org, name string) error {
	if errors.Is(err, storage.ErrNotFound) {
		return notFound("session %q does not exist in organization %q, or has ended", name, org.Slug)
	}
	return err
}

func revokeOf(ctx context.Context, house *server.House, org *tenant.Org, login string) (int64, error) {
	user, err := findUser(ctx, house.DB, login)
	if err != nil {
		return 0, noUser(err, org, login)
	}
	ended, err := house.Operators.RevokeSessionsOf(ctx, user)
	return int64(ended), err
}

func revokeOne(ctx context.Context, house *server.House, org *tenant.Org, name string) error {
	id, err := storage.ParseID(name)
	if err == nil {
		err = house.Operators.RevokeSession(ctx, id)
	}
	return noSession(err, org, name)
}
