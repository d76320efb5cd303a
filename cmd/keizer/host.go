package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

// host is a host of an organization as it is shown.
type host struct {
	Host       string     `json:"host"`
	VerifiedAt *time.Time `json:"verified_at,omitempty"`
	VerifiedBy string     `json:"verified_by,omitempty"`
	Issuer     bool       `json:"issuer"`
	// RecordName and RecordContent are the TXT record that proves the host.
	RecordName    string    `json:"record_name"`
	RecordContent string    `json:"record_content"`
	CreatedAt     time.Time `json:"created_at"`
}

func hostOf(row *storage.Host, org *storage.Organization) host {
	name, content := manage.HostRecord(row)
	return host{
		Host: row.Host, VerifiedAt: row.VerifiedAt, VerifiedBy: row.VerifiedBy, Issuer: org.IssuerHostAt(time.Now()) == row.Host,
		RecordName: name, RecordContent: content, CreatedAt: row.CreatedAt.UTC(),
	}
}

func (h host) state() string {
	switch {
	case h.Issuer:
		return "issuer"
	case h.VerifiedAt != nil:
		return "proven"
	}
	return "claimed"
}

func (h host) cells() []string {
	return []string{h.Host, h.state(), date(h.VerifiedAt), h.VerifiedBy, h.RecordName, h.RecordContent}
}

func (h host) fields() []field {
	fields := []field{{"host", h.Host}, {"state", h.state()}, {"proven", date(h.VerifiedAt)}, {"by", h.VerifiedBy}}
	if h.VerifiedAt == nil {
		fields = append(fields, field{"TXT record", h.RecordName}, field{"content", h.RecordContent})
	}
	return fields
}

// orgHost is `keizer org host`.
func (p *program) orgHost() *cobra.Command {
	return group("host", "Hosts of an organization: claimed, proven, made its issuer",
		p.hostAdd(), p.hostVerify(), p.hostList(), p.hostRemove(), p.hostIssuer())
}

// ofOrganization does something in the organization that a command names first.
func (p *program) ofOrganization(
	cmd *cobra.Command, slug string, do func(context.Context, *server.House, *storage.Organization) error,
) error {
	return p.inHouse(cmd, func(ctx context.Context, house *server.House) error {
		row, err := house.DB.OrganizationBySlug(ctx, slug)
		if err != nil {
			return noOrganization(err, slug)
		}
		return do(tenant.With(ctx, &tenant.Org{ID: row.ID, Slug: row.Slug, Name: row.Name}), house, row)
	})
}

func noHost(err error, slug, name string) error {
	if errors.Is(err, storage.ErrNotFound) {
		return notFound("organization %q does not claim the host %q", slug, name)
	}
	return err
}

func (p *program) hostAdd() *cobra.Command {
	return &cobra.Command{
		Use: "add SLUG HOST", Short: "Claim a host for an organization, and say how to prove it", Args: takes("SLUG", "HOST"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.there() {
				return p.throughTo(cmd, args[0], func(ctx context.Context, r *remote) error {
					var shown host
					if err := r.post(ctx, map[string]any{"host": args[1]}, &shown, r.in("hosts")...); err != nil {
						return noOrganization(err, args[0])
					}
					return p.show(shown, shown.fields()...)
				})
			}
			return p.ofOrganization(cmd, args[0], func(ctx context.Context, house *server.House, org *storage.Organization) error {
				row, err := house.Operators.AddHost(ctx, args[1])
				if err != nil {
					return err
				}
				shown := hostOf(row, org)
				return p.show(shown, shown.fields()...)
			})
		},
	}
}

func (p *program) hostVerify() *cobra.Command {
	var reached bool
	cmd := &cobra.Command{
		Use: "verify SLUG HOST", Short: "Prove that a host is an organization's", Args: takes("SLUG", "HOST"), Annotations: eitherWay,
		Long: "Prove that a host is an organization's, by the TXT record that `keizer org host add` has named. With --https it is proven by a request to\n" +
			"https://HOST" + manage.HostProofPath + ", which must reach this installation: that shows that the host leads here, and not for whom.",
		RunE: func(cmd *cobra.Command, args []string) error {
			proof := manage.ProofDNS
			if reached {
				proof = manage.ProofHTTPS
			}
			if p.there() {
				return p.throughTo(cmd, args[0], func(ctx context.Context, r *remote) error {
					var shown host
					if err := r.post(ctx, map[string]any{"proof": proof}, &shown, r.in("hosts", args[1], "verify")...); err != nil {
						return noHost(err, args[0], args[1])
					}
					return p.show(shown, shown.fields()...)
				})
			}
			return p.ofOrganization(cmd, args[0], func(ctx context.Context, house *server.House, org *storage.Organization) error {
				row, err := house.Operators.VerifyHost(ctx, args[1], proof)
				if len(manage.Complaints(err)) > 0 {
					return failed(err) // it was asked for rightly, and is not so
				}
				if err != nil {
					return noHost(err, args[0], args[1])
				}
				shown := hostOf(row, org)
				return p.show(shown, shown.fields()...)
			})
		},
	}
	cmd.Flags().BoolVar(&reached, "https", false, "by a request that must reach this installation, instead of a TXT record")
	return cmd
}

