package server_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/people"
	"github.com/keizer-auth/keizer/server/servertest"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// tokenOf is what the link of a letter holds.
func tokenOf(t testing.TB, house *servertest.House, address string, kind mail.Kind) string {
	t.Helper()
	_, token, ok := strings.Cut(letter(t, house, address, kind).Link, "?token=")
	if !ok {
		t.Fatalf("the letter %s to %s has no link", kind, address)
	}
	return token
}

// S-196: who is signed in learns no more of other addresses than who is not: neither from the page where an address is changed,
// nor from what it counts; and cannot use up the letters of somebody else.
func TestAChangeOfAddressDoesNotTellWhoExists(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	for _, name := range []string{"bob", "mallory", "mary"} {
		house.User(org, name)
	}
	seen := map[string]string{}
	for _, who := range []string{"mallory bob", "mary bib"} { // bib is nobody
		name, other, _ := strings.Cut(who, " ")
		browser := accountOf(t, house, org, name)
		page := browser.press(browser.open("/email", "E-mail address"), "email-change", "email", other+"@example.com")
		for _, text := range []string{page.Text("account-done"), page.Text("account-pending"), browser.open("/email", "E-mail address").Text("account-pending")} {
			seen[other] += strings.ReplaceAll(text, other, "NAME") + "\n"
		}
	}
	if seen["bob"] != seen["bib"] || seen["bib"] == "" {
		t.Errorf("of somebody: %q, of nobody: %q", seen["bob"], seen["bib"])
	}
	letter(t, house, "bob@example.com", mail.SignUpExists)

	// Letters that were asked for to sign in again are no reason to refuse this one, which would tell that there were any.
	for i := range 4 {
		if err := house.People.Forgot(org, visitorOf(fmt.Sprintf("198.51.100.%d", i)), "alice", ""); err != nil {
			t.Fatal(err)
		}
	}
	house.Letters("alice@example.com")
	mallory, err := house.DB.UserByLogin(org, "mallory")
	if err != nil {
		t.Fatal(err)
	}
	if err := house.People.ChangeEmail(org, visitorOf("198.51.100.77"), mallory.ID, "alice@example.com"); err != nil {
		t.Errorf("an address that has got letters is refused: %v", err)
	}
	// Nor is this one a reason to keep theirs from them.
	for i, name := range []string{"mary", "mallory", "alice"} {
		user, err := house.DB.UserByLogin(org, name)
		if err != nil {
			t.Fatal(err)
		}
		if err := house.People.ChangeEmail(org, visitorOf(fmt.Sprintf("203.0.113.%d", i)), user.ID, "bob@example.com"); err != nil && i < 2 {
			t.Fatal(err)
		}
	}
	if err := house.People.Forgot(org, visitorOf("198.51.100.99"), "bob", ""); err != nil {
		t.Fatal(err)
	}
	letter(t, house, "bob@example.com", mail.PasswordReset)
}

// S-224: an organization that has come to let in only addresses of its own lets nobody out to another by a link from before.
func TestAnAddressIsOfADomainThatIsLetInWhenItIsConfirmed(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org, who := house.In("default"), visitorOf("203.0.113.6")
	user := house.User(org, "alice")
	const outside, inside = "alice@elsewhere.example", "alice2@example.com"
	ask := func(org context.Context, to string) string {
		t.Helper()
		if err := house.People.ChangeEmail(org, who, user.ID, to); err != nil {
			t.Fatal(err)
		}
		return tokenOf(t, house, to, mail.ConfirmEmail)
	}
	before := ask(org, outside)
	limited := decided(t, house, "default", "sign_up.domains", "example.com")
	if _, err := house.People.ConfirmEmail(limited, who, before); !errors.Is(err, people.ErrDeadLink) {
		t.Errorf("a link from before: %v", err)
	}
	if err := house.People.ChangeEmail(limited, who, user.ID, outside); people.Problems(err)["email"] != "account.email.domain" {
		t.Errorf("a domain that is not let in: %v", err)
	}
	if _, err := house.People.ConfirmEmail(limited, who, ask(limited, inside)); err != nil {
		t.Errorf("a domain that is: %v", err)
	}
	if now, err := house.DB.User(org, user.ID); err != nil || now.Email != inside {
		t.Errorf("%v %s", err, now.Email)
	}
}

