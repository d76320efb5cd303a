package upstreamtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// What the provider knows of its one client. Every character stands there that Basic credentials get wrong (RFC 6749 §2.3.1).
const (
	ClientID     = "keizer:at upstream"
	ClientSecret = "s3cret: % + é"
	// TeamID and KeyID are those of a client of Apple's.
	TeamID = "A1B2C3D4E5"
	KeyID  = "Z9Y8X7W6V5"
)

// Faults are the respects in which it can misbehave. A nil function means that it behaves.
type Faults struct {
	Metadata func(map[string]any)
	Callback func(url.Values)
	Token    func(map[string]any) // the answer of the token endpoint
	Claims   func(map[string]any) // of the ID token, before it is signed
	Header   func(map[jose.HeaderKey]any)
	UserInfo func(map[string]any)
	Emails   func([]map[string]any) any
	Forge    func(idToken string) string // alter it after it was signed
	// WrongKey signs by a key that was never published, Symmetric with the secret by HS256, Unsigned not at all.
	WrongKey, Symmetric, Unsigned bool
	// Down answers for an endpoint: "metadata", "keys", "token", "userinfo", "emails". It returns true when it has.
	Down func(w http.ResponseWriter, r *http.Request, endpoint string) bool
}

// Provider is one that imitates another.
type Provider struct {
	Profile Profile
	// URL is where it is served, empty where it is not.
	URL string

	mu     sync.Mutex
	person Person
	faults Faults
	key    *rsa.PrivateKey
	apple  *ecdsa.PrivateKey
	codes  map[string]url.Values // code → authorization request
	tokens map[string]Person     // access or refresh token → person
	met    map[string]bool       // whom Apple has told of
	asked  []string              // endpoints
	// the last of each
	authorization, exchange url.Values
}

// key is one for all: making it takes long.
var key = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// New makes a provider that is not served: Transport speaks to it.
func New(t testing.TB, preset string) *Provider {
	t.Helper()
	profile, ok := Profiles()[preset]
	if !ok {
		t.Fatalf("there is no profile %q", preset)
	}
	p := &Provider{Profile: profile, person: Alice(), codes: map[string]url.Values{}, tokens: map[string]Person{}, met: map[string]bool{}}
	var err error
	if p.key, err = key(); err != nil {
		t.Fatal(err)
	}
	if p.apple, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	return p
}

// Serve makes a provider that is served on this machine until the test ends.
func Serve(t testing.TB, preset string) *Provider {
	t.Helper()
	p := New(t, preset)
	p.serve(t, httptest.NewServer(p))
	return p
}

// ServeTLS is Serve over TLS, and whose certificate is to be believed.
func ServeTLS(t testing.TB, preset string) (*Provider, *x509.Certificate) {
	t.Helper()
	p := New(t, preset)
	server := httptest.NewTLSServer(p)
	p.serve(t, server)
	return p, server.Certificate()
}

func (p *Provider) serve(t testing.TB, server *httptest.Server) {
	t.Cleanup(server.Close)
	p.URL = server.URL
	p.Profile = p.Profile.at(server.URL)
}

// Become makes somebody else come to the provider.
func (p *Provider) Become(person Person) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.person = person
}

// Misbehave sets the faults.
func (p *Provider) Misbehave(faults Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = faults
}

// Asked returns the endpoints that were asked since it was called last.
func (p *Provider) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.asked
	p.asked = nil
	return asked
}

// Authorization is what the last authorization request said, and Exchange what the last request of the token endpoint did.
func (p *Provider) Authorization() url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.authorization
}

// Exchange is what the last request to the token endpoint said.
func (p *Provider) Exchange() url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exchange
}

// RoundTrip makes the provider the whole internet.
func (p *Provider) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	p.ServeHTTP(recorder, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	response := recorder.Result()
	response.Request = r
	return response, nil
}

