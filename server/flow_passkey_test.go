package server_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// origin is where the browsers of a house are asked for passkeys.
func origin(house *servertest.House) string { return house.URL }

// answers puts what an authenticator says into the page that asks for it, and presses its button.
func answers(t testing.TB, visitor *servertest.Visitor, page *formbrowser.Page, button string, answer func(options string) string) *formbrowser.Page {
	t.Helper()
	if err := page.Script("passkey-answer", answer(page.Value("passkey-options"))); err != nil {
		t.Fatalf("%v\n%s", err, short(page.Body))
	}
	return visitor.Press(page, button)
}

// makesPasskey gives somebody a passkey, through the page of their account.
func makesPasskey(t testing.TB, a *account, name string) *servertest.Authenticator {
	t.Helper()
	device := servertest.NewAuthenticator(t, origin(a.house))
	page := a.open("/passkeys", "Passkeys")
	fill(t, page, "passkey-name", name)
	if page = answers(t, a.Visitor, page, "passkey-add", device.Create); page.Text("account-done") == "" {
		t.Fatalf("%d %q\n%s", page.Status, page.Title, short(page.Body))
	}
	return device
}

func TestAPasskeySignsItsOwnerInByItself(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		user := house.User(org, "alice")
		client := house.Client(org, trustedClient)
		alice := accountOf(t, house, org, "alice")
		before := alice.session()
		device := makesPasskey(t, alice, " Blue  key\u202e ")
		if page := alice.Go(alice.issuer + "/account/recovery-codes"); page.Title != "Recovery codes" {
			t.Errorf("she is offered %q", page.Title)
		}
		// S-173: what may be done with the session has changed, and so has its secret; and it has what was just shown.
		after := alice.session()
		if after.ID != before.ID || after.Token == before.Token || after.ACR != twoFactors || strings.Join(after.AMR, " ") != "pwd pop hwk user mfa" {
			t.Errorf("%s %v, before %s", after.ACR, after.AMR, before.ACR)
		}
		if told := letter(t, house, user.Email, mail.FactorAdded); !strings.Contains(told.Text, "Blue key") {
			t.Errorf("she is told %q", told.Text)
		}
		keys, err := house.DB.PasskeysOf(org, user.ID)
		if err != nil || len(keys) != 1 || keys[0].Name != "Blue key" || keys[0].LastUsedAt != nil {
			t.Fatalf("%v %+v", err, keys)
		}

		visitor := client.Visitor()
		device.Count = 7
		page := titled(t, visitor.Go(client.AuthorizeURL()), "Sign in")
		if strings.Contains(page.Value("passkey-options"), "allowCredentials") {
			t.Errorf("it is told who has a passkey: %s", page.Value("passkey-options"))
		}
		claims := claimsAt(t, client, answers(t, visitor, page, "login-passkey", device.Get))
		says(t, claims, twoFactors, "pop", "hwk", "user", "mfa")
		if claims["sub"] != user.ID.String() {
			t.Errorf("sub %v", claims["sub"])
		}
		if keys, err = house.DB.PasskeysOf(org, user.ID); err != nil || keys[0].SignCount != 7 || keys[0].LastUsedAt == nil {
			t.Errorf("%v %+v", err, keys)
		}
		// Whoever asks for two factors has them; and it is a login like any other for whoever asks for a new one.
		says(t, claimsAt(t, client, visitor.Go(client.AuthorizeURL("acr_values", twoFactors))), twoFactors, "pop", "hwk", "user", "mfa")
		page = titled(t, visitor.Go(client.AuthorizeURL("prompt", "login")), "Sign in")
		device.Count = 8
		again := claimsAt(t, client, answers(t, visitor, page, "login-passkey", device.Get))
		if again["sid"] != claims["sid"] || numberOf(t, again["auth_time"]) <= numberOf(t, claims["auth_time"]) {
			t.Errorf("%v, before %v", again, claims)
		}
	})
}

