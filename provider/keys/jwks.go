package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/internal/strictjson"
)

const (
	maxJWKS       = 64 << 10 // bytes
	maxClientKeys = 32
	maxKID        = 256 // characters
	minRSA        = 2048
	maxRSA        = 8192 // verifying takes a time that grows with it
)

// ClientAlgorithms returns the algorithms that clients may sign with, assertions as well as request objects.
func ClientAlgorithms() []string { return []string{RS256, PS256, ES256, EdDSA} }

// ErrJWKS is what is wrong with a client's JWK Set. Its text says more.
var ErrJWKS = errors.New("not a JWK Set that is accepted")

// clientKey is a public key of a client, and what the client says of it.
type clientKey struct {
	kid, alg string
	public   crypto.PublicKey
	// By its use and key_ops.
	verifies, encrypts bool
	// only says that its use names the one thing that it is for.
	only bool
}

// usable reports whether the key may verify a signature by alg under kid, either of which the key may leave open.
func (k clientKey) usable(alg, kid string) bool {
	return k.verifies && fits(alg, k.public) && (k.alg == "" || k.alg == alg) && (kid == "" || k.kid == kid)
}

// A ClientJWKS is the JWK Set that a client registers.
type ClientJWKS []clientKey

// ParseClientJWKS reads the JWK Set that a client registers, or says what is wrong with it: every key must be public, strong and of a
// type that is known, and one at least must be of use.
func ParseClientJWKS(body []byte) (ClientJWKS, error) {
	found, err := parseClientJWKS(body, true)
	if err != nil {
		return nil, err
	}
	set := ClientJWKS(found)
	if !set.Verifies(ClientAlgorithms()...) && !slices.ContainsFunc(EncryptionAlgorithms(), set.Encrypts) {
		return nil, fmt.Errorf("%w: no key of it verifies by %s, nor is any for %s",
			ErrJWKS, strings.Join(ClientAlgorithms(), ", "), strings.Join(EncryptionAlgorithms(), ", "))
	}
	return set, nil
}

// Verifies reports whether a key of the set verifies by one of algs.
func (s ClientJWKS) Verifies(algs ...string) bool {
	return slices.ContainsFunc(s, func(k clientKey) bool {
		return slices.ContainsFunc(algs, func(alg string) bool { return k.usable(alg, "") })
	})
}

// Encrypts reports whether something can be encrypted to a key of the set by alg.
func (s ClientJWKS) Encrypts(alg string) bool {
	return slices.ContainsFunc(s, func(k clientKey) bool { return k.receives(alg) })
}

// parseClientJWKS reads a client's JWK Set. Keys that are weak or of a type not known are an error if strict, as at registration;
// else they are left out, as RFC 7517 §5 asks of one that was fetched. A private or symmetric key is an error always: who
// publishes one has lost it.
func parseClientJWKS(body []byte, strict bool) ([]clientKey, error) {
	if len(body) > maxJWKS {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrJWKS, maxJWKS)
	}
	set, err := strictjson.Object(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrJWKS, err)
	}
	var raws []json.RawMessage
	if raw, there := set["keys"]; !there || json.Unmarshal(raw, &raws) != nil {
		return nil, fmt.Errorf("%w: it has no array named keys", ErrJWKS)
	}
	if len(raws) > maxClientKeys {
		return nil, fmt.Errorf("%w: it has more than %d keys", ErrJWKS, maxClientKeys)
	}
	var found []clientKey
	kids := make(map[string]bool)
	for i, raw := range raws {
		members, err := strictjson.Object(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: key %d: %w", ErrJWKS, i+1, err)
		}
		for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
			if _, there := members[name]; there {
				return nil, fmt.Errorf("%w: key %d is not public: it has the member %s", ErrJWKS, i+1, name)
			}
		}
		k, err := parseClientKey(raw, members)
		if err != nil && strict {
			return nil, fmt.Errorf("%w: key %d: %w", ErrJWKS, i+1, err)
		}
		if err != nil {
			continue
		}
		if strict && (kids[k.kid] || (k.kid == "" && len(raws) > 1)) {
			return nil, fmt.Errorf("%w: key %d: its kid does not tell it from the others", ErrJWKS, i+1)
		}
		kids[k.kid] = true
		found = append(found, k)
	}
	return found, nil
}

func parseClientKey(raw []byte, members map[string]json.RawMessage) (clientKey, error) {
	for _, name := range []string{"kty", "kid", "alg", "use", "crv"} {
		if _, there := members[name]; there && Claims(members).Text(name) == "" {
			return clientKey{}, fmt.Errorf("its %s is not a text", name)
		}
	}
	k := clientKey{kid: Claims(members).Text("kid"), alg: Claims(members).Text("alg"), verifies: true, encrypts: true}
	if len(k.kid) > maxKID {
		return clientKey{}, errors.New("its kid is too long")
	}
	if use := Claims(members).Text("use"); use != "" {
		k.verifies, k.encrypts, k.only = use == "sig", use == "enc", true
	}
	if operations, there := members["key_ops"]; there {
		var names []string
		if json.Unmarshal(operations, &names) != nil {
			return clientKey{}, errors.New("its key_ops is not an array of texts")
		}
		k.verifies = k.verifies && slices.Contains(names, "verify")
		// A public key of ECDH has no operations of its own, and some write it so.
		k.encrypts = k.encrypts && (len(names) == 0 || slices.Contains(names, "wrapKey") || slices.Contains(names, "encrypt") ||
			slices.Contains(names, "deriveKey") || slices.Contains(names, "deriveBits"))
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(raw); err != nil {
		return clientKey{}, errors.New("it is malformed, or of a type that is not known")
	}
	k.public = jwk.Key
	return k, strong(jwk.Key)
}

// strong says what is too weak about a public key, or too much.
func strong(public crypto.PublicKey) error {
	switch key := public.(type) {
	case *rsa.PublicKey:
		switch bits := key.N.BitLen(); {
		case bits < minRSA:
			return fmt.Errorf("an RSA key of %d bits is too weak: at least %d are needed", bits, minRSA)
		case bits > maxRSA:
			return fmt.Errorf("an RSA key of %d bits is more than the %d that are accepted", bits, maxRSA)
		case key.E != 65537:
			return errors.New("the public exponent of an RSA key must be 65537")
		case key.N.Bit(0) == 0:
			return errors.New("the modulus of an RSA key cannot be even")
		}
		return nil
	case *ecdsa.PublicKey:
		if _, err := key.ECDH(); err != nil { // checks the curve and that the point is on it
			return errors.New("it is not a point on its curve")
		}
		return nil
	case ed25519.PublicKey:
		return nil
	}
	return errors.New("it is of a type that is not known")
}
