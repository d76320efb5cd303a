package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

// waitingMail is a letter in the outbox as it is shown: never what stands in it, which may open an account.
type waitingMail struct {
	ID            string     `json:"id"`
	Organization  string     `json:"organization"`
	Status        string     `json:"status"`
	Letter        string     `json:"letter,omitempty"`
	To            string     `json:"to,omitempty"`
	Attempts      int        `json:"attempts"`
	LastError     string     `json:"last_error,omitempty"`
	CreatedAt     time.Time  `json:"created_at"`
	NextAttemptAt *time.Time `json:"next_attempt_at,omitempty"`
	AbandonedAt   *time.Time `json:"abandoned_at,omitempty"`
}

func (m waitingMail) cells() []string {
	const most = 80 // characters
	reason := []rune(m.LastError)
	return []string{
		m.ID, m.Organization, m.Status, m.Letter, m.To, fmt.Sprint(m.Attempts), date(&m.CreatedAt), date(m.NextAttemptAt), string(reason[:min(len(reason), most)]),
	}
}

// mail is `keizer mail`.
func (p *program) mail() *cobra.Command {
	return orgFlag(group("mail", "Letters to people, and the server that they are handed to", p.mailTest(), p.mailList(), p.mailRetry()))
}

func (p *program) mailTest() *cobra.Command {
	return &cobra.Command{
		Use: "test ADDRESS", Short: "Send a letter now, to see whether mail arrives", Args: takes("ADDRESS"),
		Long: "Send a letter to an address now, past all that waits, to see whether mail arrives. It exits with 1 if the mail server does not take it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := identity.Email(args[0]); err != nil {
				return usage("%q is not an e-mail address", args[0])
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				sender, err := server.MailSender(house.Cfg)
				if err != nil {
					return err
				}
				if sender == nil {
					return failed(errors.New("no mail server is configured: set mail.host and mail.from"))
				}
				written := time.Now()
				letter := mail.Letter{Kind: mail.Test, To: args[0], When: written.UTC().Format("2006-01-02 15:04 UTC")}
				message, err := house.Composer.Compose(letter.From(org))
				if err != nil {
					return err
				}
				session, err := sender.Open(ctx)
				if err != nil {
					return err
				}
				err = session.Send(ctx, uuid.New(), written, message)
				if err := errors.Join(err, session.Close()); err != nil {
					return fmt.Errorf("%s: %w", sender.Address(), err)
				}
				return p.show(map[string]string{"to": args[0], "from": house.Cfg.Mail.From, "server": sender.Address()},
					field{"to", args[0]}, field{"from", house.Cfg.Mail.From}, field{"taken by", sender.Address()})
			})
		},
	}
}

func (p *program) mailList() *cobra.Command {
	var abandoned bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the letters that have not left", Args: takes(),
		Long: "List the letters that have not left, of every organization unless --org names one, newest first: those that wait, and those that " +
			"were given up after three days or because the server refused them for good.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
				only, err := cmd.Flags().GetString("org")
				if err != nil {
					return err
				}
				if only != "" {
					if _, err := house.DB.OrganizationBySlug(ctx, only); errors.Is(err, storage.ErrNotFound) {
						return notFound("organization %q does not exist", only)
					} else if err != nil {
						return fmt.Errorf("find organization: %w", err)
					}
				}
				state := storage.MailUndelivered
				if abandoned {
					state = storage.MailAbandoned
				}
				slugs, before := make(map[uuid.UUID]string), storage.Mail{}
				return list(p, []string{"ID", "ORGANIZATION", "STATUS", "LETTER", "TO", "ATTEMPTS", "SINCE", "NEXT", "LAST ERROR"}, func() ([]waitingMail, error) {
					for {
						found, err := house.DB.ListMail(ctx, state, before, pageSize)
						if err != nil || len(found) == 0 {
							return nil, err
						}
						before = found[len(found)-1]
						shown := make([]waitingMail, 0, len(found))
						for _, m := range found {
							slug, ok := slugs[m.OrgID]
							if !ok {
								org, err := house.DB.OrganizationByID(ctx, m.OrgID)
								if err != nil {
									return nil, err
								}
								slug, slugs[m.OrgID] = org.Slug, org.Slug
							}
							if only == "" || only == slug {
								shown = append(shown, showMail(&m, slug))
							}
						}
						if len(shown) > 0 {
							return shown, nil
						}
					}
				})
			})
		},
	}
	cmd.Flags().BoolVar(&abandoned, "abandoned", false, "only those that were given up")
	return cmd
}

func showMail(m *storage.Mail, slug string) waitingMail {
	shown := waitingMail{
		ID: m.ID.String(), Organization: slug, Status: "waiting", Attempts: m.Attempts, LastError: m.LastError, CreatedAt: m.CreatedAt.UTC(),
	}
	if m.AbandonedAt != nil {
		given := m.AbandonedAt.UTC()
		shown.Status, shown.AbandonedAt = "abandoned", &given
	} else {
		next := m.NextAttemptAt.UTC()
		shown.NextAttemptAt = &next
	}
	if m.Message != nil {
		shown.Letter, shown.To = string(m.Message.Kind), m.Message.To
	}
	return shown
}

func (p *program) mailRetry() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "retry [LETTER]", Short: "Have letters sent again that wait or were given up", Args: cobra.MaximumNArgs(1),
		Long: "Have the letter that is named, or with --all every one that has not left, tried again as soon as a server runs, as if it had never been tried.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) == 1) {
				return usage("%s needs one of LETTER and --all", cmd.CommandPath())
			}
			return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
				var retried int
				var err error
				if all {
					retried, err = house.Operators.RetryAllMail(ctx)
				} else {
					retried, err = 1, retryMail(ctx, house, args[0])
				}
				if err != nil {
					return err
				}
				return p.show(map[string]int{"retried": retried}, field{"retried", fmt.Sprint(retried)})
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every letter that has not left")
	return cmd
}

func retryMail(ctx context.Context, house *server.House, name string) error {
	id, err := storage.ParseID(name)
	if err == nil {
		var m *storage.Mail
		if m, err = house.DB.MailByID(ctx, id); err == nil {
			err = house.Operators.RetryMail(ctx, m)
		}
	}
	if errors.Is(err, storage.ErrNotFound) {
		return notFound("there is no letter %q that has not left", name)
	}
	return err
}
