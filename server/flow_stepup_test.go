package server_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// Somebody is signed in with a password, and an application asks for more: they give it, and stay who they are.
func TestAnApplicationAsksForMoreThanASessionHas(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		user := house.User(org, "alice")
		plain, strict := house.Client(org, trustedClient), house.Client(org, trustedClient)
		visitor := &account{t: t, house: house, org: org, issuer: house.Issuer(org), name: "alice", Visitor: strict.Visitor()}
		first := claimsAt(t, plain, visitor.SignIn(visitor.Go(plain.AuthorizeURL()), "alice", servertest.Password))
		says(t, first, oneFactor, "pwd")
		giveApp(t, house, org, user) // at another browser, say
		visitor.age(time.Hour)
		before := visitor.session()

		// Whoever asks for nothing more is answered as before, with the factor there now.
		same := claimsAt(t, plain, visitor.Go(plain.AuthorizeURL("prompt", "none")))
		says(t, same, oneFactor, "pwd")

		page := titled(t, visitor.Go(strict.AuthorizeURL("acr_values", twoFactors)), "One more step")
		page = titled(t, givesCode(t, visitor.Visitor, page, "000000"), "One more step")
		old := cookies(visitor)
		claims := claimsAt(t, strict, givesCode(t, visitor.Visitor, page, appCode(t, 0)))
		says(t, claims, twoFactors, "pwd", "otp", "mfa")
		if claims["sid"] != first["sid"] || numberOf(t, claims["auth_time"]) != float64(before.AuthTime.Unix()) {
			t.Errorf("sid %v and auth_time %v, before %v and %d", claims["sid"], claims["auth_time"], first["sid"], before.AuthTime.Unix())
		}
		// S-173: the session goes on under a new secret, and the old one is nobody's.
		after := visitor.session()
		if after.ID != before.ID || after.Token == before.Token {
			t.Errorf("session %s, before %s", after.ID, before.ID)
		}
		if answer := house.Get(strict.AuthorizeURL("prompt", "none"), "Cookie", old); sentTo(t, answer).Query().Get("error") != "login_required" {
			t.Errorf("the cookie of before: %s", answer.Header.Get("Location"))
		}
		// From now on the session has it, for everybody.
		says(t, claimsAt(t, plain, visitor.Go(plain.AuthorizeURL("prompt", "none"))), twoFactors, "pwd", "otp", "mfa")
		says(t, claimsAt(t, strict, visitor.Go(strict.AuthorizeURL("prompt", "none", "claims", `{"id_token":{"acr":{"essential":true,"values":["`+twoFactors+`"]}}}`))),
			twoFactors, "pwd", "otp", "mfa")
		// Of what is asked for, what was met is answered.
		says(t, claimsAt(t, plain, visitor.Go(plain.AuthorizeURL("acr_values", "phr "+oneFactor))), oneFactor, "pwd", "otp", "mfa")
	})
}

// A refresh says of the sign-in what was true of it, and nothing that came later.
func TestARefreshKeepsTheAssuranceOfItsSignIn(t *testing.T) {
	t.Parallel()
	house, org, client := beginWith(t, "", trustedClient)
	user, err := house.DB.UserByLogin(org, "alice")
	if err != nil {
		t.Fatal(err)
	}
	giveApp(t, house, org, user)
	visitor := client.Visitor()
	if err := house.DB.DeleteFactors(org, user.ID); err != nil {
		t.Fatal(err)
	}
	weak := client.Redeem(visitor.Code(client.AuthorizeURL("scope", "openid offline_access"), "alice"))
	giveApp(t, house, org, user)
	page := titled(t, visitor.Go(client.AuthorizeURL("acr_values", twoFactors, "scope", "openid offline_access")), "One more step")
	arrived, _ := givesCode(t, visitor, page, appCode(t, 0)).Arrived()
	strong := client.Redeem(arrived.Get("code"))
	for range 2 {
		if weak = client.Refresh(weak.Text("refresh_token")); weak.Status != 200 {
			t.Fatal(weak.Body)
		}
		says(t, servertest.Claims(t, weak.Text("id_token")), oneFactor, "pwd")
		strong = client.Refresh(strong.Text("refresh_token"))
		says(t, servertest.Claims(t, strong.Text("id_token")), twoFactors, "pwd", "otp", "mfa")
	}
}

func TestWhoDoesNotGiveMoreIsNotMore(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, client := beginWith(t, databaseURL, trustedClient)
		user, err := house.DB.UserByLogin(org, "alice")
		if err != nil {
			t.Fatal(err)
		}
		visitor := client.Visitor()
		visitor.Code(client.AuthorizeURL(), "alice")
		giveApp(t, house, org, user)
		for demand, want := range map[string]string{twoFactors: "unmet_authentication_requirements", twoFactors + " " + oneFactor: "access_denied"} {
			page := titled(t, visitor.Go(client.AuthorizeURL("acr_values", demand)), "One more step")
			arrived, _ := visitor.Press(page, "factor-cancel").Arrived()
			tellsClient(t, demand, client, arrived, want)
		}
		// She is signed in as before; and on the way in, to cancel is to decline.
		says(t, claimsAt(t, client, visitor.Go(client.AuthorizeURL("prompt", "none"))), oneFactor, "pwd")
		other := client.Visitor()
		page := titled(t, other.SignIn(other.Go(client.AuthorizeURL()), "alice", servertest.Password), "One more step")
		arrived, _ := other.Press(page, "factor-cancel").Arrived()
		tellsClient(t, "on the way in", client, arrived, "access_denied")
		if page := other.Go(page.URL.String()); page.Status != 400 {
			t.Errorf("and back: %d %q", page.Status, page.Title)
		}
		tellsClient(t, "and then", client, other.Through(client.AuthorizeURL("prompt", "none"), ""), "login_required")
	})
}

