package server_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

// S-210: with the password and without the factor, nothing answers but the pages of the factor: no page, no endpoint, for no part of
// what the browser holds.
func TestNothingAnswersHalfAWayIn(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 0)
		house := replicas[0]
		org := house.In("default")
		giveApp(t, house, org, house.User(org, "alice"))
		client := house.Client(org, manage.ClientSpec{})
		visitor := client.Visitor()
		page := titled(t, visitor.SignIn(visitor.Go(client.AuthorizeURL()), "alice", servertest.Password), "One more step")
		id, token := page.URL.Query().Get("interaction"), page.URL.Query().Get("sign_in")
		cookies := visitor.Cookies(house.URL)
		for _, cookie := range cookies {
			if strings.Contains(cookie.Name, "session") {
				t.Errorf("there is a cookie %s", cookie.Name)
			}
		}
		db := house.SQL()
		if rows(t, db, "sessions") != 0 || rows(t, db, "devices") != 0 || rows(t, db, "oauth_codes") != 0 {
			t.Error("there is a session, a known browser, or a code")
		}
		// What it holds is a session nowhere, under whatever name it is shown.
		held := append([]*http.Cookie{{Name: "keizer_session", Value: token}, {Name: "keizer_device", Value: token}}, cookies...)
		for i, replica := range replicas {
			for _, path := range routesOf(t, house, "GET") {
				if strings.HasPrefix(path, "/o/") || strings.HasPrefix(path, "/playground") || strings.HasPrefix(path, "/dev/") {
					continue
				}
				for _, query := range []string{"", "?" + url.Values{"interaction": {id}}.Encode(), "?" + url.Values{"sign_in": {token}, "return_to": {"/account"}}.Encode()} {
					answer := send(t, replica, request{address: path + query, cookies: held})
					if strings.Contains(answer.Body, "alice@") || strings.Contains(answer.Body, "Alice") || strings.Contains(answer.Body, `id="account-person"`) ||
						strings.Contains(answer.Body, "consent-allow") || strings.Contains(answer.Header.Get("Location"), "code=") {
						t.Errorf("replica %d: %s%s answers %d to %q", i+1, path, query, answer.Status, answer.Header.Get("Location"))
					}
				}
			}
			silent := strings.TrimPrefix(client.AuthorizeURL("prompt", "none"), house.URL)
			if said := sentOn(t, "silently", send(t, replica, request{address: silent, cookies: held}), client.Redirect).Get("error"); said != "login_required" {
				t.Errorf("replica %d, silently: %q", i+1, said)
			}
		}
		// The request that it is for asks for the login, and consent is nobody's.
		if back := visitor.Go(house.Base + "/oauth2/authorize?interaction=" + url.QueryEscape(id)); back.Title != "Sign in" {
			t.Errorf("the request goes on: %q", back.Title)
		}
		form := fields("csrf_token", csrf(t, page.Body), "action", "allow")
		if answer := send(t, house, request{address: "/consent?interaction=" + url.QueryEscape(id), form: form, cookies: held}); answer.Status != http.StatusForbidden {
			t.Errorf("consent: %d", answer.Status)
		}
		// And then the code opens all of it.
		if page = givesCode(t, visitor, page, appCode(t, 0)); page.Title != "Allow access" {
			t.Errorf("%d %q", page.Status, page.Title)
		}
	})
}