// Settings are what an organization decides to have people sign in there.
func (p *Provider) Settings() map[string]any {
	s := map[string]any{"preset": p.Profile.Preset}
	if p.Profile.Secret == "apple" {
		s["team_id"], s["key_id"] = TeamID, KeyID
	}
	if p.Profile.Preset == "oauth2" {
		s["scopes"] = []string{p.Profile.Scopes}
		s["claims"] = map[string]any{"sub": "data.user_id", "email": "data.mail", "email_verified": "data.confirmed", "name": "data.display"}
	}
	moved := p.URL != "" || p.Profile.Preset == "oauth2" || p.Profile.Preset == "oidc"
	if moved && p.Profile.Keys != "" {
		s["issuer"] = strings.Replace(p.Profile.Issuer, "{tenantid}", "{tenant}", 1)
	}
	if moved && p.Profile.Keys == "" {
		s["authorization_endpoint"], s["token_endpoint"], s["userinfo_endpoint"] = p.Profile.Authorization, p.Profile.Token, p.Profile.Userinfo
		if p.Profile.Preset == "facebook" {
			s["userinfo_endpoint"] = p.Profile.Userinfo + "?fields=id,name,first_name,last_name,email"
		}
		if p.Profile.Emails != "" {
			s["emails_endpoint"] = p.Profile.Emails
		}
	}
	return s
}

// Secret is what the client authenticates with.
func (p *Provider) Secret() string {
	if p.Profile.Secret != "apple" {
		return ClientSecret
	}
	return pemOf(p.apple)
}

// ServeHTTP implements http.Handler.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	address := "https://" + r.Host + r.URL.Path
	if p.URL != "" {
		address = p.URL + r.URL.Path
	}
	var endpoint string
	var handle http.HandlerFunc
	switch address {
	case strings.Replace(strings.TrimSuffix(p.Profile.Issuer, "/"), "{tenantid}", p.directory(address), 1) + "/.well-known/openid-configuration":
		endpoint, handle = "metadata", p.metadata
	case p.Profile.Keys:
		endpoint, handle = "keys", p.jwks
	case p.Profile.Authorization:
		endpoint, handle = "authorization", p.authorize
	case p.Profile.Token:
		endpoint, handle = "token", p.token
	case p.Profile.Userinfo:
		endpoint, handle = "userinfo", p.userinfo
	case p.Profile.Emails:
		endpoint, handle = "emails", p.emails
	default:
		http.Error(w, "nothing at "+address, http.StatusNotFound)
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, endpoint)
	fault := p.faults.Down
	p.mu.Unlock()
	if fault != nil && fault(w, r, endpoint) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	handle(w, r)
}

// directory is the part of an address of Microsoft's where the directory stands.
func (p *Provider) directory(address string) string {
	if p.Profile.Preset != "microsoft" {
		return ""
	}
	_, rest, _ := strings.Cut(address, "login.microsoftonline.com/")
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func (p *Provider) metadata(w http.ResponseWriter, r *http.Request) {
	document := map[string]any{
		"issuer": p.Profile.Issuer, "authorization_endpoint": p.Profile.Authorization, "token_endpoint": p.Profile.Token, "jwks_uri": p.Profile.Keys,
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"pairwise"}, "id_token_signing_alg_values_supported": []string{"RS256"},
	}
	if p.Profile.Userinfo != "" {
		document["userinfo_endpoint"] = p.Profile.Userinfo
	}
	if len(p.Profile.Challenges) > 0 {
		document["code_challenge_methods_supported"] = p.Profile.Challenges
	}
	if p.Profile.IssParameter {
		document["authorization_response_iss_parameter_supported"] = true
	}
	if name := p.directory("https://" + r.Host + r.URL.Path); len(name) == 36 || name == "consumers" {
		if name == "consumers" {
			name = "9188040d-6c67-4c5b-b112-36a304b66dad"
		}
		document["issuer"] = strings.Replace(p.Profile.Issuer, "{tenantid}", name, 1)
	}
	if p.faults.Metadata != nil {
		p.faults.Metadata(document)
	}
	answer(w, http.StatusOK, document)
}

func (p *Provider) jwks(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: p.key.Public(), KeyID: "first", Algorithm: "RS256", Use: "sig"}}})
}