func TestAPasskeyIsASecondFactorToo(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, client := beginWith(t, databaseURL, trustedClient)
		alice := accountOf(t, house, org, "alice")
		device := makesPasskey(t, alice, "")
		device.Unverified = true // beside a password, to have it is enough
		visitor := client.Visitor()
		page := titled(t, visitor.SignIn(visitor.Go(client.AuthorizeURL()), "alice", servertest.Password), "One more step")
		if !strings.Contains(page.Value("passkey-options"), "allowCredentials") {
			t.Errorf("it is not said which: %s", page.Value("passkey-options"))
		}
		says(t, claimsAt(t, client, answers(t, visitor, page, "factor-passkey", device.Get)), twoFactors, "pwd", "pop", "hwk", "mfa")

		// One that is kept in several places is no piece of hardware.
		bob := house.User(org, "bob")
		other := accountOf(t, house, org, "bob")
		synced := servertest.NewAuthenticator(t, origin(house))
		synced.Synced = true
		answers(t, other.Visitor, other.open("/passkeys", "Passkeys"), "passkey-add", synced.Create)
		visitor = client.Visitor()
		says(t, claimsAt(t, client, answers(t, visitor, visitor.Go(client.AuthorizeURL()), "login-passkey", synced.Get)), twoFactors, "pop", "swk", "user", "mfa")
		if keys, err := house.DB.PasskeysOf(org, bob.ID); err != nil || len(keys) != 1 || !keys[0].BackedUp || keys[0].Name != "keizer-formbrowser" && keys[0].Name != "Passkey" {
			t.Errorf("%v %+v", err, keys)
		}
	})
}

// S-213: whatever is wrong with what a browser says of a passkey, nobody is signed in by it.
func TestAPasskeyThatIsNotQuiteRightSignsNobodyIn(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, client := beginWith(t, databaseURL, trustedClient)
		acme := house.Organization("acme")
		theirs := house.User(acme, "alice")
		bob := house.User(org, "bob")
		alice, elsewhere, bobs := accountOf(t, house, org, "alice"), accountOf(t, house, acme, "alice"), accountOf(t, house, org, "bob")
		device, foreign, other := makesPasskey(t, alice, ""), makesPasskey(t, elsewhere, ""), makesPasskey(t, bobs, "")
		device.Count = 5

		visitor := client.Visitor()
		login := func() *formbrowser.Page { return titled(t, visitor.Go(client.AuthorizeURL()), "Sign in") }
		refused := func(what string, page *formbrowser.Page) {
			t.Helper()
			if page.Title != "Sign in" || page.Status != http.StatusUnauthorized || page.Text("passkey-error") == "" {
				t.Errorf("%s: %d %q at %s: %q", what, page.Status, page.Title, page.URL, page.Text("passkey-error"))
			}
			tellsClient(t, what, client, visitor.Through(client.AuthorizeURL("prompt", "none"), ""), "login_required")
			change(t, house, `DELETE FROM rate_limits`)
		}
		for what, wrong := range map[string]func(a *servertest.Authenticator){
			"from another origin": func(a *servertest.Authenticator) { a.Origin = "https://evil.example" },
			"from another port":   func(a *servertest.Authenticator) { a.Origin = "http://localhost:1" },
			"from a host below": func(a *servertest.Authenticator) {
				a.Origin = strings.Replace(origin(house), "localhost", "evil.localhost", 1)
			},
			"for another relying party":    func(a *servertest.Authenticator) { a.RelyingParty = "evil.example" },
			"not verifying its person":     func(a *servertest.Authenticator) { a.Unverified = true },
			"for another challenge":        func(a *servertest.Authenticator) { a.Challenge = strings.Repeat("A", 43) },
			"with the handle of another":   func(a *servertest.Authenticator) { a.Handle = bob.ID[:] },
			"with the handle of elsewhere": func(a *servertest.Authenticator) { a.Handle = theirs.ID[:] },
			"with no handle":               func(a *servertest.Authenticator) { a.Handle = []byte{} },
		} {
			bent := *device
			wrong(&bent)
			bent.Count++
			refused(what, answers(t, visitor, login(), "login-passkey", bent.Get))
		}
		refused("of another organization", answers(t, visitor, login(), "login-passkey", foreign.Get))
		stranger := servertest.NewAuthenticator(t, origin(house))
		refused("that nobody has", answers(t, visitor, login(), "login-passkey", func(options string) string {
			stranger.Create(strings.Replace(strings.Replace(options, `"rpId":"localhost"`, `"rp":{"id":"localhost"}`, 1), "{", `{"user":{"id":"AAAA"},`, 1))
			return stranger.Get(options)
		}))
		for _, garbage := range []string{"", "{}", "[]", "null", "{", `{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{}}`, strings.Repeat("a", 40<<10), "\x00"} {
			refused("garbage", answers(t, visitor, login(), "login-passkey", func(string) string { return garbage }))
		}

		// A challenge is for its browser, its purpose and its time; and it counts once.
		fresh, theirsToo := login(), client.Visitor().Go(client.AuthorizeURL())
		for what, sealed := range map[string]string{
			"with the challenge of another browser": theirsToo.Value("passkey-challenge"), "with the challenge of a registration": alice.open("/passkeys", "Passkeys").Value("passkey-challenge"),
			"with none": "", "with a bent one": fresh.Value("passkey-challenge")[:20] + "AAAA" + fresh.Value("passkey-challenge")[24:],
		} {
			page := login()
			device.Count++
			if err := page.Script("passkey-challenge", sealed); err != nil {
				t.Fatal(err)
			}
			refused(what, answers(t, visitor, page, "login-passkey", device.Get))
		}
		page := login()
		device.Count++
		answer := device.Get(page.Value("passkey-options"))
		sealed := page.Value("passkey-challenge")
		claimsAt(t, client, answers(t, visitor, page, "login-passkey", func(string) string { return answer }))
		if err := house.DB.EndSession(org, sessionOf(t, house, org, visitor).ID, false); err != nil {
			t.Fatal(err)
		}
		page = login()
		if err := page.Script("passkey-challenge", sealed); err != nil {
			t.Fatal(err)
		}
		refused("an answer again", answers(t, visitor, page, "login-passkey", func(string) string { return answer }))

		// As the second factor of alice, bob's is none.
		second := client.Visitor()
		page = titled(t, second.SignIn(second.Go(client.AuthorizeURL()), "alice", servertest.Password), "One more step")
		if page = answers(t, second, page, "factor-passkey", other.Get); page.Title != "One more step" || page.Status != http.StatusUnauthorized {
			t.Errorf("bob's passkey for alice: %d %q", page.Status, page.Title)
		}

		// Whoever is switched off is not let in by what they have.
		if _, err := house.Operators.DisableUser(org, bob.ID); err != nil {
			t.Fatal(err)
		}
		refused("of somebody who is switched off", answers(t, visitor, login(), "login-passkey", other.Get))
	})
}

