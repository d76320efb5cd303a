package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
)

func TestOrganizationsOnAnEmptyDatabase(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		made := s.object("org", "create", "acme", "--name", "Acme")
		if made["slug"] != "acme" || made["name"] != "Acme" || made["issuer"] != "http://localhost:8080/o/acme" || made["id"] == "" {
			t.Errorf("created %v", made)
		}
		if shown := s.object("org", "show", "acme"); !reflect.DeepEqual(shown, made) {
			t.Errorf("shown %v, created %v", shown, made)
		}
		s.do("org", "create", "other")
		var slugs []string
		for _, org := range s.array("org", "list") {
			slugs = append(slugs, text(t, org, "slug"))
		}
		if !slices.Equal(slugs, []string{"acme", "default", "other"}) {
			t.Errorf("listed %v", slugs)
		}
		if root := s.object("org", "show", "default"); root["issuer"] != "http://localhost:8080" {
			t.Errorf("the root organization is %v", root)
		}
		if table := s.do("org", "list"); !strings.HasPrefix(table, "SLUG") || !strings.Contains(table, "acme  ") {
			t.Errorf("the table is\n%s", table)
		}
		s.refused(exitConflict, "an organization has it already", "org", "create", "acme")
		s.refused(exitUsage, "slug: ", "org", "create", "Not A Slug")
		s.refused(exitNotFound, `organization "nobody" does not exist`, "org", "show", "nobody")
		s.refused(exitNotFound, `organization "nobody" does not exist`, "user", "list", "--org", "nobody")
		for _, key := range s.array("key", "list", "--org", "acme") {
			if key["status"] != "active" {
				t.Errorf("a new organization's key is %v", key)
			}
		}
	})
}

func TestAPersonIsMadeWithAPasswordFromStandardInput(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		const first, second = "correct horse battery", "another long password"
		got := s.keizer(first, "user", "create", "--org", "default", "--username", "alice", "--email", "alice@example.com", "--name", "Alice Doe", "--verified",
			"--role", "operator", "--password-stdin", "-o", "json")
		if got.code != 0 || strings.Contains(got.out+got.err, first) {
			t.Fatalf("%+v", got)
		}
		var made map[string]any
		readOne(t, got.out, &made)
		if made["username"] != "alice" || made["email"] != "alice@example.com" || made["full_name"] != "Alice Doe" || made["is_verified"] != true ||
			made["is_active"] != true || made["organization"] != "default" || !reflect.DeepEqual(made["roles"], []any{"owner"}) {
			t.Errorf("created %v", made)
		}
		for _, login := range []string{"alice", "ALICE", "alice@example.com", text(t, made, "id")} {
			if shown := s.object("user", "show", login); shown["id"] != made["id"] {
				t.Errorf("show %s: %v", login, shown)
			}
		}
		signsIn := func(text string) bool {
			house := s.house()
			row, err := house.DB.UserByLogin(in(t, house, "default"), "alice")
			if err != nil {
				t.Fatal(err)
			}
			ok, _, err := house.Hasher.Verify(t.Context(), text, row.PasswordHash)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		if !signsIn(first) {
			t.Error("the password is not the one that was given")
		}
		s.objectWith(second+"\n", "user", "set-password", "alice", "--password-stdin")
		if !signsIn(second) || signsIn(first) {
			t.Error("the password was not replaced")
		}
		if users := s.array("user", "list"); len(users) != 1 || users[0]["id"] != made["id"] {
			t.Errorf("listed %v", users)
		}

		create := []string{"user", "create", "--username", "bob", "--email", "bob@example.com", "--password-stdin"}
		s.refusedWith("short", exitUsage, "password: the password must have at least 8", create...)
		s.refusedWith("", exitUsage, "password: ", create...)
		s.refusedWith(strings.Repeat("x", password.MaxLength+1), exitUsage, "password: ", create...)
		s.refusedWith("password", exitUsage, password.ErrCommon.Error(), create...)
		s.refusedWith(first, exitUsage, "email: ", "user", "create", "--email", "no address", "--password-stdin")
		got = s.keizer("short", "user", "create", "--email", "no address", "--role", "nobody's", "--password-stdin")
		if lines := strings.Split(strings.TrimSpace(got.err), "\n"); got.code != exitUsage || len(lines) != 3 || lines[2] != `keizer: role: the organization has no role "nobody's"` {
			t.Errorf("%+v", got)
		}
		s.refusedWith(first, exitUsage, "role: ", append(create, "--role", "no-such-role")...)
		s.refusedWith(first, exitConflict, "username: ", "user", "create", "--username", "Alice", "--email", "a2@example.com", "--password-stdin")
		s.refusedWith(first, exitConflict, "email: ", "user", "create", "--username", "al", "--email", "alice@EXAMPLE.com", "--password-stdin")
		s.refused(exitUsage, "--email is needed", "user", "create", "--username", "bob")
		s.refused(exitUsage, "give it on standard input, with --password-stdin", "user", "create", "--email", "bob@example.com")
		s.refused(exitNotFound, `user "bob" does not exist in organization "default"`, "user", "show", "bob")
		s.refusedWith(first, exitNotFound, `user "bob"`, "user", "set-password", "bob", "--password-stdin")
		if users := s.array("user", "list"); len(users) != 1 {
			t.Errorf("a refused person is there: %v", users)
		}
		s.do("org", "create", "acme")
		s.refused(exitNotFound, `user "alice" does not exist in organization "acme"`, "user", "show", "alice", "--org", "acme")
		if users := s.array("user", "list", "--org", "acme"); len(users) != 0 {
			t.Errorf("acme sees %v", users)
		}

		s.refused(exitUsage, "contradict one another", "user", "create", "--email", "none@example.com", "--without-password", "--password-stdin")
		none := s.object("user", "create", "--email", "none@example.com", "--without-password")
		house := s.house()
		if row, err := house.DB.UserByLogin(in(t, house, "default"), "none@example.com"); err != nil || row.ID.String() != none["id"] || row.PasswordHash != password.None {
			t.Errorf("%v: %+v, %v", none, row, err)
		}
	})
}

