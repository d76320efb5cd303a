package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/redirect"
	"github.com/keizer-auth/keizer/internal/relyingparty"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
)

// try is `keizer try`.
func (p *program) try() *cobra.Command {
	a := attempt{progress: io.Discard, prompt: p.stderr}
	var secretFromStdin bool
	cmd := passwordFlag(&cobra.Command{
		Use: "try", Short: "Sign in at a running server and verify everything that comes back", Args: takes(), Annotations: byIssuer,
		Long: "Sign in at a running server as any client would: discovery, authorization, tokens, userinfo. Each step is shown, and the tokens\n" +
			"decoded and verified. Without --username a person signs in with a browser on this machine; with it the pages are filled in here.\n\n" +
			"The exit code is 0 when everything was verified, else 1.",
		Example: "  keizer try\n  printf %s \"$PASSWORD\" | keizer try --username alice --password-stdin\n" +
			"  printf %s \"$SECRET\" | keizer try --issuer https://id.example.com --client-id app --client-secret-stdin",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.issuer == "" {
				cfg, err := p.load(cmd)
				if err != nil {
					return err
				}
				a.issuer = cfg.Base()
			}
			if err := a.check(); err != nil {
				return wrong(err)
			}
			if err := a.readSecrets(p, cmd, secretFromStdin); err != nil {
				return err
			}
			if p.output != "json" {
				a.progress, a.prompt = p.stdout, p.stdout
			}
			result, err := a.run(cmd.Context())
			if p.output == "json" {
				err = errors.Join(err, p.json(result))
			}
			if err != nil {
				return failed(err)
			}
			return nil
		},
	})
	a.flags(cmd, &secretFromStdin, "openid profile email offline_access")
	configFlags(cmd.Flags(), "listen")
	return cmd
}

// flags gives a command the flags that say how it signs in, and by default with which scope.
func (a *attempt) flags(cmd *cobra.Command, secretFromStdin *bool, scope string) {
	flags := cmd.Flags()
	flags.StringVar(&a.issuer, "issuer", "", "server to sign in at (default: the configured one, in development http://localhost:8080)")
	flags.StringVar(&a.clientID, "client-id", manage.DemoClient, "client to sign in as")
	flags.BoolVar(secretFromStdin, "client-secret-stdin", false, "read the client's secret from standard input; before the password, on a line of its own")
	flags.StringVar(&a.redirectURI, "redirect-uri", "", "registered address for the answer (default: http://127.0.0.1/callback, on a free port)")
	flags.StringVar(&a.scope, "scope", scope, "scope to ask for")
	flags.StringVar(&a.username, "username", "", "sign in as this user, by filling in the pages, instead of waiting for a browser")
	flags.DurationVar(&a.timeout, "timeout", 5*time.Minute, "when to give up")
}

// readSecrets reads what may not stand among the arguments.
func (a *attempt) readSecrets(p *program, cmd *cobra.Command, clientSecret bool) error {
	passwordStdin, err := cmd.Flags().GetBool("password-stdin")
	if err != nil {
		return err
	}
	if passwordStdin && a.username == "" {
		return usage("--password-stdin needs --username")
	}
	if clientSecret || passwordStdin {
		text, err := readSecret(p.stdin)
		if err != nil {
			return err
		}
		switch first, second, two := strings.Cut(text.Reveal(), "\n"); {
		case clientSecret && passwordStdin && !two:
			return usage("standard input has one line; the client's secret and the password are two")
		case clientSecret && passwordStdin:
			a.secret, a.password = secret.Text(strings.TrimSuffix(first, "\r")), secret.Text(second)
		case clientSecret:
			a.secret = text
		default:
			a.password = text
		}
		if clientSecret && a.secret == "" {
			return usage("standard input has no client secret")
		}
	}
	if a.username == "" || passwordStdin {
		return nil
	}
	terminal, ok := p.stdin.(*os.File)
	if !ok || !isTerminal(terminal) {
		return usage("there is no terminal to ask for the password at: give it on standard input, with --password-stdin")
	}
	a.password, err = p.ask(cmd.Context(), terminal, "Password of "+a.username+": ")
	return err
}