// A passkey that counts backwards is there twice: from then on neither is taken, and its owner is told.
func TestAPasskeyThatCountsBackwardsIsNotTakenAnyMore(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, client := beginWith(t, databaseURL, trustedClient)
		alice := accountOf(t, house, org, "alice")
		device := makesPasskey(t, alice, "Phone")
		visitor := client.Visitor()
		by := func(count uint32) *formbrowser.Page {
			device.Count = count
			return answers(t, visitor, visitor.Go(client.AuthorizeURL("prompt", "login")), "login-passkey", device.Get)
		}
		claimsAt(t, client, by(10))
		for _, count := range []uint32{10, 11, 12} {
			if page := by(count); page.Status != http.StatusUnauthorized {
				t.Errorf("%d: %d %q", count, page.Status, page.Title)
			}
		}
		if told := letter(t, house, "alice@example.com", mail.FactorRemoved); !strings.Contains(told.Text, "Phone") || !strings.Contains(told.Text, "copy") {
			t.Errorf("she is told %q", told.Text)
		}
		if page := alice.open("/passkeys", "Passkeys"); !strings.Contains(page.Text("passkeys"), "not accepted any more") {
			t.Errorf("the page says %q", page.Text("passkeys"))
		}
	})
}

// S-213, F-14: of many who send one answer to one challenge, at two replicas, one is signed in.
func TestAnAnswerOfAPasskeySignsInOnce(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 0)
		house := replicas[0]
		org := house.In("default")
		house.User(org, "alice")
		device := makesPasskey(t, accountOf(t, house, org, "alice"), "")
		for round := range rounds {
			visitor := accountless(t, house, org, "alice")
			page := titled(t, visitor.Go(house.Base+"/login"), "Sign in")
			if round > 1 {
				device.Count = uint32(round) // first one that does not count, and then one that does
			}
			form := fields("csrf_token", csrf(t, page.Body), "action", "passkey", "challenge", page.Value("passkey-challenge"),
				"passkey", device.Get(page.Value("passkey-options")))
			before := rows(t, house.SQL(), "sessions")
			winners := 0
			for _, answer := range racers(replicas, 8, func(h *servertest.House) *servertest.Answer {
				return h.Post(house.Base+"/login", form, "Cookie", cookies(visitor))
			}) {
				switch answer.Status {
				case http.StatusSeeOther:
					winners++
				case http.StatusUnauthorized:
				default:
					t.Errorf("%d %s", answer.Status, short(answer.Body))
				}
			}
			if made := rows(t, house.SQL(), "sessions") - before; winners != 1 || made != 1 {
				t.Errorf("round %d: %d signed in, with %d sessions", round, winners, made)
			}
			change(t, house, `DELETE FROM rate_limits`)
			// What is late has the count of before, and is no copy of the passkey for that.
			if cloned := column(t, house.SQL(), `SELECT name FROM passkeys WHERE cloned_at IS NOT NULL`); len(cloned) != 0 {
				t.Fatalf("round %d: %q is thought to be there twice", round, cloned)
			}
		}
	})
}

