package manage_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/upstreamtest"
	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// federating are replicas that may ask providers on this machine.
func federating(o, other replica) (replica, replica) {
	reach := outbound.Options{AllowLoopback: true}
	for _, r := range []*replica{&o, &other} {
		r.Operators = r.Operators.Federating(reach, upstream.New(outbound.New(reach)))
	}
	return o, other
}

// wanted is a provider as a form or a file describes it.
func wanted(t testing.TB, clientID, clientSecret, settings string) manage.ProviderPatch {
	t.Helper()
	patch, err := upstream.ParsePatch([]byte(settings))
	must(t, err)
	given := secret.Text(clientSecret)
	return manage.ProviderPatch{ClientID: &clientID, Secret: &given, Settings: patch}
}

func TestAProviderIsSetUpChangedAndDeleted(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		o, other = federating(o, other)
		ctx, elsewhere := o.organization(t, "acme"), o.organization(t, "other")
		for _, name := range []string{"clerk", "reader"} {
			_, err := o.CreateRole(ctx, manage.NewRole{Name: name})
			must(t, err)
		}
		google := `{"preset":"google","sign_up":"always","home_domains":["Acme.example"],"roles":{"claim":"groups","map":{"staff":["clerk"]}}}`
		made, err := o.CreateProvider(ctx, "google", wanted(t, "id", "hunter2-secret", google))
		must(t, err)
		if event := o.last(t, ctx); event.Action != "provider.created" || strings.Contains(text(t, event.Details), "hunter2") {
			t.Errorf("%+v", event)
		}
		read, err := other.db.UpstreamProvider(ctx, "google")
		must(t, err)
		if read.ID != made.ID || read.ClientSecret != "hunter2-secret" || !reflect.DeepEqual(read.Settings["home_domains"], []any{"acme.example"}) {
			t.Errorf("%+v", read)
		}
		var conflict *manage.Conflict
		if _, err := o.CreateProvider(ctx, "google", wanted(t, "id", "s", `{"preset":"google"}`)); !errors.As(err, &conflict) || conflict.Field != "name" {
			t.Errorf("the same name again: %v", err)
		}
		if _, err := o.CreateProvider(ctx, "second", wanted(t, "id", "s", `{"preset":"github","home_domains":["acme.example"]}`)); !errors.As(err, &conflict) || conflict.Field != "home_domains" {
			t.Errorf("a domain with two homes: %v", err)
		}
		if _, err := o.CreateProvider(elsewhere, "google", wanted(t, "id", "s", `{"preset":"google","home_domains":["acme.example"]}`)); err != nil {
			t.Errorf("of another organization: %v", err)
		}

		changed, err := other.UpdateProvider(ctx, "google", manage.ProviderPatch{Settings: upstream.Patch{"title": "Work", "sign_up": nil, "roles": map[string]any{"map": map[string]any{"staff": nil, "guests": []any{"reader"}}}}})
		must(t, err)
		settings, err := upstream.Parse(changed.Settings)
		must(t, err)
		if settings.Title != "Work" || settings.SignUp != upstream.SignUpFollow || !reflect.DeepEqual(settings.Roles.Map, map[string][]string{"guests": {"reader"}}) ||
			settings.Roles.Claim != "groups" || changed.ClientSecret != "hunter2-secret" {
			t.Errorf("%+v", settings)
		}
		renewed := secret.Text("hunter3-secret")
		_, err = o.UpdateProvider(ctx, "google", manage.ProviderPatch{Secret: &renewed})
		must(t, err)
		if event := o.last(t, ctx); event.Action != "provider.updated" || event.Details["secret"] != "replaced" || strings.Contains(text(t, event.Details), "hunter") {
			t.Errorf("%+v", event)
		}
		before := len(o.audited(t, ctx))
		_, err = o.UpdateProvider(ctx, "google", manage.ProviderPatch{Secret: &renewed, Settings: upstream.Patch{"title": "Work"}})
		must(t, err)
		if after := len(o.audited(t, ctx)); after != before {
			t.Error("a change that changes nothing is written down")
		}

		alice := o.person(t, ctx, "alice")
		must(t, o.db.CreateUpstreamAccount(ctx, &storage.UpstreamAccount{UserID: alice.ID, ProviderID: made.ID, Issuer: "https://accounts.google.com", Subject: "1"}))
		if n, err := o.DeleteProvider(ctx, "google"); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		if _, err := o.DeleteProvider(ctx, "google"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("deleted twice: %v", err)
		}
		if event := o.last(t, ctx); event.Action != "provider.deleted" || event.Details["accounts"] != float64(1) {
			t.Errorf("%+v", event)
		}
		if _, err := o.db.UpstreamProvider(elsewhere, "google"); err != nil {
			t.Errorf("that of another organization is gone as well: %v", err)
		}
	})
}

