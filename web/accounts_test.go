package web

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

const asideCookie, stateCookie = "__Host-keizer_aside_acme", "__Host-keizer_state_acme"

// others are the names of the accounts that are set aside in a browser.
func (r *room) others(b browser) (names []string) {
	r.t.Helper()
	r.visit(b, func(c *gin.Context) {
		others, err := r.sessions.Others(c)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, other := range others {
			names = append(names, other.User.DisplayName())
		}
	})
	return names
}

// another makes room for a further account at a browser, and signs in to it.
func (r *room) another(b browser, user *storage.User) *storage.Session {
	r.t.Helper()
	r.visit(b, func(c *gin.Context) {
		if err := r.sessions.SetAside(c); err != nil {
			r.t.Fatal(err)
		}
	})
	if r.current(b) != nil {
		r.t.Fatal("an account is set aside, and still the current one")
	}
	return r.signIn(b, user)
}

func (r *room) choose(b browser, id uuid.UUID) (err error) {
	r.t.Helper()
	r.visit(b, func(c *gin.Context) {
		var fresh *Fresh
		if fresh, err = r.sessions.Choose(c.Request.Context(), c, id); err == nil {
			r.sessions.Deliver(c, fresh)
		}
	})
	return err
}

// shows reports whether the browser is, to applications, in exactly these sessions.
func (r *room) shows(b browser, sessions ...*storage.Session) {
	r.t.Helper()
	var want []string
	for _, session := range sessions {
		want = append(want, r.sessions.stateOf(session))
	}
	got := strings.FieldsFunc(b[stateCookie], func(r rune) bool { return r == '.' })
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.t.Errorf("the browser shows %q, not %q", got, want)
	}
}

func TestABrowserIsSignedInToSeveralAccountsAndActsInOne(t *testing.T) {
	r, b := newRoom(t, storagetest.DB(t)), browser{}
	bob, carol := r.user("bob"), r.user("carol")
	alices := r.signIn(b, r.alice)
	before := b[sessionCookie]
	bobs := r.another(b, bob)
	r.shows(b, alices, bobs)
	if got := r.current(b); got.ID != bobs.ID || !slices.Equal(r.others(b), []string{"alice"}) {
		t.Fatalf("%+v, and %v", got, r.others(b))
	}

	// Whoever is chosen has another secret from then on; the sid that applications know stays.
	if err := r.choose(b, alices.ID); err != nil {
		t.Fatal(err)
	}
	if got := r.current(b); got.ID != alices.ID || !got.AuthTime.Equal(alices.AuthTime) || !slices.Equal(r.others(b), []string{"bob"}) {
		t.Errorf("%+v, and %v", got, r.others(b))
	}
	if b[sessionCookie] == before || r.current(browser{sessionCookie: before}) != nil {
		t.Error("the secret of before is still good")
	}
	r.shows(b, alices, bobs)

	// Only what is this browser's can be chosen.
	elsewhere := browser{}
	carols := r.signIn(elsewhere, carol)
	for name, id := range map[string]uuid.UUID{"another browser's": carols.ID, "none": uuid.New()} {
		if err := r.choose(b, id); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// And what it cannot read it forgets.
	for name, value := range map[string]string{
		"no secret": "x", "a digest": secret.Digest(b[asideCookie]), "nobody's": secret.New(secret.Session), "the current one's": b[sessionCookie],
		"another kind's": secret.New(secret.Flow), "one twice": b[asideCookie] + "." + b[asideCookie], "many": strings.Repeat("x.", 500),
	} {
		odd := browser{sessionCookie: b[sessionCookie], asideCookie: value}
		if got := r.others(odd); len(got) > 1 || len(got) == 1 && name != "one twice" || len(odd[asideCookie]) > len(b[asideCookie]) {
			t.Errorf("%s: %v, and keeps %q", name, got, odd[asideCookie])
		}
	}

	// The same person who signs in again goes on in the session that was set aside.
	r.visit(b, func(c *gin.Context) {
		if err := r.sessions.SetAside(c); err != nil {
			t.Fatal(err)
		}
	})
	if again := r.signIn(b, bob); again.ID != bobs.ID || !slices.Equal(r.others(b), []string{"alice"}) {
		t.Errorf("bob has another session, and %v are aside", r.others(b))
	}
	// Whoever signs in over somebody, and did not set them aside, ends their session: it is their browser now.
	r.signIn(b, carol)
	if got := r.others(b); !slices.Equal(got, []string{"alice"}) {
		t.Errorf("%v are aside", got)
	}
	if _, err := r.db.SessionOfUser(r.ctx, bob.ID, bobs.ID); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("bob's session: %v", err)
	}
	// At another organization all of this is nothing.
	kept := b[asideCookie]
	r.enter("other")
	if got := r.others(browser{"__Host-keizer_aside_other": kept}); got != nil {
		t.Errorf("at another organization: %v", got)
	}
}

