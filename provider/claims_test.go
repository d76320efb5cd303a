package provider

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/storage"
)

func TestUserClaimsFollowTheScopesAndNeverSayNothing(t *testing.T) {
	id := uuid.MustParse("0190a7d0-0000-7000-8000-000000000001")
	name, username, empty := "Alice Doe", "alice", ""
	full := &storage.User{
		ID: id, Email: "alice@example.com", IsVerified: true, Username: &username, FullName: &name, UpdatedAt: time.Unix(1700000000, 0),
		Metadata: map[string]any{
			"family_name": "Doe", "nickname": "", "picture": nil, "gender": 7, "zoneinfo": "Europe/Berlin",
			"phone_number": "+1 555 0100", "phone_number_verified": true, "roles": []string{"admin"}, "iss": "evil",
			"address": map[string]any{"country": "DE", "locality": "", "secret": "x"},
		},
	}
	bare := &storage.User{ID: id, FullName: &empty, Metadata: map[string]any{"address": map[string]any{}, "phone_number_verified": true}}

	held := &rights{[]string{"clerk"}, []string{"orders:read"}}
	for _, test := range []struct {
		name   string
		user   *storage.User
		scopes []string
		held   *rights
		want   string
	}{
		{"openid alone", full, []string{"openid"}, nil, `{"sub":"` + id.String() + `"}`},
		{"profile", full, []string{"openid", "profile"}, nil, `{"sub":"` + id.String() + `","name":"Alice Doe","preferred_username":"alice",
			"family_name":"Doe","zoneinfo":"Europe/Berlin","updated_at":1700000000}`},
		{"email", full, []string{"email"}, nil, `{"sub":"` + id.String() + `","email":"alice@example.com","email_verified":true}`},
		{"phone", full, []string{"phone"}, nil, `{"sub":"` + id.String() + `","phone_number":"+1 555 0100","phone_number_verified":true}`},
		{"address", full, []string{"address"}, nil, `{"sub":"` + id.String() + `","address":{"country":"DE"}}`},
		{"nothing known", bare, []string{"openid", "profile", "email", "phone", "address"}, nil, `{"sub":"` + id.String() + `"}`},
		// S-242: what somebody's profile says of roles says nothing.
		{"roles", full, []string{"openid", "roles"}, held, `{"sub":"` + id.String() + `","roles":["clerk"]}`},
		{"permissions", full, []string{"permissions"}, held, `{"sub":"` + id.String() + `","permissions":["orders:read"]}`},
		{"no role", full, []string{"roles", "permissions"}, &rights{[]string{}, []string{}}, `{"sub":"` + id.String() + `","roles":[],"permissions":[]}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			encoded, err := json.Marshal(userClaims(test.user, test.scopes, test.held))
			if err != nil {
				t.Fatal(err)
			}
			var got, want any
			if err := json.Unmarshal(encoded, &got); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(test.want), &want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %s", encoded)
			}
		})
	}
}

func TestHalfHashUsesTheHashOfTheAlgorithm(t *testing.T) {
	// OpenID Connect Core 1.0 appendix A.3 gives this pair for RS256.
	const token, want = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "77QmUPtjPfzWtF2AnpK9RQ"
	for _, alg := range []string{"RS256", "ES256"} {
		if got := halfHash(alg, token); got != want {
			t.Errorf("%s: got %s", alg, got)
		}
	}
	if got := halfHash("EdDSA", token); len(got) != 43 {
		t.Errorf("EdDSA hashes with SHA-512: half of it is 32 bytes, got %q", got)
	}
}

func TestAudienceIsAStringOrAnArray(t *testing.T) {
	for want, a := range map[string]audience{`"one"`: {"one"}, `["one","two"]`: {"one", "two"}} {
		if got, err := json.Marshal(a); err != nil || string(got) != want {
			t.Errorf("got %s, %v", got, err)
		}
	}
}
