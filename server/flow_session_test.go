package server_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// decide changes settings of an organization, and waits until every replica knows: that is a matter of seconds.
func decide(t *testing.T, replicas []*servertest.House, slug string, values ...string) {
	t.Helper()
	patch := settings.Patch{}
	for i := 0; i+1 < len(values); i += 2 {
		if err := patch.Set(values[i], values[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := replicas[0].Operators.UpdateOrganization(t.Context(), slug, manage.OrganizationPatch{Settings: patch}); err != nil {
		t.Fatal(err)
	}
	for _, replica := range replicas {
		if !within(t.Context(), 5*time.Second, func() bool {
			org, err := replica.Tenant(t.Context(), slug)
			if err != nil {
				t.Fatal(err)
			}
			holds := settings.Flat(org.Decided())
			for i := 0; i+1 < len(values); i += 2 {
				if holds[values[i]] != values[i+1] {
					return false
				}
			}
			return true
		}) {
			t.Fatal("a replica does not come to know what was decided")
		}
	}
}

// S-177: sessions end when nobody uses them, and at their absolute end, as each organization decides for itself.
func TestSessionsLastAsLongAsTheirOrganizationDecides(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 0)
		house := replicas[0]
		acme, root := house.Organization("acme"), house.In("default")
		type seat struct {
			client  *servertest.Client
			visitor *servertest.Visitor
			digest  string
		}
		sit := func(org context.Context, cookie string) seat {
			client := house.Client(org, trustedClient)
			visitor := signedIn(client, "alice")
			return seat{client, visitor, secret.Digest(cookieValue(t, visitor, house, cookie))}
		}
		house.User(acme, "alice")
		house.User(root, "alice")
		said := func(s seat) (all []string) {
			t.Helper()
			silent := strings.TrimPrefix(s.client.AuthorizeURL("prompt", "none"), house.URL)
			for _, replica := range replicas {
				answer := send(t, replica, request{address: silent, cookies: s.visitor.Cookies(s.client.Issuer)})
				all = append(all, sentOn(t, "asked silently", answer, s.client.Redirect).Get("error"))
			}
			return all
		}
		alive := func(what string, s seat, want bool) {
			t.Helper()
			for i, got := range said(s) {
				if (got == "") != want {
					t.Errorf("%s, replica %d: %q", what, i+1, got)
				}
			}
		}
		ago := func(column string, s seat, d time.Duration) {
			at := time.Now().UTC().Add(-d).Format(time.DateTime)
			change(t, house, `UPDATE sessions SET `+column+` = '`+at+`' WHERE token = $1`, s.digest)
		}

		ours, theirs := sit(acme, "keizer_session_acme"), sit(root, "keizer_session")
		for _, s := range []seat{ours, theirs} {
			ago("last_used_at", s, 20*time.Minute)
			alive("used twenty minutes ago", s, true)
		}
		decide(t, replicas[:], "acme", "sessions.idle", "15m", "sessions.absolute", "2h")
		alive("used just now", ours, true)
		for _, s := range []seat{ours, theirs} {
			ago("last_used_at", s, 16*time.Minute)
		}
		alive("idle for longer than was decided", ours, false)
		alive("asked again: a stale cookie prolongs nothing (S-176)", ours, false)
		alive("where nothing was decided", theirs, true)

		ours = sit(acme, "keizer_session_acme")
		ago("auth_time", ours, time.Hour)
		alive("an hour old, and in use", ours, true)
		for _, s := range []seat{ours, theirs} {
			ago("auth_time", s, 2*time.Hour+time.Minute)
		}
		alive("past its absolute end, and in use", ours, false)
		alive("two hours old where nothing was decided", theirs, true)
	})
}