// attempt is one run of `keizer try`: a whole sign-in at a running server, as any client would make it.
type attempt struct {
	issuer      string
	clientID    string
	secret      secret.Text // empty for a public client
	redirectURI string      // "" for a loopback port of its own
	scope       string
	username    string // "" to let a person sign in with a browser
	password    secret.Text
	timeout     time.Duration
	resource    string // what the tokens are to be for; "" for what the client's registration says

	// tokens are what came of it. They are shown by whoever was asked to get them, and by nobody else.
	tokens *relyingparty.Tokens
	// signInOnly ends it when the ID token is verified.
	signInOnly bool

	progress io.Writer // each step
	prompt   io.Writer // what a person has to do
}

// attempted is what came of it: what `-o json` prints.
type attempted struct {
	Issuer      string                  `json:"issuer"`
	ClientID    string                  `json:"client_id"`
	Verified    bool                    `json:"verified"`
	Failure     string                  `json:"failure,omitempty"`
	Tokens      *attemptedTokens        `json:"tokens,omitempty"`
	IDToken     *attemptedIDToken       `json:"id_token,omitempty"`
	AccessToken *attemptedAccessToken   `json:"access_token,omitempty"`
	UserInfo    map[string]any          `json:"userinfo,omitempty"`
	Exchanges   []relyingparty.Exchange `json:"exchanges,omitempty"`
}

type attemptedTokens struct {
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	Scope        string `json:"scope,omitempty"`
	RefreshToken bool   `json:"refresh_token"` // whether there is one; the token itself is nobody's to see here
}

type attemptedIDToken struct {
	Header map[string]any       `json:"header"`
	Claims map[string]any       `json:"claims"`
	Checks []relyingparty.Check `json:"checks"`
}

// attemptedAccessToken has a header and claims only when it is a JWT.
type attemptedAccessToken struct {
	Format string          `json:"format"`
	Header json.RawMessage `json:"header,omitempty"`
	Claims json.RawMessage `json:"claims,omitempty"`
}

// run makes the attempt. The result holds whatever was reached, also when an error ends it.
func (a *attempt) run(ctx context.Context) (*attempted, error) {
	result := &attempted{Issuer: a.issuer, ClientID: a.clientID}
	err := a.walk(ctx, result)
	result.Verified = err == nil
	if err != nil {
		result.Failure = err.Error()
	}
	return result, err
}

func (a *attempt) walk(ctx context.Context, result *attempted) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()

	var door *callbackDoor
	redirectURI := a.redirectURI
	if a.username == "" || redirectURI == "" {
		var err error
		if door, err = openDoor(ctx, redirectURI); err != nil {
			return err
		}
		defer door.close(ctx)
		redirectURI = door.redirectURI
	}

	client, err := relyingparty.Discover(ctx, relyingparty.Config{
		Issuer: a.issuer, ClientID: a.clientID, ClientSecret: a.secret, RedirectURI: redirectURI,
	})
	if err != nil {
		return err
	}
	defer func() { result.Exchanges = client.Exchanges() }()
	a.done("discovery", "%s", a.issuer)

	request := client.Begin(relyingparty.Ask{Scope: relyingparty.Scopes(a.scope), Resource: a.resource})
	var answer url.Values
	if a.username != "" {
		answer, err = signInByForms(ctx, request.URL, redirectURI, a.username, a.password)
	} else {
		fmt.Fprintf(a.prompt, "\n  Open this address in a browser on this machine and sign in:\n\n  %s\n\n  Waiting at %s for %s; Ctrl-C gives up.\n\n",
			request.URL, redirectURI, a.timeout)
		answer, err = door.wait(ctx)
	}
	if err != nil {
		return err
	}
	code, err := client.Code(request, answer)
	if err != nil {
		return fmt.Errorf("callback: %w", err)
	}
	a.done("callback", "state and iss are those of the request")

	tokens, err := client.Redeem(ctx, request, code)
	if err != nil {
		return err
	}
	result.Tokens = &attemptedTokens{tokens.TokenType, tokens.ExpiresIn, tokens.Scope, tokens.RefreshToken != ""}
	result.AccessToken = accessTokenForm(tokens.AccessToken)
	a.done("token", "%s", describeTokens(result))

	idToken, err := client.VerifyIDToken(ctx, tokens.IDToken, request.Expect(tokens.AccessToken))
	if idToken != nil {
		result.IDToken = &attemptedIDToken{idToken.Header, idToken.Claims, idToken.Checks}
	}
	if err != nil {
		a.checks(idToken)
		return err
	}
	if a.tokens = tokens; a.signInOnly {
		return nil
	}
	a.done("ID token", "%d checks passed", len(idToken.Checks))
	a.checks(idToken)
	a.document("header", idToken.Header)
	a.document("claims", json.RawMessage(idToken.Payload))
	if result.AccessToken.Claims != nil {
		fmt.Fprintln(a.progress, "  The access token is a JWT, for the API that it names:")
		a.document("header", result.AccessToken.Header)
		a.document("claims", result.AccessToken.Claims)
	}

	result.UserInfo, err = client.UserInfo(ctx, tokens.AccessToken, idToken.Subject())
	if err != nil {
		return err
	}
	a.done("userinfo", "of the person whom the ID token names")
	a.document("claims", result.UserInfo)
	fmt.Fprintln(a.progress, "Everything is verified.")
	return nil
}