func text(t testing.TB, value any) string {
	t.Helper()
	out, err := json.Marshal(value)
	must(t, err)
	return string(out)
}

// S-242, S-265: what cannot be set up, each by the member that is wrong, and nothing of it in part.
func TestAProviderThatWouldNotDoIsRefused(t *testing.T) {
	o, _ := federating(newReplica(storagetest.DB(t)), newReplica(nil))
	ctx := o.organization(t, "acme")
	must(t, o.db.EnsureSystemRoles(ctx))
	_, err := o.CreatePermission(ctx, manage.NewPermission{Name: "orders:write", Resource: "orders", Action: "write"})
	must(t, err)
	_, err = o.CreateRole(ctx, manage.NewRole{Name: "clerk", Permissions: []string{"orders:write"}})
	must(t, err)
	for _, test := range []struct {
		name, id, secret, settings string
		fields                     []string
	}{
		{"Google", "id", "s", `{"preset":"google"}`, []string{"name"}},
		{"factor", "id", "s", `{"preset":"google"}`, []string{"name"}},
		{"a--", "", "", `{"preset":"google"}`, []string{"name", "client_id", "client_secret"}},
		{"google", "id", "", `{"preset":"google"}`, []string{"client_secret"}},
		{"google", "id", "s", `{}`, []string{"preset"}},
		{"google", "id\n", "s", `{"preset":"google"}`, []string{"client_id"}},
		{"google", "id", "two\nlines", `{"preset":"google"}`, []string{"client_secret"}},
		{"apple", "id", "not a key", `{"preset":"apple","team_id":"A1B2C3D4E5","key_id":"A1B2C3D4E5"}`, []string{"client_secret"}},
		{"idp", "id", "s", `{"preset":"oidc","issuer":"https://10.0.0.1"}`, []string{"issuer"}},
		{"idp", "id", "s", `{"preset":"oidc","issuer":"https://idp.example","auth_method":"none"}`, []string{"client_secret"}},
		{"google", "id", "s", `{"preset":"google","org_id":"x","client_secret":"y","sign_upp":"always"}`, []string{"client_secret", "org_id", "sign_upp"}},
		{"google", "id", "s", `{"preset":7,"disabled":"no","scopes":"openid","claims":[],"roles":{"map":{"a":"clerk"}}}`, []string{"claims", "disabled", "preset", "roles.map", "scopes"}},
		{"google", "id", "s", `{"preset":"google","roles":{"claim":"groups","map":{"a":["owner","admin"],"b":["nobody","clerk"]}}}`, []string{"roles.map", "roles.map", "roles.map"}},
	} {
		_, err := o.CreateProvider(ctx, test.name, wanted(t, test.id, test.secret, test.settings))
		var about []string
		for _, complaint := range manage.Complaints(err) {
			about = append(about, complaint.Field)
		}
		slices.Sort(about)
		slices.Sort(test.fields)
		if !slices.Equal(about, test.fields) {
			t.Errorf("%s %s: %v", test.name, test.settings, err)
		}
		if err != nil && (strings.Contains(err.Error(), "two\nlines") || strings.Contains(err.Error(), "not a key")) {
			t.Errorf("the secret is repeated: %v", err)
		}
	}
	if all, err := o.db.ListUpstreamProviders(ctx, "", 0); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	// Who gives roles by way of a provider gives them as anybody does.
	bound := by(ctx, manage.Bound{Permissions: []string{permission.ProvidersWrite}})
	mapped := wanted(t, "id", "s", `{"preset":"google","roles":{"claim":"groups","map":{"a":["clerk"]}}}`)
	_, err = o.CreateProvider(bound, "google", mapped)
	forbidden(t, "a mapping of what the actor does not hold", err, "orders:write")
	_, err = o.CreateProvider(ctx, "google", mapped)
	must(t, err)
	if _, err := o.UpdateProvider(bound, "google", manage.ProviderPatch{Settings: upstream.Patch{"title": "Work"}}); err != nil {
		t.Errorf("what has nothing to do with it: %v", err)
	}
	_, err = o.UpdateProvider(bound, "google", manage.ProviderPatch{Settings: upstream.Patch{"roles": map[string]any{"map": map[string]any{"b": []any{"clerk"}}}}})
	forbidden(t, "more of it", err, "orders:write")
	_, err = o.UpdateProvider(bound, "google", manage.ProviderPatch{Settings: upstream.Patch{"issuer": "https://idp.example"}})
	forbidden(t, "somebody else who says who has it", err, "orders:write")
	for i := range 49 {
		_, err := o.CreateProvider(ctx, "p"+string(rune('a'+i/26))+string(rune('a'+i%26)), wanted(t, "id", "s", `{"preset":"google"}`))
		must(t, err)
	}
	var conflict *manage.Conflict
	if _, err := o.CreateProvider(ctx, "one-too-many", wanted(t, "id", "s", `{"preset":"google"}`)); !errors.As(err, &conflict) {
		t.Errorf("%v", err)
	}
}