// S-069: an operator switches somebody off, and within a second no replica knows them any more; on again, nothing comes back.
func TestWhoIsSwitchedOffIsOutAtEveryReplicaWithinASecond(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 10*time.Second)
		house := replicas[0]
		org := house.In("default")
		user := house.User(org, "alice")
		client := house.Client(org, manage.ClientSpec{SkipConsent: true, AccessTokenFormat: "jwt", Scope: "openid email offline_access"})
		visitor := signedIn(client, "alice")
		tokens := client.Redeem(visitor.Code(client.AuthorizeURL("scope", "openid offline_access"), "alice"))
		access, refresh := tokens.Text("access_token"), tokens.Text("refresh_token")
		silent := strings.TrimPrefix(client.AuthorizeURL("prompt", "none"), house.URL)
		cookies := visitor.Cookies(house.URL)
		out := func(when string) {
			t.Helper()
			for _, replica := range replicas {
				if answer := client.TokenAt(replica, "grant_type", "refresh_token", "refresh_token", refresh); answer.Text("error") != "invalid_grant" {
					t.Errorf("%s: refreshed: %d %s", when, answer.Status, answer.Body)
				}
				wantError(t, when, send(t, replica, request{address: "/oauth2/userinfo", header: []string{"Authorization", "Bearer " + access}}), 401, "invalid_token")
				wantInactive(t, when, client.PostAt(replica, "/oauth2/introspect", "token", access))
				if said := sentOn(t, when, send(t, replica, request{address: silent, cookies: cookies}), client.Redirect).Get("error"); said != "login_required" {
					t.Errorf("%s: still signed in: %q", when, said)
				}
			}
		}
		for _, replica := range replicas { // whatever a replica might keep, it has now
			if answer := send(t, replica, request{address: "/oauth2/userinfo", header: []string{"Authorization", "Bearer " + access}}); answer.Status != 200 {
				t.Fatalf("it never worked: %d", answer.Status)
			}
		}
		if _, err := replicas[1].Operators.DisableUser(org, user.ID); err != nil {
			t.Fatal(err)
		}
		out("switched off")
		if _, err := replicas[1].Operators.EnableUser(org, user.ID); err != nil {
			t.Fatal(err)
		}
		out("switched on again")
		if answer := client.Redeem(signedIn(client, "alice").Code(client.AuthorizeURL(), "alice")); answer.Status != 200 {
			t.Errorf("signed in anew: %d %s", answer.Status, answer.Body)
		}
	})
}

// S-076: where an organization says so, the end of a session is the end of everything that was given in it, JWTs included.
func TestTheEndOfASessionEndsItsTokensWhereThatIsDecided(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, AccessTokenFormat: "jwt", Scope: "openid email offline_access"})
	end := func(scope string, wantActive bool) {
		t.Helper()
		visitor := signedIn(client, "alice")
		tokens := client.Redeem(visitor.Code(client.AuthorizeURL("scope", scope), "alice"))
		visitor.Press(visitor.Go(house.URL+"/oauth2/logout"), "logout-confirm")
		access := tokens.Text("access_token")
		answer := send(t, house, request{address: "/oauth2/userinfo", header: []string{"Authorization", "Bearer " + access}})
		if active := client.Active(access); active != wantActive || (answer.Status == 200) != wantActive {
			t.Errorf("%s: active %v, userinfo %d", scope, active, answer.Status)
		}
		if refresh := tokens.Text("refresh_token"); refresh != "" {
			if answer := client.Refresh(refresh); (answer.Status == 200) != wantActive {
				t.Errorf("%s: refreshed: %d %s", scope, answer.Status, answer.Body)
			}
		}
	}
	end("openid", false)
	end("openid offline_access", true)
	decide(t, []*servertest.House{house}, "default", "sessions.end_tokens", "true")
	end("openid", false)
	end("openid offline_access", false)
}

func TestWhoLosesTheirFactorsToAnOperatorIsTold(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	user := house.User(org, "alice")
	if _, err := house.Operators.ResetFactors(org, user.ID); err != nil || len(house.Letters(user.Email)) != 0 {
		t.Errorf("told of nothing: %v", err)
	}
	if err := house.DB.CreateAuthenticator(org, &storage.Authenticator{UserID: user.ID, Name: "phone", Secret: []byte("secret")}); err != nil {
		t.Fatal(err)
	}
	if _, err := house.Operators.ResetFactors(org, user.ID); err != nil {
		t.Fatal(err)
	}
	letters := house.Letters(user.Email)
	if len(letters) != 1 || !strings.Contains(letters[0].Text, "Every passkey, authenticator app and recovery code") || !strings.Contains(letters[0].Text, " UTC") {
		t.Errorf("%+v", letters)
	}
	// In her language, where she has said which it is.
	claims := map[string]any{"locale": "ar"}
	if _, err := house.Operators.UpdateUser(org, user.ID, manage.UserPatch{Metadata: &claims}); err != nil {
		t.Fatal(err)
	}
	if err := house.Operators.SetPassword(org, user.Email, newPassword); err != nil {
		t.Fatal(err)
	}
	if l := newest(t, house, user.Email, mail.PasswordChange); l.Language != "ar" {
		t.Errorf("in %s", l.Language)
	}
}