// What is made of a passkey is made once, for its person, from our own pages.
func TestAPasskeyIsMadeByItsPersonAlone(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, _ := beginWith(t, databaseURL, trustedClient)
		user := house.User(org, "bob")
		alice, bob := accountOf(t, house, org, "alice"), accountOf(t, house, org, "bob")
		refused := func(what string, page *formbrowser.Page) {
			t.Helper()
			if keys, err := house.DB.PasskeysOf(org, user.ID); err != nil || len(keys) != 0 || page.Status != http.StatusBadRequest || page.Text("passkey-error") == "" {
				t.Errorf("%s: %d %q, %d passkeys, %v", what, page.Status, page.Title, len(keys), err)
			}
		}
		for what, wrong := range map[string]func(a *servertest.Authenticator){
			"from another origin":       func(a *servertest.Authenticator) { a.Origin = "https://evil.example" },
			"for another relying party": func(a *servertest.Authenticator) { a.RelyingParty = "evil.example" },
			"for another challenge":     func(a *servertest.Authenticator) { a.Challenge = strings.Repeat("A", 43) },
		} {
			device := servertest.NewAuthenticator(t, origin(house))
			wrong(device)
			refused(what, answers(t, bob.Visitor, bob.open("/passkeys", "Passkeys"), "passkey-add", device.Create))
		}
		for _, garbage := range []string{"", "{}", "null", strings.Repeat("a", 40<<10)} {
			refused("garbage", answers(t, bob.Visitor, bob.open("/passkeys", "Passkeys"), "passkey-add", func(string) string { return garbage }))
		}
		// What alice was asked for, in bob's browser: the credential would be hers and the account his.
		device, page := servertest.NewAuthenticator(t, origin(house)), bob.open("/passkeys", "Passkeys")
		hers := alice.open("/passkeys", "Passkeys")
		if err := page.Script("passkey-challenge", hers.Value("passkey-challenge")); err != nil {
			t.Fatal(err)
		}
		refused("with alice's challenge", answers(t, bob.Visitor, page, "passkey-add", func(string) string { return device.Create(hers.Value("passkey-options")) }))

		// One that alice has already is not bob's as well, and none is made twice of one challenge.
		device = servertest.NewAuthenticator(t, origin(house))
		page = alice.open("/passkeys", "Passkeys")
		answer := device.Create(page.Value("passkey-options"))
		form := fields("csrf_token", csrfOf(t, page.Body, "/account/passkeys/add"), "challenge", page.Value("passkey-challenge"), "passkey", answer)
		was := cookies(alice)
		answers(t, alice.Visitor, page, "passkey-add", func(string) string { return answer })
		again := house.Post(house.Base+"/account/passkeys/add", form, "Cookie", was)
		if again.Status == http.StatusSeeOther && !strings.HasPrefix(again.Header.Get("Location"), "/login") {
			t.Errorf("made twice: %d %s", again.Status, again.Header.Get("Location"))
		}
		change(t, house, `UPDATE passkeys SET credential_id = 'taken' WHERE org_id IS NOT NULL`)
		if err := house.DB.CreatePasskey(org, &storage.Passkey{UserID: user.ID, CredentialID: "taken", Record: []byte("x")}); err == nil {
			t.Error("one credential is of two people")
		}
	})
}

// csrfOf is the token of the form that goes to a path.
func csrfOf(t testing.TB, body, path string) string {
	t.Helper()
	for _, found := range formOnPage.FindAllStringSubmatch(body, -1) {
		if strings.HasSuffix(found[1], path) {
			return found[2]
		}
	}
	t.Fatalf("no form to %s in %s", path, short(body))
	return ""
}

