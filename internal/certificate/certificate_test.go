package certificate_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/keizer-auth/keizer/internal/certificate"
)

// rsaKey is made once: under the race detector it takes its time.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func ecdsaKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// pair writes a certificate of a key for id.example.com and returns the names of the files, the certificate's first.
func pair(t *testing.T, key crypto.Signer, change func(*x509.Certificate)) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	put(t, certFile, "CERTIFICATE", issue(t, key, change))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, keyFile, "PRIVATE KEY", der)
	return certFile, keyFile
}

func issue(t *testing.T, key crypto.Signer, change func(*x509.Certificate)) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "id.example.com"}, DNSNames: []string{"id.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func put(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAPairThatCannotBeServedWithIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(t *testing.T, certFile, keyFile string)
		want  string
	}{
		"no certificate":   {func(t *testing.T, certFile, _ string) { _ = os.Remove(certFile) }, "tls.crt does not exist"},
		"no key":           {func(t *testing.T, _, keyFile string) { _ = os.Remove(keyFile) }, "tls.key does not exist"},
		"a folder":         {func(t *testing.T, certFile, _ string) { _ = os.Remove(certFile); _ = os.Mkdir(certFile, 0o700) }, "tls.crt cannot be read: is a directory"},
		"too large":        {func(t *testing.T, certFile, _ string) { _ = os.WriteFile(certFile, make([]byte, 1<<20+1), 0o600) }, "tls.crt is larger than 1 MiB"},
		"no PEM":           {func(t *testing.T, certFile, _ string) { _ = os.WriteFile(certFile, []byte("x"), 0o600) }, "tls.crt holds no certificate in PEM"},
		"an empty key":     {func(t *testing.T, _, keyFile string) { _ = os.WriteFile(keyFile, nil, 0o600) }, "tls.key holds no private key in PEM"},
		"a key of nothing": {func(t *testing.T, _, keyFile string) { put(t, keyFile, "PRIVATE KEY", []byte("x")) }, "cannot be read: tls:"},
		"a locked key":     {func(t *testing.T, _, keyFile string) { put(t, keyFile, "ENCRYPTED PRIVATE KEY", []byte("x")) }, "under a password"},
		"another key": {func(t *testing.T, certFile, _ string) {
			put(t, certFile, "CERTIFICATE", issue(t, ecdsaKey(t), nil))
		}, "is not that of the certificate in file"},
	} {
		t.Run(name, func(t *testing.T) {
			certFile, keyFile := pair(t, ecdsaKey(t), nil)
			c.spoil(t, certFile, keyFile)
			if _, err := certificate.Load(certFile, keyFile); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	for want, change := range map[string]func(*x509.Certificate){
		"has expired at":      func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) },
		"is not valid before": func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) },
	} {
		if _, err := certificate.Load(pair(t, ecdsaKey(t), change)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := certificate.Load(pair(t, small, nil)); err == nil || !strings.Contains(err.Error(), "has 1024 bits") {
		t.Errorf("a short key: %v", err)
	}
}

func TestACertificateIsDueBeforeItEnds(t *testing.T) {
	t.Parallel()
	now, day := time.Now(), 24*time.Hour
	for _, c := range []struct {
		life, left time.Duration
		due        bool
	}{{90 * day, 8 * day, false}, {90 * day, 6 * day, true}, {6 * day, 2 * day, false}, {6 * day, day, true}, {90 * day, -day, true}} {
		leaf := &x509.Certificate{NotAfter: now.Add(c.left), NotBefore: now.Add(c.left - c.life)}
		if got := certificate.Due(leaf, now); got != c.due {
			t.Errorf("of %s with %s left: %t", c.life, c.left, got)
		}
	}
}

// shake makes one handshake over a pipe. Either error may be nil.
func shake(t *testing.T, keeper *certificate.Keeper, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	near, far := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn := tls.Server(far, keeper.Config())
		_ = conn.Handshake()
		_, _ = conn.Read(make([]byte, 1)) // TLS 1.3 has something to say after it
		_ = far.Close()
	}()
	client.InsecureSkipVerify = true // whose it is shows in the state
	client.ServerName = "other.example.com"
	conn := tls.Client(near, client)
	err := conn.Handshake()
	state := conn.ConnectionState()
	_ = near.Close()
	<-served
	return state, err
}