const publicKeys = `{"keys":[{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"k1",` +
	`"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`

func TestAClientIsAnsweredUnderTheNamesOfRFC7591(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		made := s.object("client", "create", "--org", "default", "--name", "app", "--redirect-uri", "http://127.0.0.1:9999/cb", "--redirect-uri", "https://rp.example/cb",
			"--grant-type", "authorization_code", "--grant-type", "refresh_token", "--scope", "openid profile email offline_access",
			"--auth-method", "client_secret_basic")
		clientID, clientSecret := text(t, made, "client_id"), text(t, made, "client_secret")
		issued, ok := made["client_id_issued_at"].(float64)
		if age := time.Since(time.Unix(int64(issued), 0)); !ok || age < -time.Minute || age > time.Minute {
			t.Errorf("issued at %v", made["client_id_issued_at"])
		}
		delete(made, "client_id")
		delete(made, "client_secret")
		delete(made, "client_id_issued_at")
		if want := (map[string]any{
			"client_name": "app", "client_secret_expires_at": 0.0, "redirect_uris": []any{"http://127.0.0.1:9999/cb", "https://rp.example/cb"},
			"grant_types": []any{"authorization_code", "refresh_token"}, "response_types": []any{"code"}, "response_modes": []any{"query", "form_post"},
			"scope": "openid profile email offline_access", "token_endpoint_auth_method": "client_secret_basic", "id_token_signed_response_alg": "RS256",
			"organization": "default", "access_token_format": "opaque", "skip_consent": false,
		}); !reflect.DeepEqual(made, want) {
			t.Errorf("created\n%v\nwant\n%v", made, want)
		}
		if !secret.Valid(secret.ClientSecret, clientSecret) {
			t.Errorf("the secret has another form: %s", clientSecret)
		}
		for _, out := range []string{s.do("client", "show", clientID, "-o", "json"), s.do("client", "show", clientID), s.do("client", "list", "-o", "json"), s.do("client", "list")} {
			if strings.Contains(out, clientSecret) || strings.Contains(out, "client_secret\"") || !strings.Contains(out, clientID) {
				t.Errorf("shown: %s", out)
			}
		}
		house := s.house()
		row, err := house.DB.Client(in(t, house, "default"), clientID)
		if err != nil || row.SecretDigest == nil || *row.SecretDigest != secret.Digest(clientSecret) {
			t.Errorf("the database holds %+v, %v", row, err)
		}

		service := s.object("client", "create", "--name", "svc", "--grant-type", "client_credentials", "--scope", "read write")
		if service["scope"] != "read write" || service["redirect_uris"] != nil || service["response_types"] != nil || service["client_secret"] == nil {
			t.Errorf("created %v", service)
		}
		public := s.object("client", "create", "--name", "spa", "--auth-method", "none", "--redirect-uri", "http://localhost:3000/cb", "--id-token-alg", "ES256",
			"--access-token-format", "jwt", "--skip-consent", "--post-logout-redirect-uri", "http://localhost:3000/bye", "--response-mode", "query", "--response-type", "code")
		if public["client_secret"] != nil || public["client_secret_expires_at"] != nil || public["id_token_signed_response_alg"] != "ES256" ||
			public["access_token_format"] != "jwt" || public["skip_consent"] != true || !reflect.DeepEqual(public["response_modes"], []any{"query"}) ||
			!reflect.DeepEqual(public["post_logout_redirect_uris"], []any{"http://localhost:3000/bye"}) {
			t.Errorf("created %v", public)
		}
		write(t, "jwks.json", publicKeys)
		byKey := s.object("client", "create", "--name", "k", "--auth-method", "private_key_jwt", "--jwks", "jwks.json", "--grant-type", "client_credentials")
		if byKey["client_secret"] != nil || byKey["jwks"] == nil {
			t.Errorf("created %v", byKey)
		}
		byURI := s.object("client", "create", "--name", "k", "--auth-method", "private_key_jwt", "--jwks-uri", "https://rp.example/jwks", "--grant-type", "client_credentials")
		if byURI["jwks_uri"] != "https://rp.example/jwks" {
			t.Errorf("created %v", byURI)
		}
		if all := s.array("client", "list"); len(all) < 5 {
			t.Errorf("listed %d", len(all))
		}
		s.do("org", "create", "acme")
		s.refused(exitNotFound, `does not exist in organization "acme"`, "client", "show", clientID, "--org", "acme")
		s.refused(exitNotFound, `does not exist in organization "acme"`, "client", "delete", clientID, "--org", "acme")
	})
}