// Where nothing can be asked for, it is set up: by whoever has just signed in, and not by whoever has come by a session (S-181).
func TestWhoHasNothingMoreSetsItUpAfterSigningInAnew(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, client := beginWith(t, databaseURL, trustedClient)
		decide(t, []*servertest.House{house}, "default", "second_factor.email_code", "false")
		visitor := signedInAgo(t, house, org, client, time.Hour)
		sid := sessionOf(t, house, org, visitor).ID.String()
		page := titled(t, visitor.Go(client.AuthorizeURL("acr_values", twoFactors)), "Sign in")
		page = titled(t, visitor.SignIn(page, "alice", servertest.Password), "Set up a second factor")
		setsUpApp(t, page)
		page = titled(t, visitor.Press(page, "enroll-submit"), "Your recovery codes")
		claims := claimsAt(t, client, visitor.Press(page, "codes-later"))
		says(t, claims, twoFactors, "pwd", "otp", "mfa")
		if claims["sid"] != sid {
			t.Errorf("sid %v, before %s", claims["sid"], sid)
		}

		// A session of this minute is enough; and whoever will not is told to the application.
		house.User(org, "bob")
		other := client.Visitor()
		other.Code(client.AuthorizeURL(), "bob")
		page = titled(t, other.Go(client.AuthorizeURL("acr_values", twoFactors)), "Set up a second factor")
		arrived, _ := other.Press(page, "enroll-cancel").Arrived()
		tellsClient(t, "not set up", client, arrived, "unmet_authentication_requirements")
		// Whoever would rather have two is content with one of somebody who has no more.
		says(t, claimsAt(t, client, other.Go(client.AuthorizeURL("acr_values", twoFactors+" "+oneFactor))), oneFactor, "pwd")
	})
}

// What a client is registered with counts where its request says nothing.
func TestAClientMayBeRegisteredWithAnAssuranceOfItsOwn(t *testing.T) {
	t.Parallel()
	house, org, plain := beginWith(t, "", trustedClient)
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, Metadata: map[string]any{"default_acr_values": []any{twoFactors}}})
	visitor := client.Visitor()
	claimsAt(t, plain, visitor.SignIn(visitor.Go(plain.AuthorizeURL()), "alice", servertest.Password))
	tellsClient(t, "silently", client, visitor.Through(client.AuthorizeURL("prompt", "none"), ""), "interaction_required")
	titled(t, visitor.Go(client.AuthorizeURL()), "One more step")
	says(t, claimsAt(t, client, visitor.Go(client.AuthorizeURL("acr_values", oneFactor))), oneFactor, "pwd")
}

// An organization that comes to ask for two factors asks whoever is signed in, too: at applications and at its own pages.
func TestWhatAnOrganizationComesToAskForHoldsForTheSessionsThereAre(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 0)
		house := replicas[0]
		org := house.In("default")
		user := house.User(org, "alice")
		house.User(org, "bob")
		client := house.Client(org, trustedClient)
		visitor := client.Visitor()
		visitor.Code(client.AuthorizeURL(), "alice")
		decide(t, replicas[:], "default", "second_factor.require", "everyone")
		silent := strings.TrimPrefix(client.AuthorizeURL("prompt", "none"), house.URL)
		for i, replica := range replicas {
			answer := send(t, replica, request{address: silent, cookies: visitor.Cookies(house.URL)})
			if said := sentOn(t, "silently", answer, client.Redirect).Get("error"); said != "interaction_required" {
				t.Errorf("replica %d: %q", i+1, said)
			}
			answer = send(t, replica, request{address: "/account/profile", cookies: visitor.Cookies(house.URL)})
			if answer.Status != 303 || answer.Header.Get("Location") != "/login/factor?return_to="+url.QueryEscape("/account/profile") {
				t.Errorf("replica %d, the account: %d to %q", i+1, answer.Status, answer.Header.Get("Location"))
			}
		}
		giveApp(t, house, org, user)
		page := titled(t, visitor.Go(house.Base+"/account/profile"), "One more step")
		titled(t, givesCode(t, visitor, page, appCode(t, 0)), "Profile")
		says(t, claimsAt(t, client, visitor.Go(client.AuthorizeURL("prompt", "none"))), twoFactors, "pwd", "otp", "mfa")

		// To go away is nobody's to forbid.
		other := accountless(t, house, org, "bob")
		page = titled(t, other.SignIn(other.Go(house.Base+"/account"), "bob", servertest.Password), "One more step")
		if page.Has("factor-way-app") || page.Text("factor-email") == "" {
			t.Errorf("bob is offered what he does not have\n%s", short(page.Body))
		}
	})
}
