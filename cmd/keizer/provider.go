package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

// providerShown is a provider as it is shown, and whose it is.
type providerShown struct {
	manage.ProviderInformation
	organization string
}

// MarshalJSON adds to the information whose it is.
func (s providerShown) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(s.ProviderInformation)
	if err != nil {
		return nil, err
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	members["organization"] = s.organization
	return json.Marshal(members)
}

// UnmarshalJSON reads what the management API answers.
func (s *providerShown) UnmarshalJSON(text []byte) error {
	type own manage.ProviderInformation
	if err := json.Unmarshal(text, (*own)(&s.ProviderInformation)); err != nil {
		return err
	}
	if err := json.Unmarshal(text, &s.Settings); err != nil {
		return err
	}
	for _, name := range []string{"id", "name", "client_id", "callback_uri", "created_at", "updated_at", "organization"} {
		delete(s.Settings, name)
	}
	return nil
}

func (s providerShown) said(name string) string {
	switch value := s.Settings[name].(type) {
	case nil:
		return ""
	case string:
		return value
	case []any:
		words := make([]string, len(value))
		for i, word := range value {
			words[i] = fmt.Sprint(word)
		}
		return strings.Join(words, " ")
	case map[string]any:
		text, _ := json.Marshal(value) // it came from JSON
		return string(text)
	default:
		return fmt.Sprint(value)
	}
}

func (s providerShown) cells() []string {
	on := s.Settings["disabled"] != true
	return []string{s.Name, s.said("preset"), s.ClientID, s.said("sign_up"), yes(on)}
}

func (s providerShown) fields() []field {
	fields := []field{
		{"name", s.Name}, {"organization", s.organization}, {"client_id", s.ClientID}, {"callback address", s.CallbackURI},
	}
	for _, name := range slices.Sorted(maps.Keys(s.Settings)) {
		fields = append(fields, field{name, s.said(name)})
	}
	return append(fields, field{"created", date(&s.CreatedAt)}, field{"changed", date(s.UpdatedAt)})
}

// provider is `keizer provider`.
func (p *program) provider() *cobra.Command {
	return orgFlag(group("provider", "The servers of others at which people of an organization sign in",
		p.providerCreate(), p.providerList(), p.providerShow(), p.providerUpdate(), p.providerTest(), p.providerToken(), p.providerDelete()))
}

// providerFlags are the flags of create and update.
type providerFlags struct {
	clientID, preset, title, settings, secretFile string
	set, unset                                    []string
	secretStdin                                   bool
}

func (f *providerFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.preset, "preset", "", "what kind of provider it is: oidc, google, microsoft, apple, github, gitlab, facebook, discord, linkedin or oauth2")
	flags.StringVar(&f.clientID, "client-id", "", "what the provider calls Keizer")
	flags.BoolVar(&f.secretStdin, "client-secret-stdin", false, "read the secret, or Apple's key, from standard input")
	flags.StringVar(&f.secretFile, "client-secret-file", "", "read the secret, or Apple's key, from a file")
	flags.StringVar(&f.title, "title", "", "what people read on its button")
	flags.StringArrayVar(&f.set, "set", nil, "MEMBER=VALUE, such as sign_up=always or claims.email=mail; lists with commas; may be repeated")
	flags.StringArrayVar(&f.unset, "unset", nil, "MEMBER whose default is to hold again; may be repeated")
	flags.StringVar(&f.settings, "settings", "", "file with a JSON merge patch of the members (RFC 7396), or - for standard input")
	cmd.Long = cmd.Short + ".\n\nWhat can be set:\n\n" + membersHelp()
}

func membersHelp() string {
	var b strings.Builder
	for _, m := range upstream.Members() {
		fmt.Fprintf(&b, "  %s (%s)\n      %s\n", m.Path, m.Type, strings.ReplaceAll(m.Meaning, "`", ""))
	}
	return b.String()
}

// patch is what the flags and the files that they name say, and nothing of what they do not.
func (f *providerFlags) patch(cmd *cobra.Command, p *program) (manage.ProviderPatch, error) {
	patch := manage.ProviderPatch{Settings: upstream.Patch{}}
	if f.secretStdin && f.settings == "-" {
		return patch, usage("--client-secret-stdin and --settings cannot both be standard input")
	}
	if f.settings != "" {
		text, err := p.readFile(f.settings)
		if err != nil {
			return patch, err
		}
		if patch.Settings, err = upstream.ParsePatch(text); err != nil {
			return patch, usage("--settings: %w", err)
		}
	}
	for _, one := range f.set {
		path, value, ok := strings.Cut(one, "=")
		if !ok {
			return patch, usage("--set %s: write MEMBER=VALUE", one)
		}
		if err := patch.Settings.Set(path, value); err != nil {
			return patch, usage("--set %w", err)
		}
	}
	for _, path := range f.unset {
		if err := patch.Settings.Unset(path); err != nil {
			return patch, usage("--unset %w", err)
		}
	}
	for name, value := range map[string]string{"preset": f.preset, "title": f.title} {
		if cmd.Flags().Changed(name) {
			patch.Settings[name] = value
		}
	}
	if cmd.Flags().Changed("client-id") {
		patch.ClientID = &f.clientID
	}
	given, err := f.secret(p)
	patch.Secret = given
	return patch, err
}

