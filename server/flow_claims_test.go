package server_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/claimmap"
	"github.com/keizer-auth/keizer/internal/upstreamtest"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// OpenID Connect Core 1.0 §5.5: claims that are asked for by name.
func TestClaimsAreAskedForByName(t *testing.T) {
	t.Parallel()
	house, org, trusted := beginWith(t, "", manage.ClientSpec{
		SkipConsent: true, GrantTypes: []string{"authorization_code", "refresh_token"}, Scope: "openid profile email offline_access",
	})
	user := house.User(org, "bob")
	name, phone := "Bob Doe", "+31201234567"
	if _, err := house.Operators.UpdateUser(org, user.ID, manage.UserPatch{FullName: &name, Metadata: &map[string]any{"phone_number": phone, "nickname": "bobby"}}); err != nil {
		t.Fatal(err)
	}
	userinfo := func(answer *servertest.Answer) map[string]any {
		t.Helper()
		info := house.Get(trusted.Issuer+"/oauth2/userinfo", "Authorization", "Bearer "+answer.Text("access_token"))
		if info.Status != http.StatusOK {
			t.Fatalf("%d %s", info.Status, info.Body)
		}
		return info.JSON()
	}
	names := func(claims map[string]any, of ...string) string {
		var there []string
		for _, name := range of {
			if claims[name] != nil {
				there = append(there, name)
			}
		}
		return strings.Join(there, " ")
	}
	about := []string{"name", "nickname", "email", "email_verified", "phone_number", "updated_at"}

	visitor := trusted.Visitor()
	ask := `{"userinfo":{"name":{"essential":true},"phone_number":{"essential":true},"http://example.com/x":null},
		"id_token":{"email":null,"nickname":{"value":"bobby"},"auth_time":{"essential":true}}}`
	answer := trusted.Redeem(visitor.Code(trusted.AuthorizeURL("scope", "openid offline_access", "claims", ask), "bob"))
	if said := userinfo(answer); names(said, about...) != "name" || said["name"] != name {
		t.Errorf("userinfo says %v", said)
	}
	if said := servertest.Claims(t, answer.Text("id_token")); names(said, about...) != "nickname email" || said["email"] != "bob@example.com" {
		t.Errorf("the ID token says %v", said)
	}
	// A grant goes on saying what it was asked to say, and as it is by then.
	nickname := manage.UserPatch{Metadata: &map[string]any{"nickname": "rob"}}
	if _, err := house.Operators.UpdateUser(org, user.ID, nickname); err != nil {
		t.Fatal(err)
	}
	answer = trusted.Refresh(answer.Text("refresh_token"))
	if said := servertest.Claims(t, answer.Text("id_token")); names(said, about...) != "nickname email" || said["nickname"] != "rob" {
		t.Errorf("the ID token says %v after a refresh", said)
	}
	if said := userinfo(answer); names(said, about...) != "name" {
		t.Errorf("userinfo says %v after a refresh", said)
	}

	// What claims belong to is what the person is asked for.
	stranger := house.Client(org, manage.ClientSpec{Scope: "openid profile email"})
	visitor = stranger.Visitor()
	page := visitor.Go(stranger.AuthorizeURL("scope", "openid", "claims", `{"userinfo":{"email":null}}`, "keizer:claims_scope", "profile"))
	page = visitor.SignIn(page, "bob", servertest.Password)
	if page.Title != "Allow access" || !page.Has("consent-allow") {
		t.Fatalf("%d %q", page.Status, page.Title)
	}
	if !strings.Contains(page.Body, "e-mail") || strings.Contains(page.Body, "profile") {
		t.Errorf("%s", page.Body)
	}
	arrived := arrivedAt(t, visitor.Press(page, "consent-allow"))
	if said := userinfo(stranger.Redeem(arrived.Get("code"))); names(said, about...) != "email" {
		t.Errorf("userinfo says %v", said)
	}
	again := func(params ...string) string {
		page := visitor.Go(stranger.AuthorizeURL(append([]string{"scope", "openid", "prompt", "none"}, params...)...))
		arrived := arrivedAt(t, page)
		return arrived.Get("error")
	}
	if got := again("claims", `{"id_token":{"email":null}}`); got != "" {
		t.Errorf("what was allowed is asked for anew: %s", got)
	}
	if got := again("claims", `{"userinfo":{"name":null}}`); got != "consent_required" {
		t.Errorf("more than was allowed: %q", got)
	}

	// A request that names somebody is for nobody else.
	for claims, want := range map[string]string{
		fmt.Sprintf(`{"id_token":{"sub":{"value":%q}}}`, user.ID.String()):    "",
		`{"id_token":{"sub":{"value":"somebody else"}}}`:                      "login_required",
		`{"id_token":{"sub":{"value":"a"}},"userinfo":{"sub":{"value":"b"}}}`: "invalid_request",
		`{"userinfo":{"email":"yes"}}`:                                        "invalid_request",
		`{"userinfo":{"email":{"essential":"yes"}}}`:                          "invalid_request",
		`{"userinfo":{"email":{"values":"a"}}}`:                               "invalid_request",
		`{"userinfo":[],"id_token":{}}`:                                       "invalid_request",
		`{"userinfo":null,"id_token":null,"other":1}`:                         "",
	} {
		if got := again("claims", claims); got != want {
			t.Errorf("%s: %q, not %q", claims, got, want)
		}
	}
	if told := house.Get(trusted.Issuer + "/.well-known/openid-configuration").JSON(); told["claims_parameter_supported"] != true || !slices.Contains(told["claims_supported"].([]any), any("nickname")) {
		t.Errorf("%v", told)
	}
}

