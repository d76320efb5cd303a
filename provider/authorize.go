package provider

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/internal/claimmap"
	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/internal/redirect"
	"github.com/keizer-auth/keizer/internal/responsetype"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/provider/prompt"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/fositestore"
	"github.com/keizer-auth/keizer/web"
)

const (
	modeQuery    = "query"
	modeFragment = "fragment"
	modeFormPost = "form_post"

	// paramInteraction brings a browser back from a page. It is ours, and never taken from a client's request.
	paramInteraction = "interaction"
	// paramPAR remembers, in a stored request, which pushed request it came from.
	paramPAR = "keizer:par"
)

// interactionLifetime is how long a person may take over the pages of one request.
const interactionLifetime = 15 * time.Minute

// authorization is one authorization request on its way. Once readAuthorization has filled client and redirectURI, every
// error is the client's to hear; before, it is only the visitor's (RFC 6749 §4.1.2.1).
type authorization struct {
	form        url.Values
	sent        url.Values // as the browser brought it, before what it names took its place
	client      *fositestore.Client
	redirectURI string // byte for byte as the client sent it
	mode        string // how the answer travels
	kind        responsetype.Type
	state       string

	// refused is what is wrong with how the request was made, such as its request object; the client is to hear of it.
	refused error

	// interaction is the stored request when the browser comes back from a page; id is what the page's address names.
	interaction *storage.Interaction
	id          string
	requestedAt time.Time

	prompts []string
	maxAge  *time.Duration
	acr     proof.Request
	hint    string // the subject that id_token_hint names
	subject string // and the one that claims names
	claims  fositestore.ClaimNames
	// names are what the client knows people by, and so what those two may say.
	names names
}

// Authorize serves GET and POST /oauth2/authorize (RFC 6749 §3.1, OpenID Connect Core 1.0 §3.1.2).
func (p *Provider) Authorize(c *gin.Context) error {
	a, err := p.readAuthorization(c)
	if err != nil {
		return err
	}
	if err := p.authorize(c, a); err != nil {
		return p.authorizeError(c, a, err)
	}
	return nil
}

// authorize dispatches: it checks the request, gathers the facts, and does what prompt.Next says. Pages never route to one
// another; each comes back here.
func (p *Provider) authorize(c *gin.Context, a *authorization) error {
	if a.refused != nil {
		return a.refused
	}
	ctx, unit := p.store.Begin(c.Request.Context())
	unit.Client = a.client.At(a.redirectURI)

	if err := p.checkAuthorization(ctx, unit, a); err != nil {
		return err
	}
	request, err := p.fosite.NewAuthorizeRequest(ctx, formRequest(c.Request, a.fositeForm()))
	if err != nil {
		return err
	}
	who, err := p.account(c, a)
	if err != nil {
		return err
	}
	session, user := who.session, who.user
	if session == nil && againByGet(c, a.sent) {
		return nil
	}

	facts, err := p.facts(ctx, a, who, p.sessions.Device(ctx, c))
	if err != nil {
		return err
	}
	decision := prompt.Next(facts)
	if decision.Step == prompt.Consent || decision.Step == prompt.Issue {
		if err := p.checkRights(ctx, a, request, user); err != nil {
			return err
		}
	}
	switch decision.Step {
	case prompt.Refuse:
		return &fosite.RFC6749Error{ErrorField: decision.Error, HintField: decision.Description, CodeField: http.StatusBadRequest}
	case prompt.Login:
		return p.toPage(c, a, "/login", nil)
	case prompt.Select:
		return p.toPage(c, a, "/login/select", nil)
	case prompt.SignUp:
		return p.toPage(c, a, "/signup", nil)
	case prompt.Factor:
		return p.toPage(c, a, "/login/factor", session)
	case prompt.Consent:
		return p.toPage(c, a, "/consent", session)
	default:
		return p.issue(c, ctx, a, unit, request, session, user)
	}
}