func TestClientMetadataFromAFileYieldsToFlags(t *testing.T) {
	s := newStation(t)
	write(t, "client.json", `{"client_name": "from the file", "redirect_uris": ["https://rp.example/cb"], "scope": "openid email", "tos_uri": "https://rp.example/tos",
		"contacts": ["ops@rp.example"], "software_id": "x-1"}`)
	made := s.object("client", "create", "--metadata", "client.json", "--scope", "openid", "--auth-method", "none")
	if made["client_name"] != "from the file" || made["scope"] != "openid" || made["tos_uri"] != "https://rp.example/tos" || made["software_id"] != "x-1" ||
		made["token_endpoint_auth_method"] != "none" || !reflect.DeepEqual(made["contacts"], []any{"ops@rp.example"}) {
		t.Errorf("created %v", made)
	}
	piped := s.objectWith(`{"client_name": "piped", "redirect_uris": ["https://rp.example/cb"]}`, "client", "create", "--metadata", "-")
	if piped["client_name"] != "piped" {
		t.Errorf("created %v", piped)
	}
	before := len(s.array("client", "list"))

	write(t, "bad.json", "{")
	write(t, "unknown.json", `{"client_nam": "x"}`)
	write(t, "type.json", `{"redirect_uris": "https://rp.example/cb"}`)
	write(t, "twice.json", `{"client_name": "a", "client_name": "b"}`)
	write(t, "private.json", `{"keys":[{"kty":"oct","k":"AAAA"}]}`)
	write(t, "large.json", strings.Repeat(" ", maxClientFile+1))
	for _, c := range []struct {
		words string
		args  []string
	}{
		{"--metadata: file nowhere cannot be read: no such file", []string{"--metadata", "nowhere"}},
		{"--jwks: file . cannot be read: is a directory", []string{"--jwks", "."}},
		{"--jwks: file bad.json is not JSON", []string{"--jwks", "bad.json"}},
		{"--metadata: file large.json is larger than 256 KiB", []string{"--metadata", "large.json"}},
		{"cannot both be standard input", []string{"--metadata", "-", "--jwks", "-"}},
		{"--metadata: metadata: ", []string{"--metadata", "bad.json"}},
		{"client_nam: ", []string{"--metadata", "unknown.json", "--name", "x", "--redirect-uri", "https://rp.example/cb"}},
		{"redirect_uris: ", []string{"--metadata", "type.json"}},
		{"--metadata: ", []string{"--metadata", "twice.json"}},
		{"jwks: ", []string{"--name", "x", "--auth-method", "private_key_jwt", "--jwks", "private.json", "--grant-type", "client_credentials"}},
		{"client_name: ", []string{"--redirect-uri", "https://rp.example/cb"}},
		{"redirect_uris: ", []string{"--name", "x"}},
		{"redirect_uris: ", []string{"--name", "x", "--redirect-uri", "javascript:alert(1)"}},
		{"redirect_uris: ", []string{"--name", "x", "--redirect-uri", "http://rp.example/cb"}},
		{"grant_types: ", []string{"--name", "x", "--grant-type", "password"}},
		{"token_endpoint_auth_method: ", []string{"--name", "x", "--redirect-uri", "https://rp.example/cb", "--auth-method", "magic"}},
		{"id_token_signed_response_alg: ", []string{"--name", "x", "--redirect-uri", "https://rp.example/cb", "--id-token-alg", "none"}},
		{"access_token_format: ", []string{"--name", "x", "--redirect-uri", "https://rp.example/cb", "--access-token-format", "paseto"}},
		{"response_types: ", []string{"--name", "x", "--redirect-uri", "https://rp.example/cb", "--response-type", "token"}},
	} {
		s.refused(exitUsage, c.words, append([]string{"client", "create"}, c.args...)...)
	}
	if after := len(s.array("client", "list")); after != before {
		t.Errorf("refused clients are there: %d, before %d", after, before)
	}
}

