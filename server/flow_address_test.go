package server_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/server/servertest"
)

func TestAnUnknownOrganizationIsToldInTheLanguageOfTheEndpoint(t *testing.T) {
	house := servertest.Start(t, servertest.Options{})
	for path, status := range map[string]int{"/oauth2/authorize": 400, "/login": 404, "/oauth2/logout": 404} {
		answer := house.Get(house.Base + "/o/nobody" + path + "?client_id=x&redirect_uri=https%3A%2F%2Frp.example%2Fcb")
		if answer.Status != status || answer.Header.Get("Location") != "" || !strings.Contains(answer.Body, `id="page-title"`) {
			t.Errorf("%s: %d %s", path, answer.Status, answer.Body)
		}
	}
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/jwks.json", "/oauth2/userinfo"} {
		if answer := house.Get(house.Base + "/o/nobody" + path); answer.Status != 404 || answer.Text("error") == "" {
			t.Errorf("%s: %d %s", path, answer.Status, answer.Body)
		}
	}
	for _, path := range []string{"/oauth2/token", "/oauth2/introspect", "/oauth2/revoke", "/oauth2/par"} {
		answer := house.Post(house.Base+"/o/nobody"+path, url.Values{"grant_type": {"client_credentials"}})
		if answer.Status != 404 || answer.Text("error") == "" {
			t.Errorf("%s: %d %s", path, answer.Status, answer.Body)
		}
	}
}
