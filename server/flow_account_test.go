package server_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

const otherPassword = "seventeen quiet lanterns over the harbour"

// account is somebody at a browser who looks after an account.
type account struct {
	*servertest.Visitor
	t      testing.TB
	house  *servertest.House
	org    context.Context
	issuer string
	name   string
}

// accountOf signs somebody in at a new browser, on the way to the account pages.
func accountOf(t testing.TB, house *servertest.House, org context.Context, name string) *account {
	t.Helper()
	a := accountless(t, house, org, name)
	a.expect(a.signIn(a.Go(a.issuer+"/account")), "Your account")
	return a
}

// signIn signs them in on the page that is shown, with the code of their app if it is asked for.
func (a *account) signIn(page *formbrowser.Page) *formbrowser.Page {
	a.t.Helper()
	if page = a.SignIn(page, a.name, servertest.Password); page.Title == "One more step" {
		change(a.t, a.house, `UPDATE authenticators SET last_step = 0`) // as if half a minute had passed
		if page.Has("factor-way-app") {
			page = a.Press(page, "factor-way-app")
		}
		page = givesCode(a.t, a.Visitor, page, appCode(a.t, 0))
	}
	return page
}

func accountless(t testing.TB, house *servertest.House, org context.Context, name string) *account {
	t.Helper()
	a := &account{t: t, house: house, org: org, issuer: house.Issuer(org), name: name}
	a.Visitor = servertest.VisitorOf(t)
	return a
}

func (a *account) open(path, title string) *formbrowser.Page {
	a.t.Helper()
	return a.expect(a.Go(a.issuer+"/account"+path), title)
}

func (a *account) expect(page *formbrowser.Page, title string) *formbrowser.Page {
	a.t.Helper()
	if page.Title != title {
		a.t.Fatalf("%d %q at %s, not %q\n%s", page.Status, page.Title, page.URL, title, page.Body)
	}
	return page
}

// press fills fields, in pairs, and presses a button.
func (a *account) press(page *formbrowser.Page, id string, fields ...string) *formbrowser.Page {
	a.t.Helper()
	for i := 0; i+1 < len(fields); i += 2 {
		if err := page.Fill(fields[i], fields[i+1]); err != nil {
			a.t.Fatal(err)
		}
	}
	return a.Press(page, id)
}

// session is that of the browser, or nil.
func (a *account) session() *storage.Session {
	a.t.Helper()
	for _, cookie := range a.Cookies(a.house.URL) {
		if !strings.Contains(cookie.Name, "keizer_session") {
			continue
		}
		if session, _, err := a.house.DB.SessionByToken(a.org, secret.Digest(cookie.Value)); err == nil {
			return session
		}
	}
	return nil
}

// age makes it that the person signed in a while ago.
func (a *account) age(ago time.Duration) {
	a.t.Helper()
	session := a.session()
	session.AuthTime = session.AuthTime.Add(-ago)
	if err := a.house.DB.RenewSession(a.org, session); err != nil {
		a.t.Fatal(err)
	}
}

// letter is the newest that was written to an address, of a kind.
func letter(t testing.TB, house *servertest.House, address string, kind mail.Kind) mail.Message {
	t.Helper()
	letters := house.Letters(address)
	for _, l := range slices.Backward(letters) {
		if l.Kind == kind {
			return l
		}
	}
	t.Fatalf("nothing of the kind %s among the %d letters to %s", kind, len(letters), address)
	return mail.Message{}
}

// inBoth runs a test at the root organization and at another one, on both databases.
func inBoth(t *testing.T, test func(t *testing.T, house *servertest.House, org context.Context)) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		house.Organization("acme")
		for _, slug := range []string{"default", "acme"} {
			t.Run(slug, func(t *testing.T) { test(t, house, house.In(slug)) })
		}
	})
}