// againByGet has a form that was posted come again as a navigation, and reports whether it could. When a client's site has
// posted it, no Lax cookie came along: the session, if there is one, shows only then.
func againByGet(c *gin.Context, form url.Values) bool {
	if c.Request.Method != http.MethodPost {
		return false
	}
	target := c.Request.URL.EscapedPath() + "?" + form.Encode()
	if len(target) > maxAddress {
		return false
	}
	c.Redirect(http.StatusSeeOther, target)
	return true
}

// readAuthorization reads a request up to the point where its redirect URI is proven. Its errors are pages.
func (p *Provider) readAuthorization(c *gin.Context) (*authorization, error) {
	form, err := authorizationForm(c.Request)
	if err != nil {
		return nil, refusedPage(err, requestErrorPage)
	}
	a := &authorization{form: form, sent: form, requestedAt: time.Now().UTC()}
	if id := form.Get(paramInteraction); secret.Valid(secret.Interaction, id) {
		if err := p.resume(c, a, id); err != nil {
			return nil, err
		}
	} else if err := p.loadPushed(c.Request.Context(), a); err != nil {
		return nil, err
	}

	if len(a.form["client_id"]) != 1 || len(a.form["redirect_uri"]) > 1 {
		return nil, requestErrorPage("The request must name one client_id and one redirect_uri.", nil)
	}
	a.client, err = p.clients.Client(c.Request.Context(), a.form.Get("client_id"))
	if errors.Is(err, storage.ErrNotFound) {
		return nil, requestErrorPage("This application is not known here (client_id).", err)
	}
	if err != nil {
		return nil, err
	}
	if a.interaction == nil && !a.form.Has(paramPAR) {
		a.refused = p.readDirect(c.Request.Context(), a)
	}
	if err := a.proveRedirect(); err != nil {
		if a.refused != nil {
			return nil, refusedPage(a.refused, requestErrorPage)
		}
		return nil, err
	}
	a.mode = a.answerMode()
	if len(a.form["state"]) == 1 {
		a.state = a.form.Get("state")
	}
	return a, nil
}

// readDirect reads how a request is made that was neither stored here nor pushed.
func (p *Provider) readDirect(ctx context.Context, a *authorization) error {
	if a.client.RequiresPushedRequests() {
		return fosite.ErrInvalidRequest.WithHint("The client is registered to push its requests.") // RFC 9126 §6
	}
	return p.readObject(ctx, a, false)
}

func authorizationForm(r *http.Request) (url.Values, error) {
	if r.Method == http.MethodPost {
		return readForm(r)
	}
	return parseParams(r.URL.RawQuery)
}

// resume continues a stored request. It belongs to one browser: another that opens its address gets nothing of it.
func (p *Provider) resume(c *gin.Context, a *authorization, id string) error {
	stored, err := p.sessions.Interaction(c, id)
	if err != nil {
		return err
	}
	a.form, a.interaction, a.id, a.requestedAt = stored.Params, stored, id, stored.RequestedAt
	return nil
}

// proveRedirect matches the redirect URI against the client's own. RFC 6749 §3.1.2.3 lets a client with a single one leave it
// out; OpenID Connect does not (Core §3.1.2.1).
func (a *authorization) proveRedirect() error {
	given := a.form.Get("redirect_uri")
	if given == "" && len(a.client.RedirectURIs) == 1 && !slices.Contains(a.scopes(), scopeOpenID) {
		a.redirectURI = a.client.RedirectURIs[0]
		return nil
	}
	if _, ok := redirect.Match(a.client.RedirectURIs, given); !ok {
		return requestErrorPage("The address to return to (redirect_uri) is not registered for this application.", nil)
	}
	a.redirectURI = given
	return nil
}

func (a *authorization) scopes() []string { return strings.Fields(a.form.Get("scope")) }

// answerMode is how an answer travels, errors included: as asked when it may be asked, else by the response type's default
// (OAuth 2.0 Multiple Response Type Encoding Practices §2.1 and §5).
func (a *authorization) answerMode() string {
	direct := slices.ContainsFunc(strings.Fields(a.form.Get("response_type")), func(word string) bool {
		return word == responsetype.Token || word == responsetype.IDToken
	})
	if asked := a.form["response_mode"]; len(asked) == 1 && slices.Contains(a.client.ResponseModes, asked[0]) && !(direct && asked[0] == modeQuery) {
		return asked[0]
	}
	if direct {
		return modeFragment
	}
	if modes := a.client.ResponseModes; len(modes) > 0 && !slices.Contains(modes, modeQuery) {
		return modes[0] // a client that wants no codes in addresses gets none there
	}
	return modeQuery
}

