package provider

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

func basic(pair string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair))
}

func TestAnAssertionIsForTheIssuerSaveOfClientsThatWereToldOtherwise(t *testing.T) {
	const issuer, endpoint = "https://id.example/o/acme", "https://id.example/o/acme/oauth2/token"
	now := time.Now()
	for _, test := range []struct {
		name   string
		client storage.Client
		legacy bool
		want   []string
	}{
		{"made by an operator", storage.Client{}, false, []string{issuer}},
		{"registered by itself", storage.Client{RegisteredAt: &now}, false, []string{issuer, endpoint}},
		{"where the organization lets it", storage.Client{}, true, []string{issuer, endpoint}},
	} {
		org := &tenant.Org{Issuer: issuer, Settings: settings.Default()}
		org.Settings.Tokens.LegacyAssertionAudience = test.legacy
		if got := assertionAudiences(org, &test.client); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestTheBasicHeaderIsReadInOneWayOnly(t *testing.T) {
	for _, test := range []struct {
		name, header, id, pass string
		ok                     bool
	}{
		{"plain", basic("app:s3cret"), "app", "s3cret", true},
		{"scheme in any case", "bAsIc " + base64.StdEncoding.EncodeToString([]byte("app:x")), "app", "x", true},
		{"encoded", basic(url.QueryEscape("a:p+p %é") + ":" + url.QueryEscape("s: %+é")), "a:p+p %é", "s: %+é", true},
		{"plus is a space", basic("a+b:c+d"), "a b", "c d", true},
		{"a colon in the secret", basic("app:a:b"), "app", "a:b", true},
		{"no secret", basic("app:"), "app", "", true},
		{"bad percent", basic("app:%zz"), "", "", false},
		{"bad percent in the id", basic("%:x"), "", "", false},
		{"no colon", basic("app"), "", "", false},
		{"no id", basic(":x"), "", "", false},
		{"bad base64", "Basic !!!", "", "", false},
		{"base64url", "Basic YT_-Og==", "", "", false},
		{"missing padding", "Basic YTpiYw", "", "", false},
		{"two spaces", "Basic  YTpi", "", "", false},
		{"another scheme", "Bearer YTpi", "", "", false},
		{"scheme alone", "Basic", "", "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			id, pass, ok := parseBasic([]string{test.header})
			if ok != test.ok || ok && (id != test.id || pass != test.pass) {
				t.Errorf("got %q %q %v", id, pass, ok)
			}
		})
	}
	if _, _, ok := parseBasic([]string{basic("a:b"), basic("a:b")}); ok {
		t.Error("two headers were read as one")
	}
}

func FuzzBasicAuth(f *testing.F) {
	f.Add("Basic YTpi")
	f.Add(basic("a%20b:%zz"))
	f.Fuzz(func(t *testing.T, header string) {
		id, pass, ok := parseBasic([]string{header})
		if !ok {
			return
		}
		again := "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(pass)))
		id2, pass2, ok := parseBasic([]string{again})
		if !ok || id2 != id || pass2 != pass || id == "" {
			t.Fatalf("%q reads as %q %q, which does not read back", header, id, pass)
		}
	})
}

func TestARequestAuthenticatesInOneWay(t *testing.T) {
	form := func(pairs ...string) url.Values {
		values := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			values.Add(pairs[i], pairs[i+1])
		}
		return values
	}
	for _, test := range []struct {
		name, header string
		form         url.Values
		method, err  string
	}{
		{"header", basic("app:x"), form(), methodBasic, ""},
		{"header and the same id in the form", basic("app:x"), form("client_id", "app"), methodBasic, ""},
		{"header and another id in the form", basic("app:x"), form("client_id", "other"), "", "invalid_client"},
		{"form", "", form("client_id", "app", "client_secret", "x"), methodPost, ""},
		{"form without an id", "", form("client_secret", "x"), "", "invalid_client"},
		{"public", "", form("client_id", "app"), methodNone, ""},
		{"nothing", "", form(), "", "invalid_client"},
		{"header and form", basic("app:x"), form("client_id", "app", "client_secret", "x"), "", "invalid_request"},
		{"header and assertion", basic("app:x"), form("client_assertion", "a", "client_assertion_type", assertionTypeJWT), "", "invalid_request"},
		{"secret and assertion", "", form("client_id", "app", "client_secret", "x", "client_assertion", "a", "client_assertion_type", assertionTypeJWT), "", "invalid_request"},
		{"assertion", "", form("client_id", "app", "client_assertion", "a", "client_assertion_type", assertionTypeJWT), byAssertion, ""},
		{"assertion of another type", "", form("client_id", "app", "client_assertion", "a", "client_assertion_type", "saml"), "", "invalid_client"},
		{"malformed header with a good form", "Basic ???", form("client_id", "app", "client_secret", "x"), "", "invalid_client"},
		{"bearer header", "Bearer x", form("client_id", "app"), "", "invalid_client"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &http.Request{Header: http.Header{}}
			if test.header != "" {
				r.Header.Set("Authorization", test.header)
			}
			got, err := readCredentials(r, test.form)
			code := ""
			if err != nil {
				code = answerFor(err).code
			}
			if code != test.err || got.method != test.method {
				t.Errorf("got %q, error %q", got.method, code)
			}
		})
	}
}

func TestBothSecretsOfARotationMatchUntilTheOldOneEnds(t *testing.T) {
	now, old := secret.Digest("new"), secret.Digest("old")
	later, before := time.Now().Add(time.Hour), time.Now().Add(-time.Second)
	empty := ""
	for _, test := range []struct {
		name   string
		client storage.Client
		given  string
		want   bool
	}{
		{"current", storage.Client{SecretDigest: &now}, "new", true},
		{"wrong", storage.Client{SecretDigest: &now}, "old", false},
		{"old, alive", storage.Client{SecretDigest: &now, SecretDigestOld: &old, SecretOldExpiresAt: &later}, "old", true},
		{"old, ended", storage.Client{SecretDigest: &now, SecretDigestOld: &old, SecretOldExpiresAt: &before}, "old", false},
		{"old, no end", storage.Client{SecretDigest: &now, SecretDigestOld: &old}, "old", false},
		{"no secret at all", storage.Client{}, "", false},
		{"empty digest", storage.Client{SecretDigest: &empty}, "", false},
		{"the digest itself", storage.Client{SecretDigest: &now}, now, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := secretMatches(&test.client, test.given); got != test.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