func TestAPersonWritesWhatIsSaidOfThem(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		house.User(org, "alice")
		house.User(org, "bob")
		alice := accountOf(t, house, org, "alice")
		page := alice.press(alice.open("/profile", "Profile"), "profile-save",
			"name", " Alice B. Doe ", "username", "alice2", "nickname", "Al", "birthdate", "1980-02-29", "zoneinfo", "Europe/Berlin", "locale", "en",
			"phone_number", "+49 (30) 123-4567", "website", "https://alice.example/", "street_address", "Hauptstr. 1", "locality", "Berlin")
		if alice.expect(page, "Profile"); page.Text("account-done") != "Your profile is saved." || page.Value("name") != "Alice B. Doe" || page.Value("phone_number") != "+49301234567" {
			t.Fatalf("%d\n%s", page.Status, page.Body)
		}
		user, err := house.DB.UserByLogin(org, "ALICE2")
		if err != nil {
			t.Fatal(err)
		}
		address, _ := user.Metadata["address"].(map[string]any)
		if user.Metadata["zoneinfo"] != "Europe/Berlin" || address["locality"] != "Berlin" || address["region"] != nil || !user.UpdatedAt.After(user.CreatedAt) {
			t.Errorf("the account says %v", user.Metadata)
		}

		// Each mistake is told beside its field, what was typed stays, and nothing is saved.
		page = alice.press(page, "profile-save", "name", "x", "username", "BOB", "nickname", "Nick")
		if page.Status != http.StatusBadRequest || page.Text("username-error") != "Somebody has this user name already." || page.Value("nickname") != "Nick" {
			t.Errorf("%d %q", page.Status, page.Text("username-error"))
		}
		page = alice.press(page, "profile-save", "username", "a@b", "birthdate", "29.2.1980", "zoneinfo", "Mars", "phone_number", "12", "website", "javascript:alert(1)",
			"given_name", "a\u202eb", "picture", "http://alice.example")
		for _, field := range []string{"username", "birthdate", "zoneinfo", "phone_number", "website", "given_name", "picture"} {
			if page.Text(field+"-error") == "" {
				t.Errorf("nothing is said of %s", field)
			}
		}
		if now, err := house.DB.User(org, user.ID); err != nil || *now.FullName != "Alice B. Doe" {
			t.Errorf("%v: %q was saved", err, *now.FullName)
		}

		// What is emptied is not said any more; that a number was verified is not said of another.
		page = alice.press(alice.open("/profile", "Profile"), "profile-save", "name", "", "username", "", "nickname", "", "street_address", "", "locality", "", "phone_number", "")
		alice.expect(page, "Profile")
		if user, err = house.DB.User(org, user.ID); err != nil || user.Username != nil || user.FullName != nil || user.Metadata["address"] != nil || user.Metadata["nickname"] != nil {
			t.Errorf("%v %v", err, user.Metadata)
		}
	})
}

func TestAnAddressChangesWhenWhoeverReadsMailThereAgreesAndCanBeBroughtBack(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		slug := strings.ReplaceAll(t.Name(), "/", "-")
		next := "alice-" + strings.ToLower(slug[len(slug)-7:]) + "@elsewhere.example"
		user := house.User(org, "alice")
		alice := accountOf(t, house, org, "alice")
		page := alice.press(alice.open("/email", "E-mail address"), "email-change", "email", next)
		if alice.expect(page, "E-mail address"); page.Text("account-pending") != next || page.Text("account-email") != user.Email {
			t.Fatalf("%d\n%s", page.Status, page.Body)
		}
		if told := letter(t, house, user.Email, mail.EmailChanging); !strings.Contains(told.Text, next) || told.Link != "" {
			t.Errorf("the address so far is told %q", told.Text)
		}
		link := letter(t, house, next, mail.ConfirmEmail).Link
		if !strings.HasPrefix(link, alice.issuer+"/account/email/confirm?token=") {
			t.Errorf("the link leads to %s", link)
		}

		// In another browser, where nobody is signed in; and to look at it does nothing.
		elsewhere := accountless(t, house, org, "alice")
		for range 2 {
			page = elsewhere.expect(elsewhere.Go(link), "Confirm your new e-mail address")
		}
		if now, err := house.DB.User(org, user.ID); err != nil || now.Email != user.Email {
			t.Fatalf("%v %s", err, now.Email)
		}
		elsewhere.expect(elsewhere.Press(page, "email-link-submit"), "E-mail address confirmed")
		now, err := house.DB.User(org, user.ID)
		if err != nil || now.Email != next || !now.IsVerified {
			t.Fatalf("%v %+v", err, now)
		}
		if page = elsewhere.Go(link); page.Status != http.StatusNotFound || page.Has("email-link-submit") {
			t.Errorf("the link works again: %d", page.Status)
		}
		letter(t, house, next, mail.EmailIsYours)
		undo := letter(t, house, user.Email, mail.EmailChanged).Link

		// Whoever has done this sets up a way back in; all of it ends when the change is undone from the old address.
		if err := house.DB.CreateAuthenticator(org, &storage.Authenticator{UserID: user.ID, Name: "theirs", Secret: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		page = elsewhere.expect(elsewhere.Go(undo), "Undo the change of your e-mail address?")
		elsewhere.expect(elsewhere.Press(page, "email-link-submit"), "Your e-mail address is back")
		if now, err = house.DB.User(org, user.ID); err != nil || now.Email != user.Email || now.PasswordHash != "!" {
			t.Errorf("%v %+v", err, now)
		}
		if counts, err := house.DB.FactorCounts(org, user.ID); err != nil || counts.Second() {
			t.Errorf("%v %+v", err, counts)
		}
		if alice.session() != nil {
			t.Error("a session outlives it")
		}
		if page = elsewhere.Go(undo); page.Status != http.StatusNotFound {
			t.Errorf("the undo link works again: %d", page.Status)
		}
	})
}

