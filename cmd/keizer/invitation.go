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
		Use: "invite", Short: "Send somebody a link by which they make an account", Args: takes(),
		Long: "Send somebody a link by which they make an account, with the roles that are named. The link works once, and ends an earlier one to the same address.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wanted.Email == "" {
				return usage("--email is needed")
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
		Use: "list", Short: "List the invitations that can still be accepted", Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				after := uuid.Nil
				return list(p, []string{"ID", "EMAIL", "NAME", "INVITER", "CREATED", "EXPIRES"}, func() ([]invited, error) {
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
		Use: "revoke INVITATION", Short: "Make an invitation useless", Args: takes("INVITATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				id, err := storage.ParseID(args[0])
				if err == nil {
					err = house.Operators.RevokeInvitation(ctx, id)
				}
				if errors.Is(err, storage.ErrNotFound) {
					return notFound("organization %q has no invitation %q that could still be accepted", org.Slug, args[0])
				}
				if err != nil {
					return err
				}
				return p.show(map[string]any{"id": id.String(), "organization": org.Slug, "revoked": true}, field{"revoked", id.String()})
			})
		},
	}
}
