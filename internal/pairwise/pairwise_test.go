package pairwise

import (
	"errors"
	"fmt"
	"regexp"
	"testing"
)

func TestOneSectorKnowsAPersonByOneNameAndNoOtherDoes(t *testing.T) {
	salt := NewSalt()
	if len(salt) != 32 || fmt.Sprintf("%v %#v %s", salt, salt, salt) != "[redacted] [redacted] [redacted]" {
		t.Errorf("%d %v", len(salt), salt)
	}
	alice := salt.Subject("rp.example", "alice")
	if !regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`).MatchString(alice) || salt.Subject("rp.example", "alice") != alice {
		t.Error(alice)
	}
	for name, other := range map[string]string{
		"another sector": salt.Subject("rp2.example", "alice"), "another person": salt.Subject("rp.example", "bob"), "a session": salt.Session("rp.example", "alice"),
		"another organization": NewSalt().Subject("rp.example", "alice"), "the same letters": salt.Subject("rp.examplea", "lice"),
	} {
		if other == alice {
			t.Errorf("%s has the same", name)
		}
	}
	// What it was once it is for ever: applications keep it.
	fixed := make(Salt, 32)
	if got := fixed.Subject("rp.example", "0198c0de-0000-7000-8000-000000000001"); got != "cmhz7G4HAghV1NLcorqyZcMZZgjOWw8jnRXsT3cezR4" {
		t.Error(got)
	}
}

func TestTheSectorIsTheOneHost(t *testing.T) {
	for _, c := range []struct {
		uri       string
		redirects []string
		sector    string
		err       error
	}{
		{"", []string{"https://rp.example/cb"}, "rp.example", nil},
		{"", []string{"https://rp.example/cb", "https://rp.example:8443/other?a=b"}, "rp.example", nil},
		{"", []string{"https://RP.example/cb"}, "rp.example", nil},
		{"", []string{"https://a.rp.example/cb", "https://b.rp.example/cb"}, "", ErrHosts},
		{"", []string{"https://rp.example/cb", "com.example.app:/cb"}, "", ErrNoHost},
		{"", []string{"com.example.app:/cb"}, "", ErrNoHost},
		{"", nil, "", ErrNoHost},
		{"https://sector.example:8443/file.json", []string{"https://a.example/cb", "com.example.app:/cb"}, "sector.example", nil},
		{"https://sector.example/other.json", nil, "sector.example", nil},
	} {
		sector, err := Sector(c.uri, c.redirects)
		if sector != c.sector || !errors.Is(err, c.err) {
			t.Errorf("%q %v: %q, %v", c.uri, c.redirects, sector, err)
		}
	}
}

// S-129.
func TestTheDocumentOfASectorListsEveryRedirectURI(t *testing.T) {
	redirects := []string{"https://a.example/cb", "com.example.app:/cb"}
	for document, fine := range map[string]bool{
		`["https://a.example/cb","com.example.app:/cb"]`:                      true,
		`["https://c.example/","com.example.app:/cb","https://a.example/cb"]`: true,
		`["https://a.example/cb"]`:                                            false,
		`["https://a.example/cb/","com.example.app:/cb"]`:                     false,
		`["HTTPS://a.example/cb","com.example.app:/cb"]`:                      false,
		`["https://a.example/cb","com.example.app:/cb",1]`:                    false,
		`["https://a.example/cb","com.example.app:/cb",null]`:                 false,
		`["https://a.example/cb",["com.example.app:/cb"]]`:                    false,
		`{"redirect_uris":["https://a.example/cb","com.example.app:/cb"]}`:    false,
		`"https://a.example/cb com.example.app:/cb"`:                          false,
		`["https://a.example/cb","com.example.app:/cb"] []`:                   false,
		`null`: false, `[]`: false, ``: false, `<html>`: false, "\xff": false,
	} {
		if err := CheckDocument([]byte(document), redirects); (err == nil) != fine {
			t.Errorf("%s: %v", document, err)
		}
	}
}
