package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/keizer-auth/keizer/admin"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

// A command that works on the data of an organization works on the database itself, or, with --server, through the management API of a
// server that runs elsewhere. Both ways it has the same flags, shows the same and ends with the same codes. eitherWay marks those commands;
// all others refuse the flag.
var eitherWay = map[string]string{"server": "yes"}

// byIssuer marks commands that are clients of a server like any other, which --issuer names.
var byIssuer = map[string]string{"issuer": "yes"}

const (
	// requestTimeout is for how long one request is waited for: the server itself gives up earlier.
	requestTimeout = 45 * time.Second
	// patience is how long a command waits for a server that has too many requests, all in all.
	patience = 2 * time.Minute
	// maxAnswer is as much as is read of an answer: more than the longest page.
	maxAnswer = 32 << 20
	// remotePage is how many of a list are asked for at once.
	remotePage = 200
)

// there says whether the command is to work through a server.
func (p *program) there() bool { return p.server != "" }

// serverFlags gives every command the flags by which it works through a server. What they stand for is never an argument by itself:
// arguments are seen by everybody on the machine.
func (p *program) serverFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&p.server, "server", "", "work through the management API of this server, not on the database (KEIZER_SERVER)")
	flags.StringVar(&p.tokenFile, "token-file", "", "file with the access token for --server, or - for standard input (KEIZER_TOKEN_FILE)")
	flags.StringVar(&p.caFile, "ca-file", "",
		"file with the certificates in PEM of whom to believe who --server is, besides those the machine trusts (KEIZER_CA_FILE)")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return p.whichWay(cmd) }
}

// whichWay settles whether a command works through a server, before it does anything. A flag that would mean nothing is an error; the
// environment is for many commands at once, and means nothing to those that are about this machine.
func (p *program) whichWay(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	if cmd.Annotations["server"] == "" {
		for _, name := range []string{"server", "token-file", "ca-file"} {
			switch {
			case !given(name):
			case cmd.Annotations["issuer"] != "":
				return usage("%s is told its server by --issuer, and takes no --%s", cmd.CommandPath(), name)
			default:
				return usage("%s is about this machine, and takes no --%s", cmd.CommandPath(), name)
			}
		}
		p.server = ""
		return nil
	}
	if !given("server") {
		p.server = p.env("KEIZER_SERVER")
	}
	if !p.there() {
		for _, name := range []string{"token-file", "ca-file"} {
			if given(name) {
				return usage("--%s needs --server", name)
			}
		}
		return nil
	}
	for _, name := range []string{"config", "database-url", "data-dir"} {
		if given(name) {
			return usage("--%s is about the database, and --server (or KEIZER_SERVER) says to work without it", name)
		}
	}
	return nil
}

// remote is a server that a command works through.
type remote struct {
	p *program
	// base is the address of the server, and audience that of its API.
	base, audience string
	http           *http.Client
	credentials    credentials
	token          secret.Text
	// org is the organization that the command is about, by its slug; nil if it is about none.
	org *tenant.Org
	// waited is how long the command has waited for the server to have time.
	waited time.Duration
}

// through does something through the server, in the organization that --org names; without it, in that of the token.
func (p *program) through(cmd *cobra.Command, do func(context.Context, *remote) error) error {
	slug, err := cmd.Flags().GetString("org")
	if err != nil {
		return err
	}
	return p.throughTo(cmd, slug, func(ctx context.Context, r *remote) error {
		if slug == "" {
			var me struct {
				Organization struct {
					Slug string `json:"slug"`
				} `json:"organization"`
			}
			if _, err := r.do(ctx, call{method: http.MethodGet, path: []string{"me"}}, &me); err != nil {
				return err
			}
			r.org = &tenant.Org{Slug: me.Organization.Slug}
		}
		return do(ctx, r)
	})
}

// throughTo does something through the server, to the organization of a slug; an empty one is none in particular.
func (p *program) throughTo(cmd *cobra.Command, slug string, do func(context.Context, *remote) error) error {
	base, err := serverAddress(p.server)
	if err != nil {
		return err
	}
	r := &remote{p: p, base: base, audience: base + admin.Path}
	if slug != "" {
		r.org = &tenant.Org{Slug: slug}
	}
	if r.credentials, err = p.credentials(); err != nil {
		return err
	}
	if r.http, err = p.httpClient(); err != nil {
		return err
	}
	defer r.http.CloseIdleConnections()
	ctx := cmd.Context()
	if r.token, err = r.getToken(ctx); err != nil {
		return err
	}
	return do(ctx, r)
}

