package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/server/servertest"
)

// S-120: while a secret is replaced both are good; the old one is so until its end, and at every replica.
func TestAnOldSecretIsGoodUntilItsEndAndNoLonger(t *testing.T) {
	t.Parallel()
	replicas := twoReplicas(t, "", 0)
	house := replicas[0]
	org := house.In("default")
	old := house.Client(org, manage.ClientSpec{GrantTypes: []string{"client_credentials"}})
	works := func(client *servertest.Client) bool {
		t.Helper()
		statuses := map[int]bool{}
		for _, replica := range replicas {
			answer := client.TokenAt(replica, "grant_type", "client_credentials")
			if answer.Status != 200 {
				wantError(t, "a secret", answer, 401, "invalid_client")
			}
			statuses[answer.Status] = true
		}
		return len(statuses) == 1 && statuses[200]
	}
	rotate := func(keep time.Duration) *servertest.Client {
		t.Helper()
		made, err := house.Operators.RotateClientSecret(org, old.ID, keep)
		if err != nil {
			t.Fatal(err)
		}
		next := *old
		next.Secret = made.Reveal()
		return &next
	}
	if !works(old) {
		t.Fatal("it never worked")
	}
	second := rotate(time.Hour)
	if !within(t.Context(), 3*time.Second, func() bool { return works(second) && works(old) }) {
		t.Error("both secrets are good while one replaces the other")
	}
	third := rotate(time.Hour)
	if !within(t.Context(), 3*time.Second, func() bool { return works(third) && works(second) && !works(old) }) {
		t.Error("two secrets live at the most")
	}
	change(t, house, `UPDATE oauth_clients SET secret_old_expires_at = '`+longAgo+`' WHERE client_id = $1`, old.ID)
	if !within(t.Context(), 3*time.Second, func() bool { return works(third) && !works(second) }) {
		t.Error("the old secret outlives its end")
	}
	fourth := rotate(0)
	if !within(t.Context(), 3*time.Second, func() bool { return works(fourth) && !works(third) }) {
		t.Error("a secret that was replaced at once lives on")
	}
}