func TestAnAddressThatIsTakenLooksLikeAnyOther(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		house.User(org, "alice")
		house.User(org, "bob")
		alice := accountOf(t, house, org, "alice")
		free := alice.press(alice.open("/email", "E-mail address"), "email-change", "email", "free-"+uuid.NewString()+"@example.com")
		taken := alice.press(alice.open("/email", "E-mail address"), "email-change", "email", "BOB@Example.COM")
		if free.Status != taken.Status || free.Text("account-done") != taken.Text("account-done") || free.Text("account-done") == "" {
			t.Errorf("%d %q and %d %q", free.Status, free.Text("account-done"), taken.Status, taken.Text("account-done"))
		}
		if free.Has("account-pending") != taken.Has("account-pending") || free.Text("account-email") != taken.Text("account-email") {
			t.Error("what is waiting is shown of one of them alone")
		}
		letter(t, house, "bob@example.com", mail.SignUpExists)
		for _, l := range house.Letters("bob@example.com") {
			if l.Kind == mail.ConfirmEmail {
				t.Error("the owner of an address could give it away")
			}
		}
		for _, address := range []string{"nobody", "a@b@c.example", "kelvin\u212a@example.com", "alice@example.com", "a@example.com\r\nBcc: x@example.com"} {
			if page := alice.press(alice.open("/email", "E-mail address"), "email-change", "email", address); page.Status != http.StatusBadRequest || page.Text("email-error") == "" {
				t.Errorf("%q: %d", address, page.Status)
			}
		}
	})
}

func TestALinkThatAnotherChangeHasOvertakenIsDead(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		user := house.User(org, "alice")
		alice := accountOf(t, house, org, "alice")
		ask := func() string {
			address := uuid.NewString() + "@example.com"
			alice.press(alice.open("/email", "E-mail address"), "email-change", "email", address)
			return letter(t, house, address, mail.ConfirmEmail).Link
		}
		first, second := ask(), ask()
		if page := alice.Go(first); page.Status != http.StatusNotFound {
			t.Errorf("an older link works: %d", page.Status)
		}
		// The other organization knows nothing of it, and no page takes the link of another.
		for _, issuer := range []string{house.Base, house.Base + "/o/acme"} {
			path, token, _ := strings.Cut(strings.TrimPrefix(second, alice.issuer), "?")
			if issuer != alice.issuer {
				if page := alice.Go(issuer + path + "?" + token); page.Status != http.StatusNotFound {
					t.Errorf("another organization takes it: %d", page.Status)
				}
			}
			for _, other := range []string{"/account/email/undo", "/reset", "/verify"} {
				if page := alice.Go(issuer + other + "?" + token); page.Status != http.StatusNotFound {
					t.Errorf("%s takes it: %d", other, page.Status)
				}
			}
		}
		page := alice.expect(alice.Go(second), "Confirm your new e-mail address")
		if err := house.DB.ChangeEmail(org, user.ID, user.Email, uuid.NewString()+"@example.com"); err != nil {
			t.Fatal(err)
		}
		if page = alice.Press(page, "email-link-submit"); page.Status != http.StatusNotFound {
			t.Errorf("it works though the address has changed: %d", page.Status)
		}
	})
}