// S-036, S-166: the address of a sign-in under way is worth nothing in another browser, for another request or page of ours, at another
// organization, or altered.
func TestASignInUnderWayIsForItsBrowserAndItsRequest(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, client := beginWith(t, databaseURL, trustedClient)
		user, err := house.DB.UserByLogin(org, "alice")
		if err != nil {
			t.Fatal(err)
		}
		giveApp(t, house, org, user)
		house.Organization("acme")
		victim, attacker := client.Visitor(), client.Visitor()
		page := titled(t, attacker.SignIn(attacker.Go(client.AuthorizeURL()), "alice", servertest.Password), "One more step")
		token := page.URL.Query().Get("sign_in")
		lured := victim.Go(client.AuthorizeURL())
		for what, address := range map[string]string{
			"in another browser":         page.URL.String(),
			"for the victim's request":   strings.Replace(page.URL.String(), page.URL.Query().Get("interaction"), lured.URL.Query().Get("interaction"), 1),
			"for a page of the victim's": house.Base + "/login/factor?return_to=%2Faccount&sign_in=" + token,
			"at another organization":    house.Base + "/o/acme/login/factor?return_to=%2Faccount&sign_in=" + token,
		} {
			got := victim.Go(address)
			if got.Status != http.StatusForbidden && got.Status != http.StatusBadRequest || got.Has("code") || strings.Contains(got.Body, "alice") {
				t.Errorf("%s: %d %q", what, got.Status, got.Title)
			}
		}
		for what, address := range map[string]string{
			"for another page of ours": house.Base + "/login/factor?return_to=%2Faccount&sign_in=" + token,
			"at another organization":  house.Base + "/o/acme/login/factor?return_to=%2Faccount&sign_in=" + token,
			"altered":                  page.URL.String()[:len(page.URL.String())-1],
			"without it":               strings.Replace(page.URL.String(), token, "", 1),
			"of another kind":          strings.Replace(page.URL.String(), token, page.URL.Query().Get("interaction"), 1),
		} {
			if got := attacker.Go(address); got.Status != http.StatusBadRequest || got.Has("code") {
				t.Errorf("%s: %d %q", what, got.Status, got.Title)
			}
		}
		// The victim's form, sent by the attacker's page, goes by the victim's own browser.
		form := fields("csrf_token", csrf(t, page.Body), "way", "app", "code", appCode(t, 0))
		answer := send(t, house, request{address: page.URL.RequestURI(), form: form, cookies: victim.Cookies(house.URL)})
		if answer.Status != http.StatusForbidden {
			t.Errorf("sent in the victim's browser: %d", answer.Status)
		}
		// It ends with what it was for, and is used once.
		claimsAt(t, client, givesCode(t, attacker, page, appCode(t, 0)))
		if got := attacker.Go(page.URL.String()); got.Status != http.StatusBadRequest {
			t.Errorf("once more: %d %q", got.Status, got.Title)
		}
	})
}

// A sign-in under way ends with whatever changes who may come in by it.
func TestASignInUnderWayEndsWithWhatItRestsOn(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 0)
		house := replicas[0]
		org := house.In("default")
		client := house.Client(org, trustedClient)
		for name, change := range map[string]func(user *storage.User){
			"switched": func(user *storage.User) {
				if _, err := replicas[1].Operators.DisableUser(org, user.ID); err != nil {
					t.Fatal(err)
				}
			},
			"reset": func(user *storage.User) {
				if _, err := replicas[1].Operators.ResetFactors(org, user.ID); err != nil {
					t.Fatal(err)
				}
			},
			"password": func(user *storage.User) {
				if err := replicas[1].Operators.SetPassword(org, user.DisplayName(), otherPassword); err != nil {
					t.Fatal(err)
				}
			},
			"everywhere": func(user *storage.User) {
				if err := replicas[1].DB.EndSessionsOfUser(org, user.ID); err != nil {
					t.Fatal(err)
				}
			},
			"late": func(user *storage.User) {
				change(t, house, `UPDATE sign_ins SET expires_at = '`+longAgo+`' WHERE user_id = $1`, user.ID.String())
			},
			"deleted": func(user *storage.User) {
				if err := replicas[1].Operators.DeleteUser(org, user.ID); err != nil {
					t.Fatal(err)
				}
			},
		} {
			user := house.User(org, name)
			giveApp(t, house, org, user)
			visitor := client.Visitor()
			page := titled(t, visitor.SignIn(visitor.Go(client.AuthorizeURL()), name, servertest.Password), "One more step")
			change(user)
			page = givesCode(t, visitor, page, appCode(t, 0))
			if _, arrived := page.Arrived(); arrived || page.Status != http.StatusBadRequest || sessionOf(t, house, org, visitor) != nil {
				t.Errorf("%s: %d %q", name, page.Status, page.Title)
			}
		}
	})
}