// secret is the secret that the provider has given. There is no flag for it: arguments are seen by everybody on the machine.
func (f *providerFlags) secret(p *program) (*secret.Text, error) {
	source := p.stdin
	switch {
	case f.secretStdin && f.secretFile != "":
		return nil, usage("--client-secret-stdin and --client-secret-file contradict one another")
	case f.secretFile != "":
		file, err := os.Open(f.secretFile)
		if err != nil {
			return nil, usage("--client-secret-file: file %s cannot be read: %w", f.secretFile, cause(err))
		}
		defer file.Close()
		source = file
	case !f.secretStdin:
		return nil, nil //nolint:nilnil // it stays as it is
	}
	content, err := io.ReadAll(io.LimitReader(source, maxClientFile))
	if err != nil {
		return nil, failed(fmt.Errorf("read the secret: %w", err))
	}
	text := secret.Text(strings.TrimRight(string(content), "\r\n")) // which an echo adds, and a key ends with
	return &text, nil
}

func (p *program) providerCreate() *cobra.Command {
	var flags providerFlags
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Set up a provider at which people sign in; its name stands in the address that is registered there", Args: takes("NAME"),
		Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			patch, err := flags.patch(cmd, p)
			if err != nil {
				return err
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					body := providerBody(patch)
					body["name"] = args[0]
					shown := providerShown{organization: r.org.Slug}
					if err := r.post(ctx, body, &shown, r.in("providers")...); err != nil {
						return err
					}
					return p.show(shown, shown.fields()...)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				row, err := house.Operators.CreateProvider(ctx, args[0], patch)
				if err != nil {
					return err
				}
				return p.showProvider(org, row)
			})
		},
	}
	flags.add(cmd)
	return cmd
}

// providerBody is a patch as the API takes it.
func providerBody(patch manage.ProviderPatch) map[string]any {
	body := make(map[string]any, len(patch.Settings)+2)
	for name, value := range patch.Settings {
		body[name] = value
	}
	if patch.ClientID != nil {
		body["client_id"] = *patch.ClientID
	}
	if patch.Secret != nil {
		body["client_secret"] = patch.Secret.Reveal()
	}
	return body
}

func (p *program) showProvider(org *tenant.Org, row *storage.UpstreamProvider) error {
	shown := providerShown{manage.ProviderInformationOf(org, row), org.Slug}
	return p.show(shown, shown.fields()...)
}

func (p *program) providerList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List providers", Args: takes(), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, _ []string) error {
			headings := []string{"NAME", "PRESET", "CLIENT ID", "SIGN-UP", "ON"}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					return list(p, headings, pages(ctx, r, nil, func(s *providerShown) { s.organization = r.org.Slug }, r.in("providers")...))
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				after := ""
				return list(p, headings, func() ([]providerShown, error) {
					rows, err := house.DB.ListUpstreamProviders(ctx, after, pageSize)
					providers := make([]providerShown, len(rows))
					for i := range rows {
						providers[i], after = providerShown{manage.ProviderInformationOf(org, &rows[i]), org.Slug}, rows[i].Name
					}
					return providers, err
				})
			})
		},
	}
}

func (p *program) providerShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a provider, and the address that is to be registered there", Args: takes("NAME"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					shown := providerShown{organization: r.org.Slug}
					if err := r.get(ctx, &shown, r.in("providers", args[0])...); err != nil {
						return noProvider(err, r.org, args[0])
					}
					return p.show(shown, shown.fields()...)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				row, err := house.DB.UpstreamProvider(ctx, args[0])
				if err != nil {
					return noProvider(err, org, args[0])
				}
				return p.showProvider(org, row)
			})
		},
	}
}

func (p *program) providerUpdate() *cobra.Command {
	var flags providerFlags
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change a provider: what flags do not name stays as it is", Args: takes("NAME"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			patch, err := flags.patch(cmd, p)
			if err != nil {
				return err
			}
			if patch.ClientID == nil && patch.Secret == nil && len(patch.Settings) == 0 {
				return usage("%s needs something to change", cmd.CommandPath())
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					shown := providerShown{organization: r.org.Slug}
					if err := r.patch(ctx, providerBody(patch), &shown, r.in("providers", args[0])...); err != nil {
						return noProvider(err, r.org, args[0])
					}
					return p.show(shown, shown.fields()...)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				row, err := house.Operators.UpdateProvider(ctx, args[0], patch)
				if err != nil {
					return noProvider(err, org, args[0])
				}
				return p.showProvider(org, row)
			})
		},
	}
	flags.add(cmd)
	return cmd
}

