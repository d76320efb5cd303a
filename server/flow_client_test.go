package server_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

func TestANewSecretWorksAtOnce(t *testing.T) {
	servertest.EachDatabase(t, func(t *testing.T, databaseURL string) {
		house := servertest.Start(t, servertest.Options{DatabaseURL: databaseURL})
		ctx := house.In("default")
		client := house.Client(ctx, manage.ClientSpec{Name: "Job", GrantTypes: []string{manage.GrantClientCredentials}, Scope: "read"})
		if answer := client.Token("grant_type", "client_credentials"); answer.Status != 200 {
			t.Fatalf("%d %s", answer.Status, answer.Body)
		}
		// The server has just used the client, and remembers it.
		secret, err := house.Operators.RotateClientSecret(ctx, client.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		client.Secret = secret.Reveal()
		if answer := client.Token("grant_type", "client_credentials"); answer.Status != 200 {
			t.Errorf("with the new secret: %d %s", answer.Status, answer.Body)
		}
		post := manage.AuthPost
		if _, _, err := house.Operators.UpdateClient(ctx, client.ID, manage.ClientPatch{AuthMethod: &post}); err != nil {
			t.Fatal(err)
		}
		form := []string{"grant_type", "client_credentials", "client_id", client.ID, "client_secret", client.Secret}
		client.Secret = ""
		if answer := client.Token(form...); answer.Status != 200 {
			t.Errorf("with the new method: %d %s", answer.Status, answer.Body)
		}
	})
}

func TestTheLogSaysWhyAClientDidNotAuthenticate(t *testing.T) {
	var log bytes.Buffer
	house := servertest.Start(t, servertest.Options{Log: &log})
	ctx := house.In("default")
	client := house.Client(ctx, manage.ClientSpec{Name: "Job", GrantTypes: []string{manage.GrantClientCredentials}, Scope: "read"})
	right := client.Secret
	client.Secret = "not-the-secret"
	for _, endpoint := range []string{"/oauth2/token", "/oauth2/introspect"} {
		log.Reset()
		if answer := client.Post(endpoint, "grant_type", "client_credentials", "token", "x"); answer.Status != 401 || strings.Contains(answer.Body, client.ID) {
			t.Errorf("%s: %d %s", endpoint, answer.Status, answer.Body)
		}
		if text := log.String(); !strings.Contains(text, "its secret is another") || !strings.Contains(text, client.ID) ||
			strings.Contains(text, client.Secret) || strings.Contains(text, right) {
			t.Errorf("%s: the log says %s", endpoint, text)
		}
	}
}