// S-214: five guesses for a sign-in and twenty in an hour for a person, whichever way, at whichever replica; and a clear answer then.
func TestASecondFactorIsGuessedAtAFewTimes(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 0)
		house := replicas[0]
		org := house.In("default")
		user := house.User(org, "alice")
		giveApp(t, house, org, user)
		if err := house.DB.ReplaceRecoveryCodes(org, user.ID, []string{"digest"}); err != nil {
			t.Fatal(err)
		}
		client := house.Client(org, trustedClient)
		guesses := 0
		for range 5 {
			visitor := client.Visitor()
			page := titled(t, visitor.SignIn(visitor.Go(client.AuthorizeURL()), "alice", servertest.Password), "One more step")
			form := fields("csrf_token", csrf(t, page.Body), "code", "000000")
			for i := range 7 {
				form.Set("way", []string{"app", "recovery", "email"}[i%3]) // the last of which she does not have
				answer := send(t, replicas[i%2], request{address: page.URL.RequestURI(), form: form, cookies: visitor.Cookies(house.URL)})
				switch {
				case answer.Status == http.StatusUnauthorized && i < 5:
					guesses++
				case answer.Status == http.StatusTooManyRequests && answer.Header.Get("Retry-After") != "" && (i >= 5 || guesses >= 20):
				default:
					t.Errorf("guess %d: %d", i+1, answer.Status)
				}
			}
			// The right code is late then.
			form.Set("way", "app")
			form.Set("code", appCode(t, 0))
			if answer := send(t, house, request{address: page.URL.RequestURI(), form: form, cookies: visitor.Cookies(house.URL)}); answer.Status != http.StatusTooManyRequests {
				t.Errorf("the right code after too many: %d", answer.Status)
			}
		}
		if guesses != 20 {
			t.Errorf("%d guesses were looked at", guesses)
		}
		failed := column(t, house.SQL(), `SELECT id FROM audit_events WHERE action = 'user.factor_failed' AND target = $1`, user.ID.String())
		if len(failed) != 20 {
			t.Errorf("%d failures are written down", len(failed))
		}
	})
}

// F-14: of many who send one code at once, at two replicas, one is let in: a step of an app, a recovery code, a code by mail.
func TestACodeLetsInOnce(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		replicas := twoReplicas(t, databaseURL, 0)
		house := replicas[0]
		org := house.In("default")
		withApp, withMail := house.User(org, "alice"), house.User(org, "bob")
		giveApp(t, house, org, withApp)
		decide(t, replicas[:], "default", "second_factor.require", "everyone")
		codes := recoveryCodesOf(t, house, org, withApp)
		client := house.Client(org, trustedClient)
		for round := range rounds {
			for way, name := range map[string]string{"app": "alice", "recovery": "alice", "email": "bob"} {
				change(t, house, `UPDATE authenticators SET last_step = 0`)
				// Each of the racers has given the password, in a browser of their own.
				const each = 4
				var forms []url.Values
				racing := make(chan func(*servertest.House) *servertest.Answer, 2*each)
				for range 2 * each {
					change(t, house, `DELETE FROM rate_limits`)
					visitor := client.Visitor()
					page := titled(t, visitor.SignIn(visitor.Go(client.AuthorizeURL()), name, servertest.Password), "One more step")
					form := fields("csrf_token", csrf(t, page.Body), "way", way)
					forms = append(forms, form)
					racing <- func(h *servertest.House) *servertest.Answer {
						return h.Post(house.Base+page.URL.RequestURI(), form, "Cookie", cookiesOf(visitor, house))
					}
				}
				code := map[string]string{"app": appCode(t, 0), "recovery": codes[round]}[way]
				if way == "email" {
					code = letter(t, house, withMail.Email, mail.EmailCode).Code
				}
				for _, form := range forms {
					form.Set("code", code)
				}
				before := rows(t, house.SQL(), "sessions")
				winners := 0
				for _, answer := range racers(replicas, each, func(h *servertest.House) *servertest.Answer { return (<-racing)(h) }) {
					switch answer.Status {
					case http.StatusSeeOther:
						winners++
					case http.StatusUnauthorized:
					default:
						t.Errorf("%s: %d %s", way, answer.Status, short(answer.Body))
					}
				}
				if made := rows(t, house.SQL(), "sessions") - before; winners != 1 || made != 1 {
					t.Errorf("round %d, %s: %d were let in, with %d sessions", round, way, winners, made)
				}
			}
		}
	})
}

