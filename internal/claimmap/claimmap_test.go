package claimmap

import (
	"strings"
	"testing"
)

// S-088: no rule of an organization says what the server itself says.
func TestAMappingTakesNoNameThatMeansSomethingAlready(t *testing.T) {
	scopes := []string{"openid", "profile", "hr"}
	for name, m := range map[string]Mapping{
		"from a column": {Claim: "upn", From: "username"}, "renamed": {Claim: "preferred_username", From: "email"}, "roles": {Claim: "groups", From: "roles", In: []string{"id_token", "access_token"}},
		"nested": {Claim: "department", From: "metadata.org.department", Scope: "hr"}, "a URI": {Claim: "https://acme.example/tenant", Value: "acme"},
		"false": {Claim: "beta", Value: false}, "a list": {Claim: "tags", Value: []any{"a", 1.0, true}}, "a number": {Claim: "level", Value: 0.0},
	} {
		if wrong := Check([]Mapping{m}, scopes); len(wrong) > 0 {
			t.Errorf("%s: %v", name, wrong)
		}
	}
	for _, claim := range append([]string{
		"", "ISS", "Email_Verified", "a.b", "address.country", "a b", "name#de", "_claim_names", "http://acme.example/x", "https:x", "urn:x", "https://u@acme.example/", "https://acme.example/é",
		strings.Repeat("a", 65), "https://acme.example/" + strings.Repeat("a", 255), "-a", "1a",
	}, reserved...) {
		if wrong := Check([]Mapping{{Claim: claim, Value: "x"}}, scopes); len(wrong) == 0 {
			t.Errorf("a claim %q", claim)
		}
	}
	for name, m := range map[string]Mapping{
		"of nothing": {Claim: "x"}, "of both": {Claim: "x", From: "email", Value: "y"}, "of a password": {Claim: "x", From: "password_hash"}, "of an id": {Claim: "x", From: "id"},
		"no path": {Claim: "x", From: "metadata."}, "half a path": {Claim: "x", From: "metadata.a..b"}, "a deep path": {Claim: "x", From: "metadata" + strings.Repeat(".a", 9)},
		"an endless path": {Claim: "x", From: "metadata." + strings.Repeat("a", 255)}, "an object": {Claim: "x", Value: map[string]any{"iss": "evil"}}, "lists of lists": {Claim: "x", Value: []any{[]any{"a"}}},
		"an empty text": {Claim: "x", Value: ""}, "an empty list": {Claim: "x", Value: []any{}}, "a long value": {Claim: "x", Value: strings.Repeat("a", 1024)},
		"a scope of others": {Claim: "x", From: "email", Scope: "email"}, "an unknown place": {Claim: "x", From: "email", In: []string{"header"}}, "a place twice": {Claim: "x", From: "email", In: []string{"userinfo", "userinfo"}},
		"a number for a name": {Claim: "nickname", Value: 7.0}, "roles for a name": {Claim: "nickname", From: "roles"},
	} {
		if wrong := Check([]Mapping{m}, scopes); len(wrong) == 0 {
			t.Errorf("%s passes", name)
		}
	}
	if wrong := Check([]Mapping{{Claim: "x", From: "email"}, {Claim: "x", From: "name", Scope: "hr", In: []string{"userinfo"}}}, scopes); len(wrong) != 1 {
		t.Errorf("a claim of two mappings: %v", wrong)
	}
	if wrong := Check([]Mapping{{Claim: "x", From: "email"}, {Claim: "x", From: "name", In: []string{"id_token"}}}, scopes); len(wrong) != 0 {
		t.Errorf("a claim that differs from place to place: %v", wrong)
	}
	if wrong := Check(make([]Mapping, Most+1), scopes); len(wrong) != 1 {
		t.Errorf("too many: %v", wrong)
	}
}

func TestAMappingIsGivenWhereItIsToBe(t *testing.T) {
	for _, c := range []struct {
		Mapping
		place, granted string
		given          bool
	}{
		{Mapping{}, UserInfo, "openid", true}, {Mapping{}, IDToken, "openid", false},
		{Mapping{In: []string{AccessToken}}, AccessToken, "", true}, {Mapping{In: []string{AccessToken}}, UserInfo, "openid", false},
		{Mapping{Scope: "hr"}, UserInfo, "openid hr", true}, {Mapping{Scope: "hr"}, UserInfo, "openid", false},
	} {
		if got := c.Given(c.place, strings.Fields(c.granted)); got != c.given {
			t.Errorf("%+v: %v", c, got)
		}
	}
	read := Read([]any{map[string]any{"claim": "x", "value": false, "in": []any{"id_token"}}})
	if len(read) != 1 || read[0].Value != false || !read[0].Is(IDToken) || Read("x") != nil || Read(nil) != nil {
		t.Errorf("%+v", read)
	}
}