// TestOnlyEphemeralKeysWithGCMAreSpokenBeforeTLS13 makes every handshake that Go can make (protocol.md 21; RFC 9325 §3.1, §4.2).
func TestOnlyEphemeralKeysWithGCMAreSpokenBeforeTLS13(t *testing.T) {
	t.Parallel()
	signed := map[string]crypto.Signer{"ECDSA": ecdsaKey(t), "RSA": rsaKey()}
	allowed := map[string]string{
		"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDSA", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDSA",
		"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "RSA", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "RSA",
	}
	for kind, key := range signed {
		certFile, keyFile := pair(t, key, nil)
		keeper, err := certificate.Open(certFile, keyFile, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
			if suite.SupportedVersions[0] == tls.VersionTLS13 {
				continue
			}
			state, err := shake(t, keeper, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}})
			if want := allowed[suite.Name] == kind; (err == nil) != want || want && (state.CipherSuite != suite.ID || state.Version != tls.VersionTLS12) {
				t.Errorf("%s with an %s key: %v, %x", suite.Name, kind, err, state.CipherSuite)
			}
		}
		for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
			if _, err := shake(t, keeper, &tls.Config{MinVersion: version, MaxVersion: version}); err == nil {
				t.Errorf("%s is spoken with an %s key", tls.VersionName(version), kind)
			}
		}
		for protocol, offered := range map[string][]string{"h2": {"h2", "http/1.1"}, "http/1.1": {"http/1.1"}} {
			state, err := shake(t, keeper, &tls.Config{NextProtos: offered})
			if err != nil || state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != protocol {
				t.Errorf("whoever speaks TLS 1.3 and %s: %v, %s, %q", offered, err, tls.VersionName(state.Version), state.NegotiatedProtocol)
			}
		}
	}
}

func TestANewCertificateIsTakenUpAndABrokenOneIsNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		certFile, keyFile := pair(t, ecdsaKey(t), nil)
		keeper, err := certificate.Open(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		served := func() int64 {
			t.Helper()
			time.Sleep(time.Second)
			got, err := keeper.Config().GetCertificate(&tls.ClientHelloInfo{ServerName: "acme.example.com"})
			if err != nil {
				t.Fatal(err)
			}
			return got.Leaf.SerialNumber.Int64()
		}
		numbered := func(n int64) func(*x509.Certificate) {
			return func(c *x509.Certificate) { c.SerialNumber = big.NewInt(n) }
		}
		replace := func(from, to string) {
			t.Helper()
			if err := os.Rename(from, to); err != nil {
				t.Fatal(err)
			}
		}
		if got := served(); got != 1 || log.Len() != 0 {
			t.Fatalf("number %d is served with at first; the log says %s", got, &log)
		}

		secondCert, secondKey := pair(t, ecdsaKey(t), numbered(2))
		replace(secondCert, certFile)
		if got := served(); got != 1 || strings.Count(log.String(), "level=ERROR") != 1 {
			t.Fatalf("with half of a new pair number %d is served with; the log says %s", got, &log)
		}
		served()
		if strings.Count(log.String(), "level=ERROR") != 1 {
			t.Errorf("the same fault is told of again: %s", &log)
		}
		replace(secondKey, keyFile)
		if got := served(); got != 2 || !strings.Contains(log.String(), "a new certificate is served with") {
			t.Fatalf("with the whole of a new pair number %d is served with; the log says %s", got, &log)
		}

		expired, _ := pair(t, ecdsaKey(t), func(c *x509.Certificate) { c.NotAfter = time.Now() })
		replace(expired, certFile)
		if got := served(); got != 2 || strings.Count(log.String(), "level=ERROR") != 2 {
			t.Errorf("with an expired one number %d is served with; the log says %s", got, &log)
		}
		if err := os.Remove(certFile); err != nil {
			t.Fatal(err)
		}
		if got := served(); got != 2 || strings.Count(log.String(), "level=ERROR") != 3 {
			t.Errorf("without one number %d is served with; the log says %s", got, &log)
		}
		thirdCert, thirdKey := pair(t, ecdsaKey(t), numbered(3))
		replace(thirdCert, certFile)
		replace(thirdKey, keyFile)
		if got := served(); got != 3 {
			t.Errorf("after all that number %d is served with", got)
		}
	})
}
