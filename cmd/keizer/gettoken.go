package main

import (
	"cmp"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/secret"
)

// tokensShown are tokens as they are shown, under the names of RFC 6749 §5.1.
type tokensShown struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
}

func (s tokensShown) fields() []field {
	fields := []field{{"access_token", s.AccessToken}, {"token_type", s.TokenType}}
	if s.ExpiresIn > 0 {
		fields = append(fields, field{"expires_in", strconv.FormatInt(s.ExpiresIn, 10)})
	}
	return append(fields, field{"refresh_token", s.RefreshToken}, field{"id_token", s.IDToken}, field{"scope", s.Scope})
}

// issuerOf is the issuer that is meant where --issuer names none: that of the configured server, or of its organization that --org names.
func (p *program) issuerOf(cmd *cobra.Command) (string, error) {
	cfg, err := p.load(cmd)
	if err != nil {
		return "", err
	}
	slug, err := cmd.Flags().GetString("org")
	if err != nil || slug == "" || slug == cfg.RootOrganization {
		return cfg.Base(), err
	}
	return cfg.Base() + "/o/" + url.PathEscape(slug), nil
}

func (p *program) tokenLogin() *cobra.Command {
	a := attempt{progress: io.Discard, prompt: p.stderr, signInOnly: true}
	var secretFromStdin bool
	cmd := passwordFlag(&cobra.Command{
		Use: "login", Short: "Sign in at a running server, and show the tokens that a client is given", Args: takes(), Annotations: byIssuer,
		Long: "Sign in at a running server as people do, with a browser on this machine, and show the tokens that a client is given. The ID token is verified.\n" +
			"With --username the pages are filled in here.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if a.issuer == "" {
				if a.issuer, err = p.issuerOf(cmd); err != nil {
					return err
				}
			}
			if err := a.check(); err != nil {
				return wrong(err)
			}
			if err := a.readSecrets(p, cmd, secretFromStdin); err != nil {
				return err
			}
			if _, err := a.run(cmd.Context()); err != nil {
				return failed(err)
			}
			shown := tokensShown{a.tokens.AccessToken, a.tokens.TokenType, a.tokens.ExpiresIn, a.tokens.RefreshToken, a.tokens.IDToken, a.tokens.Scope}
			return p.show(shown, shown.fields()...)
		},
	})
	a.flags(cmd, &secretFromStdin, "openid")
	cmd.Flags().StringVar(&a.resource, "resource", "", "what the access token is to be for: a registered API, such as that of the management at …/api/v1")
	configFlags(cmd.Flags(), "listen")
	return cmd
}

func (p *program) tokenClientCredentials() *cobra.Command {
	var issuer, clientID, scope string
	var resources []string
	var stdin bool
	cmd := &cobra.Command{
		Use: "client-credentials", Short: "Show an access token that a client is given for itself", Args: takes(), Annotations: byIssuer,
		Long: "Show an access token that a client is given for itself (client_credentials). Its secret is read from standard input, with --client-secret-stdin,\n" +
			"or from KEIZER_CLIENT_SECRET or KEIZER_CLIENT_SECRET_FILE.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if issuer == "" {
				if issuer, err = p.issuerOf(cmd); err != nil {
					return err
				}
			}
			r := &remote{p: p, base: strings.TrimSuffix(issuer, "/"), credentials: credentials{clientID: cmp.Or(clientID, p.env("KEIZER_CLIENT_ID"))}}
			if err := (&attempt{issuer: r.base, scope: "openid", timeout: 1}).check(); err != nil {
				return wrong(err)
			}
			if r.credentials.clientID == "" {
				return usage("%s needs --client-id, or KEIZER_CLIENT_ID", cmd.CommandPath())
			}
			if r.credentials.secret, err = p.clientSecret(stdin); err != nil {
				return err
			}
			if r.http, err = p.httpClient(); err != nil {
				return err
			}
			defer r.http.CloseIdleConnections()
			endpoint, err := r.tokenEndpoint(cmd.Context(), r.base)
			if err != nil {
				return err
			}
			if endpoint == "" {
				return notFound("there is no issuer at %s", r.base)
			}
			form := url.Values{}
			if scope != "" {
				form.Set("scope", scope)
			}
			for _, resource := range resources {
				form.Add("resource", resource)
			}
			shown, refused, err := r.clientCredentials(cmd.Context(), endpoint, form)
			if err == nil {
				err = refused.err()
			}
			if err != nil {
				return err
			}
			return p.show(shown, shown.fields()...)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&issuer, "issuer", "", "whose token endpoint to ask (default: the configured one, in development http://localhost:8080)")
	flags.StringVar(&clientID, "client-id", "", "the client (KEIZER_CLIENT_ID)")
	flags.BoolVar(&stdin, "client-secret-stdin", false, "read its secret from standard input")
	flags.StringVar(&scope, "scope", "", "scope to ask for (default: all that the client may have)")
	flags.StringArrayVar(&resources, "resource", nil, "API that the token is to be for; may be repeated")
	configFlags(flags, "listen")
	return cmd
}

// clientSecret is the secret of a client.
func (p *program) clientSecret(stdin bool) (secret.Text, error) {
	if stdin {
		text, err := readSecret(p.stdin)
		if err == nil && text == "" {
			err = usage("standard input has no client secret")
		}
		return text, err
	}
	text, err := p.secretVariable("KEIZER_CLIENT_SECRET")
	if err == nil && text == "" {
		err = usage("the secret of the client is needed: with --client-secret-stdin, or in KEIZER_CLIENT_SECRET or KEIZER_CLIENT_SECRET_FILE")
	}
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	return text, nil
}
