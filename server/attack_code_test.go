package server_test

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/config"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// S-049: a code in the hands of another client is in the wrong hands, and good for nobody after that.
func TestACodeThatAnotherClientHasIsBurnt(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{SkipConsent: true})
	visitor := signedIn(client, "alice")
	db := house.SQL()
	grants := rows(t, db, "oauth_grants")
	for name, other := range map[string]*servertest.Client{
		"confidential": house.Client(org, manage.ClientSpec{}), "public": house.Client(org, manage.ClientSpec{AuthMethod: "none"}),
	} {
		for _, verifier := range []string{servertest.Verifier, strings.Repeat("a", 43)} {
			code := visitor.Code(client.AuthorizeURL("scope", "openid offline_access"), "alice")
			wantError(t, name, other.Token("grant_type", "authorization_code", "code", code, "redirect_uri", client.Redirect, "code_verifier", verifier),
				400, "invalid_grant")
			wantError(t, "the owner after a "+name+" client", client.Redeem(code), 400, "invalid_grant")
		}
	}
	if made := rows(t, db, "oauth_grants") - grants; made != 0 {
		t.Errorf("%d grants were made", made)
	}
	if burnt := len(column(t, db, `SELECT action FROM audit_events WHERE action = 'code.burnt'`)); burnt != 4 {
		t.Errorf("the audit tells of %d codes", burnt)
	}

	// Who has not even shown who they are burns nothing: else anybody could who sees a code.
	code := visitor.Code(client.AuthorizeURL(), "alice")
	form := fields("grant_type", "authorization_code", "code", code, "redirect_uri", client.Redirect, "code_verifier", servertest.Verifier)
	for name, authorization := range map[string]string{"a wrong secret": "Basic " + client.ID, "no client": "Basic eDp5"} {
		answer := send(t, house, request{address: "/oauth2/token", form: form, header: []string{"Authorization", authorization}})
		wantError(t, name, answer, 401, "invalid_client")
	}
	wantError(t, "nobody", send(t, house, request{address: "/oauth2/token", form: form}), 400, "invalid_client")
	if answer := client.Redeem(code); answer.Status != 200 {
		t.Errorf("the owner: %d %s", answer.Status, answer.Body)
	}
}

// S-052 (Keycloak CVE-2026-4282): whatever is handed out says what it is, and is taken for nothing else.
func TestNothingIsTakenForWhatItIsNot(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{SkipConsent: true, RedirectURIs: []string{servertest.Callback}})
	visitor := signedIn(client, "alice")
	stranger := client.Visitor()
	page := stranger.Go(client.AuthorizeURL())

	tokens := client.Redeem(visitor.Code(client.AuthorizeURL("scope", "openid offline_access"), "alice"))
	link, err := house.Operators.NewSetupLink(t.Context(), house.Base)
	if err != nil {
		t.Fatal(err)
	}
	asked := fields("client_id", client.ID, "redirect_uri", client.Redirect, "response_type", "code", "scope", "openid",
		"code_challenge", servertest.Challenge(servertest.Verifier), "code_challenge_method", "S256")
	push := func() string {
		return send(t, house, request{address: "/oauth2/par", form: asked, header: []string{"Authorization", client.Basic()}}).Text("request_uri")
	}
	const prefix = "urn:ietf:params:oauth:request_uri:"
	held := map[string]string{
		"code":          visitor.Code(client.AuthorizeURL(), "alice"),
		"access token":  tokens.Text("access_token"),
		"refresh token": tokens.Text("refresh_token"),
		"ID token":      tokens.Text("id_token"),
		"pushed":        push(),
		"session":       cookieValue(t, visitor, house, "keizer_session"),
		"flow":          cookieValue(t, stranger, house, "keizer_flow"),
		"interaction":   page.URL.Query().Get("interaction"),
		"client secret": client.Secret,
		"setup link":    link[strings.LastIndex(link, "=")+1:],
		"csrf token":    csrf(t, page.Body),
		"client":        client.ID,
	}
	held["pushed, its end"] = strings.TrimPrefix(held["pushed"], prefix)
	for name, value := range held {
		if value == "" {
			t.Fatalf("no %s", name)
		}
	}
	for name, value := range held {
		if name != "code" {
			wantError(t, name+" as a code", client.Redeem(value), 400, "invalid_grant")
		}
		if name != "refresh token" {
			wantError(t, name+" as a refresh token", client.Refresh(value), 400, "invalid_grant")
		}
		if name != "access token" {
			answer := send(t, house, request{address: "/oauth2/userinfo", header: []string{"Authorization", "Bearer " + value}})
			wantError(t, name+" at userinfo", answer, 401, "invalid_token")
			if name != "refresh token" {
				wantInactive(t, name, client.Post("/oauth2/introspect", "token", value))
			}
			if name != "refresh token" {
				if answer := client.Post("/oauth2/revoke", "token", value); answer.Status != 200 {
					t.Errorf("revoking the %s: %d %s", name, answer.Status, answer.Body)
				}
			}
		}
		if name != "client secret" {
			form := fields("grant_type", "client_credentials", "client_id", client.ID, "client_secret", value)
			wantError(t, name+" as a secret", send(t, house, request{address: "/oauth2/token", form: form}), 400, "invalid_client")
		}
		if name != "pushed" && name != "pushed, its end" {
			form := fields("client_id", client.ID, "request_uri", prefix+value)
			wantPage(t, name+" as a pushed request",
				send(t, house, request{address: "/oauth2/authorize?" + form.Encode(), cookies: visitor.Cookies(house.URL)}), 400)
		}
		if name != "interaction" {
			for _, path := range []string{"/login", "/consent"} {
				answer := send(t, house, request{address: path + "?" + fields("interaction", value).Encode(), cookies: stranger.Cookies(house.URL)})
				wantPage(t, name+" at "+path, answer, 400)
			}
		}
		if name != "session" {
			answer := send(t, house, request{
				address: client.AuthorizeURL("prompt", "none"), cookies: []*http.Cookie{{Name: "keizer_session", Value: value}},
			})
			if got := sentOn(t, name, answer, client.Redirect).Get("error"); got != "login_required" {
				t.Errorf("%s as a session: %q", name, got)
			}
		}
		if name != "setup link" {
			wantPage(t, name+" as a setup link", send(t, house, request{address: "/setup?" + fields("token", value).Encode()}), 404)
		}
	}
	// And all of it is still good for what it is.
	if answer := client.Redeem(held["code"]); answer.Status != 200 {
		t.Errorf("the code: %d %s", answer.Status, answer.Body)
	}
	if !client.Active(held["access token"]) || !client.Active(held["refresh token"]) {
		t.Error("the tokens are not active any more")
	}
}

