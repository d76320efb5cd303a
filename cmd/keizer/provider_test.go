package main

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/upstreamtest"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

func TestProvidersAreManagedFromTheCommandLine(t *testing.T) {
	s := newStation(t, "KEIZER_DATABASE_URL="+storagetest.SQLiteURL(t))
	there := upstreamtest.Serve(t, "oidc")
	s.doWith("correct horse battery", "user", "create", "--username", "alice", "--email", "alice@example.com", "--password-stdin")

	made := s.objectWith(there.Secret()+"\n", "provider", "create", "idp", "--preset", "oidc", "--set", "issuer="+there.Profile.Issuer, "--client-id", upstreamtest.ClientID,
		"--client-secret-stdin", "--set", "home_domains=Acme.example,acme.test", "--title", "Work")
	if made["name"] != "idp" || made["organization"] != "default" || !strings.HasSuffix(text(t, made, "callback_uri"), "/login/idp/callback") ||
		!reflect.DeepEqual(made["home_domains"], []any{"acme.example", "acme.test"}) || made["title"] != "Work" {
		t.Errorf("%v", made)
	}
	shown := s.do("provider", "show", "idp", "-o", "json") + s.do("provider", "show", "idp") + s.do("provider", "list")
	if strings.Contains(shown, there.Secret()) || strings.Contains(shown, "client_secret") {
		t.Errorf("the secret is shown: %s", shown)
	}
	if listed := s.array("provider", "list"); len(listed) != 1 || listed[0]["preset"] != "oidc" {
		t.Errorf("%v", listed)
	}
	if looked := s.array("provider", "test", "idp"); len(looked) == 0 {
		t.Error("nothing is looked at")
	}

	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile("secret", []byte("another\n"), 0o600))
	must(os.WriteFile("patch.json", []byte(`{"title":null,"sign_up":"never"}`), 0o600))
	if changed := s.object("provider", "update", "idp", "--client-secret-file", "secret", "--settings", "patch.json", "--unset", "home_domains"); changed["title"] != nil ||
		changed["sign_up"] != "never" || changed["home_domains"] != nil || changed["issuer"] != there.Profile.Issuer {
		t.Errorf("%v", changed)
	}
	house := s.house()
	ctx := in(t, house, "default")
	row, err := house.DB.UpstreamProvider(ctx, "idp")
	must(err)
	if row.ClientSecret != "another" {
		t.Errorf("the secret is %q", row.ClientSecret)
	}
	alice, err := house.DB.UserByLogin(ctx, "alice")
	must(err)
	later := time.Now().Add(time.Hour)
	must(house.DB.CreateUpstreamAccount(ctx, &storage.UpstreamAccount{
		UserID: alice.ID, ProviderID: row.ID, Issuer: there.Profile.Issuer, Subject: "1", AccessToken: "at-1", ExpiresAt: &later,
	}))
	if token := s.object("provider", "token", "idp", "--user", "alice"); token["access_token"] != "at-1" {
		t.Errorf("%v", token)
	}

	s.refused(exitUsage, "needs something to change", "provider", "update", "idp")
	s.refused(exitUsage, "contradict", "provider", "update", "idp", "--client-secret-stdin", "--client-secret-file", "secret")
	s.refused(exitUsage, "sign_upp", "provider", "update", "idp", "--set", "sign_upp=never")
	s.refused(exitUsage, "client_secret", "provider", "create", "second", "--preset", "google", "--client-id", "x")
	s.refusedWith("s", exitConflict, "already", "provider", "create", "idp", "--preset", "google", "--client-id", "x", "--client-secret-stdin")
	s.refused(exitNotFound, `provider "none" does not exist in organization "default"`, "provider", "show", "none")
	s.refused(exitNotFound, `there is no token`, "provider", "token", "none", "--user", "alice")
	s.refused(exitUsage, "--yes", "provider", "delete", "idp")
	if gone := s.object("provider", "delete", "idp", "--yes"); gone["accounts"] != float64(1) {
		t.Errorf("%v", gone)
	}
	s.refused(exitNotFound, "does not exist", "provider", "delete", "idp", "--yes")
}