func TestAClientIsChangedAndItsSecretReplaced(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		made := s.object("client", "create", "--name", "app", "--redirect-uri", "https://rp.example/cb")
		clientID := text(t, made, "client_id")
		changed := s.object("client", "update", clientID, "--name", "App 2", "--skip-consent", "--disabled")
		if changed["client_name"] != "App 2" || changed["skip_consent"] != true || changed["disabled"] != true || changed["client_secret"] != nil ||
			!reflect.DeepEqual(changed["redirect_uris"], made["redirect_uris"]) || changed["scope"] != made["scope"] {
			t.Errorf("changed into %v", changed)
		}
		if again := s.object("client", "update", clientID, "--disabled=false", "--skip-consent=false"); again["disabled"] != nil || again["skip_consent"] != false {
			t.Errorf("changed back into %v", again)
		}
		s.refused(exitUsage, "redirect_uris: ", "client", "update", clientID, "--redirect-uri", "javascript:alert(1)")

		rotated := s.object("client", "rotate-secret", clientID, "--keep-old", "24h")
		if rotated["client_id"] != clientID || rotated["client_secret"] == made["client_secret"] || rotated["client_secret_expires_at"] != 0.0 {
			t.Errorf("rotated into %v", rotated)
		}
		house := s.house()
		row, err := house.DB.Client(in(t, house, "default"), clientID)
		if err != nil || row.SecretDigestOld == nil || *row.SecretDigestOld != secret.Digest(text(t, made, "client_secret")) ||
			*row.SecretDigest != secret.Digest(text(t, rotated, "client_secret")) {
			t.Errorf("the database holds %+v, %v", row, err)
		}
		s.refused(exitUsage, "invalid argument", "client", "rotate-secret", clientID, "--keep-old", "a day")
		s.refused(exitUsage, "keep_old: ", "client", "rotate-secret", clientID, "--keep-old", "-1s")

		if gone := s.object("client", "delete", clientID); gone["deleted"] != true {
			t.Errorf("deleted: %v", gone)
		}
		for _, deed := range []string{"show", "delete", "update", "rotate-secret"} {
			s.refused(exitNotFound, fmt.Sprintf("client %q does not exist", clientID), "client", deed, clientID)
		}
	})
}

func TestKeysAreListedAndRotated(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		algs := func(keys []map[string]any) (algs []string) {
			for _, key := range keys {
				algs = append(algs, text(t, key, "alg")+" "+text(t, key, "status"))
			}
			slices.Sort(algs)
			return algs
		}
		if got := algs(s.array("key", "list")); !slices.Equal(got, []string{"ES256 active", "EdDSA active", "RS256 active"}) {
			t.Errorf("at first %v", got)
		}
		if got := algs(s.array("key", "rotate", "--alg", "ES256")); !slices.Equal(got, []string{"ES256 pending"}) {
			t.Errorf("rotated %v", got)
		}
		if got := algs(s.array("key", "rotate", "--now")); !slices.Equal(got, []string{"ES256 active", "EdDSA active", "RS256 active"}) {
			t.Errorf("rotated at once %v", got)
		}
		if got := s.array("key", "list"); len(got) < 6 {
			t.Errorf("keys of before are not published any more: %v", got)
		}
		s.refused(exitUsage, `--alg: "HS256" is not one of RS256, PS256, ES256, EdDSA, RSA-OAEP-256, ECDH-ES`, "key", "rotate", "--alg", "HS256")
		// Keys to decrypt with are there as long as the organization takes what is encrypted to it.
		decrypting := func() []string {
			all := s.array("key", "list")
			return algs(slices.DeleteFunc(all, func(key map[string]any) bool { return key["use"] != "enc" }))
		}
		s.refused(exitUsage, "request_objects.encrypted", "key", "rotate", "--alg", "ECDH-ES")
		s.do("org", "update", "default", "--set", "request_objects.encrypted=true")
		if got := decrypting(); !slices.Equal(got, []string{"ECDH-ES active", "RSA-OAEP-256 active"}) {
			t.Errorf("to decrypt with: %v", got)
		}
		s.do("key", "rotate", "--alg", "ECDH-ES")
		if got := decrypting(); !slices.Equal(got, []string{"ECDH-ES active", "ECDH-ES pending", "RSA-OAEP-256 active"}) {
			t.Errorf("to decrypt with, rotated: %v", got)
		}
		s.do("org", "update", "default", "--unset", "request_objects.encrypted")
		if got := decrypting(); got != nil {
			t.Errorf("to decrypt with, turned off: %v", got)
		}
		if out := s.do("key", "list", "-o", "json"); strings.Contains(out, `"d"`) {
			t.Errorf("a private key is shown: %s", out)
		}
	})
}