// cookiesOf is the header with which a browser sends its cookies.
func cookiesOf(visitor *servertest.Visitor, house *servertest.House) string {
	var all []string
	for _, cookie := range visitor.Cookies(house.URL) {
		all = append(all, cookie.Name+"="+cookie.Value)
	}
	return strings.Join(all, "; ")
}

// recoveryCodesOf gives somebody recovery codes.
func recoveryCodesOf(t testing.TB, house *servertest.House, org context.Context, user *storage.User) []string {
	t.Helper()
	made, err := house.People.BeginRecoveryCodes(org, "browser", user)
	if err == nil {
		err = house.People.KeepRecoveryCodes(org, visitorOf("203.0.113.9"), "browser", user, made.Sealed)
	}
	if err != nil {
		t.Fatal(err)
	}
	return made.Codes
}

// S-212: a recovery code is long, is stored as a digest that is not of it alone, works once and for its person, and not before it was
// kept; new ones end the old ones, and they are made of one page once.
func TestARecoveryCodeIsAProofOfItsPersonOnce(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		alice, bob := house.User(org, "alice"), house.User(org, "bob")
		client := house.Client(org, trustedClient)
		who := visitorOf("203.0.113.9")
		if made, err := house.People.BeginRecoveryCodes(org, "browser", alice); err != nil {
			t.Fatal(err)
		} else if err := house.People.KeepRecoveryCodes(org, who, "browser", alice, made.Sealed); people.Problems(err) == nil {
			t.Errorf("codes that stand in for nothing: %v", err)
		}
		giveApp(t, house, org, alice)
		giveApp(t, house, org, bob)
		old, codes := recoveryCodesOf(t, house, org, alice), recoveryCodesOf(t, house, org, alice)
		others, err := house.People.BeginRecoveryCodes(org, "browser", alice)
		if err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"at another browser":  house.People.KeepRecoveryCodes(org, who, "elsewhere", alice, others.Sealed),
			"for somebody else":   house.People.KeepRecoveryCodes(org, who, "browser", bob, others.Sealed),
			"with a bit too much": house.People.KeepRecoveryCodes(org, who, "browser", alice, others.Sealed+"A"),
		} {
			if people.Problems(err) == nil {
				t.Errorf("%s they are kept: %v", name, err)
			}
		}
		seen := map[string]bool{}
		for _, code := range codes {
			if plain := strings.ReplaceAll(code, "-", ""); len(plain) < 13 || seen[plain] { // of five bits each: at least 64
				t.Errorf("%q", code)
			} else {
				seen[plain] = true
			}
			for _, digest := range column(t, house.SQL(), `SELECT digest FROM recovery_codes`) {
				if digest == secret.Digest(code) || digest == secret.Digest(strings.ReplaceAll(code, "-", "")) || strings.Contains(digest, code) {
					t.Error("the digest is of the code alone")
				}
			}
		}
		try := func(name, code string) *formbrowser.Page {
			t.Helper()
			change(t, house, `DELETE FROM rate_limits`)
			visitor := client.Visitor()
			page := titled(t, visitor.SignIn(visitor.Go(client.AuthorizeURL()), name, servertest.Password), "One more step")
			form := fields("csrf_token", csrf(t, page.Body), "way", "recovery", "code", code)
			answer := send(t, house, request{address: page.URL.RequestURI(), form: form, cookies: visitor.Cookies(house.URL)})
			if answer.Status == http.StatusSeeOther {
				keep(t, visitor, house, answer)
				return visitor.Go(house.At(house.Base + answer.Header.Get("Location")))
			}
			page.Status = answer.Status
			return page
		}
		for what, page := range map[string]*formbrowser.Page{
			"one of before": try("alice", old[0]), "one that was never kept": try("alice", others.Codes[0]), "hers, for bob": try("bob", codes[0]),
			"none": try("alice", ""), "nearly one": try("alice", codes[0][:len(codes[0])-1]), "two": try("alice", codes[0]+codes[1]),
		} {
			if page.Status != http.StatusUnauthorized {
				t.Errorf("%s: %d %q", what, page.Status, page.Title)
			}
		}
		claimsAt(t, client, try("alice", strings.ToLower(strings.NewReplacer("0", "o", "1", "l").Replace(codes[0]))))
		if page := try("alice", codes[0]); page.Status != http.StatusUnauthorized {
			t.Errorf("once more: %d", page.Status)
		}
	})
}