// checkAuthorization checks what fosite does not, or not rightly.
func (p *Provider) checkAuthorization(ctx context.Context, unit *fositestore.Unit, a *authorization) error {
	form := a.form
	if err := acceptParams(form); err != nil {
		return err
	}
	if form.Get("registration") != "" {
		return fosite.ErrRegistrationNotSupported.WithHint("The registration parameter is not supported.")
	}
	if err := a.readResponseType(ctx); err != nil {
		return err
	}
	if err := checkChallenge(form, a.kind.Code && !mayLackChallenge(a.client)); err != nil {
		return err
	}
	if err := checkResources(form); err != nil {
		return err
	}
	if err := p.admit(ctx, unit, a.client, form["resource"]); err != nil {
		return err
	}
	if len(a.scopes()) == 0 {
		form.Set("scope", a.defaultScope())
	}
	if err := p.aim(ctx, a); err != nil {
		return err
	}
	if a.kind.IDToken && !slices.Contains(a.scopes(), scopeOpenID) {
		return fosite.ErrInvalidScope.WithHint("An ID token needs the scope openid.")
	}
	if err := a.readPrompt(ctx); err != nil {
		return err
	}
	var err error
	if a.acr, err = proof.ReadRequest(form, a.client.DefaultACRValues()); err != nil {
		return fosite.ErrInvalidRequest.WithWrap(err).WithHint("The claims parameter must be a JSON object of the members userinfo and id_token.")
	}
	if err := a.readClaims(); err != nil {
		return err
	}
	return p.readHint(ctx, a)
}

// readResponseType reads what is asked for and how it is to travel. Tokens in the address of a browser are for organizations and clients
// that cannot do otherwise (RFC 9700 §2.1.2), and never in a query (OAuth 2.0 Multiple Response Type Encoding Practices 1.0 §3 and §5).
func (a *authorization) readResponseType(ctx context.Context) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	text, legacy := a.form.Get("response_type"), org.Decided().Tokens.LegacyResponseTypes
	kind, ok := responsetype.Parse(text)
	switch {
	case text == "":
		return fosite.ErrInvalidRequest.WithHint("The response_type is missing.")
	case !ok, kind.Direct() && !legacy:
		return fosite.ErrUnsupportedResponseType.WithHintf("The response_type must be %s.", strings.Join(responsetype.Supported(legacy), ", or "))
	case !kind.In(a.client.ResponseTypes):
		return fosite.ErrUnauthorizedClient.WithHint("The client is not registered for this response_type.")
	}
	a.kind = kind
	switch mode := a.form.Get("response_mode"); {
	case mode == "":
	case kind.Direct() && mode == modeQuery:
		return fosite.ErrInvalidRequest.WithHint("No token is given in a query: the response_mode must be fragment or form_post.")
	case !slices.Contains(a.client.ResponseModes, mode):
		return fosite.ErrInvalidRequest.WithHint("The client may not use this response_mode.")
	}
	if kind.IDToken && a.form.Get("nonce") == "" {
		return fosite.ErrInvalidRequest.WithHint("The nonce is missing: an ID token in the address of a browser needs one.")
	}
	return nil
}

// aim leaves out the scopes that mean nothing where the tokens will be valid, before anybody is asked for them (RFC 6749 §3.3). What
// the client may not ask for at all is not left out: that is an error.
func (p *Provider) aim(ctx context.Context, a *authorization) error {
	asked := a.scopes()
	audience := a.form["resource"]
	if len(audience) == 0 {
		audience = a.client.Audience
	}
	left, err := p.aimed(ctx, asked, audience)
	if err != nil || len(left) == len(asked) {
		return err
	}
	kept := slices.DeleteFunc(asked, func(scope string) bool {
		return !slices.Contains(left, scope) && slices.Contains(a.client.Scopes, scope)
	})
	if len(kept) == 0 {
		return errNothingLeft
	}
	a.form.Set("scope", strings.Join(kept, " "))
	return nil
}

