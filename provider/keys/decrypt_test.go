package keys_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// encryptTo encrypts as a client does, to one of the keys that are published.
func encryptTo(t testing.TB, key jose.JSONWebKey, alg, enc, contentType, plain string) string {
	t.Helper()
	options := &jose.EncrypterOptions{}
	if contentType != "" {
		options.WithContentType(jose.ContentType(contentType))
	}
	encrypter, err := jose.NewEncrypter(jose.ContentEncryption(enc), jose.Recipient{Algorithm: jose.KeyAlgorithm(alg), Key: key.Key, KeyID: key.KeyID}, options)
	must(t, err)
	encrypted, err := encrypter.Encrypt([]byte(plain))
	must(t, err)
	text, err := encrypted.CompactSerialize()
	must(t, err)
	return text
}

// reheaded has another header in the place of its own.
func reheaded(t testing.TB, text string, changes map[string]any) string {
	t.Helper()
	encoded, rest, _ := strings.Cut(text, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(encoded)
	must(t, err)
	var header map[string]any
	must(t, json.Unmarshal(decoded, &header))
	for name, value := range changes {
		if header[name] = value; value == nil {
			delete(header, name)
		}
	}
	decoded, err = json.Marshal(header)
	must(t, err)
	return base64.RawURLEncoding.EncodeToString(decoded) + "." + rest
}

func TestWhatIsEncryptedToAnOrganizationIsReadByItAlone(t *testing.T) {
	t.Parallel()
	db := storagetest.DB(t)
	ctx, other := organization(t, db, "acme"), organization(t, db, "other")
	k := keys.New(db, keys.Options{CacheFor: time.Nanosecond})
	algs, encs := keys.EncryptionAlgorithms(), keys.ContentAlgorithms()
	for _, alg := range keys.EncryptionKeys() {
		if _, err := keys.PlanRotation(ctx, db, alg, true, hour); !errors.Is(err, keys.ErrNoKey) {
			t.Errorf("a key comes of a rotation: %v", err)
		}
		if made, err := keys.Ensure(ctx, db, alg); err != nil || made == "" {
			t.Fatalf("%q %v", made, err)
		}
	}
	byUse := func() (found map[string]jose.JSONWebKey) {
		found = make(map[string]jose.JSONWebKey)
		for _, jwk := range published(t, ctx, k) {
			kind := map[bool]string{true: keys.RSAOAEP256, false: keys.ECDHES}[jwk.Algorithm == keys.RSAOAEP256]
			if _, twice := found[kind]; jwk.Use != "enc" || twice {
				t.Fatalf("%+v", jwk)
			}
			found[kind] = jwk
		}
		return found
	}
	for _, alg := range algs {
		for _, enc := range encs {
			key := byUse()[alg]
			if alg != keys.RSAOAEP256 {
				key = byUse()[keys.ECDHES]
			}
			text := encryptTo(t, key, alg, enc, "JWT", "a.b.c")
			if plain, err := k.Decrypt(ctx, text, algs, encs); err != nil || plain != "a.b.c" {
				t.Errorf("%s, %s: %q %v", alg, enc, plain, err)
			}
			key.KeyID = ""
			if plain, err := k.Decrypt(ctx, encryptTo(t, key, alg, enc, "", "a.b.c"), algs, encs); err != nil || plain != "a.b.c" {
				t.Errorf("%s, %s, without a kid: %q %v", alg, enc, plain, err)
			}
			refusedAll(t, alg+" "+enc, map[string]func() (string, error){
				"another organization": func() (string, error) { return k.Decrypt(other, text, algs, encs) },
				"another algorithm": func() (string, error) {
					return k.Decrypt(ctx, text, slices.DeleteFunc(slices.Clone(algs), func(one string) bool { return one == alg }), encs)
				},
				"another way": func() (string, error) {
					return k.Decrypt(ctx, text, algs, slices.DeleteFunc(slices.Clone(encs), func(one string) bool { return one == enc }))
				},
				"changed": func() (string, error) { return k.Decrypt(ctx, text[:len(text)-4]+"AAAA", algs, encs) },
			})
		}
	}

	// S-098 S-100, and what else must not be looked at.
	ec, rs := byUse()[keys.ECDHES], byUse()[keys.RSAOAEP256]
	good := encryptTo(t, ec, keys.ECDHESA128KW, keys.A128GCM, "JWT", "a.b.c")
	parts := strings.Split(good, ".")
	bad := map[string]string{
		"nothing":                good[:0],
		"three parts":            "a.b.c",
		"points":                 "....",
		"a hundred thousand":     strings.Repeat(".", 100_000),
		"long":                   good + strings.Repeat("A", 17<<10),
		"packed":                 reheaded(t, good, map[string]any{"zip": "DEF"}),
		"a critical extension":   reheaded(t, good, map[string]any{"crit": []string{"x"}, "x": 1}),
		"a key in it":            reheaded(t, good, map[string]any{"jwk": map[string]any{"kty": "EC"}}),
		"an address in it":       reheaded(t, good, map[string]any{"jku": "https://evil.example"}),
		"a password":             reheaded(t, good, map[string]any{"alg": "PBES2-HS256+A128KW", "p2c": 1 << 31}),
		"directly":               reheaded(t, good, map[string]any{"alg": "dir"}),
		"RSA of old":             reheaded(t, encryptTo(t, rs, keys.RSAOAEP256, keys.A128GCM, "", "a.b.c"), map[string]any{"alg": "RSA1_5"}),
		"of another kid":         reheaded(t, good, map[string]any{"kid": rs.KeyID}),
		"of no kid of ours":      reheaded(t, good, map[string]any{"kid": "x"}),
		"no ephemeral key":       reheaded(t, good, map[string]any{"epk": nil}),
		"a point off the curve":  reheaded(t, good, map[string]any{"epk": map[string]any{"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}}),
		"an RSA ephemeral key":   reheaded(t, good, map[string]any{"epk": map[string]any{"kty": "RSA", "n": "AQ", "e": "AQAB"}}),
		"no wrapped key":         strings.Join([]string{parts[0], "", parts[2], parts[3], parts[4]}, "."),
		"a wrapped key too long": strings.Join([]string{parts[0], strings.Repeat("A", 1000), parts[2], parts[3], parts[4]}, "."),
		"no tag":                 strings.Join([]string{parts[0], parts[1], parts[2], parts[3], ""}, "."),
		"an odd initial vector":  strings.Join([]string{parts[0], parts[1], "AA", parts[3], parts[4]}, "."),
		"claims, no JWT":         encryptTo(t, ec, keys.ECDHES, keys.A128GCM, "application/json", "{}"),
	}
	for name, text := range bad {
		if plain, err := k.Decrypt(ctx, text, algs, encs); !errors.Is(err, keys.ErrToken) || plain != "" {
			t.Errorf("%s: %q %v", name, plain, err)
		}
	}
	if token, err := k.Sign(ctx, keys.RSAOAEP256, "JWT", claimsFor(t, ctx)); !errors.Is(err, keys.ErrNoKey) {
		t.Errorf("signed by a key to decrypt with: %q %v", token, err)
	}

	// The next key is the one that is published; the one before it decrypts on, for those who remember it, until it is revoked.
	for _, alg := range keys.EncryptionKeys() {
		before := byUse()[alg]
		text := encryptTo(t, before, alg, keys.A256GCM, "JWT", "a.b.c")
		next, err := keys.Rotate(ctx, db, alg, true, hour)
		must(t, err)
		if after := byUse()[alg]; after.KeyID != next || next == before.KeyID {
			t.Errorf("%s after %s: %s is published", next, before.KeyID, after.KeyID)
		}
		if plain, err := k.Decrypt(ctx, text, algs, encs); err != nil || plain != "a.b.c" {
			t.Errorf("the key before: %q %v", plain, err)
		}
		must(t, keys.Revoke(ctx, db, before.KeyID))
		if plain, err := k.Decrypt(ctx, text, algs, encs); !errors.Is(err, keys.ErrToken) {
			t.Errorf("a key that was revoked: %q %v", plain, err)
		}
		if kids, err := keys.Forget(ctx, db, alg); err != nil || !slices.Equal(kids, []string{next}) {
			t.Errorf("%v %v", kids, err)
		}
	}
	if left := published(t, ctx, k); len(left) != 0 {
		t.Errorf("%v", left)
	}
}

// refusedAll expects that nothing is read.
func refusedAll(t testing.TB, what string, ways map[string]func() (string, error)) {
	t.Helper()
	for name, way := range ways {
		if plain, err := way(); !errors.Is(err, keys.ErrToken) || plain != "" {
			t.Errorf("%s, %s: %q %v", what, name, plain, err)
		}
	}
}
