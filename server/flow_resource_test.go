package server_test

import (
	"context"
	"errors"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

const (
	ordersAPI = "https://orders.example/api"
	stockAPI  = "https://stock.example"
)

// shop is an organization with two APIs, and with roles that permit some of what they do.
type shop struct {
	*servertest.House
	t     *testing.T
	org   context.Context
	alice *storage.User
	roles map[string]*manage.Role
	// orders is the client of the orders API.
	orders *servertest.Client
	// browsers are alice's, one for each client: she signs in once in each.
	browsers map[string]*servertest.Visitor
}

// through walks a request of a client to its end, for alice.
func (s *shop) through(client *servertest.Client, address string) url.Values {
	s.t.Helper()
	if s.browsers[client.ID] == nil {
		s.browsers[client.ID] = client.Visitor()
	}
	return s.browsers[client.ID].Through(address, "alice")
}

// redeemed are the tokens for a request of a client, for alice.
func (s *shop) redeemed(client *servertest.Client, params ...string) *servertest.Answer {
	s.t.Helper()
	return client.Redeem(s.through(client, client.AuthorizeURL(params...)).Get("code"))
}

func openShop(t *testing.T, house *servertest.House, org context.Context) *shop {
	t.Helper()
	s := &shop{House: house, t: t, org: org, alice: house.User(org, "alice"), roles: make(map[string]*manage.Role), browsers: make(map[string]*servertest.Visitor)}
	for _, action := range []string{"read", "write"} {
		_, err := house.Operators.CreatePermission(org, manage.NewPermission{Resource: "orders", Action: action})
		s.must(err)
	}
	for name, allowed := range map[string][]string{"reader": {"orders:read"}, "writer": {"orders:write"}} {
		role, err := house.Operators.CreateRole(org, manage.NewRole{Name: name, Permissions: allowed})
		s.must(err)
		s.roles[name] = role
	}
	s.orders = house.Client(org, manage.ClientSpec{Name: "The orders API", GrantTypes: []string{manage.GrantClientCredentials}})
	for _, api := range []manage.NewAPI{
		{Identifier: ordersAPI, Name: "Orders", ClientID: s.orders.ID, Scopes: []manage.APIScope{
			{Name: "read", Description: "See your orders", Permission: "orders:read"}, {Name: "write", Permission: "orders:write"}, {Name: "ping"},
		}},
		{Identifier: stockAPI, Name: "Stock", Scopes: []manage.APIScope{{Name: "look"}}},
	} {
		_, err := house.Operators.CreateAPI(org, api)
		s.must(err)
	}
	return s
}

func (s *shop) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) grant(name string) {
	s.t.Helper()
	_, err := s.Operators.GrantRole(s.org, s.alice.ID, s.roles[name].ID)
	s.must(err)
}

func (s *shop) revoke(name string) {
	s.t.Helper()
	s.must(s.Operators.RevokeRole(s.org, s.alice.ID, s.roles[name].ID))
}

// oauth is a client as golang.org/x/oauth2 knows it.
func (s *shop) oauth(client *servertest.Client, at *servertest.House, scopes ...string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: client.ID, ClientSecret: client.Secret, RedirectURL: client.Redirect, Scopes: scopes,
		Endpoint: oauth2.Endpoint{
			AuthURL: at.At(client.Issuer + "/oauth2/authorize"), TokenURL: at.At(client.Issuer + "/oauth2/token"), AuthStyle: oauth2.AuthStyleInHeader,
		},
	}
}

// authorize walks a request of x/oauth2 to its end.
func (s *shop) authorize(client *servertest.Client, config *oauth2.Config, options ...oauth2.AuthCodeOption) url.Values {
	s.t.Helper()
	address := config.AuthCodeURL("the-state", append(options, oauth2.S256ChallengeOption(servertest.Verifier))...)
	return s.through(client, address)
}

func resource(identifier string) oauth2.AuthCodeOption {
	return oauth2.SetAuthURLParam("resource", identifier)
}

func scopeOf(token *oauth2.Token) string {
	scope, _ := token.Extra("scope").(string)
	return scope
}

