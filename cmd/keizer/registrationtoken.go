package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

// registrationToken is a token with which clients can be registered, as it is shown.
type registrationToken struct {
	ID           string     `json:"id"`
	Organization string     `json:"organization"`
	Name         string     `json:"name"`
	MaxUses      int        `json:"max_uses"`
	Uses         int        `json:"uses"`
	CreatedAt    time.Time  `json:"created_at"`
	ExpiresAt    time.Time  `json:"expires_at"`
	LastUsedAt   *time.Time `json:"last_used_at,omitempty"`
	// Token is only shown when it is made.
	Token string `json:"token,omitempty"`
}

func registrationTokenOf(org *tenant.Org, row *storage.RegistrationToken, token secret.Text) registrationToken {
	shown := registrationToken{
		ID: row.ID.String(), Organization: org.Slug, Name: row.Name, MaxUses: row.MaxUses, Uses: row.Uses, CreatedAt: row.CreatedAt.UTC(),
		ExpiresAt: row.ExpiresAt.UTC(), Token: token.Reveal(),
	}
	if row.LastUsedAt != nil {
		used := row.LastUsedAt.UTC()
		shown.LastUsedAt = &used
	}
	return shown
}

func (t registrationToken) uses() string {
	if t.MaxUses == 0 {
		return strconv.Itoa(t.Uses)
	}
	return strconv.Itoa(t.Uses) + " of " + strconv.Itoa(t.MaxUses)
}

func (t registrationToken) cells() []string {
	return []string{t.ID, t.Name, t.uses(), date(t.LastUsedAt), date(&t.CreatedAt), date(&t.ExpiresAt)}
}

func (t registrationToken) fields() []field {
	all := []field{
		{"id", t.ID}, {"organization", t.Organization}, {"name", t.Name}, {"uses", t.uses()}, {"expires", date(&t.ExpiresAt)}, {"token", t.Token},
	}
	if t.Token != "" {
		all = append(all, field{"", "Keep the token now: it cannot be shown again."})
	}
	return all
}

// clientRegistrationToken is `keizer client registration-token`.
func (p *program) clientRegistrationToken() *cobra.Command {
	return group("registration-token", "Tokens with which developers register clients by themselves",
		p.registrationTokenCreate(), p.registrationTokenList(), p.registrationTokenRevoke())
}

func (p *program) registrationTokenCreate() *cobra.Command {
	var wanted manage.NewRegistrationToken
	cmd := &cobra.Command{
		Use: "create", Short: "Make a token with which clients can be registered, which is shown this once", Args: takes(), Annotations: eitherWay,
		Long: "Make a token with which clients can be registered (RFC 7591, initial access token), which is shown this once. " +
			"The setting registration.mode must be token or open.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					made := map[string]any{"name": wanted.Name, "max_uses": wanted.MaxUses, "expires_in": wanted.ExpiresIn.String()}
					shown := registrationToken{Organization: r.org.Slug}
					if err := r.post(ctx, made, &shown, r.in("registration-tokens")...); err != nil {
						return err
					}
					return p.show(shown, shown.fields()...)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				row, token, err := house.Operators.CreateRegistrationToken(ctx, wanted)
				if err != nil {
					return err
				}
				shown := registrationTokenOf(org, row, token)
				return p.show(shown, shown.fields()...)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&wanted.Name, "name", "", "what, or whom, it is for")
	flags.IntVar(&wanted.MaxUses, "uses", 0, "how many clients can be registered with it; 0 is any number")
	flags.DurationVar(&wanted.ExpiresIn, "expires-in", manage.DefaultRegistrationTokenLife, "how long it is good")
	return cmd
}

func (p *program) registrationTokenList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the tokens with which clients can be registered, until they expire", Args: takes(), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, _ []string) error {
			headings := []string{"ID", "NAME", "USES", "LAST USED", "CREATED", "EXPIRES"}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					return list(p, headings, pages(ctx, r, nil, func(t *registrationToken) { t.Organization = r.org.Slug }, r.in("registration-tokens")...))
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				return list(p, headings, found(storage.Listing{}, func(l storage.Listing) ([]storage.RegistrationToken, *storage.Position, error) {
					return house.DB.FindRegistrationTokens(ctx, l)
				}, func(row *storage.RegistrationToken) registrationToken { return registrationTokenOf(org, row, "") }))
			})
		},
	}
}

func (p *program) registrationTokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke TOKEN_ID", Short: "Make a token useless; the clients that were registered with it stay", Args: takes("TOKEN_ID"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, notID := storage.ParseID(args[0])
			show := func(org *tenant.Org, err error) error {
				if errors.Is(err, storage.ErrNotFound) {
					return notFound("organization %q has no registration token %q", org.Slug, args[0])
				}
				if err != nil {
					return err
				}
				return p.show(map[string]any{"id": id.String(), "organization": org.Slug, "revoked": true}, field{"revoked", id.String()})
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					if notID != nil {
						return show(r.org, notID)
					}
					return show(r.org, r.remove(ctx, nil, r.in("registration-tokens", id.String())...))
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				if notID != nil {
					return show(org, notID)
				}
				return show(org, house.Operators.RevokeRegistrationToken(ctx, id))
			})
		},
	}
}
