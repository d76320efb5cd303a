package server_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// trail are the events of an organization so far, the oldest first.
func trail(t *testing.T, house *servertest.House, org context.Context) []storage.AuditEvent {
	t.Helper()
	events, err := house.DB.ListAudit(org, storage.AuditFilter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(events)
	return events
}

// S-288: every security event leaves a row that says when, who, what, from where, and at which request.
func TestSecurityEventsAreWrittenDown(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{
			DatabaseURL: databaseURL, Configure: func(cfg *config.Config) { cfg.Tokens.RefreshReplayWindow = 0 },
		})
		org := house.In("default")
		user := house.User(org, "alice")
		client := house.Client(org, manage.ClientSpec{PostLogoutRedirectURIs: []string{"https://rp.example/bye"}})
		person, application := "user:"+user.ID.String(), "client:"+client.ID
		seen := len(trail(t, house, org))

		// next expects the events since the last time, and nothing else.
		next := func(deed string, want ...[2]string) {
			t.Helper()
			events := trail(t, house, org)[seen:]
			seen += len(events)
			got := make([][2]string, len(events))
			for i, event := range events {
				got[i] = [2]string{event.Actor, event.Action}
				if event.IPAddress == nil || *event.IPAddress != "127.0.0.1" || len(event.RequestID) != 26 || event.CreatedAt.IsZero() {
					t.Errorf("%s: %+v", deed, event)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, not %v", deed, got, want)
			}
		}
		const scope = "openid offline_access"

		visitor := client.Visitor()
		page := visitor.SignIn(visitor.Go(client.AuthorizeURL("scope", scope)), "alice", "wrong")
		next("a wrong password", [2]string{"anonymous", "user.sign_in_failed"})
		page = visitor.SignIn(page, "alice", servertest.Password)
		next("a sign-in", [2]string{person, "user.signed_in"})
		visitor.Press(page, "consent-deny")
		next("a refusal", [2]string{person, "consent.denied"})
		page = visitor.Press(visitor.Go(client.AuthorizeURL("scope", scope)), "consent-allow")
		next("a consent", [2]string{person, "consent.granted"})
		arrived, _ := page.Arrived()
		cancelled := client.Visitor()
		cancelled.Press(cancelled.Go(client.AuthorizeURL()), "login-cancel")
		next("a sign-in that was given up", [2]string{"anonymous", "user.sign_in_cancelled"})

		// What happens all day is not written down.
		tokens := client.Redeem(arrived.Get("code"))
		client.Active(tokens.Text("access_token"))
		house.Get("/oauth2/userinfo", "Authorization", "Bearer "+tokens.Text("access_token"))
		again := client.Refresh(tokens.Text("refresh_token"))
		next("tokens, and what they are shown for")

		if answer := client.Redeem(arrived.Get("code")); answer.Status != 400 {
			t.Errorf("%d %s", answer.Status, answer.Body)
		}
		next("a code that comes again", [2]string{application, "grant.reuse_detected"})
		client.Redeem(arrived.Get("code"))
		client.Refresh(tokens.Text("refresh_token"))
		client.Refresh(again.Text("refresh_token"))
		next("a family that has ended")

		tokens = client.Redeem(visitor.Code(client.AuthorizeURL("scope", scope), "alice"))
		client.Refresh(tokens.Text("refresh_token"))
		client.Refresh(tokens.Text("refresh_token"))
		next("a refresh token that comes again", [2]string{application, "grant.reuse_detected"})

		code := visitor.Code(client.AuthorizeURL(), "alice")
		client.Token("grant_type", "authorization_code", "code", code, "redirect_uri", client.Redirect, "code_verifier", strings.Repeat("x", 43))
		next("a code with a wrong verifier", [2]string{application, "code.burnt"})
		client.Redeem(code)
		next("a burnt code")

		tokens = client.Redeem(visitor.Code(client.AuthorizeURL("scope", scope), "alice"))
		client.Post("/oauth2/revoke", "token", tokens.Text("access_token"))
		next("an access token revoked", [2]string{application, "token.revoked"})
		client.Post("/oauth2/revoke", "token", tokens.Text("refresh_token"))
		next("a refresh token revoked", [2]string{application, "grant.revoked"})
		client.Post("/oauth2/revoke", "token", tokens.Text("refresh_token"))
		client.Post("/oauth2/revoke", "token", "nothing")
		next("nothing revoked")

		// By the hint of an application, and by hand.
		logout := house.At(client.Issuer + "/oauth2/logout")
		visitor.Go(logout + "?" + url.Values{"id_token_hint": {tokens.Text("id_token")}}.Encode())
		if events := trail(t, house, org); events[len(events)-1].Details["client_id"] != client.ID {
			t.Errorf("%+v", events[len(events)-1])
		}
		next("a sign-out", [2]string{person, "session.ended"})
		visitor.Go(logout)
		next("nobody there to sign out")
		visitor.Code(client.AuthorizeURL(), "alice")
		next("a sign-in", [2]string{person, "user.signed_in"})
		bob := "user:" + house.User(org, "bob").ID.String()
		seen = len(trail(t, house, org))
		page = visitor.SignIn(visitor.Go(client.AuthorizeURL("prompt", "login")), "bob", servertest.Password)
		next("another person at the same browser", [2]string{bob, "session.ended"}, [2]string{bob, "user.signed_in"})
		visitor.Press(page, "consent-deny")
		next("a refusal", [2]string{bob, "consent.denied"})
		visitor.Press(visitor.Go(logout), "logout-confirm")
		next("a sign-out by hand", [2]string{bob, "session.ended"})
	})
}