// defaultScope is what a request without a scope asks for (RFC 6749 §3.3): all that the client may have, save who the person
// is and access while they are away, which nobody asks for by saying nothing.
func (a *authorization) defaultScope() string {
	return strings.Join(slices.DeleteFunc(slices.Clone(a.client.Scopes), func(scope string) bool {
		return scope == scopeOfflineAccess || scope == scopeOpenID
	}), " ")
}

// readPrompt reads prompt and max_age (OpenID Connect Core 1.0 §3.1.2.1), the latter of the client's registration where the
// request leaves it out (OpenID Connect Dynamic Client Registration 1.0 §2).
func (a *authorization) readPrompt(ctx context.Context) error {
	a.prompts = strings.Fields(a.form.Get("prompt"))
	for _, word := range a.prompts {
		switch word {
		case prompt.LoginValue, prompt.ConsentValue, prompt.SelectAccount:
		case prompt.Create:
			// Initiating User Registration via OpenID Connect 1.0 §4.1 has an error for a value that is not supported, which it is not where
			// nobody makes an account by themselves; and what it would mean beside another nobody could say.
			if org, err := tenant.From(ctx); err != nil {
				return err
			} else if len(a.prompts) > 1 || !org.Decided().SignUpOpen() {
				return fosite.ErrInvalidRequest.WithHint("The prompt create stands alone, and is for organizations that let people sign up.")
			}
		case prompt.None:
			if len(a.prompts) > 1 {
				return fosite.ErrInvalidRequest.WithHint("The prompt none stands alone.")
			}
		default:
			return fosite.ErrInvalidRequest.WithHint("The prompt must be none, or create, or of login, consent and select_account.")
		}
	}
	if a.form.Has("max_age") {
		// 32 bits of seconds are more than a century, and far from what a Duration can hold.
		seconds, err := strconv.ParseUint(a.form.Get("max_age"), 10, 32)
		if err != nil {
			return fosite.ErrInvalidRequest.WithHint("The max_age must be a number of seconds.")
		}
		age := time.Duration(seconds) * time.Second
		a.maxAge = &age
	} else if seconds, ok := a.client.Metadata["default_max_age"].(float64); ok {
		age := time.Duration(seconds) * time.Second
		a.maxAge = &age
	}
	return nil
}

// readHint verifies an id_token_hint: an ID token of ours, for this client, however long expired and whichever of our keys
// signed it (OpenID Connect Core 1.0 §3.1.2.1).
func (p *Provider) readHint(ctx context.Context, a *authorization) (err error) {
	if a.names, err = p.subjects.names(ctx, a.client.Sector()); err != nil {
		return err
	}
	a.hint = a.subject
	token := a.form.Get("id_token_hint")
	if token == "" {
		return nil
	}
	hint, err := p.verifyHint(ctx, token)
	if err != nil && !errors.Is(err, keys.ErrToken) {
		return err
	}
	if err != nil || hint.audience != a.client.ClientID {
		return fosite.ErrInvalidRequest.WithHint("The id_token_hint is not an ID token that was issued to this client, decrypted if it came encrypted.")
	}
	if a.subject != "" && a.subject != hint.subject {
		return errClaims.WithHint("The id_token_hint and the claims parameter name two subjects.")
	}
	a.hint = hint.subject
	return nil
}

// fositeForm is the request as fosite is to see it. fosite wants a state: it gets one, which no answer repeats.
func (a *authorization) fositeForm() url.Values {
	form := withAudience(a.form)
	form.Del(paramPAR)
	if form.Get("state") == "" {
		form.Set("state", "-")
	}
	return form
}