// authorize sends whoever comes back with a code: there is nobody to ask.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	p.authorization = query
	wrong := ""
	switch {
	case query.Get("client_id") != ClientID:
		wrong = "client_id"
	case query.Get("response_type") != "code":
		wrong = "response_type"
	case query.Get("scope") != p.Profile.Scopes:
		wrong = "scope"
	case p.Profile.FormPost != (query.Get("response_mode") == "form_post"):
		wrong = "response_mode"
	case query.Get("state") == "" || query.Get("redirect_uri") == "":
		wrong = "state or redirect_uri"
	case !p.Profile.NoPKCE && (query.Get("code_challenge_method") != "S256" || len(query.Get("code_challenge")) != 43):
		wrong = "code_challenge"
	}
	for name, values := range query {
		if len(values) > 1 {
			wrong = name + " twice"
		}
	}
	if wrong != "" {
		http.Error(w, "bad request: "+wrong, http.StatusBadRequest)
		return
	}
	code := "code-" + rand.Text()
	p.codes[code] = query
	values := url.Values{"code": {code}, "state": {query.Get("state")}}
	if p.Profile.IssParameter {
		values.Set("iss", p.Profile.Issuer)
	}
	if p.Profile.Preset == "apple" && !p.met[p.person.ID] { // the first time alone
		p.met[p.person.ID] = true
		user, _ := json.Marshal(map[string]any{"name": map[string]any{"firstName": p.person.Given, "lastName": p.person.Family}, "email": p.person.Email})
		values.Set("user", string(user))
	}
	if p.faults.Callback != nil {
		p.faults.Callback(values)
	}
	if p.Profile.FormPost {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		page := template.Must(template.New("").Parse(`<!doctype html><html lang=en><title>Provider</title><link rel="icon" href="data:,"><h1 id="page-title">Continue</h1>
<form method="post" action="{{.To}}">{{range $name, $values := .Values}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">{{end}}{{end}}
<button id="continue">Continue</button></form>`))
		_ = page.Execute(w, map[string]any{"To": query.Get("redirect_uri"), "Values": values})
		return
	}
	http.Redirect(w, r, query.Get("redirect_uri")+"?"+values.Encode(), http.StatusFound)
}

// known reports whether the client has authenticated as it should.
func (p *Provider) known(r *http.Request) bool {
	form := r.PostForm
	id, secret, basic := r.BasicAuth()
	switch p.Profile.Secret {
	case "basic":
		id, err1 := url.QueryUnescape(id)
		secret, err2 := url.QueryUnescape(secret)
		return basic && err1 == nil && err2 == nil && id == ClientID && secret == ClientSecret && !form.Has("client_secret")
	case "apple":
		return !basic && form.Get("client_id") == ClientID && p.signed(form.Get("client_secret"))
	}
	return !basic && form.Get("client_id") == ClientID && form.Get("client_secret") == ClientSecret
}

// signed reports whether a client secret is one as Apple wants it.
func (p *Provider) signed(secret string) bool {
	token, err := jose.ParseSignedCompact(secret, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || token.Signatures[0].Header.KeyID != KeyID {
		return false
	}
	payload, err := token.Verify(p.apple.Public())
	var claims struct {
		Iss, Sub, Aud string
		Iat, Exp      int64
	}
	now := time.Now().Unix()
	return err == nil && json.Unmarshal(payload, &claims) == nil && claims.Iss == TeamID && claims.Sub == ClientID && claims.Aud == "https://appleid.apple.com" &&
		claims.Iat <= now+5 && claims.Exp > now && claims.Exp-claims.Iat <= 15777000
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if r.ParseForm() != nil || r.Method != http.MethodPost {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_request"})
		return
	}
	p.exchange = r.PostForm
	refuse := func(status int, code string) {
		if p.Profile.Form { // as GitHub does
			status = http.StatusOK
			code = map[string]string{"invalid_client": "incorrect_client_credentials", "invalid_grant": "bad_verification_code"}[code]
		}
		answer(w, status, map[string]any{"error": code, "error_description": "It is not good: <script>alert(1)</script>"})
	}
	if !p.known(r) {
		refuse(http.StatusUnauthorized, "invalid_client")
		return
	}
	var person Person
	nonce := ""
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		request := p.codes[r.PostForm.Get("code")]
		delete(p.codes, r.PostForm.Get("code"))
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		switch {
		case request == nil, request.Get("redirect_uri") != r.PostForm.Get("redirect_uri"),
			!p.Profile.NoPKCE && request.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]):
			refuse(http.StatusBadRequest, "invalid_grant")
			return
		case p.Profile.NoPKCE && r.PostForm.Has("code_verifier"):
			refuse(http.StatusBadRequest, "invalid_request")
			return
		}
		person, nonce = p.person, request.Get("nonce")
	case "refresh_token":
		known, ok := p.tokens[r.PostForm.Get("refresh_token")]
		if !ok {
			refuse(http.StatusBadRequest, "invalid_grant")
			return
		}
		delete(p.tokens, r.PostForm.Get("refresh_token"))
		person = known
	}
	access, refresh := "at-"+rand.Text(), "rt-"+rand.Text()
	p.tokens[access], p.tokens[refresh] = person, person
	body := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": 3600, "refresh_token": refresh}
	if p.Profile.Keys != "" {
		body["id_token"] = p.idToken(person, nonce, access)
	}
	if p.faults.Token != nil {
		p.faults.Token(body)
	}
	if p.Profile.Form {
		w.Header().Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		_, _ = fmt.Fprint(w, url.Values{"access_token": {access}, "token_type": {"bearer"}, "scope": {"read:user,user:email"}}.Encode())
		return
	}
	answer(w, http.StatusOK, body)
}