func (a *attempt) done(step, format string, facts ...any) {
	fmt.Fprintf(a.progress, "✓ %-10s %s\n", step, printable(fmt.Sprintf(format, facts...)))
}

func (a *attempt) checks(id *relyingparty.IDToken) {
	if id == nil {
		return
	}
	for _, check := range id.Checks {
		mark := "✓"
		if !check.Passed {
			mark = "✗"
		}
		fmt.Fprintf(a.progress, "    %s %-10s %s\n", mark, check.Name, printable(check.Detail))
	}
}

// document shows a JSON object, indented.
func (a *attempt) document(name string, value any) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		fmt.Fprintf(a.progress, "  %s cannot be shown: %v\n", name, err)
		return
	}
	fmt.Fprintf(a.progress, "  %s\n", name)
	for line := range strings.Lines(b.String()) {
		fmt.Fprintf(a.progress, "    %s\n", printable(strings.TrimSuffix(line, "\n")))
	}
}

func accessTokenForm(token string) *attemptedAccessToken {
	header, claims, err := relyingparty.Decode(token)
	if err != nil || !json.Valid(header) || !json.Valid(claims) {
		return &attemptedAccessToken{Format: "opaque"}
	}
	return &attemptedAccessToken{Format: "jwt", Header: header, Claims: claims}
}

func describeTokens(r *attempted) string {
	refresh := "no refresh token"
	if r.Tokens.RefreshToken {
		refresh = "a refresh token"
	}
	form := "an opaque access token"
	if r.AccessToken.Format == "jwt" {
		form = "a JWT access token"
	}
	return fmt.Sprintf("%s for %s, %s", form, time.Duration(r.Tokens.ExpiresIn)*time.Second, refresh)
}

// signInByForms does what a person would: fills in the sign-in page, allows the access, and comes back with the answer.
func signInByForms(ctx context.Context, address, redirectURI, username string, password secret.Text) (url.Values, error) {
	browser := formbrowser.New(formbrowser.Options{StopAt: redirectURI})
	page, err := browser.Open(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("sign in: %w", err)
	}
	for tried := false; ; {
		answer, arrived := page.Arrived()
		switch {
		case arrived:
			return answer, nil
		case page.Has("login-submit") && !tried:
			tried = true
			if err := errors.Join(page.Fill("username", username), page.Fill("password", password.Reveal())); err != nil {
				return nil, fmt.Errorf("sign in: %w", err)
			}
			page, err = page.Click(ctx, "login-submit")
		case page.Has("login-submit"):
			return nil, fmt.Errorf("sign in: the server did not accept the user name and password of %s", username)
		case page.Has("consent-allow"):
			page, err = page.Click(ctx, "consent-allow")
		default:
			why := page.Text("error-message")
			if why != "" {
				why = ": " + why
			}
			return nil, fmt.Errorf("sign in: instead of a page to sign in on the server showed %q (status %d)%s", page.Title, page.Status, why)
		}
		if err != nil {
			return nil, fmt.Errorf("sign in: %w", err)
		}
	}
}