// facts gathers what the decision rests on. device is what the browser is known by.
func (p *Provider) facts(ctx context.Context, a *authorization, who *account, device string) (prompt.Facts, error) {
	session, user := who.session, who.user
	facts := prompt.Facts{
		Now: time.Now(), Prompt: a.prompts, MaxAge: a.maxAge, Hint: a.hint, Others: who.others, Impossible: a.acr.Impossible(),
	}
	if a.interaction != nil {
		facts.Refusal = a.interaction.Refusal
	}
	if session == nil || facts.Refusal != "" {
		return facts, nil
	}
	mine := a.interaction != nil && a.interaction.SessionID != nil && *a.interaction.SessionID == session.ID
	var err error
	facts.Session = &prompt.Session{
		Subject:  a.names.subject(user.ID.String()),
		AuthTime: session.AuthTime,
		Fresh:    mine && a.interaction.AuthenticatedAt != nil,
		Chosen:   mine && a.interaction.SelectedAt != nil,
		Aside:    who.aside,
	}
	if facts.Lacking, err = p.lacking(ctx, a, session, user, device); err != nil {
		return facts, err
	}
	facts.ConsentedNow = mine && a.interaction.ConsentedAt != nil && containsAll(a.interaction.ConsentedScopes, a.consentScopes())
	if facts.ConsentedNow {
		facts.Consented = true
		return facts, nil
	}
	facts.Consented, err = p.consented(ctx, a, user)
	return facts, err
}

// lacking reports whether a session is less than the request or the organization asks for.
func (p *Provider) lacking(ctx context.Context, a *authorization, session *storage.Session, user *storage.User, device string) (bool, error) {
	measure := people.Measure{Demand: a.acr.Demand(), Device: device, Session: true}
	if measure.Demand == proof.TwoIfThere && slices.Contains(a.prompts, prompt.None) {
		measure.Demand = proof.AsDecided // it would rather have two, and takes what there is
	}
	due, _, err := p.people.Due(ctx, user, session.AMR, measure)
	return due != people.Nothing, err
}

// consented reports whether the person need not be asked: the client is the organization's own, or was allowed before.
func (p *Provider) consented(ctx context.Context, a *authorization, user *storage.User) (bool, error) {
	if a.client.SkipConsent {
		return true, nil
	}
	if a.client.IsPublic() && (redirect.IsLoopback(a.redirectURI) || redirect.IsPrivateUse(a.redirectURI)) {
		// Any program on the machine can claim such an address, and nothing else tells one from another: an earlier consent
		// was perhaps for a different one (RFC 8252 §8.6).
		return false, nil
	}
	remembered, err := p.db.Consent(ctx, user.ID, a.client.ClientID)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return containsAll(remembered.Scopes, a.consentScopes()), nil
}

// toPage sends the browser to a page, with the request stored where the page finds it. The session is that of the person
// who is asked for consent; it is nil for a login.
func (p *Provider) toPage(c *gin.Context, a *authorization, page string, session *storage.Session) error {
	ctx := c.Request.Context()
	org, err := orgOf(c)
	if err != nil {
		return err
	}
	again := a.interaction != nil
	if again && session != nil && (a.interaction.SessionID == nil || *a.interaction.SessionID != session.ID) {
		// Somebody else has signed in since: the pages start over, for them.
		again = false
	}
	if !again {
		a.id = secret.New(secret.Interaction)
		row := &storage.Interaction{
			Digest:        secret.Digest(a.id),
			BrowserDigest: secret.Digest(p.sessions.Flow(c)),
			ClientID:      a.client.ClientID,
			Params:        a.form,
			RequestedAt:   a.requestedAt,
			ExpiresAt:     time.Now().UTC().Add(interactionLifetime),
		}
		if session != nil {
			row.SessionID = &session.ID
		}
		if err := p.db.CreateInteraction(ctx, row); err != nil {
			return fmt.Errorf("store an authorization request: %w", err)
		}
	}
	c.Redirect(http.StatusSeeOther, org.BasePath+page+"?"+paramInteraction+"="+url.QueryEscape(a.id))
	return nil
}