func TestANewPasswordEndsEverythingButThisBrowser(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		user := house.User(org, "alice")
		app := house.Client(org, manage.ClientSpec{})
		tokens := app.Tokens("alice", "openid offline_access")
		alice, elsewhere := accountOf(t, house, org, "alice"), accountOf(t, house, org, "alice")
		before := alice.session()
		secretBefore := sessionCookie(alice)

		page := alice.open("/password", "Password")
		page = alice.press(page, "password-change", "current", "not this one at all", "password", otherPassword, "again", otherPassword)
		if page.Status != http.StatusBadRequest || page.Text("current-error") == "" || page.Value("password") != "" || page.Value("current") != "" {
			t.Errorf("a wrong password: %d %q", page.Status, page.Text("current-error"))
		}
		page = alice.press(page, "password-change", "current", servertest.Password, "password", otherPassword, "again", otherPassword+".")
		if page.Text("again-error") == "" {
			t.Errorf("two different ones: %d", page.Status)
		}
		page = alice.press(page, "password-change", "current", servertest.Password, "password", "password1", "again", "password1")
		if page.Text("password-error") == "" {
			t.Errorf("one that everybody has: %d", page.Status)
		}
		page = alice.press(page, "password-change", "current", servertest.Password, "password", otherPassword, "again", otherPassword)
		if alice.expect(page, "Password"); page.Text("account-done") == "" {
			t.Fatalf("%d\n%s", page.Status, page.Body)
		}

		after := alice.session()
		if after == nil || after.ID != before.ID || sessionCookie(alice) == secretBefore || !after.AuthTime.Equal(before.AuthTime) {
			t.Errorf("the session is %+v after %+v", after, before)
		}
		if _, _, err := house.DB.SessionByToken(org, secret.Digest(secretBefore)); err == nil {
			t.Error("the secret from before is still good")
		}
		if elsewhere.session() != nil {
			t.Error("another browser is still signed in")
		}
		if answer := app.Refresh(tokens.Text("refresh_token")); answer.Text("error") != "invalid_grant" {
			t.Errorf("a refresh answers %d %s", answer.Status, answer.Body)
		}
		letter(t, house, user.Email, mail.PasswordChange)
		stranger := accountless(t, house, org, "alice")
		if page := stranger.SignIn(stranger.Go(stranger.issuer+"/account"), "alice", servertest.Password); page.Status != http.StatusUnauthorized {
			t.Errorf("the old password: %d", page.Status)
		}
	})
}

// sessionCookie is what the browser's session cookie holds.
func sessionCookie(a *account) string {
	for _, cookie := range a.Cookies(a.house.URL) {
		if strings.Contains(cookie.Name, "keizer_session") && secret.Valid(secret.Session, cookie.Value) {
			return cookie.Value
		}
	}
	return ""
}

func TestSessionsAreSeenAndEnded(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		house.User(org, "alice")
		here, there, far := accountOf(t, house, org, "alice"), accountOf(t, house, org, "alice"), accountOf(t, house, org, "alice")
		page := here.open("/sessions", "Sessions and devices")
		if own := here.session().ID.String(); page.Has("session-end-"+own) || !page.Has("session-end-"+there.session().ID.String()) {
			t.Errorf("the sessions are shown as\n%s", page.Body)
		}
		page = here.Press(page, "session-end-"+there.session().ID.String())
		if here.expect(page, "Sessions and devices"); there.session() != nil || far.session() == nil || here.session() == nil {
			t.Error("not the one that was meant has ended")
		}
		if page := there.Go(there.issuer + "/account"); page.Title != "Sign in" {
			t.Errorf("who was signed out sees %q", page.Title)
		}
		page = here.Press(page, "sessions-end-others")
		if far.session() != nil || here.session() == nil || page.Text("account-done") == "" {
			t.Error("the others have not ended, or this one has")
		}

		// Known browsers are forgotten one by one.
		devices, err := house.DB.DevicesOf(org, here.session().UserID)
		if err != nil || len(devices) == 0 {
			t.Fatalf("%v: %d devices", err, len(devices))
		}
		here.Press(page, "device-forget-"+devices[0].ID.String())
		if left, err := house.DB.DevicesOf(org, here.session().UserID); err != nil || len(left) != len(devices)-1 {
			t.Errorf("%v: %d of %d are left", err, len(left), len(devices))
		}

		page = here.Press(here.open("", "Your account"), "account-sign-out")
		if here.expect(page, "Signed out"); here.session() != nil {
			t.Error("still signed in")
		}
	})
}