// S-121: an identifier that is nobody's is refused in the same words as one whose secret is wrong, or that proves itself
// in another way.
func TestARefusalDoesNotTellWhichClientsThereAre(t *testing.T) {
	t.Parallel()
	house := servertest.Start(t, servertest.Options{Configure: behindProxies})
	org := house.In("default")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	disabled := house.Client(org, manage.ClientSpec{})
	if _, _, err := house.Operators.UpdateClient(org, disabled.ID, manage.ClientPatch{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	elsewhere := house.Client(house.Organization("acme"), manage.ClientSpec{})
	ids := map[string]string{
		"nobody":                          strings.Repeat("a", len(disabled.ID)),
		"a client of secrets":             house.Client(org, manage.ClientSpec{}).ID,
		"a client of the body":            house.Client(org, manage.ClientSpec{AuthMethod: "client_secret_post"}).ID,
		"a client of keys":                house.Client(org, manage.ClientSpec{AuthMethod: "private_key_jwt", JWKS: jwks}).ID,
		"a client that signs by a secret": house.Client(org, manage.ClientSpec{AuthMethod: "client_secret_jwt"}).ID,
		"a public client":                 house.Client(org, manage.ClientSpec{AuthMethod: "none"}).ID,
		"a client that is off":            disabled.ID,
		"a client of somebody else":       elsewhere.ID,
		"a person":                        house.User(org, "alice").ID.String(),
		"one with everything in its name": "' OR 1=1 --",
	}
	networks := 0
	for _, endpoint := range []string{"/oauth2/token", "/oauth2/par", "/oauth2/introspect", "/oauth2/revoke"} {
		form := func(more ...string) request {
			return request{address: endpoint, form: fields(append(more, "grant_type", "client_credentials", "token", "x")...)}
		}
		for way, ask := range map[string]func(id string) request{
			"a wrong secret in the header": func(id string) request {
				r := form()
				client := servertest.Client{ID: id, Secret: secret.New(secret.ClientSecret)}
				r.header = []string{"Authorization", client.Basic()}
				return r
			},
			"a wrong secret in the body": func(id string) request { return form("client_id", id, "client_secret", "x") },
			"an assertion": func(id string) request {
				return form("client_id", id, "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion", "a.b.c")
			},
		} {
			said := map[string][]string{}
			networks++ // failures are counted for each
			for who, id := range ids {
				r := ask(id)
				r.header = append(r.header, "X-Forwarded-For", stranger(networks))
				answer := send(t, house, r)
				header := maps.Clone(answer.Header)
				header.Del("Date")
				header.Del("X-Request-Id")
				said[fmt.Sprint(answer.Status, answer.Body, header)] = append(said[fmt.Sprint(answer.Status, answer.Body, header)], who)
				if answer.Text("error") != "invalid_client" {
					t.Errorf("%s, %s, %s: %d %s", endpoint, way, who, answer.Status, answer.Body)
				}
			}
			if len(said) != 1 {
				t.Errorf("%s, %s: %v", endpoint, way, slices.Collect(maps.Values(said)))
			}
		}
	}
}

// S-094, S-096, S-128: in production no address of this machine is asked for a client's keys, however it came into the row; in
// development one is, once, and no header makes it twice.
func TestTheKeysOfAClientAreAskedForRarelyAndNeverOfThisMachine(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}})
	if err != nil {
		t.Fatal(err)
	}
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(jwks)
	}))
	t.Cleanup(there.Close)
	assertion := func(client *servertest.Client, kid string) request {
		now := time.Now().Unix()
		payload := fmt.Sprintf(`{"iss":%q,"sub":%q,"aud":%q,"jti":%q,"iat":%d,"exp":%d}`, client.ID, client.ID, client.Issuer, rand.Text(), now, now+60)
		return request{address: "/oauth2/token", form: fields("grant_type", "client_credentials",
			"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
			"client_assertion", handmade(`{"alg":"ES256","kid":"`+kid+`"}`, payload, raw(t, key)))}
	}
	spec := manage.ClientSpec{GrantTypes: []string{"client_credentials"}, AuthMethod: "private_key_jwt", JWKSURI: "https://rp.example/jwks.json"}

	live := production(t, servertest.Options{})
	for _, address := range []string{
		there.URL, strings.Replace(there.URL, "127.0.0.1", "localhost", 1), strings.Replace(there.URL, "http:", "https:", 1),
		strings.Replace(there.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1), strings.Replace(there.URL, "127.0.0.1", "2130706433", 1),
		strings.Replace(there.URL, "127.0.0.1", "127.1", 1), "https://169.254.169.254/latest/meta-data", "file:///etc/passwd", "gopher://127.0.0.1:1/x", "x", "",
	} {
		refused := live.Client(live.In("default"), spec)
		change(t, live, `UPDATE oauth_clients SET jwks_uri = $1 WHERE client_id = $2`, address, refused.ID)
		wantError(t, address, send(t, live, assertion(refused, "k")), 400, "invalid_client")
	}
	if n := asked.Load(); n != 0 {
		t.Fatalf("this machine was asked %d times", n)
	}

	house := servertest.Start(t, servertest.Options{})
	spec.JWKSURI = there.URL + "/jwks.json"
	client := house.Client(house.In("default"), spec)
	for i := range 50 { // fewer than a network may fail
		wantError(t, "a key that is not there", send(t, house, assertion(client, fmt.Sprint("unknown", i))), 400, "invalid_client")
	}
	if answer := send(t, house, assertion(client, "k")); answer.Status != 200 {
		t.Errorf("%d %s", answer.Status, answer.Body)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("it was asked %d times", n)
	}
}