// A code by mail is one of few, for ten minutes and five guesses, and only for whoever has nothing better.
func TestACodeByMailIsASecondFactorForWhoHasNoOther(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		slug := "default"
		if strings.HasSuffix(house.Issuer(org), "/o/acme") {
			slug = "acme"
		}
		decide(t, []*servertest.House{house}, slug, "second_factor.require", "everyone")
		org = house.In(slug)
		user := house.User(org, "alice")
		address := user.Email
		client := house.Client(org, trustedClient)
		begin := func() (*servertest.Visitor, *formbrowser.Page) {
			t.Helper()
			change(t, house, `DELETE FROM rate_limits`)
			visitor := client.Visitor()
			return visitor, titled(t, visitor.SignIn(visitor.Go(client.AuthorizeURL()), "alice", servertest.Password), "One more step")
		}
		codeNow := func() string { t.Helper(); return letter(t, house, address, mail.EmailCode).Code }

		visitor, page := begin()
		if page.Text("factor-email") != "a…@example.com" || strings.Contains(page.Body, address) {
			t.Errorf("whoever knows the password is told the address: %q", page.Text("factor-email"))
		}
		first := codeNow()
		if stored := strings.Join(column(t, house.SQL(), `SELECT data FROM verification_tokens WHERE type = 'email_code'`), " "); strings.Contains(stored, first) || stored == "" {
			t.Errorf("stored is %q", stored)
		}
		page = titled(t, visitor.Press(page, "factor-send"), "One more step")
		if page.Text("factor-sent") == "" {
			t.Error("it is not said that another is on its way")
		}
		second := codeNow()
		if first != second { // one in a million is the same
			page = givesCode(t, visitor, page, first)
		}
		if page.Status == http.StatusSeeOther || second == "" {
			t.Fatalf("the code of before: %d %q", page.Status, page.Title)
		}
		claims := claimsAt(t, client, givesCode(t, visitor, page, second))
		says(t, claims, twoFactors, "pwd", "otp", "mca", "mfa")

		// The same code again, at another browser; and one whose time is over.
		change(t, house, `DELETE FROM rate_limits`)
		other, page := begin()
		if page = givesCode(t, other, page, second); page.Status != http.StatusUnauthorized && codeNow() != second {
			t.Errorf("once more: %d %q", page.Status, page.Title)
		}
		late := codeNow()
		page = other.Press(page, "factor-send")
		if again := codeNow(); again != late {
			late = again
		}
		change(t, house, `UPDATE verification_tokens SET expires_at = '`+longAgo+`' WHERE type = 'email_code'`)
		if page = givesCode(t, other, page, late); page.Status != http.StatusUnauthorized || page.Has("code") || page.Text("factor-error") == "" {
			t.Errorf("a late one: %d %q", page.Status, page.Title)
		}

		// Five guesses, over all the sign-ins that there are.
		third, page := begin()
		right := codeNow()
		for i := range 5 {
			change(t, house, `DELETE FROM rate_limits`)
			page = givesCode(t, third, page, []string{"000001", "000002", "000003", "000004", "000005"}[i])
			if page.Status != http.StatusUnauthorized {
				t.Errorf("guess %d: %d %q", i+1, page.Status, page.Title)
			}
		}
		change(t, house, `DELETE FROM rate_limits`)
		if page = givesCode(t, third, page, right); page.Status != http.StatusUnauthorized {
			t.Errorf("the right one after five wrong ones: %d %q", page.Status, page.Title)
		}

		// Three letters an hour; and none for whoever has an app, which a mailbox must not be the way around of.
		for i := range 5 {
			page := titled(t, third.Go(page.URL.String()), "One more step")
			button := "factor-send"
			next := third.Press(page, button)
			if want := i < 3; want != (next.Title == "One more step") || !want && next.Status != http.StatusTooManyRequests {
				t.Errorf("letter %d: %d %q", i+1, next.Status, next.Title)
			}
		}
		giveApp(t, house, org, user)
		before := len(house.Letters(address))
		fourth, page := begin()
		form := fields("csrf_token", csrf(t, page.Body), "way", "email", "action", "send")
		answer := send(t, house, request{address: page.URL.RequestURI(), form: form, cookies: fourth.Cookies(house.URL)})
		if page.Has("factor-way-email") || answer.Status == http.StatusSeeOther || len(house.Letters(address)) != before {
			t.Errorf("asked for all the same: %d", answer.Status)
		}
	})
}