func TestAPersonLooksAfterTheirFactors(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		user := house.User(org, "alice")
		alice := accountOf(t, house, org, "alice")
		makesPasskey(t, alice, "Phone")
		keys, err := house.DB.PasskeysOf(org, user.ID)
		if err != nil || len(keys) != 1 {
			t.Fatalf("%v %+v", err, keys)
		}
		id := keys[0].ID.String()
		page := alice.press(alice.open("/passkeys", "Passkeys"), "passkey-rename-"+id, "passkey-name-"+id, " Old   phone ")
		if page.Text("account-done") == "" || !strings.Contains(page.Text("passkeys"), "Old phone") {
			t.Errorf("%d %q", page.Status, page.Text("passkeys"))
		}
		if page = alice.press(page, "passkey-rename-"+id, "passkey-name-"+id, "  "); page.Status != http.StatusBadRequest || page.Text("account-problem") == "" {
			t.Errorf("no name at all: %d", page.Status)
		}

		// An app beside it, whose code is mistyped first.
		page = alice.Press(alice.open("/authenticator", "Authenticator app"), "app-new")
		secret := secretOnPage.FindString(page.Body)
		page = alice.press(page, "app-add", "code", "000000", "name", "Tablet")
		if alice.expect(page, "Set up an authenticator app"); page.Status != http.StatusBadRequest || page.Text("code-error") == "" || secretOnPage.FindString(page.Body) != secret || page.Value("name") != "Tablet" {
			t.Errorf("%d %q", page.Status, page.Text("code-error"))
		}
		setsUpApp(t, page)
		page = alice.Press(page, "app-add")
		if alice.expect(page, "Recovery codes"); page.Text("account-done") == "" {
			t.Errorf("%d %q", page.Status, page.Title)
		}
		page = alice.Press(page, "codes-new")
		codes := strings.Fields(page.Text("recovery-codes"))
		if page = alice.Press(page, "codes-kept"); page.Text("account-done") == "" || !strings.Contains(page.Text("recovery-left"), "10") || strings.Contains(page.Body, codes[0]) {
			t.Errorf("%d %q", page.Status, page.Text("recovery-left"))
		}
		overview := alice.open("", "Your account")
		if overview.Text("account-passkeys") != "1" || overview.Text("account-authenticators") != "1" || overview.Text("account-recovery-codes") != "10" {
			t.Errorf("the overview counts %q, %q, %q", overview.Text("account-passkeys"), overview.Text("account-authenticators"), overview.Text("account-recovery-codes"))
		}
		// To look at new ones does nothing to the old ones.
		alice.Go(alice.issuer + "/account/recovery-codes/new")
		if counts, err := house.DB.FactorCounts(org, user.ID); err != nil || counts.RecoveryCodes != 10 {
			t.Errorf("%v %+v", err, counts)
		}

		apps, err := house.DB.AuthenticatorsOf(org, user.ID)
		if err != nil || len(apps) != 1 || apps[0].Name != "Tablet" {
			t.Fatalf("%v %+v", err, apps)
		}
		page = alice.Press(alice.open("/authenticator", "Authenticator app"), "app-remove-"+apps[0].ID.String())
		if page.Text("account-done") == "" {
			t.Errorf("%d\n%s", page.Status, short(page.Body))
		}
		page = alice.Press(alice.open("/passkeys", "Passkeys"), "passkey-remove-"+id)
		if page.Text("account-done") == "" {
			t.Errorf("%d\n%s", page.Status, short(page.Body))
		}
		// With the last of them, what stands in for them is gone.
		if counts, err := house.DB.FactorCounts(org, user.ID); err != nil || counts != (storage.FactorCounts{}) {
			t.Errorf("%v %+v", err, counts)
		}
		if page = alice.Go(alice.issuer + "/account/recovery-codes/new"); page.Title != "Recovery codes" || page.Has("codes-new") {
			t.Errorf("%q", page.Title)
		}
		var told []string
		for _, l := range house.Letters(user.Email) {
			if l.Kind == mail.FactorRemoved {
				told = append(told, l.Text)
			}
		}
		if len(told) < 2 || !strings.Contains(strings.Join(told, ""), "Old phone") || !strings.Contains(strings.Join(told, ""), "Tablet") {
			t.Errorf("she is told %q", told)
		}
		want := []string{"passkey.added", "passkey.renamed", "authenticator.added", "recovery_codes.made", "authenticator.removed", "passkey.removed"}
		var done []string
		events, err := house.People.Activity(org, user.ID, nil, 100)
		for _, event := range slices.Backward(events) {
			if slices.Contains(want, event.Action) {
				done = append(done, event.Action)
			}
		}
		if err != nil || !slices.Equal(done, want) {
			t.Errorf("%v: written down is %q", err, done)
		}
	})
}