// findingShown is what was looked at of a provider.
type findingShown upstream.Finding

func (f findingShown) cells() []string { return []string{f.Name, f.Result, f.Detail} }

func (p *program) providerTest() *cobra.Command {
	return &cobra.Command{
		Use: "test NAME", Short: "Look whether a provider is there, is who it should be, and knows Keizer", Args: takes("NAME"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					var found struct {
						Findings []upstream.Finding `json:"findings"`
					}
					if err := r.post(ctx, nil, &found, r.in("providers", args[0], "test")...); err != nil {
						return noProvider(err, r.org, args[0])
					}
					return p.showFindings(args[0], found.Findings)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				findings, err := house.Operators.TestProvider(ctx, args[0])
				if err != nil {
					return noProvider(err, org, args[0])
				}
				return p.showFindings(args[0], findings)
			})
		},
	}
}

func (p *program) showFindings(name string, findings []upstream.Finding) error {
	shown, bad := make([]findingShown, len(findings)), 0
	for i, finding := range findings {
		shown[i] = findingShown(finding)
		if finding.Result == upstream.Failed {
			bad++
		}
	}
	if err := list(p, []string{"WHAT", "RESULT", ""}, once(shown)); err != nil {
		return err
	}
	if bad > 0 {
		return failed(fmt.Errorf("nobody can sign in at %s as it is", name))
	}
	return nil
}

func (p *program) providerToken() *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use: "token NAME", Short: "Show the access token that a provider has given for a person, renewed if need be", Args: takes("NAME"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			if user == "" {
				return usage("%s needs --user", cmd.CommandPath())
			}
			show := func(org *tenant.Org, id, token string, expires *time.Time, err error) error {
				if errors.Is(err, storage.ErrNotFound) {
					return notFound("there is no token of provider %q for user %q", args[0], user)
				}
				if errors.Is(err, upstream.ErrEnded) {
					return notFound("the token of provider %q for user %q is over: there is another when they sign in there again", args[0], user)
				}
				if err != nil {
					return err
				}
				shown := map[string]any{"provider": args[0], "organization": org.Slug, "user": id, "access_token": token}
				if expires != nil {
					shown["expires_at"] = expires.UTC().Format(time.RFC3339)
				}
				return p.show(shown, field{"access_token", token}, field{"expires", date(expires)})
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					who, err := r.user(ctx, user)
					if err != nil {
						return noUser(err, r.org, user)
					}
					var said struct {
						AccessToken string     `json:"access_token"`
						ExpiresAt   *time.Time `json:"expires_at"`
					}
					err = r.post(ctx, nil, &said, r.in("users", who.ID, "provider-tokens", args[0])...)
					if exitCode(err) == exitConflict { // which is that none is kept
						err = storage.ErrNotFound
					}
					return show(r.org, who.ID, said.AccessToken, said.ExpiresAt, err)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				who, err := findUser(ctx, house.DB, user)
				if err != nil {
					return noUser(err, org, user)
				}
				token, expires, err := house.Operators.ProviderToken(ctx, args[0], who.ID)
				return show(org, who.ID.String(), token.Reveal(), expires, err)
			})
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "whose: a user name, an e-mail address or an id")
	return cmd
}

func (p *program) providerDelete() *cobra.Command {
	var sure bool
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a provider: whoever signed in there alone has a new password sent to them", Args: takes("NAME"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !sure {
				return usage("people may have no other way to sign in than this provider: say that you mean it with --yes, " +
					"or switch it off with update --set disabled=true")
			}
			show := func(org *tenant.Org, accounts int64, err error) error {
				if err != nil {
					return noProvider(err, org, args[0])
				}
				return p.show(map[string]any{"name": args[0], "organization": org.Slug, "deleted": true, "accounts": accounts},
					field{"deleted", args[0]}, field{"accounts", fmt.Sprint(accounts)})
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					var gone struct {
						Accounts int64 `json:"accounts"`
					}
					err := r.remove(ctx, &gone, r.in("providers", args[0])...)
					return show(r.org, gone.Accounts, err)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				accounts, err := house.Operators.DeleteProvider(ctx, args[0])
				return show(org, accounts, err)
			})
		},
	}
	cmd.Flags().BoolVar(&sure, "yes", false, "delete, for good, without asking")
	return cmd
}

func noProvider(err error, org *tenant.Org, name string) error {
	if errors.Is(err, storage.ErrNotFound) {
		return notFound("provider %q does not exist in organization %q", name, org.Slug)
	}
	return err
}
