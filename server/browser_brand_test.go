package server_test

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// An organization's pages have its picture, its color and its links, and another's have not.
func anOrganizationsPagesLookLikeIt(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	org, err := house.Operators.CreateOrganization(t.Context(), "The acme", "acme")
	if err != nil {
		t.Fatal(err)
	}
	ctx := tenant.With(t.Context(), &tenant.Org{ID: org.ID, Slug: org.Slug, Name: org.Name})
	picture := image.NewNRGBA(image.Rect(0, 0, 96, 48))
	draw.Draw(picture, picture.Bounds(), image.NewUniform(color.NRGBA{200, 30, 90, 255}), image.Point{}, draw.Src)
	var logo bytes.Buffer
	if err := png.Encode(&logo, picture); err != nil {
		t.Fatal(err)
	}
	if err := house.Operators.SetLogo(ctx, logo.Bytes()); err != nil {
		t.Fatal(err)
	}
	_, err = house.Operators.UpdateOrganization(ctx, "acme", manage.OrganizationPatch{Settings: settings.Patch{"branding": map[string]any{
		"accent": "#ffe600", "terms_uri": "https://acme.example/terms", "support_uri": "https://acme.example/help",
	}}})
	if err != nil {
		t.Fatal(err)
	}

	tab := chromium.Tab(t, house.Base)
	const title = "Sign in"
	tab.Open(house.Base+"/o/acme/login", title)
	if size := tab.Ask("document.querySelector('.logo').naturalWidth + ' ' + document.querySelector('.logo').naturalHeight"); size != "96 48" {
		t.Errorf("the logo is of %s pixels", size)
	}
	if background := tab.Ask("getComputedStyle(document.getElementById('login-submit')).backgroundColor"); background != "rgb(255, 230, 0)" {
		t.Errorf("the button is %s", background)
	}
	if links := tab.Ask("[...document.querySelectorAll('.foot a')].map(a => a.href).join(' ')"); links != "https://acme.example/terms https://acme.example/help" {
		t.Errorf("the links are %q", links)
	}
	tab.Portray("brand")
	tab.Look() // a bright yellow, which nothing could be read in that is not made darker

	address := tab.Ask("document.querySelector('.logo').src")
	answer := house.Get(address)
	for name, want := range map[string]string{
		"Content-Type": "image/png", "X-Content-Type-Options": "nosniff", "Cache-Control": "public, max-age=31536000, immutable",
		"Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s of the logo is %q", name, got)
		}
	}
	if answer := house.Get(strings.Replace(address, "/o/acme", "", 1)); answer.Status != 404 {
		t.Errorf("another organization has the logo: %d", answer.Status)
	}
	tab.Open(house.Base+"/login", title)
	if tab.Ask("document.querySelectorAll('.logo, .foot a').length") != "0" {
		t.Error("another organization looks like it")
	}
}

// Whoever cannot read the page chooses another language, with scripts or without, and goes on with what they were about, even
// though the application had asked for the first.
func whoeverChoosesALanguageGoesOnInIt(t *testing.T, chromium *servertest.Chromium) {
	house := servertest.Start(t, servertest.Options{})
	house.User(house.In("default"), "alice")
	app := newApplication(t, house, manage.ClientSpec{})
	for _, scripts := range []bool{true, false} {
		tab := chromium.Tab(t, house.Base, app.URL)
		if !scripts {
			tab.WithoutJavaScript()
		}
		tab.Open(app.AuthorizeURL("ui_locales", "en", "prompt", "consent"), "Sign in")
		before := tab.Ask("location.href")
		tab.Press("language-ar", "تسجيل الدخول")
		if now := tab.Ask("location.href"); now != before {
			t.Errorf("from %s the choice led to %s", before, now)
		}
		if got := tab.Ask("document.documentElement.lang + ' ' + document.documentElement.dir + ' ' + getComputedStyle(document.querySelector('h1')).direction"); got != "ar rtl rtl" {
			t.Errorf("the page is %s", got)
		}
		if scripts {
			tab.Portray("arabic")
			tab.Look()
		}
		tab.SignIn("alice", "wrong", "تسجيل الدخول")
		tab.Press("language-en", "Sign in")
		tab.Press("language-ar", "تسجيل الدخول")
		tab.SignIn("alice", servertest.Password, "السماح بالوصول")
		tab.Press("consent-allow", "Arrived")
		app.arrived(t, "GET", "the-state")

		// Another day, the application is heard again; and where it asks for nothing, what was chosen holds.
		tab.Open(house.Base+"/account", "حسابك")
	}
	deaf := chromium.Tab(t, house.Base, app.URL)
	deaf.Open(app.AuthorizeURL("ui_locales", "fr ar en"), "تسجيل الدخول")
}
