package server_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

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
