package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server"
	"github.com/keizer-auth/keizer/storage"
)

const maxClientFile = 256 << 10 // bytes

// clientShown is a client as it is shown: client information as RFC 7591 §3.2.1 has it, and whose it is.
type clientShown struct {
	manage.ClientInformation
	organization string
}

func clientOf(org *tenant.Org, row *storage.Client, made secret.Text) clientShown {
	return clientShown{manage.InformationOf(row, made), org.Slug}
}

// MarshalJSON adds to the information what is Keizer's own.
func (c clientShown) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(c.ClientInformation)
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	// What says how people are treated is said either way; the other members are absent when empty, as RFC 7591 has it.
	for name, value := range map[string]any{"organization": c.organization, "skip_consent": c.Spec.SkipConsent} {
		if members[name], err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	return json.Marshal(members)
}

// UnmarshalJSON reads what MarshalJSON writes, and what the management API answers.
func (c *clientShown) UnmarshalJSON(text []byte) error {
	type own manage.ClientInformation
	if err := json.Unmarshal(text, (*own)(&c.ClientInformation)); err != nil {
		return err
	}
	var metadata map[string]json.RawMessage
	if err := json.Unmarshal(text, &metadata); err != nil {
		return err
	}
	for _, name := range []string{"client_id", "client_id_issued_at", "client_secret", "client_secret_expires_at", "disabled", "organization",
		"registered_at", "registered_by", "last_used_at"} {
		delete(metadata, name)
	}
	body, err := json.Marshal(metadata)
	if err == nil {
		c.Spec, err = manage.ParseClientSpec(body)
	}
	return err
}

func (c clientShown) cells() []string {
	return []string{c.ClientID, c.Spec.Name, c.Spec.AuthMethod, strings.Join(c.Spec.GrantTypes, " "), yes(!c.Disabled), yes(c.RegisteredAt != nil)}
}

func idOf(id *uuid.UUID) string {
	if id == nil {
		return ""
	}
	return id.String()
}

func (c clientShown) fields() []field {
	issued := time.Unix(c.IssuedAt, 0)
	fields := []field{
		{"client_id", c.ClientID}, {"client_secret", c.ClientSecret}, {"organization", c.organization}, {"name", c.Spec.Name},
		{"redirect URIs", strings.Join(c.Spec.RedirectURIs, " ")}, {"post-logout redirect URIs", strings.Join(c.Spec.PostLogoutRedirectURIs, " ")},
		{"grant types", strings.Join(c.Spec.GrantTypes, " ")}, {"response types", strings.Join(c.Spec.ResponseTypes, " ")},
		{"response modes", strings.Join(c.Spec.ResponseModes, " ")}, {"scope", c.Spec.Scope}, {"audience", strings.Join(c.Spec.Audience, " ")},
		{"authentication", c.Spec.AuthMethod}, {"jwks_uri", c.Spec.JWKSURI}, {"ID token algorithm", c.Spec.IDTokenAlg},
		{"access token format", c.Spec.AccessTokenFormat}, {"skips consent", yes(c.Spec.SkipConsent)}, {"enabled", yes(!c.Disabled)}, {"created", date(&issued)},
		{"registered by itself", date(c.RegisteredAt)}, {"with the token", idOf(c.RegisteredBy)}, {"last used", date(c.LastUsedAt)},
	}
	if c.ClientSecret != "" {
		fields = append(fields, field{"", "Keep the secret now: it cannot be shown again."})
	}
	return fields
}

// client is `keizer client`.
func (p *program) client() *cobra.Command {
	return orgFlag(group("client", "The applications that ask an organization for tokens",
		p.clientCreate(), p.clientList(), p.clientShow(), p.clientUpdate(), p.clientDelete(), p.clientRotateSecret(),
		p.clientRegistrationToken()))
}

// clientFlags are the flags of create and update. They describe a client member by member, over what --metadata says.
type clientFlags struct {
	name, authMethod, scope, idTokenAlg, accessTokenFormat, jwks, jwksURI, clientURI, logoURI, policyURI, tosURI, metadata string

	redirectURIs, postLogoutRedirectURIs, grantTypes, responseTypes, responseModes, audience, contacts []string

	skipConsent, pkceOptional bool
}