func (p *Provider) idToken(person Person, nonce, access string) string {
	now := time.Now()
	sum := sha256.Sum256([]byte(access))
	claims := p.Profile.idToken(person)
	for name, value := range map[string]any{
		"iss": strings.Replace(p.Profile.Issuer, "{tenantid}", person.Tenant, 1), "aud": ClientID, "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
		"at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
	} {
		claims[name] = value
	}
	if !p.Profile.NoNonce && nonce != "" {
		claims["nonce"] = nonce
	}
	if p.authorization.Get("max_age") != "" {
		claims["auth_time"] = now.Unix()
	}
	if p.faults.Claims != nil {
		p.faults.Claims(claims)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	if p.faults.Unsigned {
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	}
	options := (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", "first")
	if p.faults.Header != nil {
		p.faults.Header(options.ExtraHeaders)
	}
	by := jose.SigningKey{Algorithm: jose.RS256, Key: p.key}
	switch {
	case p.faults.WrongKey:
		by = jose.SigningKey{Algorithm: jose.ES256, Key: p.apple}
	case p.faults.Symmetric:
		secret := sha256.Sum256([]byte(ClientSecret))
		by = jose.SigningKey{Algorithm: jose.HS256, Key: secret[:]}
	}
	signer, err := jose.NewSigner(by, options)
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
	if p.faults.Forge != nil {
		token = p.faults.Forge(token)
	}
	return token
}

func (p *Provider) bearer(w http.ResponseWriter, r *http.Request) (Person, bool) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	person, ok := p.tokens[token]
	if ok && p.Profile.Preset == "facebook" {
		mac := hmac.New(sha256.New, []byte(ClientSecret))
		mac.Write([]byte(token))
		fields := strings.Split(r.URL.Query().Get("fields"), ",")
		ok = r.URL.Query().Get("appsecret_proof") == hex.EncodeToString(mac.Sum(nil)) && slices.Contains(fields, "email")
	}
	if !ok {
		w.WriteHeader(http.StatusUnauthorized)
	}
	return person, ok
}

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	person, ok := p.bearer(w, r)
	if !ok {
		return
	}
	claims := p.Profile.userinfo(person)
	if p.faults.UserInfo != nil {
		p.faults.UserInfo(claims)
	}
	answer(w, http.StatusOK, claims)
}

func (p *Provider) emails(w http.ResponseWriter, r *http.Request) {
	person, ok := p.bearer(w, r)
	if !ok {
		return
	}
	listed := []map[string]any{
		{"email": "other@example.com", "primary": false, "verified": true, "visibility": nil},
		{"email": person.Email, "primary": true, "verified": person.Verified, "visibility": "public"},
	}
	if p.faults.Emails != nil {
		answer(w, http.StatusOK, p.faults.Emails(listed))
		return
	}
	answer(w, http.StatusOK, listed)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(err)
	}
}

// Dribble answers without end, and little at a time, until nobody listens any more.
func Dribble(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm() // or it would not be seen that nobody does
	w.Header().Set("Content-Type", "application/json")
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := w.Write([]byte(" ")); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// pemOf is a private key as Apple hands it out.
func pemOf(key *ecdsa.PrivateKey) string {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// RefreshToken is one of the person's that is good.
func (p *Provider) RefreshToken() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	token := "rt-" + rand.Text()
	p.tokens[token] = p.person
	return token
}