// cookieValue is what a browser holds under a name.
func cookieValue(t testing.TB, visitor *servertest.Visitor, house *servertest.House, name string) string {
	t.Helper()
	for _, cookie := range visitor.Cookies(house.URL) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	t.Fatalf("no cookie %s", name)
	return ""
}

// S-053, S-064, S-065: who reads the database, its files or a backup of it holds nothing that anybody takes, and cannot end
// what they have not got either. (fosite keeps a part of each token, looks tokens up by it, and revokes by it.)
func TestTheDatabaseHoldsNothingThatCouldBePresented(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{
			DatabaseURL: databaseURL, Configure: func(cfg *config.Config) { cfg.Tokens.RefreshReplayWindow = 10 * time.Second },
		})
		org := house.In("default")
		house.User(org, "alice")
		client := house.Client(org, manage.ClientSpec{SkipConsent: true})
		visitor := signedIn(client, "alice")
		stranger := client.Visitor()
		page := stranger.Go(client.AuthorizeURL())
		code, unused := visitor.Code(client.AuthorizeURL("scope", "openid offline_access"), "alice"), visitor.Code(client.AuthorizeURL(), "alice")
		tokens := client.Redeem(code)
		spent := tokens.Text("refresh_token")
		next := client.Refresh(spent)
		link, err := house.Operators.NewSetupLink(t.Context(), house.Base)
		if err != nil {
			t.Fatal(err)
		}
		session := cookieValue(t, visitor, house, "keizer_session")
		held := []string{
			code, unused, spent, tokens.Text("access_token"), next.Text("refresh_token"), next.Text("access_token"), next.Text("id_token"),
			session, cookieValue(t, stranger, house, "keizer_flow"), page.URL.Query().Get("interaction"), client.Secret,
			link[strings.LastIndex(link, "=")+1:], servertest.Password, servertest.Verifier,
		}

		content := everything(t, house)
		if !strings.Contains(content, secret.Digest(code)) {
			t.Fatal("the digest of a code is not found either: nothing was looked at")
		}
		for i, value := range held {
			if value == "" {
				t.Fatalf("value %d is not there", i)
			}
			forms := []string{value, hex.EncodeToString([]byte(value))}
			if opaque, ok := strings.CutPrefix(value, "kz_"); ok {
				_, random, _ := strings.Cut(opaque, "_")
				forms = append(forms, random)
			}
			for _, form := range forms {
				if strings.Contains(content, form) {
					t.Errorf("value %d stands in the database: %.12s…", i, form)
				}
			}
		}

		for _, read := range held[:7] {
			digest := secret.Digest(read)
			for _, forged := range []string{
				digest, "kz_rt_" + digest, "kz_code_" + digest, "kz_at_" + digest, "AAAA." + digest, "kz_rt_" + digest + "000000", digest + "." + digest,
			} {
				wantError(t, "a digest as a code", client.Redeem(forged), 400, "invalid_grant")
				wantError(t, "a digest as a refresh token", client.Refresh(forged), 400, "invalid_grant")
				wantInactive(t, "a digest", client.Post("/oauth2/introspect", "token", forged))
				if answer := client.Post("/oauth2/revoke", "token", forged); answer.Status != 200 {
					t.Errorf("revoking a digest: %d", answer.Status)
				}
			}
		}
		for _, cookie := range []string{secret.Digest(session), "kz_ses_" + secret.Digest(session) + "000000"} {
			answer := send(t, house, request{
				address: client.AuthorizeURL("prompt", "none"), cookies: []*http.Cookie{{Name: "keizer_session", Value: cookie}},
			})
			if got := sentOn(t, "a digest as a session", answer, client.Redirect).Get("error"); got != "login_required" {
				t.Errorf("a digest as a session: %q", got)
			}
		}
		if !client.Active(next.Text("access_token")) || client.Refresh(next.Text("refresh_token")).Status != 200 || client.Redeem(unused).Status != 200 {
			t.Error("a forgery has ended what it could not use")
		}
	})
}

