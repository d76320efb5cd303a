package manage_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/claimmap"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

const es256JWKS = `{"keys":[{"kty":"EC","kid":"k1","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`

func web() manage.ClientSpec {
	return manage.ClientSpec{Name: "App", RedirectURIs: []string{"https://rp.example/cb"}}
}

// implicit makes a spec one of a client that is given tokens at a redirect URI.
func implicit(redirectURI string) func(*manage.ClientSpec) {
	return func(s *manage.ClientSpec) {
		s.GrantTypes, s.ResponseTypes, s.RedirectURIs = []string{"implicit"}, []string{"id_token token"}, []string{redirectURI}
	}
}

func service() manage.ClientSpec {
	return manage.ClientSpec{Name: "Job", GrantTypes: []string{"client_credentials"}, Scope: "read write"}
}

func TestAClientIsCompletedWithDefaults(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "acme")
		client, made, err := o.CreateClient(ctx, web())
		must(t, err)
		if !secret.Valid(secret.ClientSecret, made.Reveal()) || *client.SecretDigest != secret.Digest(made.Reveal()) {
			t.Error("the secret is not what was kept of it")
		}
		if len(client.ClientID) != 24 || strings.Trim(client.ClientID, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Errorf("client_id %q", client.ClientID)
		}
		row, err := o.db.Client(ctx, client.ClientID)
		must(t, err)
		body, err := json.Marshal(manage.InformationOf(row, made))
		must(t, err)
		var shown map[string]any
		must(t, json.Unmarshal(body, &shown))
		want := map[string]any{
			"client_id": client.ClientID, "client_id_issued_at": float64(client.CreatedAt.Unix()), "client_secret": made.Reveal(), "client_secret_expires_at": 0.0,
			"client_name": "App", "redirect_uris": []any{"https://rp.example/cb"}, "token_endpoint_auth_method": "client_secret_basic",
			"grant_types": []any{"authorization_code"}, "response_types": []any{"code"}, "response_modes": []any{"query", "form_post"},
			"scope": "openid profile email", "id_token_signed_response_alg": "RS256", "access_token_format": "opaque",
		}
		if !maps.EqualFunc(shown, want, func(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) {
			t.Errorf("%s", body)
		}

		spec := web()
		spec.GrantTypes = []string{"authorization_code", "refresh_token"}
		spec.Scope = "openid"
		if client, _, err = o.CreateClient(ctx, spec); err != nil || !slices.Equal(client.Scopes, []string{"openid", "offline_access"}) {
			t.Errorf("a client with refresh tokens may ask for %v: %v", client.Scopes, err)
		}
		client, made, err = o.CreateClient(ctx, service())
		if err != nil || made == "" || len(client.ResponseTypes)+len(client.ResponseModes)+len(client.RedirectURIs) != 0 || !slices.Equal(client.Scopes, []string{"read", "write"}) {
			t.Errorf("%+v, %v", client, err)
		}
		spec = service()
		spec.Scope = ""
		if client, _, err = o.CreateClient(ctx, spec); err != nil || len(client.Scopes) != 0 {
			t.Errorf("%+v, %v", client, err)
		}
		spec = web()
		spec.AuthMethod = "none"
		if client, made, err = o.CreateClient(ctx, spec); err != nil || made != "" || client.SecretDigest != nil {
			t.Errorf("a public client has a secret: %v", err)
		}
		for _, at := range []func(*manage.ClientSpec){
			func(s *manage.ClientSpec) { s.JWKS = json.RawMessage(es256JWKS) }, func(s *manage.ClientSpec) { s.JWKSURI = "https://rp.example/jwks" },
		} {
			spec = web()
			spec.AuthMethod = "private_key_jwt"
			at(&spec)
			if client, made, err = o.CreateClient(ctx, spec); err != nil || made != "" || client.SecretDigest != nil {
				t.Errorf("a client with keys has a secret: %v", err)
			}
		}
	})
}