func (f *clientFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.name, "name", "", "name for people to read")
	flags.StringArrayVar(&f.redirectURIs, "redirect-uri", nil, "where the browser may be sent back to; may be repeated")
	flags.StringArrayVar(&f.postLogoutRedirectURIs, "post-logout-redirect-uri", nil, "where the browser may be sent after signing out; may be repeated")
	flags.StringArrayVar(&f.grantTypes, "grant-type", nil, "authorization_code, implicit, refresh_token or client_credentials; may be repeated")
	flags.StringArrayVar(&f.responseTypes, "response-type", nil, "code, or such as \"code id_token\"; may be repeated")
	flags.StringArrayVar(&f.responseModes, "response-mode", nil, "query, fragment or form_post; may be repeated")
	flags.StringVar(&f.scope, "scope", "", "the scopes it may ask for, separated by spaces")
	flags.StringArrayVar(&f.audience, "audience", nil,
		"API that its access tokens are for: a URI, or the client_id of the API, which can then introspect them; may be repeated")
	flags.StringVar(&f.authMethod, "auth-method", "", "client_secret_basic, client_secret_post, private_key_jwt, client_secret_jwt or none")
	flags.StringVar(&f.jwks, "jwks", "", "file with its public keys, as a JWK Set; - is standard input")
	flags.StringVar(&f.jwksURI, "jwks-uri", "", "address of its public keys")
	flags.StringVar(&f.idTokenAlg, "id-token-alg", "", "RS256, PS256, ES256 or EdDSA")
	flags.StringVar(&f.accessTokenFormat, "access-token-format", "", "opaque or jwt")
	flags.BoolVar(&f.pkceOptional, "pkce-optional", false, "give codes without PKCE, too: for applications that authenticate and know no better")
	flags.BoolVar(&f.skipConsent, "skip-consent", false, "do not ask people for consent: for applications of one's own")
	flags.StringVar(&f.clientURI, "client-uri", "", "its home page")
	flags.StringVar(&f.logoURI, "logo-uri", "", "its logo")
	flags.StringVar(&f.policyURI, "policy-uri", "", "its privacy policy")
	flags.StringVar(&f.tosURI, "tos-uri", "", "its terms of service")
	flags.StringArrayVar(&f.contacts, "contact", nil, "who is responsible for it; may be repeated")
	flags.StringVar(&f.metadata, "metadata", "", "file with client metadata as a JSON object (RFC 7591); - is standard input")
}

// patch is what the flags and the files that they name say, and nothing of what they do not.
func (f *clientFlags) patch(cmd *cobra.Command, stdin io.Reader) (manage.ClientPatch, error) {
	var patch manage.ClientPatch
	given := func(name string) bool { return cmd.Flags().Changed(name) }
	if given("metadata") && given("jwks") && f.metadata == "-" && f.jwks == "-" {
		return patch, usage("--metadata and --jwks cannot both be standard input")
	}
	if given("metadata") {
		body, err := readClientFile("--metadata", f.metadata, stdin)
		if err != nil {
			return patch, err
		}
		spec, err := manage.ParseClientSpec(body) // which is the judge of names and types
		if err != nil {
			return patch, fmt.Errorf("--metadata: %w", err)
		}
		if err := json.Unmarshal(body, &patch); err != nil {
			return patch, usage("--metadata: %w", err)
		}
		if len(spec.Metadata) > 0 {
			patch.Metadata = &spec.Metadata
		}
	}
	if given("jwks") {
		body, err := readClientFile("--jwks", f.jwks, stdin)
		if err != nil {
			return patch, err
		}
		if !json.Valid(body) {
			return patch, usage("--jwks: file %s is not JSON", f.jwks)
		}
		raw := json.RawMessage(body)
		patch.JWKS = &raw
	}
	for name, set := range map[string]func(){
		"name":                     func() { patch.Name = &f.name },
		"redirect-uri":             func() { patch.RedirectURIs = &f.redirectURIs },
		"post-logout-redirect-uri": func() { patch.PostLogoutRedirectURIs = &f.postLogoutRedirectURIs },
		"grant-type":               func() { patch.GrantTypes = &f.grantTypes },
		"response-type":            func() { patch.ResponseTypes = &f.responseTypes },
		"response-mode":            func() { patch.ResponseModes = &f.responseModes },
		"scope":                    func() { patch.Scope = &f.scope },
		"audience":                 func() { patch.Audience = &f.audience },
		"auth-method":              func() { patch.AuthMethod = &f.authMethod },
		"jwks-uri":                 func() { patch.JWKSURI = &f.jwksURI },
		"id-token-alg":             func() { patch.IDTokenAlg = &f.idTokenAlg },
		"access-token-format":      func() { patch.AccessTokenFormat = &f.accessTokenFormat },
		"skip-consent":             func() { patch.SkipConsent = &f.skipConsent },
		"pkce-optional":            func() { patch.PKCEOptional = &f.pkceOptional },
		"client-uri":               func() { patch.ClientURI = &f.clientURI },
		"logo-uri":                 func() { patch.LogoURI = &f.logoURI },
		"policy-uri":               func() { patch.PolicyURI = &f.policyURI },
		"tos-uri":                  func() { patch.TosURI = &f.tosURI },
		"contact":                  func() { patch.Contacts = &f.contacts },
	} {
		if given(name) {
			set()
		}
	}
	return patch, nil
}