// serverAddress is the base address of a server. Without https whoever is on the way has the token, so it is for this machine alone.
func serverAddress(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "", usage("--server must be the address of a server, such as https://id.example.com")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Path != "" && u.Path != "/":
		return "", usage("--server must be a scheme and a host, such as https://id.example.com, and nothing more")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return "", usage("--server must begin with https://, unless it is this machine")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

// httpClient asks servers. It follows no redirect, so that the token goes to the host that was named, and to none that this one names.
func (p *program) httpClient() (*http.Client, error) {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1,
	}
	name := p.caFile
	if name == "" {
		name = p.env("KEIZER_CA_FILE")
	}
	if name != "" {
		content, err := p.readFile(name)
		if err != nil {
			return nil, err
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, failed(fmt.Errorf("read the authorities that the machine trusts: %w", err))
		}
		if !pool.AppendCertsFromPEM(content) {
			return nil, usage("--ca-file: file %s holds no certificate in PEM", name)
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	return &http.Client{
		Transport: transport, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// call is one request to the API.
type call struct {
	method string
	// path are the parts of the address below that of the API, unescaped.
	path  []string
	query url.Values
	// body is sent as JSON, or as a merge patch; raw as it is, under the media type kind.
	body any
	raw  []byte
	kind string
	// match is the entity tag of what is to be changed, where it must not have been changed meanwhile.
	match string
}

// in are the parts of an address below that of the organization.
func (r *remote) in(path ...string) []string {
	return append([]string{"organizations", r.org.Slug}, path...)
}

// do asks the API, and reads its answer into something, unless that is nil. What it refuses is an error as the deeds of package manage
// return them: what is wrong with the request, what is not there, what is in the way.
func (r *remote) do(ctx context.Context, c call, into any) (tag string, err error) {
	address, err := r.address(c)
	if err != nil {
		return "", err
	}
	body, kind := c.raw, c.kind
	if c.body != nil {
		if body, err = json.Marshal(c.body); err != nil {
			return "", fmt.Errorf("write a request: %w", err)
		}
		if kind = "application/json"; c.method == http.MethodPatch {
			kind = "application/merge-patch+json"
		}
	}
	key := rand.Text() // of a deed that is to be done once, however often it has to be asked for
	for renewed := false; ; {
		answer, err := r.ask(ctx, c, address, kind, key, body)
		if err != nil {
			return "", err
		}
		switch wait := answer.comeBack(c.method); {
		case answer.status == http.StatusUnauthorized && !renewed && r.credentials.renewable():
			renewed = true // of a token that has expired in a long run; it was refused before anything was done
			if r.token, err = r.getToken(ctx); err != nil {
				return "", err
			}
		case wait > 0 && r.waited+wait <= patience:
			r.waited += wait
			if err := sleep(ctx, wait); err != nil {
				return "", err
			}
		case answer.status == http.StatusNotFound && len(c.path) > 2 && c.path[0] == "organizations":
			return "", r.notThere(ctx, answer)
		case answer.status >= http.StatusMultipleChoices:
			return "", answer.refusal()
		default:
			return answer.tag, answer.read(into)
		}
	}
}

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// address is that of a call. A name that could lead elsewhere once a proxy has tidied the address up is the name of nothing.
func (r *remote) address(c call) (string, error) {
	var b strings.Builder
	b.WriteString(r.audience)
	for _, part := range c.path {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, `/\`) || !utf8.ValidString(part) {
			return "", storage.ErrNotFound
		}
		b.WriteString("/" + url.PathEscape(part))
	}
	if len(c.query) > 0 {
		b.WriteString("?" + c.query.Encode())
	}
	return b.String(), nil
}

// answered is what the server said.
type answered struct {
	address string
	status  int
	header  http.Header
	tag     string
	body    []byte
	problem admin.Problem
}

func (r *remote) ask(ctx context.Context, c call, address, kind, key string, body []byte) (*answered, error) {
	var reader io.Reader = http.NoBody
	if body != nil {
		reader = bytes.NewReader(body)
	}
	request, err := http.NewRequestWithContext(ctx, c.method, address, reader)
	if err != nil {
		return nil, fmt.Errorf("write a request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+r.token.Reveal())
	request.Header.Set("Accept", "application/json")
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	if c.match != "" {
		request.Header.Set("If-Match", c.match)
	}
	if c.method == http.MethodPost {
		request.Header.Set("Idempotency-Key", key)
	}
	answer, err := r.send(request)
	if err != nil {
		return nil, err
	}
	if answer.status >= http.StatusMultipleChoices {
		kind, _, _ := strings.Cut(answer.header.Get("Content-Type"), ";")
		if kind != "application/problem+json" || json.Unmarshal(answer.body, &answer.problem) != nil {
			return nil, answer.foreign()
		}
	}
	return answer, nil
}

// send sends a request, and reads the whole answer.
func (r *remote) send(request *http.Request) (*answered, error) {
	request.Header.Set("User-Agent", "keizer/"+readRelease().Version)
	response, err := r.http.Do(request)
	if err != nil {
		return nil, r.unreachable(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, r.unreachable(err)
	}
	if len(body) > maxAnswer {
		return nil, failed(fmt.Errorf("the answer of %s is longer than any of the management API", r.base))
	}
	return &answered{
		address: request.URL.Scheme + "://" + request.URL.Host + request.URL.Path, status: response.StatusCode, header: response.Header,
		tag: response.Header.Get("ETag"), body: body,
	}, nil
}

// unreachable is why there is no answer, in one sentence.
func (r *remote) unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	var untrusted *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	var address *url.Error
	switch {
	case errors.As(err, &untrusted):
		return failed(fmt.Errorf("%s shows a certificate that is not to be believed: %w; --ca-file names an authority of your own", r.base, untrusted.Err))
	case errors.As(err, &noTLS):
		return failed(fmt.Errorf("%s does not speak TLS", r.base))
	case errors.As(err, &address):
		if address.Timeout() {
			return failed(fmt.Errorf("%s does not answer in time", r.base))
		}
		err = address.Err
	}
	return failed(fmt.Errorf("%s cannot be reached: %w", r.base, err))
}

// foreign is an answer that is not one of the management API.
func (a *answered) foreign() error {
	switch {
	case a.status >= http.StatusMultipleChoices && a.status < http.StatusBadRequest:
		where := "elsewhere"
		if to, err := url.Parse(a.header.Get("Location")); err == nil && to.Host != "" {
			where = "to " + to.Scheme + "://" + to.Host
		}
		return failed(fmt.Errorf("%s leads %s, and is not followed: --server must name the server itself", a.address, where))
	case a.status == http.StatusMisdirectedRequest:
		return failed(fmt.Errorf("%s goes by another address: --server must name it as its issuer does", a.address))
	}
	return failed(fmt.Errorf("%s answers %d, and not as the management API of Keizer does", a.address, a.status))
}

// comeBack is when the server wants to be asked again; 0 is not at all. What it could not do for want of time it has not begun, but of a
// database that goes away in the middle that is sure only where nothing was to be changed.
func (a *answered) comeBack(method string) time.Duration {
	if a.status != http.StatusTooManyRequests && (a.status != http.StatusServiceUnavailable || method != http.MethodGet) {
		return 0
	}
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	if err != nil || seconds < 1 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

func (a *answered) read(into any) error {
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return failed(fmt.Errorf("%s answers what this release of keizer does not understand", a.address))
	}
	return nil
}

// notThere says whether it is the organization that is not there.
func (r *remote) notThere(ctx context.Context, about *answered) error {
	_, err := r.do(ctx, call{method: http.MethodGet, path: []string{"organizations", r.org.Slug}}, nil)
	if errors.Is(err, storage.ErrNotFound) {
		return notFound("organization %q does not exist", r.org.Slug)
	}
	return about.refusal() // whatever else came of asking, it is there
}

// errNotAllowed says that the token lacks a permission.
var errNotAllowed = errors.New("it may not be done with this access token")

// members are what the members of bodies are called on the command line, where that is something else.
var members = map[string]string{"full_name": "name", "is_verified": "verified", "roles": "role", "expires_in": "expires-in"}

// refusal is what the server said no to.
func (a *answered) refusal() error {
	detail := unsentence(a.problem.Detail)
	if detail == "" {
		detail = unsentence(a.problem.Title)
	}
	switch a.status {
	case http.StatusBadRequest:
		var all []error
		for _, o := range a.problem.Errors {
			field := o.Parameter
			if o.Pointer != "" {
				field = strings.ReplaceAll(strings.TrimPrefix(o.Pointer, "/"), "/", ".")
			}
			if name, ok := members[field]; ok {
				field = name
			}
			if field == "" {
				all = append(all, usage("%s", unsentence(o.Detail)))
				continue
			}
			all = append(all, &manage.Invalid{Field: field, Message: unsentence(o.Detail)})
		}
		if len(all) > 0 {
			return errors.Join(all...)
		}
		return usage("%s", detail)
	case http.StatusUnauthorized:
		return failed(fmt.Errorf("the server does not take the access token: %s", detail))
	case http.StatusForbidden:
		return failed(fmt.Errorf("%w: %s", errNotAllowed, detail))
	case http.StatusNotFound:
		return storage.ErrNotFound
	case http.StatusConflict:
		if a.problem.Type == "urn:keizer:problem:not-proven" { // it was asked for rightly, and is not so
			return failed(errors.New(detail))
		}
		if len(a.problem.Errors) > 0 && a.problem.Errors[0].Pointer != "" {
			field := strings.ReplaceAll(strings.TrimPrefix(a.problem.Errors[0].Pointer, "/"), "/", ".")
			if name, ok := members[field]; ok {
				field = name
			}
			return &manage.Conflict{Field: field, Message: detail}
		}
		return &exit{exitConflict, errors.New(detail)}
	case http.StatusPreconditionFailed:
		return &exit{exitConflict, errors.New("it was changed meanwhile: look at it, and try again")}
	case http.StatusTooManyRequests:
		return failed(errors.New("the server has too many requests: try again later"))
	case http.StatusServiceUnavailable:
		return failed(fmt.Errorf("the server cannot answer right now: try again in a moment (request %s)", a.problem.RequestID))
	}
	return failed(fmt.Errorf("the server answers %d: %s (request %s)", a.status, detail, a.problem.RequestID))
}

// unsentence makes a part of a sentence of a whole one.
func unsentence(text string) string {
	text = strings.TrimSuffix(text, ".")
	first, size := utf8.DecodeRuneInString(text)
	if second, _ := utf8.DecodeRuneInString(text[size:]); unicode.IsUpper(second) { // as in URL
		return text
	}
	return string(unicode.ToLower(first)) + text[size:]
}

// get, post, patch, put and remove ask for one thing.
func (r *remote) get(ctx context.Context, into any, path ...string) error {
	_, err := r.do(ctx, call{method: http.MethodGet, path: path}, into)
	return err
}

func (r *remote) post(ctx context.Context, body, into any, path ...string) error {
	_, err := r.do(ctx, call{method: http.MethodPost, path: path, body: body}, into)
	return err
}

func (r *remote) patch(ctx context.Context, body, into any, path ...string) error {
	_, err := r.do(ctx, call{method: http.MethodPatch, path: path, body: body}, into)
	return err
}

func (r *remote) put(ctx context.Context, body any, path ...string) error {
	_, err := r.do(ctx, call{method: http.MethodPut, path: path, body: body}, nil)
	return err
}

func (r *remote) remove(ctx context.Context, into any, path ...string) error {
	_, err := r.do(ctx, call{method: http.MethodDelete, path: path}, into)
	return err
}

// pages makes the pages that list prints of those of the API. complete is told each, to add what only the command knows; nil is nothing.
func pages[T any](ctx context.Context, r *remote, query url.Values, complete func(*T), path ...string) func() ([]T, error) {
	query = cloned(query)
	if !query.Has("limit") {
		query.Set("limit", strconv.Itoa(remotePage))
	}
	done := false
	return func() ([]T, error) {
		if done {
			return nil, nil
		}
		var page struct {
			Items      []T    `json:"items"`
			NextCursor string `json:"next_cursor"`
		}
		if _, err := r.do(ctx, call{method: http.MethodGet, path: path, query: query}, &page); err != nil {
			return nil, err
		}
		if complete != nil {
			for i := range page.Items {
				complete(&page.Items[i])
			}
		}
		query.Set("cursor", page.NextCursor)
		done = page.NextCursor == ""
		return page.Items, nil
	}
}

func cloned(query url.Values) url.Values {
	all := url.Values{}
	for name, values := range query {
		all[name] = slices.Clone(values)
	}
	return all
}

// unpaged makes the pages of a list that is given whole.
func unpaged[T any](ctx context.Context, r *remote, complete func(*T), path ...string) ([]T, error) {
	var page struct {
		Items []T `json:"items"`
	}
	err := r.get(ctx, &page, path...)
	if complete != nil {
		for i := range page.Items {
			complete(&page.Items[i])
		}
	}
	return page.Items, err
}
