package server_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// A header, a path and a parameter may hold any bytes. PostgreSQL takes no text with a NUL or of broken UTF-8; that is the
// visitor's mistake and not a fault of ours.
func TestBytesThatAreNoTextAreNobodysFault(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		client := house.Client(house.In("default"), manage.ClientSpec{})
		for _, bytes := range []string{"\x00", "a\x00b", "\xff", "a\xc3(", "\xed\xa0\x80"} {
			escaped := url.QueryEscape(bytes)
			for _, address := range []string{
				"/oauth2/authorize?client_id=" + escaped, client.AuthorizeURL("state", bytes), client.AuthorizeURL("scope", bytes),
				client.AuthorizeURL("nonce", bytes), client.AuthorizeURL("login_hint", bytes), client.AuthorizeURL("redirect_uri", client.Redirect+bytes),
				"/oauth2/authorize?interaction=" + escaped, "/login?interaction=" + escaped, "/setup?token=" + escaped, "/setup?done=" + escaped,
				"/oauth2/logout?client_id=" + escaped, "/oauth2/logout?state=" + escaped, "/o/" + url.PathEscape(bytes) + "/.well-known/jwks.json",
				"/" + url.PathEscape(bytes), "/static/" + url.PathEscape(bytes),
			} {
				if answer := house.Get(address); answer.Status >= 500 {
					t.Errorf("GET %s: %d %s", address, answer.Status, answer.Body)
				}
			}
			for _, form := range []url.Values{
				{"client_id": {bytes}}, {"client_id": {bytes}, "client_secret": {"x"}},
				{"client_id": {client.ID}, "client_secret": {bytes}},
				{"client_id": {client.ID}, "client_secret": {client.Secret}, "code": {bytes}, "refresh_token": {bytes}, "token": {bytes}},
			} {
				form.Set("grant_type", "refresh_token")
				for _, endpoint := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/par", "/oauth2/userinfo"} {
					if answer := house.Post(endpoint, form); answer.Status >= 500 {
						t.Errorf("POST %s %v: %d %s", endpoint, form, answer.Status, answer.Body)
					}
				}
			}
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, house.At("/oauth2/token"), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header["Origin"] = []string{"https://\xff.example"}
		answer, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode >= 500 {
			t.Errorf("a preflight from nowhere: %d", answer.StatusCode)
		}
		basic := house.Post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}}, "Authorization", "Basic /zp4") // ff 3a 78
		if basic.Status != 401 {
			t.Errorf("a client_id of broken UTF-8: %d %s", basic.Status, basic.Body)
		}
		escaped := house.Post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}}, "Authorization", "Basic JTAwJWZmOng=") // %00%ff:x
		if escaped.Status != 401 {
			t.Errorf("a client_id of escaped bytes: %d %s", escaped.Status, escaped.Body)
		}
	})
}