func TestAClientThatWouldNotWorkOrNotBeSafeIsRefused(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "acme")
		type spec = manage.ClientSpec
		cases := map[string]struct {
			base   spec
			change func(*spec)
			fields []string
		}{
			"no name":                   {web(), func(s *spec) { s.Name = "" }, []string{"client_name"}},
			"a name that turns around":  {web(), func(s *spec) { s.Name = "a\u202eb" }, []string{"client_name"}},
			"no redirect URI":           {web(), func(s *spec) { s.RedirectURIs = nil }, []string{"redirect_uris"}},
			"http":                      {web(), func(s *spec) { s.RedirectURIs = []string{"http://rp.example/cb"} }, []string{"redirect_uris"}},
			"javascript":                {web(), func(s *spec) { s.RedirectURIs = []string{"javascript:alert(1)"} }, []string{"redirect_uris"}},
			"a wildcard":                {web(), func(s *spec) { s.RedirectURIs = []string{"https://*.rp.example/cb"} }, []string{"redirect_uris"}},
			"a fragment":                {web(), func(s *spec) { s.RedirectURIs = []string{"https://rp.example/cb#x"} }, []string{"redirect_uris"}},
			"a redirect URI twice":      {web(), func(s *spec) { s.RedirectURIs = append(s.RedirectURIs, s.RedirectURIs[0]) }, []string{"redirect_uris"}},
			"51 redirect URIs":          {web(), func(s *spec) { s.RedirectURIs = numbered(51, "https://rp.example/%d") }, []string{"redirect_uris"}},
			"a bad post-logout URI":     {web(), func(s *spec) { s.PostLogoutRedirectURIs = []string{"data:,x"} }, []string{"post_logout_redirect_uris"}},
			"an unknown auth method":    {web(), func(s *spec) { s.AuthMethod = "self_signed_tls_client_auth" }, []string{"token_endpoint_auth_method"}},
			"tls_client_auth":           {web(), func(s *spec) { s.AuthMethod = "tls_client_auth" }, []string{"token_endpoint_auth_method"}},
			"the password grant":        {web(), func(s *spec) { s.GrantTypes = []string{"password"}; s.RedirectURIs = nil }, []string{"grant_types"}},
			"the implicit grant":        {web(), func(s *spec) { s.GrantTypes = append(s.GrantTypes, "authorization_code", "implicit") }, []string{"grant_types"}},
			"implicit on localhost":     {web(), implicit("http://localhost:3000/cb"), []string{"redirect_uris"}},
			"tokens in queries":         {web(), func(s *spec) { implicit("https://rp.example/cb")(s); s.ResponseModes = []string{"query"} }, []string{"response_modes"}},
			"one type in two orders":    {web(), func(s *spec) { s.ResponseTypes = []string{"id_token token", "token id_token"} }, []string{"response_types"}},
			"a public one without PKCE": {web(), func(s *spec) { s.AuthMethod, s.PKCEOptional = "none", true }, []string{"pkce_optional"}},
			"a grant twice":             {web(), func(s *spec) { s.GrantTypes = []string{"authorization_code", "authorization_code"} }, []string{"grant_types"}},
			"refresh tokens of nothing": {service(), func(s *spec) { s.GrantTypes = []string{"refresh_token"} }, []string{"grant_types", "scope"}},
			"response type token":       {web(), func(s *spec) { s.ResponseTypes = []string{"code", "token"} }, []string{"response_types"}},
			"response type without grant": {web(), func(s *spec) {
				s.GrantTypes, s.ResponseTypes = []string{"authorization_code"}, []string{"code id_token"}
			}, []string{"response_types"}},
			"response mode web_message":    {web(), func(s *spec) { s.ResponseModes = []string{"web_message"} }, []string{"response_modes"}},
			"a service with redirects":     {service(), func(s *spec) { s.RedirectURIs = []string{"https://rp.example/cb"} }, []string{"redirect_uris"}},
			"a service with responses":     {service(), func(s *spec) { s.ResponseTypes = []string{"code"} }, []string{"response_types"}},
			"a service with modes":         {service(), func(s *spec) { s.ResponseModes = []string{"query"} }, []string{"response_modes"}},
			"a service with logout":        {service(), func(s *spec) { s.PostLogoutRedirectURIs = []string{"https://rp.example/"} }, []string{"post_logout_redirect_uris"}},
			"a service with openid":        {service(), func(s *spec) { s.Scope = "read openid" }, []string{"scope"}},
			"a service with offline":       {service(), func(s *spec) { s.Scope = "offline_access" }, []string{"scope"}},
			"a service without a secret":   {service(), func(s *spec) { s.AuthMethod = "none" }, []string{"grant_types"}},
			"a scope with quotes":          {web(), func(s *spec) { s.Scope = `openid "x"` }, []string{"scope"}},
			"a scope twice":                {web(), func(s *spec) { s.Scope = strings.Repeat("openid ", 2) }, []string{"scope"}},
			"51 scopes":                    {web(), func(s *spec) { s.Scope = strings.Join(numbered(51, "s%d"), " ") }, []string{"scope"}},
			"an endless scope":             {web(), func(s *spec) { s.Scope = strings.Repeat("s", 129) }, []string{"scope"}},
			"no keys":                      {web(), func(s *spec) { s.AuthMethod = "private_key_jwt" }, []string{"jwks"}},
			"keys here and there":          {web(), func(s *spec) { s.JWKS = json.RawMessage(es256JWKS); s.JWKSURI = "https://rp.example/jwks" }, []string{"jwks"}},
			"keys that are none":           {web(), func(s *spec) { s.JWKS = json.RawMessage(`{"keys":[]}`) }, []string{"jwks"}},
			"a private key":                {web(), func(s *spec) { s.JWKS = json.RawMessage(strings.Replace(es256JWKS, `"kid"`, `"d":"AA","kid"`, 1)) }, []string{"jwks"}},
			"keys over http":               {web(), func(s *spec) { s.JWKSURI = "http://rp.example/jwks" }, []string{"jwks_uri"}},
			"keys of this machine":         {web(), func(s *spec) { s.JWKSURI = "https://127.0.0.1/jwks" }, []string{"jwks_uri"}},
			"keys of the metadata service": {web(), func(s *spec) { s.JWKSURI = "https://169.254.169.254/jwks" }, []string{"jwks_uri"}},
			"HS256":                        {web(), func(s *spec) { s.IDTokenAlg = "HS256" }, []string{"id_token_signed_response_alg"}},
			"none":                         {web(), func(s *spec) { s.IDTokenAlg = "none" }, []string{"id_token_signed_response_alg"}},
			"format xml":                   {web(), func(s *spec) { s.AccessTokenFormat = "xml" }, []string{"access_token_format"}},
			"an audience with a part":      {web(), func(s *spec) { s.Audience = []string{"https://api.example/#x"} }, []string{"audience"}},
			"a claim of the server's own":  {web(), func(s *spec) { s.ClaimMappings = []claimmap.Mapping{{Claim: "sub", From: "email"}} }, []string{"claim_mappings"}},
			"a claim by another's scope":   {web(), func(s *spec) { s.ClaimMappings = []claimmap.Mapping{{Claim: "x", From: "email", Scope: "hr"}} }, []string{"claim_mappings"}},
			"a service with claims":        {service(), func(s *spec) { s.ClaimMappings = []claimmap.Mapping{{Claim: "x", From: "email"}} }, []string{"claim_mappings"}},
			"an empty audience":            {web(), func(s *spec) { s.Audience = []string{""} }, []string{"audience"}},
			"a logo that runs":             {web(), func(s *spec) { s.LogoURI = "javascript:alert(1)" }, []string{"logo_uri"}},
			"a logo in itself":             {web(), func(s *spec) { s.LogoURI = "data:image/svg+xml,<svg/>" }, []string{"logo_uri"}},
			"terms over http":              {web(), func(s *spec) { s.TosURI = "http://rp.example/tos" }, []string{"tos_uri"}},
			"a policy with a password":     {web(), func(s *spec) { s.PolicyURI = "https://a:b@rp.example/" }, []string{"policy_uri"}},
			"a home that breaks out":       {web(), func(s *spec) { s.ClientURI = `https://rp.example/"><script>` }, []string{"client_uri"}},
			"a home without a host":        {web(), func(s *spec) { s.ClientURI = "https:rp" }, []string{"client_uri"}},
			"eleven contacts":              {web(), func(s *spec) { s.Contacts = numbered(11, "c%d@rp.example") }, []string{"contacts"}},
			"several at once":              {web(), func(s *spec) { s.Name, s.LogoURI, s.IDTokenAlg = "", "x", "x" }, []string{"client_name", "logo_uri", "id_token_signed_response_alg"}},
		}
		for name, c := range cases {
			c.change(&c.base)
			_, made, err := o.CreateClient(ctx, c.base)
			complains(t, name, err, c.fields...)
			if made != "" {
				t.Errorf("%s: a secret all the same", name)
			}
		}
		if clients, err := o.db.ListClients(ctx, "", 10); err != nil || len(clients) != 0 {
			t.Errorf("%d were made, %v", len(clients), err)
		}
		if got := o.audited(t, ctx); !slices.Equal(got, []string{"organization.created"}) {
			t.Error(got)
		}
		local := web()
		local.AuthMethod, local.JWKSURI = "private_key_jwt", "http://localhost:9000/jwks"
		_, _, err := o.CreateClient(ctx, local)
		complains(t, "keys of this machine", err, "jwks_uri")
		if _, _, err := o.InDevelopment().CreateClient(ctx, local); err != nil {
			t.Errorf("keys of this machine in development: %v", err)
		}
	})
}