// S-208: whoever has asked for another address with a session that was stolen does not get it once its owner has changed the
// password.
func TestANewPasswordEndsAChangeOfAddressThatWaits(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	user := house.User(org, "alice")
	if err := house.People.ChangeEmail(org, visitorOf("203.0.113.6"), user.ID, "mallory@evil.example"); err != nil {
		t.Fatal(err)
	}
	link := letter(t, house, "mallory@evil.example", mail.ConfirmEmail).Link
	alice := accountOf(t, house, org, "alice")
	page := alice.press(alice.open("/password", "Password"), "password-change", "current", servertest.Password, "password", otherPassword, "again", otherPassword)
	if alice.expect(page, "Password"); page.Text("account-done") == "" {
		t.Fatalf("%d", page.Status)
	}
	if page := accountless(t, house, org, "mallory").Go(link); page.Status != 404 {
		t.Errorf("the link is still good: %d %q", page.Status, page.Title)
	}
}

// S-209: whoever takes an account to an address of theirs and back again keeps no link that brings it to them once more.
func TestAnAddressIsBroughtBackToWhoHadItFirstOnly(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	user := house.User(org, "alice")
	who := visitorOf("203.0.113.6")
	const theirs = "mallory@evil.example"
	for _, move := range []struct{ from, to string }{{user.Email, theirs}, {theirs, user.Email}} {
		if err := house.People.ChangeEmail(org, who, user.ID, move.to); err != nil {
			t.Fatal(err)
		}
		if _, err := house.People.ConfirmEmail(org, who, tokenOf(t, house, move.to, mail.ConfirmEmail)); err != nil {
			t.Fatal(err)
		}
	}
	for _, told := range house.Letters(theirs) {
		if strings.Contains(told.Link, "/undo") {
			t.Errorf("whoever has given the account back can have it again: %s", told.Link)
		}
	}
	if told := letter(t, house, theirs, mail.EmailMoved); !strings.Contains(told.Text, user.Email) {
		t.Errorf("they are told %s", told.Text)
	}
	if now, err := house.DB.User(org, user.ID); err != nil || now.Email != user.Email {
		t.Errorf("%v %s", err, now.Email)
	}
	// The first link is good still.
	if _, err := house.People.UndoEmail(org, who, tokenOf(t, house, user.Email, mail.EmailChanged)); err != nil {
		t.Error(err)
	}
}

