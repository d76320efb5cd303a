package providertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What the provider knows: one client, which may be public or present its secret, and one person.
const (
	ClientID     = "demo"
	ClientSecret = "s3cret: % + é" // every character that Basic credentials get wrong (RFC 6749 §2.3.1)
	Username     = "alice"
	Password     = "correct horse battery staple"
	Subject      = "6f1c2f0e-alice"
)

// Faults are the respects in which the provider can misbehave. A nil function means that it behaves.
type Faults struct {
	Metadata         func(map[string]any)
	Callback         func(url.Values)
	Answer           func(map[string]any) // of the token endpoint
	Claims           func(map[string]any) // of the ID token, before it is signed
	Header           func(map[jose.HeaderKey]any)
	UserInfo         func(map[string]any)
	WrongKey         bool                        // sign by a key that was never published
	Symmetric        bool                        // sign by HS256 with the client's secret
	Unsigned         bool                        // alg none
	Forge            func(idToken string) string // alter the token after it was signed
	Deny             bool                        // the consent page is answered with access_denied
	KeepRefreshToken bool                        // the token endpoint does not rotate
}

// Provider is a running one.
type Provider struct {
	*httptest.Server
	Faults Faults

	key   *ecdsa.PrivateKey
	mux   *http.ServeMux
	mu    sync.Mutex
	codes map[string]url.Values // code → authorization request
	live  map[string]url.Values // access or refresh token → authorization request
}

// New starts a provider that ends with the test.
func New(t *testing.T, faults Faults) *Provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{Faults: faults, key: key, mux: http.NewServeMux(), codes: map[string]url.Values{}, live: map[string]url.Values{}}
	for pattern, handle := range map[string]http.HandlerFunc{
		"GET /.well-known/openid-configuration": p.metadata,
		"GET /jwks.json":                        p.jwks,
		"GET /authorize":                        p.authorize,
		"GET /login":                            p.login,
		"POST /login":                           p.loggedIn,
		"POST /consent":                         p.consented,
		"POST /token":                           p.token,
		"GET /userinfo":                         p.userinfo,
		"POST /introspect":                      p.introspect,
		"POST /revoke":                          p.revoke,
		"GET /logout":                           p.logout,
	} {
		p.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			p.mu.Lock()
			defer p.mu.Unlock()
			handle(w, r)
		})
	}
	p.Server = httptest.NewServer(p.mux)
	t.Cleanup(p.Close)
	return p
}

// Beside puts a client's own pages on the provider's origin.
func (p *Provider) Beside(pattern string, pages http.Handler) { p.mux.Handle(pattern, pages) }

func (p *Provider) metadata(w http.ResponseWriter, _ *http.Request) {
	document := map[string]any{
		"issuer":                                         p.URL,
		"authorization_endpoint":                         p.URL + "/authorize",
		"token_endpoint":                                 p.URL + "/token",
		"userinfo_endpoint":                              p.URL + "/userinfo",
		"jwks_uri":                                       p.URL + "/jwks.json",
		"introspection_endpoint":                         p.URL + "/introspect",
		"revocation_endpoint":                            p.URL + "/revoke",
		"end_session_endpoint":                           p.URL + "/logout",
		"id_token_signing_alg_values_supported":          []string{"ES256"},
		"code_challenge_methods_supported":               []string{"S256"},
		"authorization_response_iss_parameter_supported": true,
	}
	if p.Faults.Metadata != nil {
		p.Faults.Metadata(document)
	}
	answer(w, http.StatusOK, document)
}

func (p *Provider) jwks(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "first", Algorithm: "ES256", Use: "sig"}}})
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if query.Get("client_id") != ClientID || query.Get("code_challenge_method") != "S256" || query.Get("redirect_uri") == "" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	http.Redirect(w, r, "/login?"+r.URL.RawQuery, http.StatusSeeOther)
}

func page(w http.ResponseWriter, status int, text string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	if err := template.Must(template.New("").Parse("<!doctype html><html lang=en><title>Provider</title>"+text)).Execute(w, data); err != nil {
		panic(err)
	}
}