func numbered(n int, format string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf(format, i)
	}
	return out
}

func TestClientMetadataIsReadAsItIsWritten(t *testing.T) {
	body := `{"client_name":"App","client_name#nl":"Toepassing","redirect_uris":["https://rp.example/cb"],"token_endpoint_auth_method":"private_key_jwt",
		"grant_types":["authorization_code","refresh_token"],"response_types":["code"],"response_modes":["query"],"scope":"openid profile","contacts":["a@rp.example"],
		"logo_uri":"https://rp.example/logo.png","client_uri":"https://rp.example/","policy_uri":"https://rp.example/p","tos_uri":"https://rp.example/t","jwks":` + es256JWKS + `,
		"id_token_signed_response_alg":"ES256","post_logout_redirect_uris":["https://rp.example/bye"],"access_token_format":"jwt","skip_consent":true,"audience":["https://api.example"],
		"software_id":"s","software_version":"1","application_type":"web","subject_type":"public","claim_mappings":[{"claim":"upn","from":"username","in":["id_token"],"scope":"profile"},{"claim":"tenant","value":["a",7]}],"default_max_age":3600,"require_auth_time":true,
		"default_acr_values":["urn:x"],"initiate_login_uri":"https://rp.example/login","token_endpoint_auth_signing_alg":"ES256","tos_uri#pt-BR":"https://rp.example/t/br",
		"request_object_signing_alg":"PS256","request_uris":["https://rp.example/o#1"],"require_signed_request_object":true,"require_pushed_authorization_requests":true,
		"id_token_encrypted_response_alg":"ECDH-ES","id_token_encrypted_response_enc":"A128GCM","userinfo_signed_response_alg":"EdDSA",
		"userinfo_encrypted_response_alg":"ECDH-ES+A128KW","userinfo_encrypted_response_enc":"A256GCM","introspection_signed_response_alg":"ES256",
		"introspection_encrypted_response_alg":"ECDH-ES+A256KW","introspection_encrypted_response_enc":"A128CBC-HS256"}`
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "acme")
		spec, err := manage.ParseClientSpec([]byte(body))
		must(t, err)
		client, _, err := o.CreateClient(ctx, spec)
		must(t, err)
		row, err := o.db.Client(ctx, client.ClientID)
		must(t, err)
		shown, err := json.Marshal(manage.InformationOf(row, ""))
		must(t, err)
		var got, want map[string]any
		must(t, json.Unmarshal(shown, &got))
		must(t, json.Unmarshal([]byte(body), &want))
		want["client_id"], want["client_id_issued_at"] = got["client_id"], got["client_id_issued_at"]
		want["scope"] = "openid profile offline_access"
		for name := range want {
			if a, b := fmt.Sprint(got[name]), fmt.Sprint(want[name]); a != b {
				t.Errorf("%s: %s became %s", name, b, a)
			}
		}
		for name := range got {
			if _, there := want[name]; !there {
				t.Errorf("%s came from nowhere", name)
			}
		}
	})
}