func TestTokensAreDecodedIntrospectedAndRevoked(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		client := s.object("client", "create", "--name", "svc", "--grant-type", "client_credentials", "--scope", "read")
		house := s.house()
		ctx := in(t, house, "default")
		token := secret.New(secret.AccessToken)
		if err := house.DB.CreateAccessToken(ctx, &storage.AccessToken{
			Digest: secret.Digest(token), ClientID: text(t, client, "client_id"), Subject: text(t, client, "client_id"), Scope: []string{"read"}, Format: "opaque",
			ExpiresAt: time.Now().Add(time.Minute).UTC(),
		}); err != nil {
			t.Fatal(err)
		}
		for _, found := range []map[string]any{s.object("token", "introspect", token), s.objectWith(token+"\n", "token", "introspect"), s.objectWith(token, "token", "introspect", "-")} {
			if found["active"] != true || found["client_id"] != client["client_id"] || found["scope"] != "read" {
				t.Errorf("introspected %v", found)
			}
		}
		s.do("org", "create", "acme")
		if found := s.object("token", "introspect", token, "--org", "acme"); !reflect.DeepEqual(found, map[string]any{"active": false}) {
			t.Errorf("acme sees %v", found)
		}
		s.refused(exitNotFound, "not one that is good", "token", "revoke", token, "--org", "acme")
		if gone := s.object("token", "revoke", token); gone["revoked"] != true {
			t.Errorf("revoked: %v", gone)
		}
		if found := s.object("token", "introspect", token); found["active"] != false {
			t.Errorf("after its revocation: %v", found)
		}
		s.refused(exitNotFound, "not one that is good", "token", "revoke", token)
		s.refused(exitNotFound, "not one that is good", "token", "revoke", "nonsense")

		jwt, err := house.Keys.Sign(ctx, "ES256", "at+jwt", map[string]any{"iss": "http://localhost:8080", "sub": "alice", "exp": time.Now().Add(time.Hour).Unix()})
		if err != nil {
			t.Fatal(err)
		}
		plain := s.object("token", "decode", jwt)
		claims, ok := plain["claims"].(map[string]any)
		if !ok || plain["form"] != "jwt" || claims["sub"] != "alice" || plain["verified"] != nil || plain["expired"] != false {
			t.Errorf("decoded %v", plain)
		}
		if verified := s.object("token", "decode", jwt, "--verify"); verified["verified"] != true {
			t.Errorf("verified %v", verified)
		}
		foreign := s.keizer("", "token", "decode", jwt, "--verify", "--org", "acme", "-o", "json")
		var shown map[string]any
		readOne(t, foreign.out, &shown)
		if foreign.code != exitFailed || shown["verified"] != false || !strings.Contains(foreign.err, `organization "acme" did not sign`) {
			t.Errorf("at another organization: %+v", foreign)
		}
		if table := s.do("token", "decode", jwt); !strings.Contains(table, "\n  \"alg\": \"ES256\"") {
			t.Errorf("as text: %s", table)
		}
	})
}

func TestDecodingNeedsNoDatabase(t *testing.T) {
	s := newStation(t, "KEIZER_DATABASE_URL=postgres://127.0.0.1:1/away")
	for _, c := range []struct{ token, form, kind, note string }{
		{secret.New(secret.AccessToken), "opaque", "access token", "its form is right"},
		{secret.New(secret.RefreshToken)[:40], "opaque", "refresh token", "its form is wrong"},
		{secret.New(secret.Setup), "opaque", "setup link", "its form is right"},
		{"hello", "unknown", "", "neither a JWT"},
		{"a.b.c", "unknown", "", "not JSON objects"},
		{"eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d", "jwe", "", "encrypted"},
		{"eyJhIjoxLCJhIjoyfQ.e30.", "unknown", "", "not JSON objects"},
	} {
		got := s.object("token", "decode", c.token)
		kind, _ := got["kind"].(string)
		note, _ := got["note"].(string)
		if got["form"] != c.form || kind != c.kind || !strings.Contains(note, c.note) {
			t.Errorf("%s: %v", c.token, got)
		}
	}
	s.refused(exitUsage, "longer than 16 KiB", "token", "decode", strings.Repeat("x", maxToken+1))
	s.refused(exitUsage, "no token on standard input", "token", "decode")
	if entries, err := os.ReadDir("."); err != nil || len(entries) != 0 {
		t.Errorf("something was made: %v, %v", entries, err)
	}
}