func TestTheLastFactorStaysWhereOneIsNeeded(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, client := beginWith(t, databaseURL, trustedClient)
		user, err := house.DB.UserByLogin(org, "alice")
		if err != nil {
			t.Fatal(err)
		}
		alice := accountOf(t, house, org, "alice")
		device := makesPasskey(t, alice, "Phone")
		keys, err := house.DB.PasskeysOf(org, user.ID)
		if err != nil {
			t.Fatal(err)
		}
		stays := func(why string) {
			t.Helper()
			page := alice.Press(alice.open("/passkeys", "Passkeys"), "passkey-remove-"+keys[0].ID.String())
			if page.Status != http.StatusBadRequest || page.Text("account-problem") == "" {
				t.Errorf("%s: %d %q", why, page.Status, page.Text("account-problem"))
			}
			if left, err := house.DB.PasskeysOf(org, user.ID); err != nil || len(left) != 1 {
				t.Errorf("%s: %v, %d left", why, err, len(left))
			}
		}
		decide(t, []*servertest.House{house}, "default", "second_factor.require", "everyone", "second_factor.email_code", "false")
		stays("her organization asks for it")
		decide(t, []*servertest.House{house}, "default", "second_factor.require", "nobody", "login.methods", "passkey")
		stays("nobody signs in by password there")
		decide(t, []*servertest.House{house}, "default", "login.methods", "password,passkey")

		// Whoever has no password has nothing else to sign in with.
		change(t, house, `UPDATE users SET password_hash = '!' WHERE id = $1`, user.ID.String())
		stays("there is no password")
		visitor := client.Visitor()
		device.Count = 3
		says(t, claimsAt(t, client, answers(t, visitor, visitor.Go(client.AuthorizeURL()), "login-passkey", device.Get)), twoFactors, "pop", "hwk", "user", "mfa")
		if page := visitor.SignIn(client.Visitor().Go(client.AuthorizeURL()), "alice", "!"); page.Status != http.StatusUnauthorized && page.Status != http.StatusForbidden {
			t.Errorf("the marker is a password: %d", page.Status)
		}
		if page := alice.open("/password", "Password"); page.Has("current") {
			t.Error("she is asked for a password that she does not have")
		}
	})
}

// Forms about somebody else's factors, and of another organization's, are about nothing.
func TestNobodyTakesAFactorOfSomebodyElse(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		acme, root := house.Organization("acme"), house.In("default")
		mallory := accountToSteal(t, house, root)
		for _, org := range []context.Context{root, acme} {
			bob := house.User(org, "bob")
			giveApp(t, house, org, bob)
			key := &storage.Passkey{UserID: bob.ID, CredentialID: "bobs", Name: "Bob's", Record: []byte("{}")}
			if err := house.DB.CreatePasskey(org, key); err != nil {
				t.Fatal(err)
			}
			apps, err := house.DB.AuthenticatorsOf(org, bob.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, form := range []struct {
				path string
				form url.Values
			}{
				{"/passkeys/remove", url.Values{"passkey": {key.ID.String()}}}, {"/passkeys/rename", url.Values{"passkey": {key.ID.String()}, "name": {"x"}}},
				{"/authenticator/remove", url.Values{"app": {apps[0].ID.String()}}},
				{"/passkeys/remove", url.Values{"passkey": {apps[0].ID.String()}}}, {"/passkeys/remove", url.Values{"passkey": {uuid.NewString()}}},
				{"/authenticator/remove", url.Values{"app": {"' OR 1=1 --"}}}, {"/passkeys/rename", url.Values{"name": {"x"}}},
			} {
				mallory.forms[form.path] = form.form
				if answer := mallory.post(form.path, mallory.tokens[form.path]); answer.Status != http.StatusNotFound {
					t.Errorf("%s of %v: %d", form.path, form.form, answer.Status)
				}
			}
			if counts, err := house.DB.FactorCounts(org, bob.ID); err != nil || counts.Passkeys != 1 || counts.Authenticators != 1 {
				t.Errorf("bob has %+v, %v", counts, err)
			}
			if keys, err := house.DB.PasskeysOf(org, bob.ID); err != nil || keys[0].Name != "Bob's" {
				t.Errorf("it is called %q, %v", keys[0].Name, err)
			}
		}
	})
}