func TestClientMetadataThatIsNotUnderstoodIsRefused(t *testing.T) {
	// What can be told from the document.
	for name, c := range map[string]struct{ body, field string }{
		"no JSON":          {`<html>`, "metadata"},
		"an array":         {`[]`, "metadata"},
		"a member twice":   {`{"scope":"a","scope":"b"}`, "metadata"},
		"in another case":  {`{"scope":"a","SCOPE":"b"}`, "metadata"},
		"too long":         {`{"client_name":"` + strings.Repeat("a", 200<<10) + `"}`, "metadata"},
		"a wrong type":     {`{"redirect_uris":"https://rp.example/cb"}`, "redirect_uris"},
		"null":             {`{"redirect_uris":null}`, "redirect_uris"},
		"null of no field": {`{"software_id":null}`, "software_id"},
		"a number":         {`{"client_name":7}`, "client_name"},
	} {
		_, err := manage.ParseClientSpec([]byte(c.body))
		complains(t, name, err, c.field)
	}
	// What can be told when all is known.
	for member, value := range map[string]string{
		"client_id": `"mine"`, "client_secret": `"mine"`, "registration_access_token": `"x"`, "role": `"operator"`, "enabled": `true`, "disabled": `false`, "org_id": `"x"`, "iss": `"x"`,
		"sub": `"x"`, "id": `"x"`, "Scope": `"x"`, "software_statement": `"x"`, "sector_identifier_uri": `"http://rp.example/s"`, "subject_type": `"transient"`,
		"id_token_encrypted_response_alg": `"RSA-OAEP"`, "require_pushed_authorization_requests": `"true"`, "dpop_bound_access_tokens": `true`,
		"tls_client_certificate_bound_access_tokens": `true`, "backchannel_logout_uri": `"https://rp.example/bye#x"`, "backchannel_logout_session_required": `"yes"`, "frontchannel_logout_uri": `"https://other.example/bye"`, "application_type": `"desktop"`, "default_max_age": `-1`,
		"require_auth_time": `"true"`, "default_acr_values": `"x"`, "initiate_login_uri": `"http://rp.example/"`, "token_endpoint_auth_signing_alg": `"ES256"`, "client_name#": `"x"`,
		"request_object_signing_alg": `"ES256"`, "require_signed_request_object": `true`, "request_uris": `["https://rp.example/o", "http://rp.example/o"]`,
		"client_name#a b": `"x"`, "scope#nl": `"x"`, "logo_uri#nl": `"javascript:x"`, "client_name#nl": `""`, "software_id": `""`,
		"initiate_login_uri ": `"https://rp.example/#x"`,
	} {
		member = strings.TrimSpace(member) // where there are two of them
		spec, err := manage.ParseClientSpec([]byte(`{"client_name":"App","redirect_uris":["https://rp.example/cb"],"` + member + `":` + value + `}`))
		must(t, err)
		complains(t, member, spec.Complete().Validate(), member)
	}
}

