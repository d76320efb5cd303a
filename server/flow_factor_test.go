package server_test

import (
	"context"
	"encoding/base32"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
)

const (
	oneFactor  = "urn:keizer:acr:1fa"
	twoFactors = "urn:keizer:acr:2fa"
)

var appSecret = []byte("twenty bytes of key!")

// giveApp gives somebody an authenticator app.
func giveApp(t testing.TB, house *servertest.House, org context.Context, user *storage.User) {
	t.Helper()
	if err := house.DB.CreateAuthenticator(org, &storage.Authenticator{UserID: user.ID, Name: "app", Secret: appSecret}); err != nil {
		t.Fatal(err)
	}
}

// appCode is what that app shows, as many half minutes from now.
func appCode(t testing.TB, steps int) string {
	t.Helper()
	return codeOf(t, appSecret, steps)
}

// codeOf is what an app shows that was set up with a secret.
func codeOf(t testing.TB, secret []byte, steps int) string {
	t.Helper()
	code, err := totp.GenerateCode(base32.StdEncoding.EncodeToString(secret), time.Now().Add(time.Duration(steps)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// fill writes into fields, in pairs.
func fill(t testing.TB, page *formbrowser.Page, fields ...string) {
	t.Helper()
	for i := 0; i+1 < len(fields); i += 2 {
		if err := page.Fill(fields[i], fields[i+1]); err != nil {
			t.Fatalf("%v\n%s", err, page.Body)
		}
	}
}

// titled expects a page.
func titled(t testing.TB, page *formbrowser.Page, title string) *formbrowser.Page {
	t.Helper()
	if page.Title != title {
		t.Fatalf("%d %q at %s, not %q\n%s", page.Status, page.Title, page.URL, title, short(page.Body))
	}
	return page
}

// givesCode enters a code on the page of the second factor.
func givesCode(t testing.TB, visitor *servertest.Visitor, page *formbrowser.Page, code string) *formbrowser.Page {
	t.Helper()
	fill(t, page, "code", code)
	return visitor.Press(page, "factor-submit")
}

// claimsAt are those of the ID token that a page which has arrived at the client stands for.
func claimsAt(t testing.TB, client *servertest.Client, page *formbrowser.Page) map[string]any {
	t.Helper()
	arrived, ok := page.Arrived()
	if !ok || arrived.Get("code") == "" {
		t.Fatalf("%d %q at %s: %v\n%s", page.Status, page.Title, page.URL, arrived, short(page.Body))
	}
	answer := client.Redeem(arrived.Get("code"))
	if answer.Status != http.StatusOK {
		t.Fatalf("%d %s", answer.Status, answer.Body)
	}
	return servertest.Claims(t, answer.Text("id_token"))
}

// says expects what a token says of the sign-in.
func says(t testing.TB, claims map[string]any, acr string, amr ...string) {
	t.Helper()
	var got []string
	listed, _ := claims["amr"].([]any)
	for _, one := range listed {
		word, _ := one.(string)
		got = append(got, word)
	}
	if claims["acr"] != acr || !slices.Equal(got, amr) {
		t.Errorf("the token says %v by %v, not %s by %v", claims["acr"], got, acr, amr)
	}
}

func TestWhoHasAnAuthenticatorAppIsAskedForItsCode(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		giveApp(t, house, org, house.User(org, "alice"))
		client := house.Client(org, trustedClient)
		visitor := client.Visitor()
		page := titled(t, visitor.SignIn(visitor.Go(client.AuthorizeURL()), "alice", servertest.Password), "One more step")
		if page.Text("factor-account") != "alice" || page.Has("factor-way-email") || page.Has("factor-way-recovery") || page.Has("factor-way-passkey") {
			t.Errorf("what she does not have is offered\n%s", short(page.Body))
		}
		for _, wrong := range []string{"000000", "", "12345", "1234567", "abcdef", appCode(t, -9), appCode(t, 9)} {
			if wrong == "" || wrong == appCode(t, 0) {
				continue
			}
			if len(visitor.Cookies(house.URL)) == 0 {
				t.Fatal("no cookie at all")
			}
			page = titled(t, givesCode(t, visitor, page, wrong), "One more step")
			if page.Status != http.StatusUnauthorized || page.Text("code-error") == "" {
				t.Errorf("%q: %d %q", wrong, page.Status, page.Text("code-error"))
			}
			change(t, house, `DELETE FROM rate_limits`) // which are tried elsewhere
		}
		code := appCode(t, 0)
		spaced := code[:3] + " " + code[3:]
		began := time.Now().Unix()
		claims := claimsAt(t, client, givesCode(t, visitor, page, spaced))
		says(t, claims, twoFactors, "pwd", "otp", "mfa")
		if at := int64(numberOf(t, claims["auth_time"])); at < began-1 || at > began+10 {
			t.Errorf("auth_time %d, now %d", at, began)
		}

		// Signed in, she is asked no more; and the same code opens nothing at another browser.
		says(t, claimsAt(t, client, visitor.Go(client.AuthorizeURL("prompt", "none"))), twoFactors, "pwd", "otp", "mfa")
		other := client.Visitor()
		page = other.SignIn(other.Go(client.AuthorizeURL()), "alice", servertest.Password)
		if page = givesCode(t, other, page, code); page.Status != http.StatusUnauthorized {
			t.Errorf("the same code again: %d %q", page.Status, page.Title)
		}
		// The next one does, and the clock of the app may be a little off.
		claimsAt(t, client, givesCode(t, other, page, appCode(t, 1)))
	})
}

var secretOnPage = regexp.MustCompile(`id="app-secret"[^>]*>([^<]+)<`)

// setsUpApp enters the code of the app that a page sets up.
func setsUpApp(t testing.TB, page *formbrowser.Page) {
	t.Helper()
	found := secretOnPage.FindStringSubmatch(page.Body)
	if found == nil {
		t.Fatalf("no secret on %q\n%s", page.Title, page.Body)
	}
	code, err := totp.GenerateCode(strings.ReplaceAll(found[1], " ", ""), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	fill(t, page, "code", code)
}

func TestWhoMustHaveASecondFactorSetsOneUpOnTheWayIn(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, house *servertest.House, org context.Context) {
		slug := "default"
		if strings.Contains(house.Issuer(org), "/o/acme") {
			slug = "acme"
		}
		decide(t, []*servertest.House{house}, slug, "second_factor.require", "everyone", "second_factor.email_code", "false")
		org = house.In(slug)
		user := house.User(org, "alice")
		client := house.Client(org, trustedClient)
		visitor := client.Visitor()
		page := titled(t, visitor.SignIn(visitor.Go(client.AuthorizeURL()), "alice", servertest.Password), "Set up a second factor")
		if src, _ := page.Attr("app-secret", "id"); src == "" || !strings.Contains(page.Body, `src="data:image/png;base64,`) {
			t.Errorf("there is no picture\n%s", short(page.Body))
		}
		before := secretOnPage.FindString(page.Body)
		fill(t, page, "code", "000000")
		page = titled(t, visitor.Press(page, "enroll-submit"), "Set up a second factor")
		if page.Status != http.StatusBadRequest || page.Text("code-error") == "" || secretOnPage.FindString(page.Body) != before {
			t.Errorf("a wrong code: %d %q, and the app has to be set up anew: %v", page.Status, page.Text("code-error"), secretOnPage.FindString(page.Body) != before)
		}
		if counts, err := house.DB.FactorCounts(org, user.ID); err != nil || counts.Second() {
			t.Fatalf("%v %+v", err, counts)
		}
		setsUpApp(t, page)
		page = titled(t, visitor.Press(page, "enroll-submit"), "Your recovery codes")
		codes := strings.Fields(page.Text("recovery-codes"))
		if len(codes) != 10 {
			t.Errorf("%d codes: %q", len(codes), codes)
		}
		if counts, err := house.DB.FactorCounts(org, user.ID); err != nil || counts.Authenticators != 1 || counts.RecoveryCodes != 0 {
			t.Errorf("before they are kept: %v %+v", err, counts)
		}
		says(t, claimsAt(t, client, visitor.Press(page, "codes-kept")), twoFactors, "pwd", "otp", "mfa")
		if counts, err := house.DB.FactorCounts(org, user.ID); err != nil || counts.RecoveryCodes != 10 {
			t.Errorf("after: %v %+v", err, counts)
		}
		if told := letter(t, house, user.Email, mail.FactorAdded); !strings.Contains(told.Text, "ecovery codes") {
			t.Errorf("she is told %q", told.Text)
		}

		// The codes are good from now on, each once.
		for i, code := range []string{codes[0], strings.ToLower(strings.ReplaceAll(codes[1], "-", "")), codes[0]} {
			other := client.Visitor()
			page := other.SignIn(other.Go(client.AuthorizeURL()), "alice", servertest.Password)
			page = givesCode(t, other, titled(t, other.Press(page, "factor-way-recovery"), "One more step"), code)
			if i == 2 {
				if page.Status != http.StatusUnauthorized {
					t.Errorf("a code again: %d %q", page.Status, page.Title)
				}
				continue
			}
			says(t, claimsAt(t, client, page), twoFactors, "pwd", "otp", "mfa")
		}
		if told := letter(t, house, user.Email, mail.RecoveryUsed); !strings.Contains(told.Text, "8") {
			t.Errorf("she is told %q", told.Text)
		}
	})
}