// everything is all that stands in a database, as far as it is text, and in the files of SQLite.
func everything(t *testing.T, house *servertest.House) string {
	t.Helper()
	var all strings.Builder
	db := house.SQL()
	list := `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`
	one := `SELECT t::text FROM %s t`
	if path, ok := strings.CutPrefix(house.Cfg.Database.URL.Reveal(), "sqlite:"); ok {
		for _, file := range []string{path, path + "-wal"} {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(content)
		}
		return all.String()
	}
	for _, table := range column(t, db, list) {
		for _, row := range column(t, db, fmt.Sprintf(one, table)) {
			all.WriteString(row + "\n")
		}
	}
	return all.String()
}

// column is one column of text.
func column(t testing.TB, db *sql.DB, query string, args ...any) (texts []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return texts
}

// alterations are strings that differ from a token a little.
func alterations(token string) []string {
	var all []string
	for i := range token {
		all = append(all, token[:i], token[i:][min(1, len(token)-i):])
		for _, bit := range []byte{1, 2, 0x20} {
			altered := []byte(token)
			altered[i] ^= bit
			all = append(all, string(altered))
		}
	}
	all = append(all, token+"=", token+"A", token+"\x00", token+" ", " "+token, token+"\n", token+".", token+token, strings.ToUpper(token), strings.ToLower(token),
		strings.ReplaceAll(strings.ReplaceAll(token, "-", "+"), "_", "/"), "Bearer "+token, `"`+token+`"`, strings.Replace(token, "_", "%5F", 1))
	return slices.DeleteFunc(all, func(one string) bool { return one == token || one == "" })
}

// sendable tells what Go's client sends in a header or a cookie.
func sendable(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`",;\`, r) })
}

// S-058 (Zitadel CVE-2026-27840): a token that differs in one bit is unknown, in the same words as any other, and costs the
// right one nothing.
func TestATokenThatIsAlteredInAnyWayIsUnknown(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{})
	org := house.In("default")
	house.User(org, "alice")
	client := house.Client(org, manage.ClientSpec{SkipConsent: true})
	visitor := signedIn(client, "alice")
	tokens := client.Redeem(visitor.Code(client.AuthorizeURL("scope", "openid offline_access"), "alice"))
	code := visitor.Code(client.AuthorizeURL(), "alice")
	session := cookieValue(t, visitor, house, "keizer_session")

	said := map[string]map[string]int{}
	note := func(what string, answer *servertest.Answer) {
		if said[what] == nil {
			said[what] = map[string]int{}
		}
		said[what][fmt.Sprint(answer.Status, " ", answer.Body, answer.Header.Get("WWW-Authenticate"))]++
	}
	for _, altered := range alterations(tokens.Text("access_token")) {
		note("introspection", client.Post("/oauth2/introspect", "token", altered))
		if sendable(altered) {
			note("userinfo", send(t, house, request{address: "/oauth2/userinfo", header: []string{"Authorization", "Bearer " + altered}}))
		}
	}
	for _, altered := range alterations(tokens.Text("refresh_token")) {
		note("refresh", client.Refresh(altered))
	}
	for _, altered := range alterations(code) {
		note("code", client.Redeem(altered))
	}
	for _, altered := range alterations(session) {
		if !sendable(altered) {
			continue
		}
		answer := send(t, house, request{address: client.AuthorizeURL("prompt", "none"), cookies: []*http.Cookie{{Name: "keizer_session", Value: altered}}})
		answer.Body = sentOn(t, "session", answer, client.Redirect).Get("error")
		note("session", answer)
	}
	for what, want := range map[string]string{
		"introspection": `200 {"active":false}`, "userinfo": "401 ", "refresh": `400 {"error":"invalid_grant"`, "code": `400 {"error":"invalid_grant"`,
		"session": "303 login_required",
	} {
		for answer, times := range said[what] {
			if strings.HasPrefix(answer, want) || strings.HasPrefix(answer, `400 {"error":"invalid_request","error_description":"The parameter `) && times == 1 {
				continue // a NUL is no parameter at all
			}
			t.Errorf("%s: %d times %s", what, times, answer)
		}
		if len(said[what]) > 2 {
			t.Errorf("%s is answered in different ways: %v", what, said[what])
		}
	}
	if !client.Active(tokens.Text("access_token")) || client.Refresh(tokens.Text("refresh_token")).Status != 200 || client.Redeem(code).Status != 200 {
		t.Error("the right ones have suffered")
	}
}

// within waits for what has to come about in time.
func within(ctx context.Context, limit time.Duration, is func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}