// RFC 8707, RFC 9068 §2.2.3.1, S-264, S-268: a token says and allows what its person's roles do when it is made, at whichever replica.
func TestTokensForAnAPIAllowWhatThePersonsRolesAllow(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		second := servertest.Start(t, servertest.Options{ReplicaOf: house})
		s := openShop(t, house, house.In("default"))
		const asked = "openid offline_access roles permissions read write ping look"
		client := house.Client(s.org, manage.ClientSpec{SkipConsent: true, AccessTokenFormat: "jwt", Scope: asked})
		s.grant("reader")

		config := s.oauth(client, house, strings.Fields(asked)...)
		arrived := s.authorize(client, config, resource(ordersAPI))
		token, err := config.Exchange(t.Context(), arrived.Get("code"), oauth2.VerifierOption(servertest.Verifier))
		s.must(err)
		expect := func(when string, token *oauth2.Token, scope string, roles, permissions []any) {
			t.Helper()
			if got := scopeOf(token); got != scope {
				t.Errorf("%s: the scope is %q, want %q", when, got, scope)
			}
			claims := servertest.Claims(t, token.AccessToken)
			seen := client.Post("/oauth2/introspect", "token", token.AccessToken).JSON()
			for what, said := range map[string]map[string]any{"the token": claims, "introspection": seen} {
				if said["scope"] != scope || said["aud"] != ordersAPI || !reflect.DeepEqual(said["roles"], any(roles)) ||
					!reflect.DeepEqual(said["permissions"], any(permissions)) || !reflect.DeepEqual(said["entitlements"], any(permissions)) {
					t.Errorf("%s: %s says %v", when, what, said)
				}
			}
		}
		expect("with one role", token, "openid offline_access roles permissions read ping", []any{"reader"}, []any{"orders:read"})
		if id := servertest.Claims(t, token.Extra("id_token").(string)); id["roles"] != nil || id["permissions"] != nil {
			t.Errorf("the ID token says %v", id)
		}
		refresh := func(at *servertest.House, was *oauth2.Token) (*oauth2.Token, error) {
			spent := *was
			spent.Expiry = time.Now().Add(-time.Hour)
			return s.oauth(client, at).TokenSource(t.Context(), &spent).Token()
		}

		// What changes shows in the next token, on every replica, from the moment of the change on.
		s.grant("writer")
		token, err = refresh(second, token)
		s.must(err)
		expect("with another role", token, asked[:len(asked)-len(" look")], []any{"reader", "writer"}, []any{"orders:read", "orders:write"})
		s.revoke("reader")
		token, err = refresh(second, token)
		s.must(err)
		expect("without the first", token, "openid offline_access roles permissions write ping", []any{"writer"}, []any{"orders:write"})
		none := []string{}
		if _, err := house.Operators.UpdateRole(s.org, s.roles["writer"].ID, manage.RolePatch{Permissions: &none}); err != nil {
			t.Fatal(err)
		}
		token, err = refresh(second, token)
		s.must(err)
		expect("with a role that allows nothing", token, "openid offline_access roles permissions ping", []any{"writer"}, []any{})
		s.revoke("writer")
		token, err = refresh(house, token)
		s.must(err)
		expect("without any", token, "openid offline_access roles permissions ping", []any{}, []any{})

		// A refresh may name what it wants; of what the roles do not allow nothing is left.
		last := token.RefreshToken
		refuses(t, "a scope without its role", client.Refresh(last, "scope", "write"), 400, "invalid_scope")
		refuses(t, "a resource that was not granted", client.Refresh(last, "resource", stockAPI), 400, "invalid_target")
		if answer := client.Refresh(last, "scope", "ping write"); answer.Text("scope") != "ping" {
			t.Errorf("%d %s", answer.Status, answer.Body)
		}

		// An API that is gone is nobody's any more.
		api, err := house.Operators.APIByIdentifier(s.org, ordersAPI)
		s.must(err)
		arrived = s.authorize(client, config, resource(ordersAPI))
		token, err = config.Exchange(t.Context(), arrived.Get("code"), oauth2.VerifierOption(servertest.Verifier))
		s.must(err)
		s.must(house.Operators.DeleteAPI(s.org, api.ID))
		eventually(t, "the API is gone", func() bool {
			next, err := refresh(second, token)
			var refused *oauth2.RetrieveError
			if errors.As(err, &refused) {
				return refused.ErrorCode == "invalid_grant"
			}
			s.must(err)
			token = next
			return false
		})
	})
}