// checkRights refuses a request of which the person may have nothing at all, before they are asked to allow it. Of any other they
// allow the whole: how much of it their roles permit is asked for each token, then.
func (p *Provider) checkRights(ctx context.Context, a *authorization, request fosite.AuthorizeRequester, user *storage.User) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	asked := request.GetRequestedScopes()
	left, _, err := p.permitted(ctx, user.ID, asked, audienceOf(org, request, a.client))
	if err != nil {
		return err
	}
	if len(left) == 0 && len(asked) > 0 {
		return fosite.ErrAccessDenied.WithHint("The person is not permitted any of what was asked for.")
	}
	return nil
}

// issue answers with a code, or whatever the response type asks for: one transaction writes it, spends the interaction and the pushed
// request.
func (p *Provider) issue(c *gin.Context, ctx context.Context, a *authorization, unit *fositestore.Unit,
	request fosite.AuthorizeRequester, session *storage.Session, user *storage.User,
) error {
	for _, scope := range request.GetRequestedScopes() {
		request.GrantScope(scope)
	}
	org, err := orgOf(c)
	if err != nil {
		return err
	}
	for _, one := range audienceOf(org, request, a.client) {
		request.GrantAudience(one)
	}
	granted := &fositestore.Session{
		Subject: user.ID.String(),
		Facts: fositestore.Facts{
			AuthTime: session.AuthTime.Unix(), ACR: a.acr.Met(session.ACR), AMR: session.AMR,
			SessionID: session.ID.String(), Sector: a.client.Sector(), Nonce: a.form.Get("nonce"), Claims: a.claims,
		},
	}
	if a.kind.Token {
		if err := p.directTerms(ctx, unit, a.client, granted, user.ID, request.GetGrantedScopes(), request.GetGrantedAudience()); err != nil {
			return err
		}
	}
	response, err := p.fosite.NewAuthorizeResponse(ctx, request, granted)
	if err != nil {
		return err
	}
	params, err := p.responseParams(ctx, a, request, response, granted, user)
	if err != nil {
		return err
	}
	if request.GetGrantedScopes().Has(scopeOpenID) {
		if state := p.sessions.SessionState(session, a.client.ClientID, a.redirectURI); state != "" {
			params.Set("session_state", state)
			if err := p.sessions.ShowState(c); err != nil {
				return err
			}
		}
	}

	err = unit.Commit(ctx, nil, append(p.ending(a), p.noteSession(a.client, session)...)...)
	if errors.Is(err, storage.ErrSpent) {
		return requestErrorPage("This sign-in was completed already. Go back to the application.", err)
	}
	if err != nil {
		return fmt.Errorf("write an authorization code: %w", err)
	}
	p.noteUse(ctx, a.client)
	return p.answer(c, a, params)
}

// responseParams are the parameters that an authorization is answered with (RFC 6749 §4.1.2 and §4.2.2, OpenID Connect Core 1.0 §3.2.2.5).
func (p *Provider) responseParams(ctx context.Context, a *authorization, request fosite.AuthorizeRequester, response fosite.AuthorizeResponder,
	session *fositestore.Session, user *storage.User,
) (url.Values, error) {
	params := make(url.Values)
	if a.kind.Code {
		params.Set("code", response.GetCode())
	}
	access := response.GetParameters().Get("access_token")
	if a.kind.Token {
		scope, err := fositestore.GrantDirectly(ctx)
		if err != nil {
			return nil, err
		}
		params.Set("access_token", access)
		params.Set("token_type", "Bearer")
		params.Set("expires_in", strconv.FormatInt(secondsUntil(session.GetExpiresAt(fosite.AccessToken)), 10))
		params.Set("scope", strings.Join(scope, " "))
	}
	if !a.kind.IDToken {
		return params, nil
	}
	t := telling{
		client: a.client, facts: session.Facts, place: claimmap.IDToken, room: maxMapped, granted: request.GetGrantedScopes(), names: a.claims.IDToken,
	}
	if !a.kind.Code && !a.kind.Token { // and so no userinfo that could be asked (OpenID Connect Core 1.0 §5.4)
		t.scopes = t.granted
	}
	about, err := p.tell(ctx, user, t)
	if err != nil {
		return nil, err
	}
	token, err := p.idTokens.make(ctx, a.client, session, given{code: params.Get("code"), access: access}, about)
	if err != nil {
		return nil, err
	}
	params.Set("id_token", token)
	return params, nil
}