// OpenID Connect Dynamic Client Registration 1.0 §2, RFC 9701 §6.
func TestHowAClientIsAnsweredIsCheckedAsAWhole(t *testing.T) {
	enc := strings.Replace(es256JWKS, `{"kty"`, `{"use":"enc","kty"`, 1)
	sig := strings.Replace(es256JWKS, `{"kty"`, `{"use":"sig","kty"`, 1)
	if enc == es256JWKS {
		t.Fatal("the key of the test is written otherwise")
	}
	const atURI = `"jwks_uri":"https://rp.example/jwks"`
	for name, c := range map[string]struct {
		members string
		fields  []string
	}{
		"signed by each":             {`"id_token_signed_response_alg":"PS256","userinfo_signed_response_alg":"RS256","introspection_signed_response_alg":"EdDSA"`, nil},
		"encrypted to a key":         {`"jwks":` + enc + `,"id_token_encrypted_response_alg":"ECDH-ES"`, nil},
		"to a key for everything":    {`"jwks":` + es256JWKS + `,"userinfo_encrypted_response_alg":"ECDH-ES+A256KW","userinfo_encrypted_response_enc":"A256GCM"`, nil},
		"to whatever is published":   {atURI + `,"introspection_encrypted_response_alg":"RSA-OAEP-256"`, nil},
		"for a public client":        {`"token_endpoint_auth_method":"none","jwks":` + enc + `,"id_token_encrypted_response_alg":"ECDH-ES"`, nil},
		"not signed at all":          {`"id_token_signed_response_alg":"none"`, []string{"id_token_signed_response_alg"}},
		"signed by the secret":       {`"userinfo_signed_response_alg":"HS256"`, []string{"userinfo_signed_response_alg"}},
		"signed by nothing":          {`"userinfo_signed_response_alg":"none","introspection_signed_response_alg":7`, []string{"introspection_signed_response_alg", "userinfo_signed_response_alg"}},
		"without keys":               {`"id_token_encrypted_response_alg":"ECDH-ES"`, []string{"id_token_encrypted_response_alg"}},
		"to a key for signatures":    {`"jwks":` + sig + `,"userinfo_encrypted_response_alg":"ECDH-ES"`, []string{"userinfo_encrypted_response_alg"}},
		"to a key of another type":   {`"jwks":` + enc + `,"userinfo_encrypted_response_alg":"RSA-OAEP-256"`, []string{"userinfo_encrypted_response_alg"}},
		"by what is broken":          {atURI + `,"id_token_encrypted_response_alg":"RSA1_5"`, []string{"id_token_encrypted_response_alg"}},
		"by the secret":              {atURI + `,"id_token_encrypted_response_alg":"dir"`, []string{"id_token_encrypted_response_alg"}},
		"content, and nothing else":  {atURI + `,"id_token_encrypted_response_enc":"A128GCM"`, []string{"id_token_encrypted_response_enc"}},
		"content by another way":     {atURI + `,"id_token_encrypted_response_alg":"ECDH-ES","id_token_encrypted_response_enc":"A192GCM"`, []string{"id_token_encrypted_response_enc"}},
		"content of another answer":  {atURI + `,"id_token_encrypted_response_alg":"ECDH-ES","userinfo_encrypted_response_enc":"A128GCM"`, []string{"userinfo_encrypted_response_enc"}},
		"introspection by nobody":    {`"token_endpoint_auth_method":"none","introspection_signed_response_alg":"ES256"`, []string{"introspection_signed_response_alg"}},
		"assertions by the secret":   {`"token_endpoint_auth_method":"client_secret_jwt","token_endpoint_auth_signing_alg":"HS256"`, nil},
		"by the secret, as by a key": {`"token_endpoint_auth_method":"client_secret_jwt","token_endpoint_auth_signing_alg":"ES256"`, []string{"token_endpoint_auth_signing_alg"}},
		"by a key, as by the secret": {`"token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_signing_alg":"HS256",` + atURI, []string{"token_endpoint_auth_signing_alg"}},
		"by neither of them":         {`"token_endpoint_auth_signing_alg":"HS256"`, []string{"token_endpoint_auth_signing_alg"}},
		"assertions, and no key":     {`"token_endpoint_auth_method":"private_key_jwt","jwks":` + enc, []string{"jwks"}},
		"assertions by another key":  {`"token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_signing_alg":"EdDSA","jwks":` + sig, []string{"jwks"}},
		"assertions by the same key": {`"token_endpoint_auth_method":"private_key_jwt","token_endpoint_auth_signing_alg":"ES256","jwks":` + sig, nil},
	} {
		spec, err := manage.ParseClientSpec([]byte(`{"client_name":"App","redirect_uris":["https://rp.example/cb"],` + c.members + `}`))
		must(t, err)
		err = spec.Complete().Validate()
		if len(c.fields) == 0 {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		complains(t, name, err, c.fields...)
	}
}

func TestOfTwoChangesToAClientBothCount(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		client, _, err := o.CreateClient(ctx, web())
		must(t, err)
		var racing sync.WaitGroup
		errs := make([]error, 4)
		for i, patch := range []manage.ClientPatch{
			{Name: ptr("New")}, {SkipConsent: ptr(true)}, {RedirectURIs: &[]string{"https://rp.example/new"}}, {AccessTokenFormat: ptr("jwt")},
		} {
			racing.Go(func() { _, _, errs[i] = []replica{o, other}[i%2].UpdateClient(ctx, client.ClientID, patch) })
		}
		racing.Wait()
		must(t, errors.Join(errs...))
		after, err := o.db.Client(ctx, client.ClientID)
		must(t, err)
		if after.Name != "New" || !after.SkipConsent || after.RedirectURIs[0] != "https://rp.example/new" || after.AccessTokenFormat != "jwt" || *after.SecretDigest != *client.SecretDigest {
			t.Errorf("%+v", after)
		}
		if got := o.audited(t, ctx); len(got) != 6 {
			t.Error(got)
		}
	})
}

