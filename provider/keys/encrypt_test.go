package keys

import (
	"context"
	"crypto"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/storage"
)

// forEncryption is the public part of a key, as its owner publishes it.
func forEncryption(t testing.TB, m *material, kid string) string {
	t.Helper()
	return withMember(t, []byte(withMember(t, []byte(withMember(t, m.jwk, "alg", nil)), "use", "enc")), "kid", kid)
}

// opened decrypts as a client does, and returns the kid that it was told.
func opened(t testing.TB, text, alg, enc string, private crypto.PrivateKey) (payload, kid string, contentType any) {
	t.Helper()
	encrypted, err := jose.ParseEncryptedCompact(text, []jose.KeyAlgorithm{jose.KeyAlgorithm(alg)}, []jose.ContentEncryption{jose.ContentEncryption(enc)})
	if err != nil {
		t.Fatalf("%s, %s: %v", alg, enc, err)
	}
	plain, err := encrypted.Decrypt(private)
	if err != nil {
		t.Fatalf("%s, %s: %v", alg, enc, err)
	}
	return string(plain), encrypted.Header.KeyID, encrypted.Header.ExtraHeaders[jose.HeaderContentType]
}

func TestWhatIsEncryptedToAClientIsReadByItAlone(t *testing.T) {
	rs, es, other := mustGenerate(t, RS256), mustGenerate(t, ES256), mustGenerate(t, ES256)
	jwks := string(set(string(rs.jwk), forEncryption(t, rs, "r"), forEncryption(t, es, "e")))
	client := &storage.Client{ID: uuid.New(), JWKS: &jwks}
	clients := NewClientKeys(outbound.New(outbound.Options{}))
	for _, alg := range EncryptionAlgorithms() {
		private, kid := crypto.PrivateKey(es.private), "e"
		if alg == RSAOAEP256 {
			private, kid = rs.private, "r"
		}
		for _, enc := range ContentAlgorithms() {
			text, err := clients.Encrypt(t.Context(), client, alg, enc, "JWT", []byte("a.b.c"))
			if err != nil {
				t.Fatal(err)
			}
			if payload, named, kind := opened(t, text, alg, enc, private); payload != "a.b.c" || named != kid || kind != "JWT" {
				t.Errorf("%s, %s: %q, to %s, of type %v", alg, enc, payload, named, kind)
			}
			again, err := clients.Encrypt(t.Context(), client, alg, enc, "", []byte("a.b.c"))
			if err != nil || again == text || strings.Contains(text, b64.EncodeToString([]byte("a.b.c"))) {
				t.Errorf("%s, %s: twice the same, or not encrypted: %v", alg, enc, err)
			}
			if _, _, kind := opened(t, again, alg, enc, private); kind != nil {
				t.Errorf("%s, %s: of type %v", alg, enc, kind)
			}
		}
	}
	text, err := clients.Encrypt(t.Context(), client, ECDHES, A128GCM, "", []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := jose.ParseEncryptedCompact(text, []jose.KeyAlgorithm{jose.ECDH_ES}, []jose.ContentEncryption{jose.A128GCM})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := encrypted.Decrypt(other.private); err == nil {
		t.Error("another reads it")
	}
}

func TestWithoutAKeyThatFitsNothingIsEncrypted(t *testing.T) {
	rs, es := mustGenerate(t, RS256), mustGenerate(t, ES256)
	clients := NewClientKeys(outbound.New(outbound.Options{}))
	for name, jwks := range map[string]string{
		"keys for signatures":     string(set(string(rs.jwk), string(es.jwk))),
		"a key by another way":    string(set(withMember(t, []byte(forEncryption(t, es, "e")), "alg", ECDHESA128KW))),
		"a key of another type":   string(set(forEncryption(t, rs, "r"))),
		"a key that is lost":      string(set(withMember(t, []byte(forEncryption(t, es, "e")), "d", "AA"))),
		"a key that got too weak": string(set(withMember(t, []byte(forEncryption(t, es, "e")), "crv", "P-192"))),
		"none at all":             "",
	} {
		text, err := clients.Encrypt(t.Context(), &storage.Client{ID: uuid.New(), JWKS: &jwks}, ECDHES, A128GCM, "JWT", []byte("x"))
		if !errors.Is(err, ErrNoEncryptionKey) || text != "" {
			t.Errorf("%s: %s, %v", name, text, err)
		}
	}
}

// A key that a client has taken away is not encrypted to for longer than its keys are remembered (OpenID Connect Core 1.0 §10.2.1).
func TestAClientsNewEncryptionKeyIsNoticed(t *testing.T) {
	first, second := mustGenerate(t, ES256), mustGenerate(t, ES256)
	var body atomic.Value
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if text := body.Load().(string); text != "" {
			_, _ = w.Write(set(text))
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	defer server.Close()
	clients := NewClientKeys(outbound.New(outbound.Options{AllowLoopback: true}))
	client := &storage.Client{ID: uuid.New(), JWKSURI: &server.URL}
	expect := func(deed, kid string, failure error, fetches int64) {
		t.Helper()
		asked.Store(0)
		text, err := clients.Encrypt(t.Context(), client, ECDHES, A128GCM, "JWT", []byte("x"))
		if !errors.Is(err, failure) || asked.Load() != fetches {
			t.Errorf("%s: %v, %d fetches", deed, err, asked.Load())
		}
		if failure != nil {
			return
		}
		if encrypted, err := jose.ParseEncryptedCompact(text, []jose.KeyAlgorithm{jose.ECDH_ES}, []jose.ContentEncryption{jose.A128GCM}); err != nil {
			t.Error(err)
		} else if encrypted.Header.KeyID != kid {
			t.Errorf("%s: encrypted to %s", deed, encrypted.Header.KeyID)
		}
	}
	body.Store(string(first.jwk))
	expect("keys for signatures", "", ErrNoEncryptionKey, 1)
	body.Store(forEncryption(t, first, "1"))
	expect("a key since, too soon", "", ErrNoEncryptionKey, 0)
	clients.remote.age(61 * time.Second)
	expect("a key since, a minute later", "1", nil, 1)
	body.Store(forEncryption(t, second, "2"))
	expect("a newer one, while the first is remembered", "1", nil, 0)
	clients.remote.age(remoteFor)
	expect("a newer one, once it is not", "2", nil, 1)
	body.Store("")
	clients.remote.age(remoteFor)
	expect("an address that does not answer", "", ErrClientKeysAway, 1)
	body.Store(forEncryption(t, second, "2"))
	expect("one that answers again, too soon", "", ErrClientKeysAway, 0)
	clients.remote.age(61 * time.Second)
	expect("one that answers again", "2", nil, 1)

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := clients.Encrypt(gone, client, ECDHES, A128GCM, "JWT", []byte("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("who hangs up: %v", err)
	}
}
