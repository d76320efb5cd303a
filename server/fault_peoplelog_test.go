package server_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/formbrowser"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

var (
	// clockwork is what a code of six digits could be found in by chance.
	clockwork = regexp.MustCompile(`"time":"[^"]*",|"took":\d+,`)

	formOf  = regexp.MustCompile(`(?s)<form\b([^>]*)>(.*?)</form>`)
	fieldOf = regexp.MustCompile(`<(?:input|select|textarea|button)\b[^>]*>`)
)

// attribute is what an element says under a name, or nothing.
func attribute(element, name string) string {
	found := regexp.MustCompile(`\b` + name + `="([^"]*)"`).FindStringSubmatch(element)
	if found == nil {
		return ""
	}
	return html.UnescapeString(found[1])
}

// canaries are what must stand in no log, by what each is.
type canaries struct {
	test testing.TB
	kept map[string]string
}

func (c *canaries) keep(what, value string) string {
	c.test.Helper()
	if value == "" {
		c.test.Fatalf("no %s", what)
	}
	c.kept[what+" "+fmt.Sprint(len(c.kept))] = value
	return value
}

// one is something that nobody else has ever typed.
func (c *canaries) one(what string) string {
	return c.keep(what, "canary-"+strings.ToLower(rand.Text()))
}

// letters keeps what the letters to an address hold that opens something.
func (c *canaries) letters(house *servertest.House, address string) (token, code string) {
	c.test.Helper()
	for _, l := range house.Letters(address) {
		if l.Link != "" {
			link, err := url.Parse(l.Link)
			if err != nil {
				c.test.Fatal(err)
			}
			if found := link.Query().Get("token"); found != "" {
				token = c.keep("token of a letter "+string(l.Kind), found)
			}
		}
		if l.Code != "" {
			code = c.keep("code of a letter "+string(l.Kind), l.Code)
		}
	}
	return token, code
}

// wanderer is somebody who sends every form that they see, with nonsense in it.
type wanderer struct {
	*guest
	*canaries
	house   *servertest.House
	address string
}

func wander(c *canaries, house *servertest.House, address string) *wanderer {
	return &wanderer{from(c.test, address, "User-Agent", "Firefox "+c.one("browser"), "Referer", "https://rp.example/"+c.one("referer")), c, house, address}
}

// scribble sends the forms of a page, each field filled with something of its own, but those that end what the test still needs.
func (w *wanderer) scribble(page *formbrowser.Page) {
	w.t.Helper()
	for _, form := range formOf.FindAllStringSubmatch(page.Body, -1) {
		action := attribute(form[1], "action")
		if slices.ContainsFunc([]string{"sign-out", "/sessions", "language", "/login/select"}, func(part string) bool { return strings.Contains(action, part) }) {
			continue
		}
		address, err := page.URL.Parse(action)
		if err != nil {
			w.t.Fatal(err)
		}
		values := url.Values{}
		for _, field := range fieldOf.FindAllString(form[2], -1) {
			name, value := attribute(field, "name"), attribute(field, "value")
			switch {
			case name == "":
			case name == "csrf_token":
				values.Set(name, w.keep("csrf token", value))
			case strings.HasPrefix(field, "<button") || attribute(field, "type") == "hidden":
				values.Set(name, value)
			case name == "email":
				values.Set(name, w.one("address")+"@example.com")
			default:
				values.Set(name, w.one("field "+name))
			}
		}
		for range 2 { // the second finds the token as it was, and once more too much
			w.raw(request{address: address.RequestURI(), form: values})
			values.Add(w.one("name of a field"), w.one("value of a field"))
		}
	}
}

func (w *wanderer) raw(r request) *servertest.Answer {
	w.t.Helper()
	r.cookies = append(r.cookies, w.Cookies(w.house.URL)...)
	r.header = append(r.header, "X-Forwarded-For", w.address, "X-Api-Key", w.one("header"), "Accept-Language", w.one("language"))
	return send(w.t, w.house, r)
}

// look opens every page that there is, below the root, and sends its forms.
func (w *wanderer) look(routes []string) {
	w.t.Helper()
	for _, path := range routes {
		if strings.HasPrefix(path, "/o/") || strings.HasPrefix(path, "/playground") || strings.HasPrefix(path, "/oauth2/") || strings.HasPrefix(path, "/dev/") {
			continue
		}
		w.raw(request{address: path + "?token=" + w.one("token") + "&interaction=" + w.one("interaction") + "&return_to=" + url.QueryEscape("/account?"+w.one("return"))})
		page, err := w.Open(w.t.Context(), w.house.URL+path)
		if err != nil {
			w.t.Fatal(err)
		}
		w.scribble(page)
	}
}