// The tokens of a provider are renewed when somebody wants one, once, whoever asks at the same time at whichever replica.
func TestATokenOfAProviderIsRenewedOnDemand(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		o, other = federating(o, other)
		ctx := o.organization(t, "acme")
		there := upstreamtest.Serve(t, "oidc")
		settings := text(t, there.Settings())
		row, err := o.CreateProvider(ctx, "idp", wanted(t, upstreamtest.ClientID, there.Secret(), settings))
		must(t, err)
		alice := o.person(t, ctx, "alice")
		if _, _, err := o.ProviderToken(ctx, "idp", alice.ID); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("of somebody who is nobody there: %v", err)
		}
		soon := time.Now().Add(10 * time.Second)
		account := &storage.UpstreamAccount{
			UserID: alice.ID, ProviderID: row.ID, Issuer: there.Profile.Issuer, Subject: "1", AccessToken: "old", RefreshToken: there.RefreshToken(), ExpiresAt: &soon,
		}
		must(t, o.db.CreateUpstreamAccount(ctx, account))
		// A refresh token is shown once: a provider that rotates them, as this one does, might take the second time for theft.
		there.Asked()
		var all sync.WaitGroup
		var mu sync.Mutex
		tokens := map[secret.Text]int{}
		for i := range 6 {
			at := []replica{o, other}[i%2]
			all.Go(func() {
				token, expires, err := at.ProviderToken(ctx, "idp", alice.ID)
				mu.Lock()
				defer mu.Unlock()
				if err != nil || token == "old" || expires == nil || time.Until(*expires) < time.Minute {
					t.Errorf("%q, %v, %v", token.Reveal(), expires, err)
				}
				tokens[token]++
			})
		}
		all.Wait()
		if len(tokens) != 1 {
			t.Errorf("%d tokens are told", len(tokens))
		}
		if asked := slices.DeleteFunc(there.Asked(), func(endpoint string) bool { return endpoint != "token" }); len(asked) != 1 {
			t.Errorf("it was asked %d times", len(asked))
		}
		if event := o.last(t, ctx); event.Action != "provider_token.revealed" || event.Target != alice.ID.String() || strings.Contains(text(t, event.Details), "at-") {
			t.Errorf("%+v", event)
		}
		kept := func() *storage.UpstreamAccount {
			t.Helper()
			kept, err := o.db.UpstreamAccountOf(ctx, alice.ID, account.ID)
			must(t, err)
			return kept
		}
		rotated := kept().RefreshToken
		if rotated == account.RefreshToken || rotated == "" {
			t.Errorf("the refresh token is %q", rotated)
		}
		late := func() {
			t.Helper()
			over, read := time.Now().Add(-time.Minute), kept()
			read.ExpiresAt = &over
			must(t, o.db.UseUpstreamAccount(ctx, read))
		}
		answers := func(status int, body string) {
			there.Misbehave(upstreamtest.Faults{Down: func(w http.ResponseWriter, _ *http.Request, endpoint string) bool {
				if endpoint == "token" {
					w.Header().Set("Content-Type", "application/json")
					w.WriteHeader(status)
					_, _ = io.WriteString(w, body)
				}
				return endpoint == "token"
			}})
		}
		answers(http.StatusBadGateway, "out of order")
		if _, _, err := o.ProviderToken(ctx, "idp", alice.ID); err != nil {
			t.Errorf("one that is good for long: %v", err)
		}
		// What has nothing to do with the refresh token leaves it as it is, and the next may try.
		late()
		for _, fault := range []struct {
			status int
			body   string
			want   error
		}{{http.StatusBadGateway, "out of order", upstream.ErrDown}, {http.StatusUnauthorized, `{"error":"invalid_client"}`, upstream.ErrRefused}, {http.StatusOK, `{}`, upstream.ErrUntrusted}} {
			answers(fault.status, fault.body)
			if _, _, err := o.ProviderToken(ctx, "idp", alice.ID); !errors.Is(err, fault.want) || kept().RefreshToken != rotated {
				t.Errorf("%d %s: %v", fault.status, fault.body, err)
			}
		}
		there.Misbehave(upstreamtest.Faults{})
		token, _, err := other.ProviderToken(ctx, "idp", alice.ID)
		if must(t, err); !strings.HasPrefix(token.Reveal(), "at-") || kept().RefreshToken == rotated {
			t.Errorf("%q", token.Reveal())
		}
		// Whoever asked has gone while the provider answers: what it gave is kept.
		late()
		leaving, leave := context.WithCancel(ctx)
		there.Misbehave(upstreamtest.Faults{Token: func(map[string]any) { leave() }})
		rotated = kept().RefreshToken
		_, _, err = o.ProviderToken(leaving, "idp", alice.ID)
		if there.Misbehave(upstreamtest.Faults{}); !errors.Is(err, context.Canceled) || kept().RefreshToken == rotated || kept().RefreshToken == "" {
			t.Errorf("%v, %+v", err, kept())
		}
		// One that is good no more is not shown again, and nobody is given a token that is over.
		late()
		answers(http.StatusBadRequest, `{"error":"invalid_grant"}`)
		for range 2 {
			if _, _, err := o.ProviderToken(ctx, "idp", alice.ID); !errors.Is(err, upstream.ErrEnded) || kept().RefreshToken != "" {
				t.Errorf("%v, %+v", err, kept())
			}
		}
		there.Misbehave(upstreamtest.Faults{})
		again := kept()
		again.AccessToken, again.RefreshToken, again.ExpiresAt = "at-again", there.RefreshToken(), nil
		must(t, o.db.UseUpstreamAccount(ctx, again))
		if token, _, err := o.ProviderToken(ctx, "idp", alice.ID); err != nil || token != "at-again" {
			t.Errorf("%q, %v", token.Reveal(), err)
		}
		bound := by(ctx, manage.Bound{Permissions: []string{permission.UsersWrite}})
		must(t, o.db.EnsureSystemRoles(ctx))
		owner := o.named(t, ctx, "owner")
		_, err = o.GrantRole(ctx, alice.ID, owner.ID)
		must(t, err)
		if _, _, err := o.ProviderToken(bound, "idp", alice.ID); err == nil {
			t.Error("whoever may do less acts as somebody who may do more")
		}
	})
}

func TestOfTwoWhoChangeAProviderAtOnceBothCount(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		o, other = federating(o, other)
		ctx := o.organization(t, "acme")
		_, err := o.CreateProvider(ctx, "google", wanted(t, "id", "s", `{"preset":"google"}`))
		must(t, err)
		var all sync.WaitGroup
		for i, patch := range []upstream.Patch{{"title": "Work"}, {"hidden": true}, {"sign_up": "never"}, {"parameters": map[string]any{"hd": "acme.example"}}} {
			all.Go(func() {
				if _, err := []replica{o, other}[i%2].UpdateProvider(context.WithoutCancel(ctx), "google", manage.ProviderPatch{Settings: patch}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		row, err := o.db.UpstreamProvider(ctx, "google")
		must(t, err)
		s, err := upstream.Parse(row.Settings)
		if err != nil || s.Title != "Work" || !s.Hidden || s.SignUp != upstream.SignUpNever || s.Parameters["hd"] != "acme.example" {
			t.Errorf("%+v, %v", s, err)
		}
	})
}