func TestMigrationsAreAppliedOnceAndListed(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		for _, m := range s.array("migrate", "status") {
			if m["applied_at"] != nil {
				t.Errorf("applied on an empty database: %v", m)
			}
		}
		first := s.object("migrate", "up")
		if n, ok := first["applied"].(float64); !ok || n < 1 {
			t.Errorf("applied %v", first)
		}
		if again := s.object("migrate", "up"); again["applied"] != 0.0 {
			t.Errorf("applied again %v", again)
		}
		for _, m := range s.array("migrate", "status") {
			if m["applied_at"] == nil {
				t.Errorf("still pending: %v", m)
			}
		}
	})
}

func TestTheStrictAreAskedToMigrate(t *testing.T) {
	s := newStation(t, "KEIZER_NO_MIGRATE=true")
	s.refused(exitFailed, "run `keizer migrate up`", "org", "list")
	s.do("migrate", "up")
	s.do("org", "list")
}

func TestCommandsThatStartTogetherOnNothingAllSucceed(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		const several = 4
		var wg sync.WaitGroup
		for i := range several {
			wg.Go(func() {
				if got := s.keizer("", "org", "create", fmt.Sprintf("org-%d", i)); got.code != 0 {
					t.Errorf("%+v", got)
				}
			})
		}
		wg.Wait()
		if orgs := s.array("org", "list"); len(orgs) != several+1 {
			t.Errorf("listed %v", orgs)
		}
	})
}

func TestEveryoneSeesTheSameSetupLinkRules(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		link := strings.TrimSpace(s.do("setup-link", "--listen", "127.0.0.1:9000"))
		token, ok := strings.CutPrefix(link, "http://localhost:9000/setup?token=")
		if !ok || !secret.Valid(secret.Setup, token) {
			t.Errorf("the link is %s", link)
		}
		if text(t, s.object("setup-link"), "setup_link") == link {
			t.Error("the same link twice")
		}
		house := s.house()
		if _, err := house.Operators.OpenSetupLink(t.Context(), token); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("the older link still works: %v", err)
		}
		s.doWith("correct horse battery", "user", "create", "--email", "op@example.com", "--role", "operator", "--password-stdin")
		s.refused(exitConflict, "operator: ", "setup-link")
	})
}

func TestWhatIsAskedWronglyIsOneSentenceAndExitCode2(t *testing.T) {
	s := newStation(t)
	write(t, "text", strings.Repeat("not a database\n", 10))
	for _, c := range []struct {
		words string
		args  []string
	}{
		{`unknown command "ogr" for keizer; did you mean org?`, []string{"ogr"}},
		{`unknown command "creat" for keizer org; did you mean create?`, []string{"org", "creat"}},
		{`unknown command "zzzzzzzz" for keizer`, []string{"zzzzzzzz"}},
		{`unknown command "zzzzzzzz" for keizer`, []string{"help", "zzzzzzzz"}},
		{"keizer org needs one of the commands create, list, show", []string{"org"}},
		{"keizer org create needs SLUG", []string{"org", "create"}},
		{`keizer completion zsh takes no arguments, but was given "x"`, []string{"completion", "zsh", "x"}},
		{"keizer completion needs the name of a shell", []string{"completion"}},
		{`unknown command "zhs" for keizer completion; did you mean zsh?`, []string{"completion", "zhs"}},
		{`keizer org create takes SLUG only, but was given "b" as well`, []string{"org", "create", "a", "b"}},
		{`keizer version takes no arguments, but was given "x"`, []string{"version", "x"}},
		{"unknown flag --nam for keizer org create; did you mean --name?", []string{"org", "create", "a", "--nam", "x"}},
		{"unknown flag --password for keizer user create; did you mean --password-stdin?", []string{"user", "create", "--password", "canary"}},
		{"unknown flag -x for keizer serve", []string{"serve", "-x"}},
		{"flag needs an argument: --name (keizer org create)", []string{"org", "create", "a", "--name"}},
		{`invalid argument "yaml" for "-o, --output" flag: must be table or json`, []string{"org", "list", "-o", "yaml"}},
		{`invalid argument "maybe" for "--skip-consent" flag`, []string{"client", "create", "--skip-consent=maybe"}},
		{"configuration: file nowhere.yaml does not exist", []string{"--config", "nowhere.yaml", "org", "list"}},
		{"--database-url: must not be empty", []string{"org", "list", "--database-url", ""}},
		{"database.url (flag --database-url): must begin with sqlite: or postgres://", []string{"org", "list", "--database-url", "mysql://x"}},
		{"database.url: file text is not an SQLite database", []string{"org", "list", "--database-url", "sqlite:text"}},
		{"listen (flag --listen): must be a loopback address", []string{"serve", "--listen", "0.0.0.0:8080"}},
		{"issuer (flag --issuer): must begin with https://", []string{"serve", "--issuer", "http://id.example.com"}},
		{"--url: must be an http or https address", []string{"healthcheck", "--url", "nothing"}},
	} {
		s.refused(exitUsage, c.words, c.args...)
		if got := s.keizer("", c.args...); strings.Contains(got.err, "canary") {
			t.Errorf("an argument escaped: %s", got.err)
		}
	}
	if entries, err := os.ReadDir("."); err != nil || len(entries) != 1 {
		t.Errorf("something was made: %v, %v", entries, err)
	}
}

