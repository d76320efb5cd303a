package main

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

// invited is an invitation as it is shown.
type invited struct {
	ID           string    `json:"id"`
	Organization string    `json:"organization"`
	Email        string    `json:"email"`
	FullName     string    `json:"full_name,omitempty"`
	Inviter      string    `json:"inviter,omitempty"`
	CreatedAt    time.Time `json:"created_at"`
	ExpiresAt    time.Time `json:"expires_at"`
	// Link is only shown when it is made, and asked for.
	Link string `json:"link,omitempty"`
}

func invitedOf(org *tenant.Org, i *storage.Invitation) invited {
	return invited{
		ID: i.ID.String(), Organization: org.Slug, Email: i.Email, FullName: i.FullName, Inviter: i.Inviter, CreatedAt: i.CreatedAt.UTC(),
		ExpiresAt: i.ExpiresAt.UTC(),
	}
}

func (i invited) cells() []string {
	return []string{i.ID, i.Email, i.FullName, i.Inviter, date(&i.CreatedAt), date(&i.ExpiresAt)}
}

func (i invited) fields() []field {
	all := []field{
		{"id", i.ID}, {"organization", i.Organization}, {"email", i.Email}, {"name", i.FullName}, {"inviter", i.Inviter}, {"expires", date(&i.ExpiresAt)},
	}
	if i.Link != "" {
		all = append(all, field{"link", i.Link})
	}
	return all
}

func (p *program) userInvite() *cobra.Command {
	var wanted manage.NewInvitation
	var showLink bool
	cmd := &cobra.Command{
		Use: "invite", Short: "Send somebody a link by which they make an account", Args: takes(), Annotations: eitherWay,
		Long: "Send somebody a link by which they make an account, with the roles that are named. The link works once, and ends an earlier one to the same address.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wanted.Email == "" {
				return usage("--email is needed")
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					invitation := map[string]any{
						"email": wanted.Email, "full_name": wanted.FullName, "inviter": wanted.Inviter, "language": wanted.Language,
						"roles": append([]string{}, wanted.Roles...), "expires_in": wanted.ExpiresIn.String(), "show_link": showLink,
					}
					shown := invited{Organization: r.org.Slug}
					if err := r.post(ctx, invitation, &shown, r.in("invitations")...); err != nil {
						return err
					}
					return p.show(shown, shown.fields()...)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				made, link, err := house.Operators.Invite(ctx, wanted)
				if err != nil {
					return err
				}
				shown := invitedOf(org, made)
				if showLink {
					shown.Link = link
				}
				return p.show(shown, shown.fields()...)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&wanted.Email, "email", "", "e-mail address")
	flags.StringVar(&wanted.FullName, "name", "", "full name")
	flags.StringVar(&wanted.Inviter, "inviter", "", "name of the one who invites, as the mail says it")
	flags.StringVar(&wanted.Language, "language", "", "language of the mail, such as en")
	flags.StringArrayVar(&wanted.Roles, "role", nil, "role, such as member or owner (which may be called operator); may be repeated")
	flags.DurationVar(&wanted.ExpiresIn, "expires-in", manage.DefaultInvitationLife, "how long the link works")
	flags.BoolVar(&showLink, "show-link", false, "print the link as well, to bring it there another way")
	return cmd
}

// invitation is `keizer invitation`.
func (p *program) invitation() *cobra.Command {
	return orgFlag(group("invitation", "Who was invited and has no account yet", p.invitationList(), p.invitationRevoke()))
}

func (p *program) invitationList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the invitations that can still be accepted", Args: takes(), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, _ []string) error {
			headings := []string{"ID", "EMAIL", "NAME", "INVITER", "CREATED", "EXPIRES"}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					return list(p, headings, pages(ctx, r, nil, func(i *invited) { i.Organization = r.org.Slug }, r.in("invitations")...))
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				after := uuid.Nil
				return list(p, headings, func() ([]invited, error) {
					rows, err := house.DB.ListInvitations(ctx, after, pageSize)
					shown := make([]invited, len(rows))
					for i := range rows {
						shown[i], after = invitedOf(org, &rows[i]), rows[i].ID
					}
					return shown, err
				})
			})
		},
	}
}

func (p *program) invitationRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke INVITATION", Short: "Make an invitation useless", Args: takes("INVITATION"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, notID := storage.ParseID(args[0])
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					err := notID
					if err == nil {
						args[0] = id.String()
						err = r.remove(ctx, nil, r.in("invitations", args[0])...)
					}
					return p.showRevoked(r.org, args[0], err)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				err := notID
				if err == nil {
					args[0] = id.String()
					err = house.Operators.RevokeInvitation(ctx, id)
				}
				return p.showRevoked(org, args[0], err)
			})
		},
	}
}

func (p *program) showRevoked(org *tenant.Org, id string, err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return notFound("organization %q has no invitation %q that could still be accepted", org.Slug, id)
	}
	if err != nil {
		return err
	}
	return p.show(map[string]any{"id": id, "organization": org.Slug, "revoked": true}, field{"revoked", id})
}