// readClientFile reads a file that a flag names, and says in one sentence why it cannot.
func readClientFile(flag, name string, stdin io.Reader) ([]byte, error) {
	source := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, usage("%s: file %s cannot be read: %w", flag, name, cause(err))
		}
		defer file.Close()
		source = file
	}
	body, err := io.ReadAll(io.LimitReader(source, maxClientFile+1))
	if err != nil {
		return nil, usage("%s: file %s cannot be read: %w", flag, name, cause(err))
	}
	if len(body) > maxClientFile {
		return nil, usage("%s: file %s is larger than %d KiB", flag, name, maxClientFile>>10)
	}
	return body, nil
}

// cause leaves out of a file error what its sentence already says.
func cause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

func (p *program) clientCreate() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use: "create", Short: "Make a client, and its secret, which is shown this once", Args: takes(), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, _ []string) error {
			patch, err := flags.patch(cmd, p.stdin)
			if err != nil {
				return err
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					shown := clientShown{organization: r.org.Slug}
					if err := r.post(ctx, patch.Spec(), &shown, r.in("clients")...); err != nil {
						return err
					}
					return p.show(shown, shown.fields()...)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				row, made, err := house.Operators.CreateClient(ctx, patch.Spec())
				if err != nil {
					return err
				}
				shown := clientOf(org, row, made)
				return p.show(shown, shown.fields()...)
			})
		},
	}
	flags.add(cmd)
	return cmd
}

func (p *program) clientList() *cobra.Command {
	var registered bool
	cmd := &cobra.Command{
		Use: "list", Short: "List clients", Args: takes(), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, _ []string) error {
			headings := []string{"CLIENT ID", "NAME", "AUTHENTICATION", "GRANT TYPES", "ENABLED", "REGISTERED BY ITSELF"}
			query, filter := url.Values{"sort": {"client_id"}}, storage.ClientFilter{}
			if cmd.Flags().Changed("registered") {
				query.Set("registered", strconv.FormatBool(registered))
				filter.Registered = &registered
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					complete := func(c *clientShown) { c.organization = r.org.Slug }
					return list(p, headings, pages(ctx, r, query, complete, r.in("clients")...))
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				return list(p, headings, found(storage.Listing{Sort: "client_id"}, func(l storage.Listing) ([]storage.Client, *storage.Position, error) {
					return house.DB.FindClients(ctx, filter, l)
				}, func(row *storage.Client) clientShown { return clientOf(org, row, "") }))
			})
		},
	}
	cmd.Flags().BoolVar(&registered, "registered", false, "only those that were registered by whoever wanted one; --registered=false: only the others")
	return cmd
}

func (p *program) clientShow() *cobra.Command {
	return &cobra.Command{
		Use: "show CLIENT_ID", Short: "Show a client", Args: takes("CLIENT_ID"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					shown := clientShown{organization: r.org.Slug}
					if err := r.get(ctx, &shown, r.in("clients", args[0])...); err != nil {
						return noClient(err, r.org, args[0])
					}
					return p.show(shown, shown.fields()...)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				row, err := house.DB.Client(ctx, args[0])
				if err != nil {
					return noClient(err, org, args[0])
				}
				shown := clientOf(org, row, "")
				return p.show(shown, shown.fields()...)
			})
		},
	}
}