func TestEveryComplaintAboutTheConfigurationIsToldAtOnce(t *testing.T) {
	s := newStation(t, "KEIZER_ISSUER=http://id.example.com/", "KEIZER_LOG_LEVL=debug", "KEIZER_MASTER_KEY=changeme")
	for _, command := range [][]string{{"serve"}, {"org", "list"}, {"migrate", "up"}, {"config", "validate"}} {
		for _, words := range []string{
			"keizer: KEIZER_LOG_LEVL: unknown environment variable; did you mean KEIZER_LOG_LEVEL?\n", "must begin with https://", "must not end in a slash",
			"keizer: database.url: is required in production", "keizer: master_key (environment KEIZER_MASTER_KEY): the master key is not the base64 or hex of 32 bytes",
		} {
			s.refused(exitUsage, words, command...)
		}
	}
}

func TestAWrongMasterKeyLeavesTheDatabaseAlone(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		s.do("org", "create", "acme")
		good := s.environ
		s.environ = append(slices.Clone(good), "KEIZER_MASTER_KEY="+seal.NewKey())
		for _, command := range [][]string{{"org", "create", "other"}, {"client", "list"}, {"serve", "--listen", "127.0.0.1:0"}} {
			s.refused(exitUsage, "master_key: the database belongs to another master key", command...)
		}
		s.environ = good
		if orgs := s.array("org", "list"); len(orgs) != 2 {
			t.Errorf("listed %v", orgs)
		}
		write(t, filepath.Join("data", "master.key"), "changeme\n")
		s.refused(exitUsage, "the master key is not the base64 or hex of 32 bytes", "org", "list")
	})
}

func TestProductionHasNoOrganizationButWhatIsMade(t *testing.T) {
	s := production(t)
	if orgs := s.array("org", "list"); len(orgs) != 0 {
		t.Errorf("listed %v", orgs)
	}
	s.refused(exitUsage, "--org is needed", "client", "list")
	if made := s.object("org", "create", "acme"); made["issuer"] != "https://id.example.com/o/acme" {
		t.Errorf("created %v", made)
	}
	s.environ = append(s.environ, "KEIZER_ROOT_ORGANIZATION=acme")
	if shown := s.object("org", "show", "acme"); shown["issuer"] != "https://id.example.com" {
		t.Errorf("as root organization %v", shown)
	}
	s.array("client", "list")
	if _, err := os.Stat("data"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("production made a data directory: %v", err)
	}
}

func TestAnUnreachableDatabaseIsAFailure(t *testing.T) {
	s := newStation(t, "KEIZER_DATABASE_URL=postgres://keizer:canary-pw@127.0.0.1:1/keizer")
	s.refused(exitFailed, "database unavailable", "org", "list")
	if got := s.keizer("", "org", "list"); strings.Contains(got.err, "canary-pw") {
		t.Errorf("the password escaped: %s", got.err)
	}
}

func TestAGeneratedSecretIsAMasterKey(t *testing.T) {
	s := newStation(t)
	first, second := strings.TrimSpace(s.do("secret", "generate")), text(t, s.object("secret", "generate"), "master_key")
	if first == second {
		t.Error("the same key twice")
	}
	for _, key := range []string{first, second} {
		if _, err := seal.Parse(key); err != nil {
			t.Error(err)
		}
	}
}

func TestADamagedDatabaseIsSaidToBeOne(t *testing.T) {
	s := newStation(t)
	s.do("org", "list")
	path := filepath.Join("data", "keizer.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"cut off": whole[:5000], "scribbled over": append(slices.Clone(whole[:100]), bytes.Repeat([]byte("x"), len(whole)-100)...),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s.refused(exitUsage, "data/keizer.db is damaged (", "org", "list")
		s.refused(exitUsage, "restore it from a backup", "serve", "--listen", "127.0.0.1:0")
		if got := s.keizer("", "doctor"); got.code != exitFailed || !strings.Contains(got.out, "is damaged (") {
			t.Errorf("%s: %+v", name, got)
		}
		if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, content) {
			t.Errorf("%s: the file was written to: %v", name, err)
		}
	}
}