// ending is what an answer to the client uses up, whatever the answer: the interaction, and the pushed request (RFC 9126 §4).
func (p *Provider) ending(a *authorization) (deeds []func(context.Context) error) {
	if pushed := a.form.Get(paramPAR); pushed != "" {
		deeds = append(deeds, func(ctx context.Context) error {
			err := p.db.SpendPAR(ctx, pushed)
			if errors.Is(err, storage.ErrSpent) {
				return errSpentPAR
			}
			return err
		})
	}
	if a.interaction != nil {
		deeds = append(deeds, func(ctx context.Context) error { return p.db.SpendInteraction(ctx, a.interaction.Digest) })
	}
	return deeds
}

// answer sends the browser back to the client (RFC 6749 §4.1.2), saying who answers (RFC 9207).
func (p *Provider) answer(c *gin.Context, a *authorization, params url.Values) error {
	org, err := orgOf(c)
	if err != nil {
		return err
	}
	params.Set("iss", org.Issuer)
	if a.state != "" {
		params.Set("state", a.state)
	}
	c.Header("Cache-Control", "no-store")
	if a.mode == modeFormPost {
		return p.pages.FormPost(c, a.redirectURI, params)
	}
	c.Redirect(http.StatusSeeOther, withParams(a.redirectURI, a.mode, params))
	return nil
}

// withParams appends parameters to a redirect URI and leaves what is there as it stands, to the byte (RFC 6749 §3.1.2).
func withParams(uri, mode string, params url.Values) string {
	separator := "?"
	switch {
	case mode == modeFragment:
		separator = "#"
	case strings.HasSuffix(uri, "?"), strings.HasSuffix(uri, "&"):
		separator = ""
	case strings.Contains(uri, "?"):
		separator = "&"
	}
	return uri + separator + params.Encode()
}

// authorizeError tells the client of an error, now that it is known where the client is (RFC 6749 §4.1.2.1).
func (p *Provider) authorizeError(c *gin.Context, a *authorization, err error) error {
	var page *web.Error
	if errors.As(err, &page) {
		return err
	}
	said := answerFor(err)
	if said.status >= http.StatusInternalServerError && !errors.Is(err, keys.ErrClientKeysAway) {
		// A fault of ours is for the person to see and to try again; the client's request is still good.
		return err
	}
	p.faultLogged(c, said.status, err)
	for _, end := range p.ending(a) {
		// Should the same answer be on its way twice, this one changes nothing.
		if spent := end(c.Request.Context()); spent != nil && !errors.Is(spent, storage.ErrSpent) && !errors.Is(spent, errSpentPAR) {
			return fmt.Errorf("end an authorization request: %w", spent)
		}
	}
	return p.answer(c, a, url.Values{"error": {said.code}, "error_description": {said.description}})
}

// requestErrorPage is an error that only the visitor may see.
func requestErrorPage(message string, cause error) error {
	return &web.Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: message, Cause: cause}
}

// refusedPage makes a page of an error that came before anything was proven. What is not the request's fault, or is one of its
// size alone, has a page already.
func refusedPage(err error, page func(message string, cause error) error) error {
	var tooLarge *http.MaxBytesError
	said := answerFor(err)
	if said.status >= http.StatusInternalServerError || errors.As(err, &tooLarge) {
		return err
	}
	return page(said.description, err)
}

// hint is an ID token that came back to us.
type hint struct {
	subject, audience, sessionID string
}

// verifyHint verifies an ID token of this issuer. That it has expired does not matter, nor which of our keys signed it, as
// long as that key was not revoked.
func (p *Provider) verifyHint(ctx context.Context, token string) (*hint, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	verified, err := p.keys.Verify(ctx, token, keys.Algorithms(), "JWT")
	if err != nil {
		return nil, err
	}
	claims := verified.Claims
	if !org.Own(claims.Text("iss")) || claims.Text("sub") == "" {
		return nil, keys.ErrToken
	}
	return &hint{subject: claims.Text("sub"), audience: claims.Text("aud"), sessionID: claims.Text("sid")}, nil
}