func TestAClientIsChangedAsAWhole(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "acme")
		client, _, err := o.CreateClient(ctx, web())
		must(t, err)
		id := client.ClientID
		_, _, err = o.UpdateClient(ctx, id, manage.ClientPatch{RedirectURIs: &[]string{"javascript:x"}, Name: ptr("")})
		complains(t, "a bad change", err, "redirect_uris", "client_name")
		_, _, err = o.UpdateClient(ctx, id, manage.ClientPatch{AuthMethod: ptr("private_key_jwt")})
		complains(t, "keys without keys", err, "jwks")
		client, made, err := o.UpdateClient(ctx, id, manage.ClientPatch{AuthMethod: ptr("private_key_jwt"), JWKS: ptr(json.RawMessage(es256JWKS))})
		if err != nil || made != "" || client.SecretDigest != nil || client.JWKS == nil {
			t.Errorf("%+v, %v", client, err)
		}
		if client, _, err = o.UpdateClient(ctx, id, manage.ClientPatch{JWKSURI: ptr("https://rp.example/jwks")}); err != nil || client.JWKS != nil || client.JWKSURI == nil {
			t.Errorf("the keys are not where they were put: %+v, %v", client, err)
		}
		client, made, err = o.UpdateClient(ctx, id, manage.ClientPatch{AuthMethod: ptr("client_secret_post")})
		if err != nil || made == "" || *client.SecretDigest != secret.Digest(made.Reveal()) {
			t.Errorf("a client that needs a secret got none: %v", err)
		}
		client, made, err = o.UpdateClient(ctx, id, manage.ClientPatch{AuthMethod: ptr("client_secret_basic"), Disabled: ptr(true)})
		if err != nil || made != "" || !client.Disabled {
			t.Errorf("%+v, %v", client, err)
		}
		if row, err := o.db.Client(ctx, id); err != nil || !row.Disabled {
			t.Errorf("it is not disabled: %v", err)
		}
		if client, _, err = o.UpdateClient(ctx, id, manage.ClientPatch{Scope: ptr("")}); err != nil || !slices.Equal(client.Scopes, []string{"openid", "profile", "email"}) || !client.Disabled {
			t.Errorf("%+v, %v", client, err)
		}
		client, _, err = o.UpdateClient(ctx, id, manage.ClientPatch{
			GrantTypes: &[]string{"client_credentials"}, RedirectURIs: &[]string{}, Scope: ptr("read"), PostLogoutRedirectURIs: &[]string{},
		})
		if err != nil || len(client.ResponseTypes)+len(client.RedirectURIs) != 0 {
			t.Errorf("a web client does not become a service: %v", err)
		}
		if _, _, err := o.UpdateClient(ctx, "nobody", manage.ClientPatch{}); !errors.Is(err, storage.ErrNotFound) {
			t.Error(err)
		}
		two := o.organization(t, "two")
		if _, _, err := o.UpdateClient(two, id, manage.ClientPatch{Name: ptr("Mine")}); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("another organization's client is changed: %v", err)
		}
		if err := o.DeleteClient(two, id); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("another organization's client is deleted: %v", err)
		}
		must(t, o.DeleteClient(ctx, id))
		if err := o.DeleteClient(ctx, id); !errors.Is(err, storage.ErrNotFound) {
			t.Error(err)
		}
	})
}

