package provider

import (
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
)

func s256(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestOnlyAnS256ChallengeOfTheRightFormIsTaken(t *testing.T) {
	good := s256(strings.Repeat("v", 43))
	for _, test := range []struct {
		name, challenge, method string
		ok                      bool
	}{
		{"right", good, "S256", true},
		{"no challenge", "", "S256", false},
		{"neither", "", "", false},
		{"no method", good, "", false},
		{"plain", strings.Repeat("v", 43), "plain", false},
		{"wrong case of the method", good, "s256", false},
		{"unknown method", good, "S512", false},
		{"too short", good[:42], "S256", false},
		{"too long", good + "A", "S256", false},
		{"padded", good + "=", "S256", false},
		{"not base64url", good[:42] + "+", "S256", false},
		{"bits that mean nothing", good[:42] + "B", "S256", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			form := url.Values{"code_challenge": {test.challenge}, "code_challenge_method": {test.method}}
			if err := checkChallenge(form, true); (err == nil) != test.ok {
				t.Errorf("checkChallenge = %v", err)
			}
			// Where none is needed, what is there is held to the same.
			if err := checkChallenge(form, false); (err == nil) != (test.ok || test.name == "neither") {
				t.Errorf("checkChallenge where none is needed = %v", err)
			}
		})
	}
}

func TestOnlyTheVerifierOfTheChallengeMatches(t *testing.T) {
	verifier := strings.Repeat("aZ9-._~", 7)
	if !verifierMatches(verifier, s256(verifier)) {
		t.Fatal("the right verifier does not match")
	}
	for _, wrong := range []string{
		"", verifier[:42], strings.Repeat("a", 129), verifier + "%", verifier[:48] + "\x00", verifier[:48] + "é", verifier + " ", s256(verifier),
	} {
		if verifierMatches(wrong, s256(wrong)) && len(wrong) != 43 {
			t.Errorf("a malformed verifier %q matches its own challenge", wrong)
		}
		if verifierMatches(wrong, s256(verifier)) {
			t.Errorf("%q matches another's challenge", wrong)
		}
	}
	if verifierMatches("", "") {
		t.Error("nothing matches nothing")
	}
}

func FuzzPKCE(f *testing.F) {
	f.Add(strings.Repeat("a", 43), strings.Repeat("b", 43))
	f.Fuzz(func(t *testing.T, verifier, other string) {
		challenge := s256(verifier)
		if other != verifier && verifierMatches(other, challenge) {
			t.Fatalf("%q matches the challenge of %q", other, verifier)
		}
	})
}