func TestTheConfigurationIsShownWithoutItsSecrets(t *testing.T) {
	key := seal.NewKey()
	s := newStation(t, "KEIZER_ISSUER=https://id.example.com", "DATABASE_URL=postgres://keizer:canary-pw@db/keizer", "KEIZER_MASTER_KEY="+key)
	out := s.do("config", "show") + s.do("config", "show", "-o", "json")
	if strings.Contains(out, key) || strings.Contains(out, "canary-pw") {
		t.Errorf("a secret escaped: %s", out)
	}
	values := make(map[string][2]any)
	for _, v := range s.array("config", "show", "--listen", ":9000") {
		values[text(t, v, "name")] = [2]any{v["value"], v["source"]}
	}
	for name, want := range map[string][2]any{
		"issuer":       {"https://id.example.com", "environment KEIZER_ISSUER"},
		"listen":       {":9000", "flag --listen"},
		"database.url": {"postgres://[redacted]@db/keizer", "environment DATABASE_URL"},
		"master_key":   {"[redacted]", "environment KEIZER_MASTER_KEY"},
		"log.level":    {"info", "default"},
	} {
		if values[name] != want {
			t.Errorf("%s is %v, want %v", name, values[name], want)
		}
	}
	if out := s.do("config", "validate"); out != "valid, for production\n" {
		t.Errorf("validate says %q", out)
	}
	s.environ = s.environ[:2]
	got := s.keizer("", "config", "validate", "-o", "json")
	var verdict map[string]any
	readOne(t, got.out, &verdict)
	if complaints, ok := verdict["complaints"].([]any); got.code != exitUsage || verdict["valid"] != false || !ok || len(complaints) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestTheReferenceNamesEveryFlagOfServe(t *testing.T) {
	s := newStation(t)
	reference := s.do("config", "reference")
	(&program{}).serve().Flags().VisitAll(func(f *pflag.Flag) {
		if !strings.Contains(reference, "`--"+f.Name+"`") {
			t.Errorf("--%s is not in the reference", f.Name)
		}
	})
	if len(s.array("config", "reference")) != strings.Count(reference, "\n")-2 {
		t.Error("table and JSON differ in length")
	}
}

func TestNoFlagTakesASecretFromTheCommandLine(t *testing.T) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			secretly := strings.Contains(f.Name, "password") || strings.Contains(f.Name, "secret") || strings.Contains(f.Name, "key")
			if secretly && f.Value.Type() != "bool" && !strings.HasSuffix(f.Name, "-file") {
				t.Errorf("%s --%s", cmd.CommandPath(), f.Name)
			}
		})
		if cmd.Short == "" {
			t.Errorf("%s does not say what it does", cmd.CommandPath())
		}
		for _, below := range cmd.Commands() {
			walk(below)
		}
	}
	walk((&program{}).commands())
}

func TestHelpGoesToStandardOutput(t *testing.T) {
	s := newStation(t)
	for _, args := range [][]string{{}, {"--help"}, {"help"}, {"org", "--help"}, {"help", "org", "create"}, {"completion", "bash"}} {
		if out := s.do(args...); out == "" {
			t.Errorf("keizer %s says nothing", strings.Join(args, " "))
		}
	}
}

func TestTheVersionIsKnown(t *testing.T) {
	s := newStation(t)
	if v := s.object("version"); v["go"] == "" || v["version"] == "" || v["platform"] == "" {
		t.Errorf("%v", v)
	}
	if out := s.do("version"); !strings.HasPrefix(out, "keizer ") {
		t.Errorf("%s", out)
	}
}

type widget struct{ N int }

func (w widget) cells() []string              { return []string{fmt.Sprint(w.N), "\x1b[31mred\u202e\r\n"} }
func (w widget) MarshalJSON() ([]byte, error) { return json.Marshal(map[string]int{"n": w.N}) }

func TestAListIsPrintedPageByPage(t *testing.T) {
	pages := func() func() ([]widget, error) {
		n := 0
		return func() (page []widget, err error) {
			for ; n < 7 && len(page) < 3; n++ {
				page = append(page, widget{n})
			}
			return page, nil
		}
	}
	var out strings.Builder
	p := &program{stdout: &out, output: "json"}
	if err := list(p, nil, pages()); err != nil {
		t.Fatal(err)
	}
	var all []map[string]int
	readOne(t, out.String(), &all)
	if len(all) != 7 || all[6]["n"] != 6 {
		t.Errorf("%s", out.String())
	}
	out.Reset()
	p.output = "table"
	if err := list(p, []string{"N", "TEXT"}, pages()); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Count(got, "\n") != 8 || strings.ContainsAny(got, "\x1b\r\u202e") {
		t.Errorf("%q", got)
	}
	out.Reset()
	broken := errors.New("broken")
	if err := list(p, []string{"N"}, func() ([]widget, error) { return nil, broken }); !errors.Is(err, broken) || out.Len() != 0 {
		t.Errorf("%v, printed %q", err, out.String())
	}
}