// S-120.
func TestTwoSecretsLiveAtMostAndTheOldOneEnds(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "acme")
		client, first, err := o.CreateClient(ctx, web())
		must(t, err)
		digests := func() (current, old string, until *time.Time) {
			row, err := o.db.Client(ctx, client.ClientID)
			must(t, err)
			if row.SecretDigestOld != nil {
				old = *row.SecretDigestOld
			}
			return *row.SecretDigest, old, row.SecretOldExpiresAt
		}
		second, err := o.RotateClientSecret(ctx, client.ClientID, time.Hour)
		must(t, err)
		current, old, until := digests()
		if current != secret.Digest(second.Reveal()) || old != secret.Digest(first.Reveal()) || until == nil || time.Until(*until) > time.Hour || time.Until(*until) < 59*time.Minute {
			t.Errorf("%s, %s, %v", current, old, until)
		}
		third, err := o.RotateClientSecret(ctx, client.ClientID, time.Hour)
		must(t, err)
		if current, old, _ = digests(); current != secret.Digest(third.Reveal()) || old != secret.Digest(second.Reveal()) {
			t.Error("the first one still lives")
		}
		fourth, err := o.RotateClientSecret(ctx, client.ClientID, 0)
		must(t, err)
		if current, old, until = digests(); current != secret.Digest(fourth.Reveal()) || old != "" || until != nil {
			t.Error("an old one goes on")
		}
		for _, keep := range []time.Duration{-1, 91 * 24 * time.Hour} {
			_, err := o.RotateClientSecret(ctx, client.ClientID, keep)
			complains(t, keep.String(), err, "keep_old")
		}
		public := web()
		public.AuthMethod = "none"
		demo, _, err := o.CreateClient(ctx, public)
		must(t, err)
		_, err = o.RotateClientSecret(ctx, demo.ClientID, 0)
		complains(t, "a client without one", err, "token_endpoint_auth_method")
		if _, err := o.RotateClientSecret(ctx, "nobody", 0); !errors.Is(err, storage.ErrNotFound) {
			t.Error(err)
		}
	})
}