// S-286: everything that people do with accounts of their own, rightly and wrongly, and again when the tables are gone, with a log
// that tells as much as it can: nothing stands in it that opens an account, that stood in a letter, or that somebody has typed.
func TestTheLogHoldsNothingThatOpensAnAccount(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		var log logBook
		house := behindProxy(t, servertest.Options{DatabaseURL: databaseURL, Log: &log})
		org := decided(t, house, "default", "sign_up.mode", "open", "sign_up.fields.username", "optional", "sign_up.fields.name", "optional")
		routes := routesOf(t, house, http.MethodGet)
		c := &canaries{t, map[string]string{}}
		base := house.URL

		// Somebody signs up, proves the address, and looks at everything.
		her, first, address := wander(c, house, "203.0.113.1"), c.one("password"), c.one("address")+"@example.com"
		page := her.open(base+"/signup", "Create an account")
		wander(c, house, "203.0.113.2").scribble(page)
		page = her.send(page, "signup-submit", "email", address, "username", c.one("user name")[:20], "name", c.one("name"), "password", first)
		her.scribble(page)
		_, code := c.letters(house, address)
		page = her.send(her.open(base+"/verify", "Check your mail"), "verify-submit", "code", code)
		if page.Status != http.StatusOK || len(her.Cookies(base)) < 2 {
			t.Fatalf("%d %s\n%s", page.Status, page.URL, page.Body)
		}
		her.look(routes)
		user, err := house.DB.UserByLogin(org, address)
		if err != nil {
			t.Fatal(err)
		}

		// She changes what can be changed.
		second, next := c.one("password"), c.one("address")+"@example.com"
		her.send(her.open(base+"/account/profile", "Profile"), "profile-save", "name", c.one("name"))
		her.send(her.open(base+"/account/email", "E-mail address"), "email-change", "email", next)
		confirm, _ := c.letters(house, next)
		c.letters(house, address)
		page = her.open(base+"/account/email/confirm?token="+confirm, "Confirm your new e-mail address")
		her.send(page, "email-link-submit")
		her.send(page, "email-link-submit") // again
		her.send(her.open(base+"/account/password", "Password"), "password-change", "current", first, "password", second, "again", second)
		undo, _ := c.letters(house, address)
		page = her.open(base+"/account/email/undo?token="+undo, "Undo the change of your e-mail address?")
		her.send(page, "email-link-submit")
		her.send(page, "email-link-submit")
		c.letters(house, next)

		// And sets a password by way of a letter, from a browser that is not known.
		again, third := wander(c, house, "203.0.113.3"), c.one("password")
		page = again.open(base+"/forgot", "Forgot your password?")
		again.scribble(page)
		again.send(page, "forgot-submit", "login", address)
		reset, _ := c.letters(house, address)
		page = again.open(base+"/reset?token="+reset, "Set a new password")
		again.send(page, "reset-submit", "password", c.one("password")[:7])
		again.send(page, "reset-submit", "password", third)
		again.scribble(page)
		other := wander(c, house, "203.0.113.4")
		page = other.open(base+"/login", "Sign in")
		other.scribble(page)
		other.sees(other.send(other.open(base+"/login", "Sign in"), "login-submit", "username", address, "password", third), "Your account")
		other.look(routes)

		// Somebody is invited.
		invited := c.one("address") + "@example.com"
		if _, _, err := house.Operators.Invite(org, manage.NewInvitation{Email: invited, FullName: c.one("name"), Inviter: c.one("inviter")}); err != nil {
			t.Fatal(err)
		}
		invitation, _ := c.letters(house, invited)
		guest := wander(c, house, "203.0.113.5")
		page, err = guest.Open(t.Context(), base+"/invitation?token="+invitation)
		if err != nil {
			t.Fatal(err)
		}
		guest.scribble(page)
		guest.raw(request{address: "/invitation?token=" + invitation})

		for _, w := range []*wanderer{her, again, other, guest} {
			for _, cookie := range w.Cookies(base) {
				if !strings.HasPrefix(cookie.Name, "keizer_lang") {
					c.keep("cookie "+cookie.Name, cookie.Value)
				}
			}
		}

		// The same, with what people are kept in gone, and put back at last so that there is something to compare with.
		if err := house.People.Forgot(org, visitorOf("203.0.113.6"), c.one("login"), ""); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"verification_tokens", "outbox", "devices", "sign_ins", "passkeys", "users"} {
			change(t, house, "ALTER TABLE "+table+" RENAME TO gone_"+table)
			late := wander(c, house, "203.0.113.7")
			late.look(routes)
			other.look(routes)
			late.raw(request{address: "/reset?token=" + secret.New(secret.Verification)})
			if _, err := house.AnswerResetRequests(t.Context()); err != nil {
				house.Log.ErrorContext(context.Background(), "a job failed", "job", "answer reset requests", "cause", err)
			}
		}
		change(t, house, "ALTER TABLE gone_users RENAME TO users")
		if _, err := house.DB.User(org, user.ID); err != nil {
			t.Fatal(err)
		}

		text := clockwork.ReplaceAllString(string(log.bytes()), "")
		if strings.Count(text, `"level":"ERROR"`) < 20 || strings.Count(text, `"msg":"request"`) < 500 {
			t.Fatalf("the log has %d bytes, which show little", len(text))
		}
		for what, value := range c.kept {
			for _, form := range []string{value, url.QueryEscape(value), hex.EncodeToString([]byte(value)), base64.StdEncoding.EncodeToString([]byte(value)), secret.Digest(value)} {
				if at := strings.Index(text, form); at >= 0 {
					line := text[strings.LastIndexByte(text[:at], '\n')+1:]
					t.Errorf("the log has the %s: %.300s", what, line)
					break
				}
			}
		}
	})
}