// S-290: what cannot be written down does not happen.
func TestWhatCannotBeWrittenDownDoesNotHappen(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{
		DatabaseURL: storagetest.PostgresURL(t), Configure: func(cfg *config.Config) { cfg.Tokens.RefreshReplayWindow = 0 },
	})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{SkipConsent: true})
	visitor := client.Visitor()
	code := visitor.Code(client.AuthorizeURL("scope", "openid offline_access"), "alice")
	tokens, unused := client.Redeem(code), visitor.Code(client.AuthorizeURL(), "alice")
	page := visitor.Go(house.At(client.Issuer + "/oauth2/logout"))
	before := len(trail(t, house, org))

	full := house.SQL()
	if _, err := full.ExecContext(t.Context(), `ALTER TABLE audit_events ADD CONSTRAINT nothing_more CHECK (FALSE) NOT VALID`); err != nil {
		t.Fatal(err)
	}
	for name, ask := range map[string]func() *servertest.Answer{
		"a code that comes again": func() *servertest.Answer { return client.Redeem(code) },
		"a code to be burnt": func() *servertest.Answer {
			return client.Token("grant_type", "authorization_code", "code", unused, "code_verifier", "x")
		},
		"an access token, revoked":  func() *servertest.Answer { return client.Post("/oauth2/revoke", "token", tokens.Text("access_token")) },
		"a refresh token, revoked":  func() *servertest.Answer { return client.Post("/oauth2/revoke", "token", tokens.Text("refresh_token")) },
		"another user, by operator": nil,
	} {
		if ask == nil {
			if _, err := house.Operators.CreateUser(org, manage.NewUser{Username: "bob", Email: "bob@example.com", Password: servertest.Password}); err == nil {
				t.Errorf("%s: done", name)
			}
			continue
		}
		if answer := ask(); answer.Status != 500 {
			t.Errorf("%s: %d %s", name, answer.Status, answer.Body)
		}
	}
	if ended := visitor.Press(page, "logout-confirm"); ended.Status != 500 {
		t.Errorf("a sign-out: %d", ended.Status)
	}
	if denied := client.Visitor(); denied.SignIn(denied.Go(client.AuthorizeURL()), "alice", servertest.Password).Status != 500 {
		t.Error("a sign-in is not written down, and goes through")
	}

	if _, err := full.ExecContext(t.Context(), `ALTER TABLE audit_events DROP CONSTRAINT nothing_more`); err != nil {
		t.Fatal(err)
	}
	if after := len(trail(t, house, org)); after != before {
		t.Errorf("%d events, and %d before", after, before)
	}
	if !client.Active(tokens.Text("access_token")) || !client.Active(tokens.Text("refresh_token")) {
		t.Error("tokens were revoked")
	}
	if answer := client.Redeem(unused); answer.Status != 200 {
		t.Errorf("the code was burnt: %d %s", answer.Status, answer.Body)
	}
	if arrived, ok := visitor.Go(client.AuthorizeURL("prompt", "none")).Arrived(); !ok || arrived.Get("code") == "" {
		t.Errorf("the person was signed out: %v", arrived)
	}
	if _, err := house.DB.UserByLogin(org, "bob"); err == nil {
		t.Error("the user was made")
	}
}