// OpenID Connect Core 1.0 §9: whoever checks what was made of a secret needs the secret. It is kept for these clients alone, sealed.
func TestTheSecretOfAClientThatMakesAssertionsByItIsKeptSealed(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "acme")
		client, first, err := o.CreateClient(ctx, web())
		must(t, err)
		holds := func(deed string, digests int, secrets ...secret.Text) {
			t.Helper()
			row, err := o.db.Client(ctx, client.ClientID)
			must(t, err)
			found, err := o.db.ClientSecrets(ctx, row)
			must(t, err)
			got := 0
			for _, digest := range []*string{row.SecretDigest, row.SecretDigestOld} {
				if digest != nil {
					got++
				}
			}
			if !slices.Equal(found, secrets) || got != digests || (row.SealedSecrets != nil) != (len(secrets) > 0) {
				t.Errorf("%s: %d secrets are kept, not %d, and %d digests", deed, len(found), len(secrets), got)
			}
			for _, one := range secrets {
				if bytes.Contains(row.SealedSecrets, []byte(one.Reveal())) {
					t.Errorf("%s: a secret is kept in the open", deed)
				}
			}
		}
		become := func(method string) secret.Text {
			t.Helper()
			_, made, err := o.UpdateClient(ctx, client.ClientID, manage.ClientPatch{AuthMethod: &method})
			must(t, err)
			return made
		}
		rotate := func(keep time.Duration) secret.Text {
			t.Helper()
			made, err := o.RotateClientSecret(ctx, client.ClientID, keep)
			must(t, err)
			return made
		}
		holds("made", 1)
		second := become("client_secret_jwt")
		if second == "" || second == first {
			t.Error("of the secret that it had nothing but a digest is left: it needs another")
		}
		holds("changed", 1, second)
		if become("client_secret_jwt") != "" {
			t.Error("it has a secret already")
		}
		third := rotate(time.Hour)
		holds("replaced", 2, third, second)
		fourth := rotate(time.Hour)
		holds("replaced again", 2, fourth, third)
		fifth := rotate(0)
		holds("replaced at once", 1, fifth)
		if become("client_secret_basic") != "" {
			t.Error("the secret is as good as before")
		}
		holds("shown instead", 1)
		if become("client_secret_jwt") == "" {
			t.Error("a secret that is not kept is of no use")
		}
		become("none")
		holds("without one", 0)
		log, err := o.db.ListAudit(ctx, storage.AuditFilter{})
		must(t, err)
		text, err := json.Marshal(log)
		must(t, err)
		for _, one := range []secret.Text{second, third, fourth, fifth} {
			if strings.Contains(string(text), one.Reveal()) {
				t.Error("a secret is written down")
			}
		}
		if strings.Contains(string(text), "sealed") {
			t.Error("the audit tells what is sealed")
		}
	})
}

func FuzzClientSpec(f *testing.F) {
	f.Add([]byte(`{"client_name":"App","redirect_uris":["https://rp.example/cb"],"scope":"openid","software_id":"x","client_name#nl":"y"}`))
	f.Add([]byte(`{"client_name":"Job","grant_types":["client_credentials"],"jwks":` + es256JWKS + `}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		spec, err := manage.ParseClientSpec(body)
		if err != nil {
			if len(manage.Complaints(err)) == 0 {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		complete := spec.Complete()
		if complete.Validate() != nil {
			return
		}
		once, err := json.Marshal(complete)
		if err != nil {
			t.Fatal(err)
		}
		again, err := manage.ParseClientSpec(once)
		if err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		if twice, err := json.Marshal(again); err != nil || string(once) != string(twice) {
			t.Fatalf("%s became %s: %v", once, twice, err)
		}
	})
}