func (p *program) hostList() *cobra.Command {
	return &cobra.Command{
		Use: "list SLUG", Short: "List the hosts that an organization claims or has", Args: takes("SLUG"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			headings := []string{"HOST", "STATE", "PROVEN", "BY", "TXT RECORD", "CONTENT"}
			if p.there() {
				return p.throughTo(cmd, args[0], func(ctx context.Context, r *remote) error {
					hosts, err := unpaged[host](ctx, r, nil, r.in("hosts")...)
					if err != nil {
						return noOrganization(err, args[0])
					}
					return list(p, headings, once(hosts))
				})
			}
			return p.ofOrganization(cmd, args[0], func(ctx context.Context, house *server.House, org *storage.Organization) error {
				rows, err := house.DB.ListHosts(ctx)
				if err != nil {
					return err
				}
				hosts := make([]host, len(rows))
				for i := range rows {
					hosts[i] = hostOf(&rows[i], org)
				}
				return list(p, headings, once(hosts))
			})
		},
	}
}

func (p *program) hostRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove SLUG HOST", Short: "Give up a host, or the claim to it", Args: takes("SLUG", "HOST"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			show := func(err error) error {
				if err != nil {
					return noHost(err, args[0], args[1])
				}
				return p.show(map[string]any{"host": args[1], "organization": args[0], "removed": true}, field{"removed", args[1]})
			}
			if p.there() {
				return p.throughTo(cmd, args[0], func(ctx context.Context, r *remote) error {
					return show(r.remove(ctx, nil, r.in("hosts", args[1])...))
				})
			}
			return p.ofOrganization(cmd, args[0], func(ctx context.Context, house *server.House, _ *storage.Organization) error {
				return show(house.Operators.RemoveHost(ctx, args[1]))
			})
		},
	}
}

func (p *program) hostIssuer() *cobra.Command {
	var from string
	var base, stay, unannounced bool
	cmd := &cobra.Command{
		Use: "issuer SLUG [HOST]", Short: "Make a proven host the issuer of an organization, at a moment that is announced", Annotations: eitherWay,
		Long: "Make a proven host the issuer of an organization. The moment is a day ahead at least, unless --unannounced is given: until then its applications\n" +
			"prepare. From then on its addresses before lead nowhere, everything it issues has the new issuer, and what it has issued before goes on. Its\n" +
			"people sign in anew, and their passkeys, which browsers bind to a host, are of no use at another one.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && (base || stay) {
				return nil
			}
			if base || stay {
				return takes("SLUG")(cmd, args)
			}
			return takes("SLUG", "HOST")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if base && stay {
				return usage("--base and --cancel contradict one another")
			}
			to := manage.IssuerChange{Unannounced: unannounced}
			if len(args) > 1 {
				to.Host = args[1]
			}
			var err error
			if to.From, err = momentOf(from); err != nil {
				return err
			}
			if p.there() {
				return p.throughTo(cmd, args[0], func(ctx context.Context, r *remote) error {
					return noHost(r.setIssuer(ctx, to, stay), args[0], to.Host)
				})
			}
			return p.ofOrganization(cmd, args[0], func(ctx context.Context, house *server.House, org *storage.Organization) error {
				if stay {
					to.Host = org.IssuerHostAt(time.Now())
				}
				row, err := house.Operators.SetIssuerHost(ctx, to)
				if err != nil {
					return noHost(err, args[0], to.Host)
				}
				shown := organizationOf(house, *row)
				bound, err := house.DB.CountPasskeys(ctx)
				if err != nil {
					return err
				}
				if shown.NextIssuer != "" && bound > 0 {
					fmt.Fprintf(p.stderr, "keizer: %d passkeys of its people are bound to the host that it has now\n", bound)
				}
				return p.show(shown, shown.fields()...)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "when: a time such as 2030-01-31T03:00:00Z, or in how long, such as 72h (default: in a day)")
	flags.BoolVar(&unannounced, "unannounced", false, "let it be sooner than in a day; without --from at once")
	flags.BoolVar(&base, "base", false, "the address below the server's own, instead of a host")
	flags.BoolVar(&stay, "cancel", false, "take back what was planned")
	return cmd
}

// setIssuer plans which address is to be the issuer; to stay is to name the one that it is.
func (r *remote) setIssuer(ctx context.Context, to manage.IssuerChange, stay bool) error {
	if stay {
		hosts, err := unpaged[host](ctx, r, nil, r.in("hosts")...)
		if err != nil {
			return err
		}
		for _, h := range hosts {
			if h.Issuer {
				to.Host = h.Host
			}
		}
	}
	change := map[string]any{"unannounced": to.Unannounced}
	if to.Host != "" {
		change["host"] = to.Host
	}
	if !to.From.IsZero() {
		change["from"] = to.From
	}
	var shown organization
	if _, err := r.do(ctx, call{method: http.MethodPut, path: r.in("issuer"), body: change}, &shown); err != nil {
		return err
	}
	return r.p.show(shown, shown.fields()...)
}

// momentOf reads a time, or how far ahead it lies. Empty is no time.
func momentOf(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ahead, err := time.ParseDuration(text); err == nil {
		return time.Now().Add(ahead), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usage("--from must be a time in the form of RFC 3339, such as 2030-01-31T03:00:00Z, or a duration such as 72h")
	}
	return at, nil
}