func TestAnApplicationIsSeenAndTurnedOut(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		user := house.User(org, "alice")
		begins := map[string]any{"initiate_login_uri": "https://notes.example/login?from=id"}
		app, other := house.Client(org, manage.ClientSpec{Name: "Field Notes", Metadata: begins}), house.Client(org, manage.ClientSpec{Name: "Other"})
		jwt := house.Client(org, manage.ClientSpec{Name: "Field Notes", AccessTokenFormat: "jwt"})
		tokens, kept := app.Tokens("alice", "openid email offline_access"), other.Tokens("alice", "openid offline_access")
		jwtTokens := jwt.Tokens("alice", "openid offline_access")
		alice := accountOf(t, house, org, "alice")
		page := alice.open("/applications", "Authorised applications")
		for _, want := range []string{"Field Notes", "Other", "See your e-mail address", "Keep this access while you are away"} {
			if !strings.Contains(page.Body, want) {
				t.Errorf("%q is not shown", want)
			}
		}
		// It signs her in by itself, when she comes from here (OpenID Connect Core 1.0 §4).
		if open, _ := page.Attr("application-open-"+app.ID, "href"); open != "https://notes.example/login?from=id&iss="+url.QueryEscape(app.Issuer) {
			t.Errorf("it is opened at %q", open)
		}
		if page.Has("application-open-" + other.ID) {
			t.Error("one that has not said where begins somewhere")
		}
		page = alice.Press(page, "application-revoke-"+app.ID)
		if page.Text("account-done") == "" || page.Has("application-revoke-"+app.ID) || !page.Has("application-revoke-"+other.ID) {
			t.Errorf("%d\n%s", page.Status, page.Body)
		}
		alice.Press(page, "application-revoke-"+jwt.ID)
		for _, revoked := range []struct {
			client *servertest.Client
			tokens *servertest.Answer
		}{{app, tokens}, {jwt, jwtTokens}} {
			if answer := revoked.client.Refresh(revoked.tokens.Text("refresh_token")); answer.Text("error") != "invalid_grant" {
				t.Errorf("a refresh answers %d %s", answer.Status, answer.Body)
			}
			if revoked.client.Active(revoked.tokens.Text("access_token")) {
				t.Error("its access token is active")
			}
		}
		if answer := other.Refresh(kept.Text("refresh_token")); answer.Status != http.StatusOK {
			t.Errorf("the other one's refresh answers %d %s", answer.Status, answer.Body)
		}
		if _, err := house.DB.Consent(org, user.ID, app.ID); err == nil {
			t.Error("the consent is still there")
		}
	})
}

func TestActivityIsOnesOwn(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		user, bob := house.User(org, "alice"), house.User(org, "bob")
		alice := accountOf(t, house, org, "alice")
		for i := range 30 {
			event := &storage.AuditEvent{Actor: "user:" + user.ID.String(), Action: "user.profile_changed", Target: user.ID.String()}
			if i%2 == 0 {
				event = &storage.AuditEvent{Actor: "user:" + bob.ID.String(), Action: "bobs.own", Target: bob.ID.String()}
			}
			if err := house.DB.AppendAudit(org, event); err != nil {
				t.Fatal(err)
			}
		}
		for range 15 {
			address := "198.51.100.7"
			if err := house.DB.AppendAudit(org, &storage.AuditEvent{Actor: "operator", Action: "strange.thing", Target: user.ID.String(), IPAddress: &address}); err != nil {
				t.Fatal(err)
			}
		}
		page, pages, entries := alice.open("/activity", "Activity"), "", 0
		for range 5 {
			pages += page.Body
			entries += strings.Count(page.Body, `class="thing-title"`)
			older, ok := page.Attr("activity-older", "href")
			if !ok {
				break
			}
			page = alice.expect(alice.Go(house.Base+older), "Activity")
		}
		for _, want := range []string{"Profile changed", "strange.thing", "by an operator", "Signed in", "Account made"} {
			if !strings.Contains(pages, want) {
				t.Errorf("%q is not shown", want)
			}
		}
		for _, hidden := range []string{"bobs.own", "198.51.100.7"} {
			if strings.Contains(pages, hidden) {
				t.Errorf("%q is shown", hidden)
			}
		}
		all, err := house.DB.AuditOfUser(org, "user:"+user.ID.String(), user.ID, nil, 0)
		if err != nil || entries != len(all) {
			t.Errorf("%v: %d of %d events are shown", err, entries, len(all))
		}
		for _, before := range []string{"x", "1_x", "-1_" + uuid.NewString(), "99999999999999999999_" + uuid.NewString(), "%00"} {
			alice.open("/activity?before="+url.QueryEscape(before), "Activity")
		}
	})
}

