package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/go-jose/go-jose/v4"
)

// The algorithms that an organization signs with (RFC 7518 §3.1, RFC 8037 §3.1).
const (
	RS256 = "RS256"
	PS256 = "PS256"
	ES256 = "ES256"
	EdDSA = "EdDSA"
)

const rsaBits = 2048

// Algorithms returns the algorithms that can be signed with, the default of OpenID Connect first.
func Algorithms() []string { return []string{RS256, PS256, ES256, EdDSA} }

// CommonAlgorithms returns those of them that every organization has a key for. A key for another is made when the first client is
// registered for it: making one takes long, and few ever need it.
func CommonAlgorithms() []string { return []string{RS256, ES256, EdDSA} }

// ErrAlgorithm is the answer to an algorithm that Keizer does not sign with.
var ErrAlgorithm = errors.New("not an algorithm that is signed with")

// material is a key pair, parsed once and never changed. It is what costs: RSA keys are checked and precomputed on parsing.
type material struct {
	kid     string // RFC 7638
	alg     string
	private crypto.Signer
	public  crypto.PublicKey
	jwk     json.RawMessage // public, as it stands in the JWK Set
}

func generate(alg string) (*material, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case RS256, PS256, RSAOAEP256:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case ES256, ECDHES:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		return nil, fmt.Errorf("%w: %q", ErrAlgorithm, alg)
	}
	if err != nil {
		return nil, fmt.Errorf("generate %s key: %w", alg, err)
	}
	return newMaterial(alg, private)
}

func newMaterial(alg string, private crypto.Signer) (*material, error) {
	m := &material{alg: alg, private: private, public: private.Public()}
	jwk := jose.JSONWebKey{Key: m.public, Algorithm: alg, Use: UseOf(alg)}
	if alg == ECDHES {
		jwk.Algorithm = "" // it is for the others of its kind as well
	}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("take thumbprint: %w", err)
	}
	m.kid = base64.RawURLEncoding.EncodeToString(thumbprint)
	jwk.KeyID = m.kid
	if m.jwk, err = jwk.MarshalJSON(); err != nil {
		return nil, fmt.Errorf("write public key: %w", err)
	}
	return m, nil
}

// privateJWK is what storage seals.
func (m *material) privateJWK() ([]byte, error) {
	jwk := jose.JSONWebKey{Key: m.private, KeyID: m.kid, Algorithm: m.alg, Use: UseOf(m.alg)}
	return jwk.MarshalJSON()
}

// parseMaterial reads a stored key. What is published is derived from the private key, and the thumbprint must be the kid
// under which the row was found: a row whose parts do not belong together is an error, never a key.
func parseMaterial(kid, alg string, privateJWK []byte) (*material, error) {
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(privateJWK); err != nil {
		return nil, fmt.Errorf("signing key %s: malformed", kid) // the cause might quote what is secret
	}
	private, ok := jwk.Key.(crypto.Signer)
	if !ok || jwk.Algorithm != alg || !fits(alg, private.Public()) && !wraps(alg, private.Public()) {
		return nil, fmt.Errorf("signing key %s: not a private key for %s", kid, alg)
	}
	if key, ok := private.(*rsa.PrivateKey); ok {
		// What the JWK says of the primes is not all that crypto/rsa keeps: without this it works out the rest anew for each
		// signature, which doubles its cost.
		key.Precomputed = rsa.PrecomputedValues{}
		key.Precompute()
		if err := key.Validate(); err != nil {
			return nil, fmt.Errorf("signing key %s: malformed", kid)
		}
	}
	m, err := newMaterial(alg, private)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", kid, err)
	}
	if m.kid != kid {
		return nil, fmt.Errorf("signing key %s: its thumbprint is another", kid)
	}
	return m, nil
}

// fits reports whether a public key is of the type and curve that an algorithm asks for. It does not judge strength.
func fits(alg string, public crypto.PublicKey) bool {
	switch key := public.(type) {
	case *rsa.PublicKey:
		return alg == RS256 || alg == PS256
	case *ecdsa.PublicKey:
		return alg == ES256 && key.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return alg == EdDSA
	}
	return false
}

// halfOrder is half the order of P-256. Of the two signatures (r, s) and (r, n−s) that verify, ours is the lower.
var halfOrder = new(big.Int).Rsh(elliptic.P256().Params().N, 1)

// sign returns the signature of RFC 7515 §5.1 over the signing input.
func (m *material) sign(input []byte) ([]byte, error) {
	switch key := m.private.(type) {
	case *rsa.PrivateKey:
		digest := sha256.Sum256(input)
		if m.alg == PS256 {
			// RFC 7518 §3.5: the salt is as long as the hash.
			return rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		}
		return rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	case *ecdsa.PrivateKey:
		digest := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			return nil, err
		}
		// A token of ours has one form only: whoever holds it cannot turn it into another that verifies as well.
		if s.Cmp(halfOrder) > 0 {
			s.Sub(key.Params().N, s)
		}
		signature := make([]byte, 64) // RFC 7518 §3.4: r and s, 32 octets each
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
		return signature, nil
	case ed25519.PrivateKey:
		return ed25519.Sign(key, input), nil
	}
	return nil, fmt.Errorf("%w: %q", ErrAlgorithm, m.alg)
}

// compact returns the compact serialization (RFC 7515 §7.1) of a signed payload.
func (m *material) compact(typ string, payload []byte) (string, error) {
	header, err := json.Marshal(struct {
		Alg string `json:"alg"`
		KID string `json:"kid"`
		Typ string `json:"typ,omitempty"`
	}{m.alg, m.kid, typ})
	if err != nil {
		return "", fmt.Errorf("write header: %w", err)
	}
	encoding := base64.RawURLEncoding
	out := make([]byte, 0, encoding.EncodedLen(len(header))+encoding.EncodedLen(len(payload))+2+encoding.EncodedLen(rsaBits/8))
	out = encoding.AppendEncode(out, header)
	out = append(out, '.')
	out = encoding.AppendEncode(out, payload)
	signature, err := m.sign(out)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	out = append(out, '.')
	return string(encoding.AppendEncode(out, signature)), nil
}