func (p *program) clientUpdate() *cobra.Command {
	var flags clientFlags
	var disabled bool
	cmd := &cobra.Command{
		Use: "update CLIENT_ID", Short: "Change a client: what flags do not name stays as it is", Args: takes("CLIENT_ID"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			patch, err := flags.patch(cmd, p.stdin)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("disabled") {
				patch.Disabled = &disabled
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error { return r.updateClient(ctx, args[0], patch) })
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				row, made, err := house.Operators.UpdateClient(ctx, args[0], patch)
				if err != nil {
					return noClient(err, org, args[0])
				}
				shown := clientOf(org, row, made)
				return p.show(shown, shown.fields()...)
			})
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&disabled, "disabled", false, "refuse it everything; --disabled=false lets it in again")
	return cmd
}

func (p *program) clientDelete() *cobra.Command {
	return &cobra.Command{
		Use: "delete CLIENT_ID", Short: "Delete a client, and everything that was given to it", Args: takes("CLIENT_ID"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			show := func(org *tenant.Org, err error) error {
				if err != nil {
					return noClient(err, org, args[0])
				}
				return p.show(map[string]any{"client_id": args[0], "organization": org.Slug, "deleted": true}, field{"deleted", args[0]})
			}
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					return show(r.org, r.remove(ctx, nil, r.in("clients", args[0])...))
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				return show(org, house.Operators.DeleteClient(ctx, args[0]))
			})
		},
	}
}

// updateClient changes a client at the server.
func (r *remote) updateClient(ctx context.Context, clientID string, patch manage.ClientPatch) error {
	text, err := json.Marshal(patch)
	if err != nil {
		return fmt.Errorf("write a request: %w", err)
	}
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		return fmt.Errorf("write a request: %w", err)
	}
	maps.DeleteFunc(body, func(_ string, value any) bool { return value == nil }) // which is what flags do not name
	change := call{method: http.MethodPatch, path: r.in("clients", clientID), body: body}
	if patch.Metadata != nil { // in place of what there is, at the moment that it is replaced
		var before clientShown
		tag, err := r.do(ctx, call{method: http.MethodGet, path: change.path}, &before)
		if err != nil {
			return noClient(err, r.org, clientID)
		}
		change.match = tag
		maps.Copy(body, replacing(before.Spec.Metadata, *patch.Metadata))
	}
	shown := clientShown{organization: r.org.Slug}
	if _, err := r.do(ctx, change, &shown); err != nil {
		return noClient(err, r.org, clientID)
	}
	return r.p.show(shown, shown.fields()...)
}

func (p *program) clientRotateSecret() *cobra.Command {
	var keepOld time.Duration
	cmd := &cobra.Command{
		Use: "rotate-secret CLIENT_ID", Short: "Give a client a new secret, which is shown this once", Args: takes("CLIENT_ID"), Annotations: eitherWay,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.there() {
				return p.through(cmd, func(ctx context.Context, r *remote) error {
					shown := clientShown{organization: r.org.Slug}
					if err := r.post(ctx, map[string]any{"keep_old": keepOld.String()}, &shown, r.in("clients", args[0], "secret")...); err != nil {
						return noClient(err, r.org, args[0])
					}
					return p.show(shown, shown.fields()...)
				})
			}
			return p.inOrganization(cmd, func(ctx context.Context, house *server.House, org *tenant.Org) error {
				made, err := house.Operators.RotateClientSecret(ctx, args[0], keepOld)
				if err != nil {
					return noClient(err, org, args[0])
				}
				row, err := house.DB.Client(ctx, args[0])
				if err != nil {
					return noClient(err, org, args[0])
				}
				shown := clientOf(org, row, made)
				return p.show(shown, shown.fields()...)
			})
		},
	}
	cmd.Flags().DurationVar(&keepOld, "keep-old", 0, "how long the secret of before stays good beside the new one, such as 24h")
	return cmd
}

func noClient(err error, org *tenant.Org, clientID string) error {
	if errors.Is(err, storage.ErrNotFound) {
		return notFound("client %q does not exist in organization %q", clientID, org.Slug)
	}
	return err
}