// A browser that has given a second factor need not again for as long as its organization says: at its own organization, for its own
// person, and not where two factors are asked for.
func TestABrowserIsRememberedForAWhile(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house, org, client := beginWith(t, databaseURL, trustedClient)
		user, err := house.DB.UserByLogin(org, "alice")
		if err != nil {
			t.Fatal(err)
		}
		giveApp(t, house, org, user)
		giveApp(t, house, org, house.User(org, "bob"))
		codes := recoveryCodesOf(t, house, org, user)
		visitor := client.Visitor()
		signIn := func(name string, params ...string) *formbrowser.Page {
			t.Helper()
			change(t, house, `UPDATE authenticators SET last_step = 0`)
			return visitor.SignIn(titled(t, visitor.Go(client.AuthorizeURL(append(params, "prompt", "login")...)), "Sign in"), name, servertest.Password)
		}
		asked := func(what, name string, params ...string) *formbrowser.Page {
			t.Helper()
			page := signIn(name, params...)
			if page.Title != "One more step" {
				t.Errorf("%s: %d %q", what, page.Status, page.Title)
			}
			return page
		}
		page := asked("at first", "alice")
		claimsAt(t, client, givesCode(t, visitor, page, appCode(t, 0)))
		page = asked("without the tick", "alice")
		if err := page.Fill("remember", "on"); err != nil {
			t.Fatal(err)
		}
		claimsAt(t, client, givesCode(t, visitor, page, appCode(t, 0)))
		// The token says what was given, and not what was left out.
		says(t, claimsAt(t, client, signIn("alice")), oneFactor, "pwd")
		asked("an application wants two", "alice", "acr_values", twoFactors)
		asked("somebody else", "bob")
		if fresh := visitor.Go(house.Base + "/account/password"); fresh.Title == "Password" {
			t.Error("what matters is changed with one factor of two")
		}
		// It shows among the browsers, for thirty days, and is forgotten there.
		devices, err := house.DB.DevicesOf(org, user.ID)
		if err != nil || len(devices) != 1 || devices[0].TrustedUntil == nil || time.Until(*devices[0].TrustedUntil) > 30*24*time.Hour ||
			time.Until(*devices[0].TrustedUntil) < 29*24*time.Hour {
			t.Fatalf("%v %+v", err, devices)
		}
		change(t, house, `UPDATE devices SET trusted_until = '`+longAgo+`'`)
		page = asked("thirty days later", "alice")

		// A recovery code is for whoever has lost something, and trusts nothing.
		page = titled(t, visitor.Press(page, "factor-way-recovery"), "One more step")
		form := fields("csrf_token", csrf(t, page.Body), "way", "recovery", "code", codes[0], "remember", "yes")
		answer := send(t, house, request{address: page.URL.RequestURI(), form: form, cookies: visitor.Cookies(house.URL)})
		if page.Has("remember") || answer.Status != http.StatusSeeOther {
			t.Errorf("by a recovery code: %d", answer.Status)
		}
		keep(t, visitor, house, answer)
		asked("after a recovery code", "alice")

		// An organization that remembers nobody offers nothing, and takes nothing.
		decide(t, []*servertest.House{house}, "default", "second_factor.remember", "0s")
		page = asked("where nobody is remembered", "alice")
		form = fields("csrf_token", csrf(t, page.Body), "way", "app", "code", appCode(t, 0), "remember", "yes")
		answer = send(t, house, request{address: page.URL.RequestURI(), form: form, cookies: visitor.Cookies(house.URL)})
		if page.Has("remember") || answer.Status != http.StatusSeeOther {
			t.Errorf("asked for all the same: %d", answer.Status)
		}
		keep(t, visitor, house, answer)
		asked("and then", "alice")
	})
}