// S-032, S-033: what is asked for is compared as a whole, and what means nothing where the token is for is not given.
func TestResourcesAndScopesAreThoseThatAreRegistered(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	s := openShop(t, house, house.In("default"))
	acme := house.Organization("acme")
	s.grant("reader")
	client := house.Client(s.org, manage.ClientSpec{SkipConsent: true, Scope: "openid offline_access read write ping report " + permission.UsersRead})
	plain := house.Client(s.org, manage.ClientSpec{SkipConsent: true, Scope: "openid report"})
	machine := house.Client(s.org, manage.ClientSpec{GrantTypes: []string{manage.GrantClientCredentials}, Scope: "read write look"})
	_, err := house.Operators.CreateAPI(acme, manage.NewAPI{Identifier: "https://acme.example", Name: "Acme", Scopes: []manage.APIScope{{Name: "read"}}})
	s.must(err)

	for _, target := range []string{
		ordersAPI + "/", ordersAPI + "/x", ordersAPI + "#f", ordersAPI + "?x", "https://orders.example", strings.ToUpper(ordersAPI), "https://ORDERS.example/api",
		"https://nowhere.example", stockAPI, "https://acme.example", house.Base + "/api", house.Base + "/api/v1/", "orders", house.Issuer(acme),
	} {
		config := s.oauth(client, house, "openid", "read")
		tellsClient(t, "authorize for "+target, client, s.authorize(client, config, resource(target)), "invalid_target")
		refuses(t, "push for "+target, client.Post("/oauth2/par", "client_id", client.ID, "redirect_uri", client.Redirect, "response_type", "code", "scope", "openid read",
			"code_challenge", servertest.Challenge(servertest.Verifier), "code_challenge_method", "S256", "resource", target), 400, "invalid_target")
		if target != stockAPI {
			refuses(t, "a machine for "+target, machine.Token("grant_type", "client_credentials", "resource", target), 400, "invalid_target")
		}
	}
	tellsClient(t, "an API of which it may ask for nothing", plain, s.authorize(plain, s.oauth(plain, house, "openid"), resource(ordersAPI)), "invalid_target")

	code := func(client *servertest.Client, scope string, resources ...string) url.Values {
		t.Helper()
		address := client.AuthorizeURL("scope", scope)
		for _, one := range resources {
			address += "&resource=" + url.QueryEscape(one)
		}
		return s.through(client, address)
	}
	for _, test := range []struct {
		name, asked string
		resources   []string
		given       string
	}{
		{"an API's scopes without the API", "openid read ping report", nil, "openid report"},
		{"at another API", "openid read ping report", []string{house.Base + "/api/v1"}, "openid report"},
		{"at the API", "openid read write ping report", []string{ordersAPI}, "openid read ping report"},
		{"at both", "openid read ping " + permission.UsersRead, []string{ordersAPI, house.Base + "/api/v1"}, "openid read ping"},
		{"at userinfo too", "openid read", []string{ordersAPI, house.Base}, "openid read"},
	} {
		answer := client.Redeem(code(client, test.asked, test.resources...).Get("code"))
		if answer.Status != 200 || answer.Text("scope") != test.given {
			t.Errorf("%s: %d %s, want %q", test.name, answer.Status, answer.Body, test.given)
		}
	}
	// A pushed request (RFC 9126) is no different.
	pushed := client.Post("/oauth2/par", "client_id", client.ID, "redirect_uri", client.Redirect, "response_type", "code", "scope", "openid read write look ping",
		"code_challenge", servertest.Challenge(servertest.Verifier), "code_challenge_method", "S256", "resource", ordersAPI)
	refuses(t, "a scope that it is not registered for, pushed", pushed, 400, "invalid_scope")
	pushed = client.Post("/oauth2/par", "client_id", client.ID, "redirect_uri", client.Redirect, "response_type", "code", "scope", "openid read write "+permission.UsersRead,
		"code_challenge", servertest.Challenge(servertest.Verifier), "code_challenge_method", "S256", "resource", ordersAPI)
	arrived := s.through(client, house.At(client.Issuer+"/oauth2/authorize?"+url.Values{"client_id": {client.ID}, "request_uri": {pushed.Text("request_uri")}}.Encode()))
	if answer := client.Redeem(arrived.Get("code")); answer.Text("scope") != "openid read" {
		t.Errorf("pushed: %d %s", answer.Status, answer.Body)
	}

	// A code for two APIs may be narrowed to one, and then so are the scopes; the grant keeps both.
	answer := client.Token("grant_type", "authorization_code", "code", code(client, "openid offline_access read ping", ordersAPI, house.Base).Get("code"),
		"redirect_uri", client.Redirect, "code_verifier", servertest.Verifier, "resource", house.Base)
	if answer.Text("scope") != "openid offline_access" || house.Get(house.Base+"/oauth2/userinfo", "Authorization", "Bearer "+answer.Text("access_token")).Status != 200 {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	if answer = client.Refresh(answer.Text("refresh_token")); answer.Text("scope") != "openid offline_access read ping" {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}

	// Nothing is left: of what means nothing there, and of what the person may not have.
	tellsClient(t, "nothing of it means anything", client, code(client, "read ping"), "invalid_scope")
	tellsClient(t, "the person may have nothing of it", client, code(client, "write", ordersAPI), "access_denied")
	tellsClient(t, "a scope that it is not registered for", client, code(client, "openid look", ordersAPI), "invalid_scope")
	tellsClient(t, "a scope of another organization", client, code(client, "openid org:acme"), "invalid_scope")

	// A client that acts for itself has what its registration allows, where that is.
	for _, test := range []struct {
		name   string
		params []string
		given  string
		status int
	}{
		{"without a resource", nil, "", 400},
		{"at the API", []string{"resource", ordersAPI}, "read write", 200},
		{"a part of it", []string{"resource", ordersAPI, "scope", "write"}, "write", 200},
		{"what means nothing there", []string{"resource", ordersAPI, "scope", "look"}, "", 400},
		{"what means something there, and what does not", []string{"resource", stockAPI, "scope", "look read"}, "look", 200},
	} {
		answer := machine.Token(append([]string{"grant_type", "client_credentials"}, test.params...)...)
		if answer.Status != test.status || answer.Text("scope") != test.given || test.status == 400 && answer.Text("error") != "invalid_scope" {
			t.Errorf("%s: %d %s", test.name, answer.Status, answer.Body)
		}
	}
	machines := clientcredentials.Config{
		ClientID: machine.ID, ClientSecret: machine.Secret, TokenURL: house.At(machine.Issuer + "/oauth2/token"), Scopes: []string{"look"},
		EndpointParams: url.Values{"resource": {stockAPI}}, AuthStyle: oauth2.AuthStyleInHeader,
	}
	if token, err := machines.Token(t.Context()); err != nil || scopeOf(token) != "look" {
		t.Errorf("%v, %v", token, err)
	}

	// An API works as soon as it was registered, and a scope as soon as it is there.
	late, err := house.Operators.CreateAPI(s.org, manage.NewAPI{Identifier: "https://late.example", Name: "Late", Scopes: []manage.APIScope{{Name: "report"}}})
	s.must(err)
	if answer := plain.Redeem(code(plain, "openid report", "https://late.example").Get("code")); answer.Text("scope") != "openid report" {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	_, err = house.Operators.UpdateAPI(s.org, late.ID, manage.APIPatch{Scopes: &[]manage.APIScope{{Name: "report", Permission: "orders:write"}, {Name: "more"}}})
	s.must(err)
	eventually(t, "the scope takes a permission", func() bool {
		return plain.Redeem(code(plain, "openid report", "https://late.example").Get("code")).Text("scope") == "openid"
	})
}

// S-252 of the other side: what is for an API is shown to that API.
func TestAnAPIIntrospectsWhatIsForIt(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	s := openShop(t, house, house.In("default"))
	s.grant("reader")
	stranger := house.Client(s.org, manage.ClientSpec{Name: "Another API", GrantTypes: []string{manage.GrantClientCredentials}})
	for _, format := range []string{"opaque", "jwt"} {
		client := house.Client(s.org, manage.ClientSpec{SkipConsent: true, AccessTokenFormat: format, Scope: "openid offline_access roles read look"})
		tokens := s.redeemed(client, "scope", "openid offline_access roles read", "resource", ordersAPI)
		access := tokens.Text("access_token")
		seen := s.orders.Post("/oauth2/introspect", "token", access).JSON()
		if seen["active"] != true || seen["aud"] != ordersAPI || seen["sub"] != s.alice.ID.String() || seen["scope"] != "openid offline_access roles read" ||
			!reflect.DeepEqual(seen["roles"], []any{"reader"}) || seen["permissions"] != nil {
			t.Errorf("%s: %v", format, seen)
		}
		wantInactive(t, "another API", stranger.Post("/oauth2/introspect", "token", access))
		wantInactive(t, "a refresh token", s.orders.Post("/oauth2/introspect", "token", tokens.Text("refresh_token")))
		elsewhere := s.redeemed(client, "scope", "openid look", "resource", stockAPI)
		wantInactive(t, "a token for another API", s.orders.Post("/oauth2/introspect", "token", elsewhere.Text("access_token")))

		// userinfo and introspection say what is so now, whatever was when the token was made.
		person := s.redeemed(client, "scope", "openid roles")
		userinfo := func() any {
			t.Helper()
			return house.Get(house.Base+"/oauth2/userinfo", "Authorization", "Bearer "+person.Text("access_token")).JSON()["roles"]
		}
		if got := userinfo(); !reflect.DeepEqual(got, []any{"reader"}) {
			t.Errorf("%s: userinfo says %v", format, got)
		}
		s.revoke("reader")
		if got := userinfo(); !reflect.DeepEqual(got, []any{}) {
			t.Errorf("%s: userinfo says %v", format, got)
		}
		if seen := s.orders.Post("/oauth2/introspect", "token", access).JSON(); !reflect.DeepEqual(seen["roles"], []any{}) {
			t.Errorf("%s: introspection says %v", format, seen)
		}
		s.grant("reader")
	}
}

// S-032, S-265: the management API is a resource like any other, in every organization, and nobody has of it what they do not hold.
func TestTheManagementAPIIsAResourceOfEveryOrganization(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	for _, slug := range []string{"default", "acme"} {
		org := house.In("default")
		if slug != "default" {
			org = house.Organization(slug)
		}
		s := openShop(t, house, org)
		scope := strings.Join([]string{"openid", permission.UsersRead, permission.UsersWrite, permission.OrganizationsWrite}, " ")
		client := house.Client(org, manage.ClientSpec{SkipConsent: true, Scope: scope})
		machine := house.Client(org, manage.ClientSpec{GrantTypes: []string{manage.GrantClientCredentials}, Scope: permission.UsersRead + " " + permission.OrganizationsWrite})
		tokens := func() *servertest.Answer {
			t.Helper()
			return s.redeemed(client, "scope", scope, "resource", house.Base+"/api/v1")
		}
		if answer := tokens(); answer.Text("scope") != "openid" {
			t.Errorf("%s: nobody: %d %s", slug, answer.Status, answer.Body)
		}
		for role, want := range map[string]string{
			permission.Auditor: "openid " + permission.UsersRead, permission.Admin: "openid " + permission.UsersRead + " " + permission.UsersWrite,
			permission.Owner: map[string]string{"default": scope, "acme": "openid " + permission.UsersRead + " " + permission.UsersWrite}[slug],
		} {
			row, err := house.Operators.RoleNamed(org, role)
			s.must(err)
			if _, err := house.Operators.GrantRole(org, s.alice.ID, row.ID); err != nil {
				t.Fatal(err)
			}
			if answer := tokens(); answer.Text("scope") != want {
				t.Errorf("%s: %s: %d %s", slug, role, answer.Status, answer.Body)
			}
			if role != permission.Owner {
				s.must(house.Operators.RevokeRole(org, s.alice.ID, row.ID))
				continue
			}
			s.must(house.DB.RevokeRole(org, s.alice.ID, row.ID)) // past the rule that one stays
		}
		want := permission.UsersRead
		if slug == "default" {
			want += " " + permission.OrganizationsWrite
		}
		if answer := machine.Token("grant_type", "client_credentials", "resource", house.Base+"/api/v1"); answer.Text("scope") != want {
			t.Errorf("%s: a machine: %d %s", slug, answer.Status, answer.Body)
		}
		if _, err := house.Operators.CreateAPI(org, manage.NewAPI{Identifier: house.Base + "/api/v1", Name: "Mine"}); len(manage.Complaints(err)) == 0 {
			t.Errorf("%s: the management API is somebody's own: %v", slug, err)
		}
		everything := manage.ClientSpec{Name: "x", RedirectURIs: []string{servertest.Callback}, Scope: "openid keizer:everything"}
		if _, _, err := house.Operators.CreateClient(org, everything); len(manage.Complaints(err)) == 0 {
			t.Errorf("%s: a name that is kept is a scope: %v", slug, err)
		}
	}
}

// People are told in the organization's words what an application asks for at an API, and are not asked for what it will not have.
func TestTheConsentPageSaysWhatTheScopesOfAnAPIAre(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	s := openShop(t, house, house.In("default"))
	s.grant("reader")
	client := house.Client(s.org, manage.ClientSpec{Scope: "openid read write look " + permission.UsersRead})
	visitor := client.Visitor()
	page := visitor.SignIn(visitor.Go(client.AuthorizeURL("scope", "openid read write look "+permission.UsersRead, "resource", ordersAPI)), "alice", servertest.Password)
	if page.Title != "Allow access" {
		t.Fatalf("%q\n%s", page.Title, page.Body)
	}
	body := page.Body
	for _, want := range []string{"See your orders", "Orders", "write"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q:\n%s", want, body)
		}
	}
	for _, other := range []string{">look<", "See everybody in the organization"} {
		if strings.Contains(body, other) {
			t.Errorf("the page asks for %q:\n%s", other, body)
		}
	}
	arrived, ok := visitor.Press(page, "consent-allow").Arrived()
	if answer := client.Redeem(arrived.Get("code")); !ok || answer.Text("scope") != "openid read" {
		t.Errorf("%v: %d %s", ok, answer.Status, answer.Body)
	}
	consent, err := house.DB.Consent(s.org, s.alice.ID, client.ID)
	s.must(err)
	if !slices.Equal(consent.Scopes, []string{"openid", "read", "write"}) {
		t.Errorf("allowed: %v", consent.Scopes)
	}
	page = visitor.Go(client.AuthorizeURL("scope", "openid "+permission.UsersRead, "resource", house.Base+"/api/v1"))
	if !strings.Contains(page.Body, "See everybody in the organization") {
		t.Errorf("%q\n%s", page.Title, page.Body)
	}
}

// What most tokens are for costs nothing of all this: no statement more, whatever there is of roles and APIs.
func TestTokensThatSayNothingOfRightsAskForNone(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	api := house.Client(org, manage.ClientSpec{Name: "API", GrantTypes: []string{manage.GrantClientCredentials}})
	clients := make(map[string]*servertest.Client)
	for _, format := range []string{"opaque", "jwt"} {
		clients[format] = house.Client(org, manage.ClientSpec{
			AccessTokenFormat: format, Audience: []string{api.ID, "https://api.example"}, Scope: "openid profile email offline_access roles",
			GrantTypes: []string{manage.GrantCode, manage.GrantRefresh, manage.GrantClientCredentials},
		})
	}
	for _, table := range []string{"apis", "api_scopes", "permissions", "role_permissions"} {
		change(t, house, `ALTER TABLE `+table+` RENAME TO away_`+table)
	}
	for format, client := range clients {
		visitor := client.Visitor()
		tokens := client.Redeem(visitor.Code(client.AuthorizeURL("scope", "openid profile offline_access"), "alice"))
		next := client.Refresh(tokens.Text("refresh_token"), "resource", "https://api.example")
		if next.Status != 200 || house.Get(house.Base+"/oauth2/userinfo", "Authorization", "Bearer "+tokens.Text("access_token")).Status != 200 ||
			api.Post("/oauth2/introspect", "token", tokens.Text("access_token")).JSON()["active"] != true || !client.Active(next.Text("access_token")) {
			t.Errorf("%s: %d %s", format, next.Status, next.Body)
		}
		if answer := client.Token("grant_type", "client_credentials", "scope", "email"); answer.Status != 200 {
			t.Errorf("%s: %d %s", format, answer.Status, answer.Body)
		}
		// And what does ask for them is not answered without.
		tokens = client.Redeem(visitor.Code(client.AuthorizeURL("scope", "openid roles"), "alice"))
		if format == "opaque" {
			tokens = house.Get(house.Base+"/oauth2/userinfo", "Authorization", "Bearer "+tokens.Text("access_token"))
		}
		if tokens.Status != 500 {
			t.Errorf("%s: %d %s", format, tokens.Status, tokens.Body)
		}
	}
}