func TestWhatIsKeptIsDownloadedWithoutSecrets(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		user := house.User(org, "alice")
		app := house.Client(org, manage.ClientSpec{})
		tokens := app.Tokens("alice", "openid offline_access")
		alice := accountOf(t, house, org, "alice")
		file := alice.Press(alice.open("/data", "Your data"), "data-export")
		if file.Status != http.StatusOK || !strings.HasPrefix(file.Header.Get("Content-Disposition"), "attachment") || file.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v", file.Status, file.Header)
		}
		var told map[string]any
		if err := json.Unmarshal([]byte(file.Body), &told); err != nil {
			t.Fatal(err)
		}
		for _, member := range []string{
			"version", "exported_at", "organization", "profile", "roles", "passkeys", "authenticators", "recovery_codes_left", "sessions", "devices",
			"applications", "linked_accounts", "activity", "activity_truncated",
		} {
			if told[member] == nil {
				t.Errorf("it says nothing of %s", member)
			}
		}
		if sessions, _ := told["sessions"].([]any); len(sessions) != 2 {
			t.Errorf("it has %d sessions", len(sessions))
		}
		stored, err := house.DB.User(org, user.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, hidden := range []string{stored.PasswordHash, "argon2", "password_hash", secret.Digest(sessionCookie(alice)), sessionCookie(alice), tokens.Text("refresh_token"), secret.Digest(tokens.Text("refresh_token"))} {
			if strings.Contains(file.Body, hidden) {
				t.Errorf("it holds %q", hidden)
			}
		}
	})
}

func TestAPersonLeavesWithEverything(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		user := house.User(org, "alice")
		app := house.Client(org, manage.ClientSpec{})
		tokens := app.Tokens("alice", "openid offline_access")
		alice := accountOf(t, house, org, "alice")
		page := alice.press(alice.open("/data", "Your data"), "delete-submit", "confirm", "bob")
		if page.Status != http.StatusBadRequest || page.Text("confirm-error") == "" {
			t.Fatalf("%d\n%s", page.Status, page.Body)
		}
		page = alice.press(page, "delete-submit", "confirm", " ALICE ")
		alice.expect(page, "Signed out")
		if _, err := house.DB.User(org, user.ID); err == nil {
			t.Error("the account is still there")
		}
		if alice.session() != nil || sessionCookie(alice) != "" {
			t.Error("the browser is still signed in")
		}
		if answer := app.Refresh(tokens.Text("refresh_token")); answer.Text("error") != "invalid_grant" {
			t.Errorf("a refresh answers %d %s", answer.Status, answer.Body)
		}
		if app.Active(tokens.Text("access_token")) {
			t.Error("an access token is active")
		}
		letter(t, house, user.Email, mail.AccountDeleted)
		events, err := house.DB.AuditOfUser(org, "user:"+user.ID.String(), user.ID, nil, 0)
		if err != nil || len(events) == 0 || events[0].Action != "user.deleted" {
			t.Errorf("%v: the audit says %v", err, events)
		}
		if again := house.User(org, "alice"); again.ID == user.ID {
			t.Error("the id came back")
		}
	})
}

func TestTheLastOwnerStays(t *testing.T) {
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		for _, name := range []string{"root", "boot"} {
			if _, err := house.Operators.CreateUser(org, manage.NewUser{
				Username: name, Email: name + "@example.com", Password: servertest.Password, Roles: []string{permission.Owner},
			}); err != nil {
				t.Fatal(err)
			}
		}
		root, boot := accountOf(t, house, org, "root"), accountOf(t, house, org, "boot")
		stale := boot.open("/data", "Your data")
		root.expect(root.press(root.open("/data", "Your data"), "delete-submit", "confirm", "root"), "Signed out")
		if page := boot.press(stale, "delete-submit", "confirm", "boot"); page.Status != http.StatusBadRequest || boot.session() == nil {
			t.Errorf("%d\n%s", page.Status, page.Body)
		}
		if page := boot.open("/data", "Your data"); !page.Has("delete-last") || page.Has("delete-submit") {
			t.Errorf("%s", page.Body)
		}
	})
}