const loginPage = `<h1 id="page-title">Sign in</h1>{{if .Wrong}}<p id="error">Wrong user name or password.</p>{{end}}
<form method="post" action="/login"><input type="hidden" name="request" value="{{.Request}}">
<input id="username" name="username" required value="{{.Hint}}"><input id="password" name="password" type="password" required>
<button id="login-submit">Sign in</button><button id="login-cancel" name="cancel" value="1" formnovalidate>Cancel</button></form>`

func (p *Provider) login(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: "flow", Value: "1", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	page(w, http.StatusOK, loginPage, map[string]any{"Request": r.URL.RawQuery, "Hint": r.URL.Query().Get("login_hint")})
}

func (p *Provider) loggedIn(w http.ResponseWriter, r *http.Request) {
	request := r.PostFormValue("request")
	if _, err := r.Cookie("flow"); err != nil {
		http.Error(w, "no cookie", http.StatusForbidden)
		return
	}
	if r.PostFormValue("cancel") != "" {
		p.back(w, r, request, url.Values{"error": {"access_denied"}, "error_description": {"The person cancelled."}})
		return
	}
	if r.PostFormValue("username") != Username || r.PostFormValue("password") != Password {
		page(w, http.StatusBadRequest, loginPage, map[string]any{"Request": request, "Wrong": true, "Hint": r.PostFormValue("username")})
		return
	}
	page(w, http.StatusOK, `<h1 id="page-title">Allow access</h1><form method="post" action="/consent">
<input type="hidden" name="request" value="{{.}}"><button id="consent-allow" name="decision" value="allow">Allow</button>
<button id="consent-deny" name="decision" value="deny">Deny</button></form>`, request)
}

func (p *Provider) consented(w http.ResponseWriter, r *http.Request) {
	raw := r.PostFormValue("request")
	if p.Faults.Deny || r.PostFormValue("decision") != "allow" {
		p.back(w, r, raw, url.Values{"error": {"access_denied"}})
		return
	}
	request, _ := url.ParseQuery(raw)
	code := "code-" + rand.Text() + rand.Text()
	p.codes[code] = request
	p.back(w, r, raw, url.Values{"code": {code}})
}

// back sends the browser to the redirect URI.
func (p *Provider) back(w http.ResponseWriter, r *http.Request, raw string, values url.Values) {
	request, _ := url.ParseQuery(raw)
	values.Set("state", request.Get("state"))
	values.Set("iss", p.URL)
	if p.Faults.Callback != nil {
		p.Faults.Callback(values)
	}
	if request.Get("response_mode") == "form_post" {
		page(w, http.StatusOK, `<h1 id="page-title">Continue</h1><form method="post" action="{{.To}}">{{range $name, $values := .Values}}{{range $values}}
<input type="hidden" name="{{$name}}" value="{{.}}">{{end}}{{end}}<button id="continue">Continue</button></form>`,
			map[string]any{"To": template.URL(request.Get("redirect_uri")), "Values": values})
		return
	}
	http.Redirect(w, r, request.Get("redirect_uri")+"?"+values.Encode(), http.StatusSeeOther)
}

// client authenticates as RFC 6749 §2.3.1 says, or takes the client's word when it is public.
func client(r *http.Request) (confidential, ok bool) {
	if id, pw, basic := r.BasicAuth(); basic {
		id, err1 := url.QueryUnescape(id)
		pw, err2 := url.QueryUnescape(pw)
		return true, err1 == nil && err2 == nil && id == ClientID && pw == ClientSecret
	}
	if r.PostFormValue("client_secret") != "" {
		return true, r.PostFormValue("client_id") == ClientID && r.PostFormValue("client_secret") == ClientSecret
	}
	return false, r.PostFormValue("client_id") == ClientID
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if _, ok := client(r); !ok {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	var request url.Values
	refreshed := false
	switch given := r.PostFormValue("refresh_token"); r.PostFormValue("grant_type") {
	case "authorization_code":
		code := r.PostFormValue("code")
		request = p.codes[code]
		delete(p.codes, code)
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if request.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) || request.Get("redirect_uri") != r.PostFormValue("redirect_uri") {
			request = nil
		}
	case "refresh_token":
		request, refreshed = p.live[given], true
		if !p.Faults.KeepRefreshToken {
			delete(p.live, given)
		}
	}
	if request == nil {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "The code or token is not good."})
		return
	}
	access := "at-" + rand.Text() + rand.Text()
	p.live[access] = request
	body := map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": 600, "scope": request.Get("scope"),
		"id_token": p.idToken(request, access, refreshed),
	}
	if strings.Contains(request.Get("scope"), "offline_access") && !(refreshed && p.Faults.KeepRefreshToken) {
		refresh := "rt-" + rand.Text() + rand.Text()
		p.live[refresh] = request
		body["refresh_token"] = refresh
	}
	if p.Faults.Answer != nil {
		p.Faults.Answer(body)
	}
	answer(w, http.StatusOK, body)
}

