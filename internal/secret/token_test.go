package secret

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestAFreshTokenIsValidForItsKindOnly(t *testing.T) {
	kinds := []Kind{Code, AccessToken, RefreshToken, Session, Interaction, Flow, ClientSecret, Setup, PAR, Verification, SignIn, Device}
	for _, kind := range kinds {
		token := New(kind)
		for _, other := range kinds {
			if got, want := Valid(other, token), other == kind; got != want {
				t.Errorf("Valid(%s, %s token) = %v", other, kind, got)
			}
		}
	}
}

func TestAnAlteredTokenIsInvalid(t *testing.T) {
	token := New(RefreshToken)
	for i := range token {
		if Valid(RefreshToken, token[:i]) {
			t.Errorf("prefix of %d characters passes", i)
		}
		if i > 0 && Valid(RefreshToken, token[i:]) {
			t.Errorf("suffix from %d passes", i)
		}
		for bit := range 8 {
			b := []byte(token)
			b[i] ^= 1 << bit
			if Valid(RefreshToken, string(b)) {
				t.Errorf("bit %d of character %d flipped passes", bit, i)
			}
		}
	}
	for _, tail := range []string{"=", "==", "A", "\n", " ", "\x00"} {
		if Valid(RefreshToken, token+tail) {
			t.Errorf("appended %q passes", tail)
		}
	}
}

func TestAnAccessTokenIsOpaqueOrLooksLikeAJWT(t *testing.T) {
	for _, token := range []string{New(AccessToken), "eyJhbGciOiJFUzI1NiJ9.e30.AA", "ey.." + strings.Repeat("A", maxJWT-4)} {
		if digest, ok := AccessTokenDigest(token); !ok || digest != Digest(token) {
			t.Errorf("%.30s is refused", token)
		}
	}
	for _, text := range []string{
		"", New(RefreshToken), New(Code), New(AccessToken) + "A", "eyJhbGciOiJFUzI1NiJ9.e30", "a.b.c", "ey.a.b.c.d", "ey.." + strings.Repeat("A", maxJWT-3),
	} {
		if digest, ok := AccessTokenDigest(text); ok || digest != "" {
			t.Errorf("%.30s passes", text)
		}
	}
}

func TestTokensDoNotRepeat(t *testing.T) {
	seen := make(map[string]bool)
	for range 100_000 {
		token := New(Code)
		if seen[token] {
			t.Fatal("the same token twice")
		}
		seen[token] = true
	}
}

func TestASecretTextNeverPrintsItself(t *testing.T) {
	const canary = "canary-5d1f"
	text := Text(canary)
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", text, "nested", struct{ S Text }{text})
	asJSON, err := json.Marshal(map[string]any{"s": text})
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{
		fmt.Sprint(text), fmt.Sprintf("%v %+v %#v %s %q", text, text, text, text, text),
		fmt.Sprintf("%+v", struct{ S Text }{text}), string(asJSON), log.String(),
	} {
		if strings.Contains(out, canary) {
			t.Errorf("the secret escaped: %s", out)
		}
	}
	if text.Reveal() != canary {
		t.Error("Reveal must give the secret")
	}
}

func FuzzOpaqueToken(f *testing.F) {
	f.Add(New(AccessToken), 3, byte(1))
	f.Fuzz(func(t *testing.T, junk string, at int, flip byte) {
		if Valid(AccessToken, junk) && junk[:len("kz_at_")] != "kz_at_" {
			t.Fatalf("accepted %q", junk)
		}
		token := New(AccessToken)
		b := []byte(token)
		b[(at%len(b)+len(b))%len(b)] ^= flip
		if string(b) != token && Valid(AccessToken, string(b)) {
			t.Fatalf("altered token passes: %q", b)
		}
	})
}