// What an organization has an application told besides, and in which language (OpenID Connect Core 1.0 §5.2, S-088, S-090).
func TestAnApplicationIsToldWhatIsMappedForItInTheLanguageItLikes(t *testing.T) {
	t.Parallel()
	house, org, plain := beginWith(t, "", trustedClient)
	mappings := []claimmap.Mapping{
		{Claim: "upn", From: "username", In: []string{"id_token", "userinfo"}},
		{Claim: "groups", From: "roles", In: []string{"access_token", "id_token"}},
		{Claim: "department", From: "metadata.work.department", Scope: "hr"},
		{Claim: "https://acme.example/tenant", Value: "acme", In: []string{"access_token", "userinfo"}},
		{Claim: "nickname", From: "metadata.work.call_sign", In: []string{"userinfo"}},
		{Claim: "missing", From: "metadata.work.nothing", In: []string{"id_token", "userinfo", "access_token"}},
		{Claim: "beta", Value: false},
		{Claim: "notes", From: "metadata.notes", In: []string{"access_token", "userinfo"}},
	}
	told := house.Client(org, manage.ClientSpec{
		SkipConsent: true, AccessTokenFormat: "jwt", Scope: "openid profile hr offline_access", ClaimMappings: mappings,
	})
	alice, err := house.DB.UserByLogin(org, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := house.Operators.UpdateUser(org, alice.ID, manage.UserPatch{Metadata: &map[string]any{
		"work": map[string]any{"department": "Sales", "call_sign": 7, "iss": "evil"}, "notes": strings.Repeat("n", 3<<10), "locale": "en-GB",
		"name#de": "Alice Rehkitz", "name#ja-Kana": "アリス", "family_name": "Doe", "family_name#de": "Rehkitz", "website#de-CH": "https://alice.example/ch",
		"address#de": map[string]any{"country": "Deutschland"}, "zoneinfo": "Europe/Berlin",
	}}); err != nil {
		t.Fatal(err)
	}
	role, err := house.DB.RoleByName(org, "auditor")
	must(t, err)
	_, err = house.Operators.GrantRole(org, alice.ID, role.ID)
	must(t, err)
	visitor := told.Visitor()
	visitor.Code(told.AuthorizeURL(), "alice")
	userinfo := func(client *servertest.Client, answer *servertest.Answer) map[string]any {
		t.Helper()
		return house.Get(client.Issuer+"/oauth2/userinfo", "Authorization", "Bearer "+answer.Text("access_token")).JSON()
	}
	says := func(what string, claims map[string]any, want map[string]any) {
		t.Helper()
		for name, value := range want {
			if got := claims[name]; fmt.Sprint(got) != fmt.Sprint(value) {
				t.Errorf("%s: %s is %v, not %v", what, name, got, value)
			}
		}
	}

	answer := told.Redeem(visitor.Code(told.AuthorizeURL("scope", "openid offline_access"), ""))
	for range 2 {
		idToken, access, info := servertest.Claims(t, answer.Text("id_token")), servertest.Claims(t, answer.Text("access_token")), userinfo(told, answer)
		says("the ID token", idToken, map[string]any{
			"upn": "alice", "groups": []any{"auditor"}, "sub": alice.ID, "https://acme.example/tenant": nil, "missing": nil, "beta": nil, "department": nil, "notes": nil,
		})
		says("the access token", access, map[string]any{
			"groups": []any{"auditor"}, "https://acme.example/tenant": "acme", "sub": alice.ID, "client_id": told.ID, "upn": nil, "notes": nil, "department": nil,
		})
		says("userinfo", info, map[string]any{
			"upn": "alice", "https://acme.example/tenant": "acme", "beta": false, "notes": strings.Repeat("n", 3<<10), "department": nil, "groups": nil, "nickname": nil, "missing": nil,
			"name": nil,
		})
		answer = told.Refresh(answer.Text("refresh_token")) // all the same again
	}
	says("with the scope", userinfo(told, told.Redeem(visitor.Code(told.AuthorizeURL("scope", "openid hr"), ""))), map[string]any{"department": "Sales"})
	if info := userinfo(plain, plain.Redeem(plain.Visitor().Code(plain.AuthorizeURL("scope", "openid"), "alice"))); len(info) != 1 {
		t.Errorf("another client is told %v", info)
	}

	for locales, want := range map[string]map[string]any{
		"":                               {"name": "Alice Doe", "family_name": "Doe", "website": nil},
		"de":                             {"name": "Alice Rehkitz", "family_name": "Rehkitz", "website": nil, "zoneinfo": "Europe/Berlin"},
		"DE-ch":                          {"name": "Alice Rehkitz", "website": "https://alice.example/ch", "name#de": nil},
		"nl ja-Kana-JP de":               {"name": "アリス", "family_name": "Rehkitz"},
		"en-GB de":                       {"name": "Alice Doe", "family_name": "Doe"},
		`!! x "<> de-x de`:               {"name": "Alice Rehkitz"},
		strings.Repeat("fr ", 40) + "de": {"name": "Alice Rehkitz"},
	} {
		answer := told.Redeem(visitor.Code(told.AuthorizeURL("scope", "openid profile offline_access", "claims_locales", locales), ""))
		says("in "+locales, userinfo(told, answer), want)
		says("in "+locales+", refreshed", userinfo(told, told.Refresh(answer.Text("refresh_token"))), want)
	}
	ask := `{"userinfo":{"name#ja-Kana":null,"name#nl":null,"email#de":null},"id_token":{"family_name#DE":{"essential":true},"sub#de":null}}`
	answer = told.Redeem(visitor.Code(told.AuthorizeURL("claims", ask), ""))
	says("by name", userinfo(told, answer), map[string]any{"name#ja-Kana": "アリス", "name#nl": nil, "email#de": nil, "name": nil})
	says("by name", servertest.Claims(t, answer.Text("id_token")), map[string]any{"family_name#DE": "Rehkitz", "sub#de": nil})

	// What is mapped is checked when it is written, and a person's own claims have no names of the server's.
	for _, metadata := range []map[string]any{{"sub#de": "x"}, {"email_verified#de": true}, {"name#": "x"}, {"name#de": 7}, {"picture#de": "http://x"}, {"zoneinfo#de": "x"}} {
		if _, err := house.Operators.UpdateUser(org, alice.ID, manage.UserPatch{Metadata: &metadata}); len(manage.Complaints(err)) == 0 {
			t.Errorf("%v: %v", metadata, err)
		}
	}
}

// OpenID Connect Core 1.0 §5.6: what others vouch for of a person, as a provider tells, is passed on to whoever may know it.
func TestClaimsThatOthersVouchForArePassedOn(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	there := served(t, house, org, "oidc", `{"sign_up":"always"}`)
	told := map[string]any{
		"_claim_names": map[string]any{
			"address": "a", "phone_number": "a", "birthdate": "b", "email": "a", "roles": "a", "sub": "a", "aud": "a", "nickname": "bad",
		},
		"_claim_sources": map[string]any{
			"a": map[string]any{"JWT": "eyJhbGciOiJFUzI1NiJ9.eyJhZGRyZXNzIjp7fX0.c2ln"}, "bad": map[string]any{"endpoint": "https://127.0.0.1/claims"},
			"b": map[string]any{"endpoint": "https://bank.example/claims", "access_token": "hunter2"},
		},
	}
	there.Misbehave(upstreamtest.Faults{Claims: func(claims map[string]any) { maps.Copy(claims, told) }})
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, Scope: "openid profile email address phone", GrantTypes: []string{"authorization_code"}})
	var visitor *servertest.Visitor
	if types := house.Get(house.Issuer(house.Organization("acme")) + "/.well-known/openid-configuration").JSON()["claim_types_supported"]; fmt.Sprint(types) != "[normal]" {
		t.Errorf("%v", types)
	}
	comes := func() {
		t.Helper()
		visitor = client.Visitor()
		arrivedAt(t, visitor.Press(visitor.Go(client.AuthorizeURL()), "login-with-oidc"))
	}
	comes()
	if !within(t.Context(), patience, func() bool {
		types := house.Get(client.Issuer + "/.well-known/openid-configuration").JSON()["claim_types_supported"]
		return fmt.Sprint(types) == "[normal aggregated distributed]"
	}) {
		t.Error("nobody learns which types of claims there are")
	}
	userinfo := func(params ...string) map[string]any {
		t.Helper()
		answer := client.Redeem(visitor.Code(client.AuthorizeURL(params...), ""))
		if said := servertest.Claims(t, answer.Text("id_token")); said["_claim_names"] != nil {
			t.Errorf("the ID token says %v", said)
		}
		return house.Get(client.Issuer+"/oauth2/userinfo", "Authorization", "Bearer "+answer.Text("access_token")).JSON()
	}
	const aggregated, distributed = `{"JWT":"eyJhbGciOiJFUzI1NiJ9.eyJhZGRyZXNzIjp7fX0.c2ln"}`, `{"access_token":"hunter2","endpoint":"https://bank.example/claims"}`
	for _, c := range []struct{ scope, claims, names, sources string }{
		{"openid", "", `null`, `null`},
		{"openid address", "", `{"address":"src1"}`, `{"src1":` + aggregated + `}`},
		{"openid profile phone email", "", `{"birthdate":"src1","phone_number":"src2"}`, `{"src1":` + distributed + `,"src2":` + aggregated + `}`},
		{"openid", `{"userinfo":{"birthdate":null,"roles":null,"sub":null}}`, `{"birthdate":"src1"}`, `{"src1":` + distributed + `}`},
	} {
		info := userinfo("scope", c.scope, "claims", c.claims)
		names, err := json.Marshal(info["_claim_names"])
		must(t, err)
		sources, err := json.Marshal(info["_claim_sources"])
		must(t, err)
		if string(names) != c.names || string(sources) != c.sources {
			t.Errorf("%s %s: %s of %s", c.scope, c.claims, names, sources)
		}
	}
	for _, kept := range column(t, house.SQL(), `SELECT claim_sources FROM oauth_accounts`) {
		if kept == "" || strings.Contains(kept, "hunter2") || strings.Contains(kept, "eyJ") {
			t.Errorf("it is kept as %q", kept)
		}
	}
	// What the provider tells no more is not passed on any more.
	told = nil
	comes()
	if info := userinfo("scope", "openid address"); info["_claim_names"] != nil {
		t.Errorf("%v", info)
	}
}