// S-209: whoever takes an account to an address of theirs, on to another of theirs, and then back by the link that the first of them
// was sent, has not taken its owner's link away by that. And whoever loses an address so is told.
func TestAnAddressThatWasTakenFurtherIsStillBroughtBackByItsOwner(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		org, who := house.In("default"), visitorOf("203.0.113.6")
		user := house.User(org, "alice")
		addressIs := func(want string) {
			t.Helper()
			if now, err := house.DB.User(org, user.ID); err != nil || now.Email != want {
				t.Fatalf("%v: the address is %s, want %s", err, now.Email, want)
			}
		}
		move := func(to string) {
			t.Helper()
			past(t, house, `DELETE FROM rate_limits`) // it need not be within an hour
			if err := house.People.ChangeEmail(org, who, user.ID, to); err != nil {
				t.Fatal(err)
			}
			if _, err := house.People.ConfirmEmail(org, who, tokenOf(t, house, to, mail.ConfirmEmail)); err != nil {
				t.Fatal(err)
			}
			addressIs(to)
		}
		const first, second, third = "mallory@evil.example", "mallory2@evil.example", "mallory3@evil.example"
		move(first)
		owners := tokenOf(t, house, user.Email, mail.EmailChanged)
		move(second)
		theirs := tokenOf(t, house, first, mail.EmailChanged)
		move(third)
		last := tokenOf(t, house, second, mail.EmailChanged)
		if _, err := house.People.UndoEmail(org, who, theirs); err != nil {
			t.Fatal(err)
		}
		addressIs(first)
		if told := letter(t, house, third, mail.EmailMoved); !strings.Contains(told.Text, first) || told.Link != "" {
			t.Errorf("whoever has lost the address is told %q", told.Text)
		}
		if _, err := house.People.OpenEmailUndo(org, who, last); !errors.Is(err, people.ErrDeadLink) {
			t.Errorf("the link of a change that is undone: %v", err)
		}
		// Nor when it is taken through the owner's own address, and away from there once more.
		move(second)
		move("ALICE@example.com")
		move(third)
		again := tokenOf(t, house, "ALICE@example.com", mail.EmailChanged)
		if _, err := house.People.OpenEmailUndo(org, who, owners); !errors.Is(err, people.ErrDeadLink) {
			t.Errorf("an older link to the same address: %v", err)
		}
		if _, err := house.People.UndoEmail(org, who, tokenOf(t, house, first, mail.EmailChanged)); err != nil {
			t.Fatal(err)
		}
		addressIs(first)
		if _, err := house.People.UndoEmail(org, who, again); err != nil {
			t.Fatal(err)
		}
		addressIs("ALICE@example.com")
		for _, kind := range []string{storage.EmailUndo, storage.EmailChange, storage.PasswordReset} {
			if left, err := house.DB.VerificationTokensOfUser(org, user.ID, kind); err != nil || len(left) != 0 {
				t.Errorf("%v: %d links %s are left", err, len(left), kind)
			}
		}
		letter(t, house, first, mail.EmailMoved)
	})
}

// S-210, S-216: what somebody has given with a password that was changed since leads to no session.
func TestASignInUnderWayEndsWithThePasswordThatItBeganWith(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	user := house.User(org, "alice")
	who := visitorOf("203.0.113.6")
	for _, test := range []struct {
		name string
		do   func() error
	}{
		{"a password that was changed", func() error {
			alice := accountOf(t, house, org, "alice")
			page := alice.press(alice.open("/password", "Password"), "password-change", "current", servertest.Password, "password", otherPassword, "again", otherPassword)
			if page.Text("account-done") == "" {
				return fmt.Errorf("%d %q", page.Status, page.Title)
			}
			return nil
		}},
		{"a password that was forgotten", func() error {
			if err := house.People.Forgot(org, who, "alice", ""); err != nil {
				return err
			}
			_, err := house.People.Reset(org, who, tokenOf(t, house, user.Email, mail.PasswordReset), newPassword)
			return err
		}},
		{"an address that was brought back", func() error {
			if err := house.People.ChangeEmail(org, who, user.ID, "other@example.com"); err != nil {
				return err
			}
			if _, err := house.People.ConfirmEmail(org, who, tokenOf(t, house, "other@example.com", mail.ConfirmEmail)); err != nil {
				return err
			}
			_, err := house.People.UndoEmail(org, who, tokenOf(t, house, user.Email, mail.EmailChanged))
			return err
		}},
	} {
		begun := &storage.SignIn{
			Digest: secret.Digest(test.name), BrowserDigest: "browser", UserID: user.ID, AMR: []string{"pwd"},
			ProvenAt: time.Now().UTC(), ExpiresAt: time.Now().UTC().Add(10 * time.Minute),
		}
		if err := house.DB.CreateSignIn(org, begun); err != nil {
			t.Fatal(err)
		}
		if err := test.do(); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if _, _, err := house.DB.SignIn(org, begun.Digest); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%s: a sign-in under way goes on: %v", test.name, err)
		}
	}
}