// callbackDoor is the loopback address at which a client without a server of its own gets the answer (RFC 8252 §7.3). It is
// open for one answer, and to this machine alone.
type callbackDoor struct {
	redirectURI string
	answers     chan url.Values
	server      *http.Server
	closed      chan error
}

// openDoor listens at a redirect URI, or at a free port when there is none or it has none.
func openDoor(ctx context.Context, redirectURI string) (*callbackDoor, error) {
	if redirectURI == "" {
		redirectURI = "http://127.0.0.1/callback"
	}
	at, err := url.Parse(redirectURI)
	if err != nil {
		return nil, fmt.Errorf("redirect URI: %w", err)
	}
	port := at.Port()
	if port == "" {
		port = "0"
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(at.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("listen for the callback: %w", err)
	}
	if at.Port() == "" {
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			return nil, fmt.Errorf("listen for the callback: %w", err)
		}
		at.Host = net.JoinHostPort(at.Hostname(), port)
	}
	d := &callbackDoor{redirectURI: at.String(), answers: make(chan url.Values, 1), closed: make(chan error, 1)}
	path := at.EscapedPath()
	d.server = &http.Server{
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { d.answer(w, r, at.Host, path) }),
	}
	go func() { d.closed <- d.server.Serve(listener) }()
	return d, nil
}

const callbackPage = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>Back to the terminal</title>
<h1 id="page-title">Back to the terminal</h1><p>keizer try has got the answer. This window can be closed.</p></html>
`

// answer takes the first request for the redirect URI that carries an answer; whatever else a browser asks for is not here.
func (d *callbackDoor) answer(w http.ResponseWriter, r *http.Request, host, path string) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	query := r.URL.Query()
	// The name by which one comes is checked, so that no web page reaches this door by a name of its own (DNS rebinding).
	if r.Method != http.MethodGet || r.Host != host || r.URL.EscapedPath() != path || (!query.Has("code") && !query.Has("error")) {
		http.Error(w, "There is nothing here.", http.StatusNotFound)
		return
	}
	select {
	case d.answers <- query:
	default: // a second answer: the first one counts
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, callbackPage)
}

func (d *callbackDoor) wait(ctx context.Context) (url.Values, error) {
	select {
	case answer := <-d.answers:
		return answer, nil
	case err := <-d.closed:
		return nil, fmt.Errorf("listen for the callback: %w", err)
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, errors.New("nobody came back from the browser in time")
		}
		return nil, errors.New("given up before anybody came back from the browser")
	}
}

// close lets the page that is being written go out, and no more. It is called when ctx has ended, too.
func (d *callbackDoor) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := d.server.Shutdown(ctx); err != nil {
		_ = d.server.Close() // whoever is still connected has had two seconds
	}
}

// check says what is wrong with the flags, before anything is sent anywhere.
func (a *attempt) check() error {
	issuer, err := url.Parse(a.issuer)
	switch {
	case err != nil || issuer.Host == "" || issuer.User != nil || issuer.RawQuery != "" || issuer.Fragment != "":
		return fmt.Errorf("--issuer %q is not the address of a server", a.issuer)
	case issuer.Scheme == "https":
	case issuer.Scheme != "http" || !isLoopback(issuer.Hostname()):
		return fmt.Errorf("--issuer %q must be https; plain http is for this machine alone", a.issuer)
	}
	if a.redirectURI != "" {
		if err := redirect.ValidateRegistration(a.redirectURI); err != nil {
			return fmt.Errorf("--redirect-uri: %w", err)
		}
		if a.username == "" && !redirect.IsLoopback(a.redirectURI) {
			return fmt.Errorf("--redirect-uri %q is not on this machine: without --username the answer must come back here", a.redirectURI)
		}
	}
	if !strings.Contains(" "+a.scope+" ", " openid ") {
		return fmt.Errorf("--scope %q has no openid: without it there is no ID token to verify", a.scope)
	}
	if a.timeout <= 0 {
		return fmt.Errorf("--timeout %s leaves no time", a.timeout)
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}