func (p *Provider) idToken(request url.Values, access string, refreshed bool) string {
	now := time.Now()
	sum := sha256.Sum256([]byte(access))
	claims := map[string]any{
		"iss": p.URL, "sub": Subject, "aud": ClientID, "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
		"auth_time": p.authTime(request, now), "nonce": request.Get("nonce"), "at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
	}
	if refreshed {
		delete(claims, "nonce")
	}
	if p.Faults.Claims != nil {
		p.Faults.Claims(claims)
	}
	return p.sign(claims)
}

// authTime is when the code was redeemed first, and stays so.
func (p *Provider) authTime(request url.Values, now time.Time) int64 {
	if at, ok := request["auth_time"]; ok {
		unix, err := strconv.ParseInt(at[0], 10, 64)
		if err != nil {
			panic(err)
		}
		return unix
	}
	request.Set("auth_time", strconv.FormatInt(now.Unix(), 10))
	return now.Unix()
}

func (p *Provider) sign(claims map[string]any) string {
	payload, _ := json.Marshal(claims)
	if p.Faults.Unsigned {
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	}
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "first")
	if p.Faults.Header != nil {
		p.Faults.Header(options.ExtraHeaders)
	}
	key := jose.SigningKey{Algorithm: jose.ES256, Key: p.key}
	switch {
	case p.Faults.WrongKey:
		stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		key.Key = stranger
	case p.Faults.Symmetric:
		secret := sha256.Sum256([]byte(ClientSecret))
		key = jose.SigningKey{Algorithm: jose.HS256, Key: secret[:]}
	}
	signer, err := jose.NewSigner(key, options)
	if err != nil {
		panic(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	if p.Faults.Forge != nil {
		token = p.Faults.Forge(token)
	}
	return token
}

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if p.live[token] == nil {
		w.Header().Set("WWW-Authenticate", `Bearer realm="provider", error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	claims := map[string]any{"sub": Subject, "name": "Alice Doe", "email": "alice@example.com", "email_verified": true, "updated_at": 1735689600}
	if p.Faults.UserInfo != nil {
		p.Faults.UserInfo(claims)
	}
	answer(w, http.StatusOK, claims)
}

func (p *Provider) introspect(w http.ResponseWriter, r *http.Request) {
	if confidential, ok := client(r); !ok || !confidential {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	if p.live[r.PostFormValue("token")] == nil {
		answer(w, http.StatusOK, map[string]any{"active": false})
		return
	}
	answer(w, http.StatusOK, map[string]any{"active": true, "sub": Subject, "client_id": ClientID})
}

func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	if _, ok := client(r); !ok {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	// The whole family: every token of the same authorization request.
	if request := p.live[r.PostFormValue("token")]; request != nil {
		maps.DeleteFunc(p.live, func(_ string, v url.Values) bool { return v.Get("state") == request.Get("state") })
	}
}

func (p *Provider) logout(w http.ResponseWriter, r *http.Request) {
	back := r.URL.Query().Get("post_logout_redirect_uri")
	if back == "" {
		page(w, http.StatusOK, `<h1 id="page-title">Signed out</h1>`, nil)
		return
	}
	http.Redirect(w, r, back+"?"+url.Values{"state": {r.URL.Query().Get("state")}}.Encode(), http.StatusSeeOther)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(err)
	}
}