// S-196: who has an account does not find out with it what everybody else is called.
func TestUserNamesAreNotTriedOneAfterAnother(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	mallory := house.User(org, "mallory")
	var told []string
	var exceeded *throttle.Exceeded
	for i := range 30 {
		err := house.People.ChangeProfile(org, visitorOf("203.0.113.6"), mallory.ID, people.Profile{Username: fmt.Sprint("mallory", i)})
		if errors.As(err, &exceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, fmt.Sprint("mallory", i))
	}
	if exceeded == nil || len(told) > 10 {
		t.Fatalf("she tries %d", len(told))
	}
	// The rest of a profile is not a name.
	profile := people.Profile{Username: told[len(told)-1], FullName: "Mallory"}
	if err := house.People.ChangeProfile(org, visitorOf("203.0.113.6"), mallory.ID, profile); err != nil {
		t.Error(err)
	}
	profile.Username = strings.ToUpper(profile.Username)
	if err := house.People.ChangeProfile(org, visitorOf("203.0.113.6"), mallory.ID, profile); err != nil {
		t.Errorf("another spelling: %v", err)
	}
}

// S-206, S-208: a hash that is renewed at a sign-in does not bring back the password that was changed at the same moment.
func TestARenewedHashDoesNotBringAnOldPasswordBack(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{DatabaseURL: storagetest.PostgresURL(t)})
	org := house.In("default")
	user := house.User(org, "alice")
	if err := house.DB.SetPasswordHash(org, user.ID, outdated(servertest.Password)); err != nil {
		t.Fatal(err)
	}
	signedIn, db := make(chan error, 1), house.SQL()
	const next = "$the hash of another password$"
	err := house.DB.InTx(org, func(ctx context.Context) error {
		if err := house.DB.SetPasswordHash(ctx, user.ID, next); err != nil {
			return err
		}
		go func() {
			_, err := house.People.CheckPassword(org, visitorOf("203.0.113.6"), people.Attempt{Login: "alice", Password: servertest.Password})
			signedIn <- err
		}()
		eventually(t, "somebody waits for the row", func() bool {
			return len(column(t, db, `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)) > 0
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	<-signedIn // whatever became of it
	if now, err := house.DB.User(org, user.ID); err != nil || now.PasswordHash != next {
		t.Errorf("%v: the hash is %s", err, now.PasswordHash)
	}
}

// S-208: of two who change a password at once, whoever knows only the one before does not undo what the other has just done.
func TestAPasswordIsNotChangedWithOneThatWasReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{DatabaseURL: storagetest.PostgresURL(t)})
	org := house.In("default")
	user := house.User(org, "alice")
	changed, db := make(chan error, 1), house.SQL()
	const next = "$the hash of another password$"
	err := house.DB.InTx(org, func(ctx context.Context) error {
		if err := house.DB.SetPasswordHash(ctx, user.ID, next); err != nil {
			return err
		}
		go func() {
			change := people.PasswordChange{UserID: user.ID, Current: servertest.Password, Next: otherPassword, Again: otherPassword}
			changed <- house.People.ChangePassword(org, visitorOf("203.0.113.6"), change, func(context.Context) error { return nil })
		}()
		eventually(t, "somebody waits for the row", func() bool {
			return len(column(t, db, `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)) > 0
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-changed; people.Problems(err)["current"] != "account.password.wrong" {
		t.Errorf("whoever was late is told %v", err)
	}
	if now, err := house.DB.User(org, user.ID); err != nil || now.PasswordHash != next {
		t.Errorf("%v: the hash is %s", err, now.PasswordHash)
	}
	for _, l := range house.Letters(user.Email) {
		t.Errorf("a letter %s tells of what was not done", l.Kind)
	}
}

// S-208, S-216: a link that sets a password is worth nothing once the password was set in another way.
func TestALinkThatSetsAPasswordEndsWithThePasswordThatItWasFor(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		org, who := house.In("default"), visitorOf("203.0.113.6")
		for name, set := range map[string]func(user *storage.User) error{
			"by its person": func(user *storage.User) error {
				change := people.PasswordChange{UserID: user.ID, Current: servertest.Password, Next: otherPassword, Again: otherPassword}
				return house.People.ChangePassword(org, who, change, func(context.Context) error { return nil })
			},
			"by an operator": func(user *storage.User) error { return house.Operators.SetPassword(org, user.Email, otherPassword) },
			"by taking it away": func(user *storage.User) error { // for whoever has the address back
				next := "next-" + user.Email
				if err := house.People.ChangeEmail(org, who, user.ID, next); err != nil {
					return err
				}
				if _, err := house.People.ConfirmEmail(org, who, tokenOf(t, house, next, mail.ConfirmEmail)); err != nil {
					return err
				}
				_, err := house.People.UndoEmail(org, who, tokenOf(t, house, user.Email, mail.EmailChanged))
				return err
			},
		} {
			user := house.User(org, "person-"+strings.ReplaceAll(name, " ", "-"))
			if err := house.People.Forgot(org, who, *user.Username, ""); err != nil {
				t.Fatal(err)
			}
			token := tokenOf(t, house, user.Email, mail.PasswordReset)
			if _, err := house.People.OpenReset(org, who, token); err != nil {
				t.Fatalf("%s: before, the link is no good: %v", name, err)
			}
			if err := set(user); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := house.People.Reset(org, who, token, newPassword); !errors.Is(err, people.ErrDeadLink) {
				t.Errorf("%s: afterwards the link is good: %v", name, err)
			}
		}
	})
}

// S-208, S-216: a sign-in with the old password that is under way at the moment in which it is changed does not outlive it.
func TestASignInAtTheMomentOfAChangeOfPasswordEndsWithIt(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{DatabaseURL: storagetest.PostgresURL(t)})
	org := house.In("default")
	user := house.User(org, "alice")
	db := house.SQL()
	g := newGuesser(t, house)
	answers := make(chan *servertest.Answer, 1)
	err := house.DB.InTx(org, func(ctx context.Context) error {
		if err := house.DB.SetPasswordHash(ctx, user.ID, "$the hash of another password$"); err != nil {
			return err
		}
		if err := house.DB.EndSessionsOfUser(ctx, user.ID); err != nil {
			return err
		}
		go func() {
			answer, err := g.try(t.Context(), "127.0.0.1", "alice", servertest.Password)
			if err != nil {
				t.Error(err)
			}
			answers <- answer
		}()
		eventually(t, "somebody waits for the row", func() bool {
			return len(column(t, db, `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)) > 0
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if answer := <-answers; answer == nil || answer.Status != http.StatusUnauthorized {
		t.Errorf("the sign-in is answered %+v", answer)
	}
	if sessions, err := house.DB.SessionsOfUser(org, user.ID, time.Time{}); err != nil || len(sessions) != 0 {
		t.Errorf("%v: %d sessions are left", err, len(sessions))
	}
}

// Two sign-ins at once, of which each would renew the hash, are both let in.
func TestTwoSignInsThatRenewOneHashAreBothLetIn(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	user := house.User(org, "alice")
	if err := house.DB.SetPasswordHash(org, user.ID, outdated(servertest.Password)); err != nil {
		t.Fatal(err)
	}
	statuses := make(chan int, 4)
	for range cap(statuses) {
		g := newGuesser(t, house)
		go func() {
			answer, err := g.try(t.Context(), "127.0.0.1", "alice", servertest.Password)
			if err != nil {
				t.Error(err)
				answer = &servertest.Answer{}
			}
			statuses <- answer.Status
		}()
	}
	for range cap(statuses) {
		if status := <-statuses; status != http.StatusSeeOther {
			t.Errorf("one is answered %d", status)
		}
	}
}

// outdated is the hash of a password as it would have been made long ago.
func outdated(text string) string {
	salt := []byte("0123456789abcdef")
	return fmt.Sprintf("$argon2id$v=19$m=8192,t=1,p=1$%s$%s", base64.RawStdEncoding.EncodeToString(salt),
		base64.RawStdEncoding.EncodeToString(argon2.IDKey([]byte(text), salt, 1, 8192, 1, 32)))
}

// S-208: a password that an operator sets, because somebody else may have found out the one before, is asked for together with the
// second factor in every browser.
func TestAPasswordThatAnOperatorSetsEndsTheTrustInBrowsers(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	user := house.User(org, "alice")
	until := time.Now().UTC().Add(time.Hour)
	device := &storage.Device{UserID: user.ID, Token: secret.Digest(secret.New(secret.Device)), ExpiresAt: until}
	if err := house.DB.CreateDevice(org, device); err != nil {
		t.Fatal(err)
	}
	if err := house.DB.TrustDevice(org, device.ID, &until); err != nil {
		t.Fatal(err)
	}
	if err := house.Operators.SetPassword(org, "alice", otherPassword); err != nil {
		t.Fatal(err)
	}
	devices, err := house.DB.DevicesOf(org, user.ID)
	if err != nil || len(devices) != 1 || devices[0].Trusted(time.Now()) {
		t.Errorf("%v: %+v", err, devices)
	}
}

// S-209: whoever talks an operator into it does not go unnoticed either: of a password that is set the person is told, and of another
// address both.
func TestAnOperatorChangesNothingBehindAPersonsBack(t *testing.T) {
	t.Parallel()
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		org := house.In("default")
		user := house.User(org, "alice")
		if err := house.Operators.SetPassword(org, "alice", otherPassword); err != nil {
			t.Fatal(err)
		}
		letter(t, house, user.Email, mail.PasswordChange)
		spelling, next := "Alice@Example.com", "next@example.com"
		if _, err := house.Operators.UpdateUser(org, user.ID, manage.UserPatch{Email: &spelling}); err != nil {
			t.Fatal(err)
		}
		if n := len(house.Letters(user.Email)) + len(house.Letters(spelling)); n != 1 {
			t.Errorf("of another spelling %d letters are written", n-1)
		}
		told := func(from, to string) {
			t.Helper()
			if moved := letter(t, house, from, mail.EmailMoved); !strings.Contains(moved.Text, to) || moved.Link != "" {
				t.Errorf("%s is told %q", from, moved.Text)
			}
			if yours := letter(t, house, to, mail.EmailIsYours); strings.Contains(yours.Text, "Alice Doe") {
				t.Errorf("%s, which may be mistyped, is told %q", to, yours.Text)
			}
		}
		if _, err := house.Operators.UpdateUser(org, user.ID, manage.UserPatch{Email: &next}); err != nil {
			t.Fatal(err)
		}
		told(spelling, next)
		file := manage.JSONLines(strings.NewReader(`{"id":"` + user.ID.String() + `","email":"last@example.com"}`))
		if summary, err := house.Operators.ImportUsers(org, file, manage.ImportOptions{OnConflict: manage.ConflictUpdate}); err != nil || summary.Updated != 1 {
			t.Fatalf("%v: %+v", err, summary)
		}
		told(next, "last@example.com")
	})
}

// S-209, S-220: an address that was never proven to be the person's, such as one that an operator has mistyped, gets no link that
// brings the account to whoever reads its mail.
func TestAnAddressThatWasNeverProvenIsNotBroughtBack(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	user, err := house.Operators.CreateUser(org, manage.NewUser{Username: "alice", Email: "mistyped@example.com", Password: servertest.Password})
	if err != nil {
		t.Fatal(err)
	}
	who := visitorOf("203.0.113.6")
	if err := house.People.ChangeEmail(org, who, user.ID, "alice@example.com"); err != nil {
		t.Fatal(err)
	}
	if _, err := house.People.ConfirmEmail(org, who, tokenOf(t, house, "alice@example.com", mail.ConfirmEmail)); err != nil {
		t.Fatal(err)
	}
	for _, told := range house.Letters("mistyped@example.com") {
		if told.Link != "" {
			t.Errorf("a stranger is sent %s", told.Link)
		}
	}
	letter(t, house, "mistyped@example.com", mail.EmailMoved)
}
