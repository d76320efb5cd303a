package certificate

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/internal/namedfile"
)

// minRSA is the shortest RSA key that is served with, in bits (RFC 9325 §4.5).
const minRSA = 2048

// Load reads a certificate with those between it and its authority, and the private key to it. Its error says in one sentence which
// file is wrong, and how.
func Load(certFile, keyFile string) (*tls.Certificate, error) {
	chain, err := namedfile.Read(certFile)
	if err != nil {
		return nil, err
	}
	key, err := namedfile.Read(keyFile)
	if err != nil {
		return nil, err
	}
	if !holds(chain, func(kind string) bool { return kind == "CERTIFICATE" }) {
		return nil, fmt.Errorf("file %s holds no certificate in PEM", certFile)
	}
	if !holds(key, func(kind string) bool { return strings.HasSuffix(kind, "PRIVATE KEY") }) {
		return nil, fmt.Errorf("file %s holds no private key in PEM", keyFile)
	}
	if holds(key, func(kind string) bool { return kind == "ENCRYPTED PRIVATE KEY" }) {
		return nil, fmt.Errorf("file %s holds a private key under a password, which nobody is here to give", keyFile)
	}
	pair, err := tls.X509KeyPair(chain, key)
	switch {
	case err != nil && strings.Contains(err.Error(), "does not match"):
		return nil, fmt.Errorf("the key in file %s is not that of the certificate in file %s", keyFile, certFile)
	case err != nil:
		return nil, fmt.Errorf("files %s and %s cannot be read: %w", certFile, keyFile, err)
	}
	if public, ok := pair.Leaf.PublicKey.(*rsa.PublicKey); ok && public.N.BitLen() < minRSA {
		return nil, fmt.Errorf("the key in file %s has %d bits; it must have %d at least", keyFile, public.N.BitLen(), minRSA)
	}
	switch now := time.Now(); {
	case now.After(pair.Leaf.NotAfter):
		return nil, fmt.Errorf("the certificate in file %s has expired at %s", certFile, pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(pair.Leaf.NotBefore):
		return nil, fmt.Errorf("the certificate in file %s is not valid before %s", certFile, pair.Leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return &pair, nil
}

// Due reports whether a certificate should have been renewed by now: it has less than a week left, or less than a fifth of a life that is
// short altogether.
func Due(leaf *x509.Certificate, now time.Time) bool {
	return leaf.NotAfter.Sub(now) < min(7*24*time.Hour, leaf.NotAfter.Sub(leaf.NotBefore)/5)
}

// holds reports whether there is a block of a kind in PEM.
func holds(content []byte, is func(kind string) bool) bool {
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			return false
		}
		if is(block.Type) {
			return true
		}
	}
}