func TestEveryAccountOfABrowserEndsByItself(t *testing.T) {
	r, b := newRoom(t, storagetest.DB(t)), browser{}
	bob, carol := r.user("bob"), r.user("carol")
	alices := r.signIn(b, r.alice)
	bobs := r.another(b, bob)
	carols := r.another(b, carol)
	end := func(what func(c *gin.Context) ([]string, error)) {
		t.Helper()
		r.visit(b, func(c *gin.Context) {
			if _, err := what(c); err != nil {
				t.Fatal(err)
			}
		})
	}
	// The current one: nobody is current then.
	end(func(c *gin.Context) ([]string, error) { return r.sessions.End(c, "") })
	if got := r.others(b); r.current(b) != nil || !slices.Equal(got, []string{"bob", "alice"}) {
		t.Fatalf("after a sign-out %v are left", got)
	}
	r.shows(b, alices, bobs)
	if err := r.choose(b, carols.ID); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("whoever has signed out is chosen: %v", err)
	}
	// One that is set aside.
	end(func(c *gin.Context) ([]string, error) {
		others, err := r.sessions.Others(c)
		if err != nil {
			return nil, err
		}
		return r.sessions.EndOther(c, others[0], "app")
	})
	r.shows(b, alices)
	// One that nobody has used for too long, or that was ended elsewhere, or whose person was switched off.
	dave := r.user("dave")
	daves := r.another(b, dave)
	old := time.Now().UTC().Add(-testIdle - time.Minute)
	for name, ends := range map[string]func() error{
		"idle":       func() error { return r.db.TouchSession(r.ctx, alices.ID, old) },
		"elsewhere":  func() error { return r.db.EndSession(r.ctx, alices.ID, false) },
		"switch off": func() error { return r.db.SetUserActive(r.ctx, r.alice.ID, false) },
	} {
		if err := r.choose(b, daves.ID); err != nil {
			t.Fatal(err)
		}
		if got := r.others(b); !slices.Equal(got, []string{"alice"}) {
			t.Fatalf("%s: %v", name, got)
		}
		if err := ends(); err != nil {
			t.Fatal(err)
		}
		if got := r.others(b); got != nil || b[asideCookie] != "" {
			t.Errorf("%s: %v, and %q", name, got, b[asideCookie])
		}
		if err := r.choose(b, alices.ID); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		if err := r.db.SetUserActive(r.ctx, r.alice.ID, true); err != nil {
			t.Fatal(err)
		}
		r.visit(b, func(c *gin.Context) {
			if err := r.sessions.SetAside(c); err != nil {
				t.Fatal(err)
			}
		})
		alices = r.signIn(b, r.alice)
	}
	// And all of them at once.
	end(func(c *gin.Context) ([]string, error) { return r.sessions.EndAll(c, "") })
	if r.current(b) != nil || r.others(b) != nil || b[asideCookie] != "" || b[sessionCookie] != "" {
		t.Errorf("left: %v", b)
	}
	r.shows(b)
}

func TestABrowserKeepsOnlySoManyAccounts(t *testing.T) {
	r, b := newRoom(t, storagetest.DB(t)), browser{}
	first := r.signIn(b, r.alice)
	for i := range maxAside + 1 {
		r.another(b, r.user(fmt.Sprint("user", i)))
	}
	if got := r.others(b); len(got) != maxAside || got[0] != fmt.Sprint("user", maxAside-1) || slices.Contains(got, "alice") {
		t.Errorf("%v", got)
	}
	if len(b[asideCookie]) > 1000 || len(b[stateCookie]) > 1000 {
		t.Errorf("cookies of %d and %d bytes", len(b[asideCookie]), len(b[stateCookie]))
	}
	if _, err := r.db.SessionOfUser(r.ctx, r.alice.ID, first.ID); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("the first of them is still signed in somewhere: %v", err)
	}
}
