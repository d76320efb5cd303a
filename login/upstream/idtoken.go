package upstream

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/strictjson"
)

const (
	// maxIDToken bounds what is looked at, in bytes.
	maxIDToken = 16 << 10
	// ahead is how far the provider's clock may be ahead of ours, and behind how old an ID token may be that was just asked for.
	ahead  = time.Minute
	behind = 5 * time.Minute
	// keysFor is how long keys are used, keysStale how long when they cannot be had, and keysAgain how often they are asked for at the
	// most, whatever keys tokens name (S-096).
	keysFor   = time.Hour
	keysStale = 24 * time.Hour
	keysAgain = time.Minute

	maxKeys    = 100
	minRSA     = 2048
	maxSubject = 255 // bytes (Core 1.0 §2)
)

// algorithms are those that an ID token may be signed by. None of them is symmetric, nor none.
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// allowed are those of them that the provider says it uses; it need not say that it uses RS256.
func (m *metadata) allowed() []string {
	allowed := slices.DeleteFunc(slices.Clone(m.Algorithms), func(alg string) bool { return !slices.Contains(algorithms, alg) })
	if len(m.Algorithms) == 0 {
		return []string{oidc.RS256}
	}
	return allowed
}

// keySet are the keys that a provider publishes.
type keySet struct{ keys []jose.JSONWebKey }

func (u *Upstream) fetchKeys(ctx context.Context, address string) (*keySet, error) {
	body, err := u.document(ctx, address)
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := strictjson.Check(body); err != nil {
		return nil, untrusted("keys: %w", err)
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, untrusted("keys: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, untrusted("there are %d keys", len(set.Keys))
	}
	var found keySet
	for _, text := range set.Keys {
		var key jose.JSONWebKey
		// Keys of kinds that are not known may stand there (RFC 7517 §5).
		if json.Unmarshal(text, &key) == nil && (key.Use == "" || key.Use == "sig") && strong(key.Key) {
			found.keys = append(found.keys, key)
		}
	}
	return &found, nil
}

// strong reports whether a key is a public one that is worth something.
func strong(key any) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSA && k.E >= 3
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// published are the keys of a provider, as the verifier asks for them.
type published struct {
	upstream *Upstream
	known    *known
	address  string
	allowed  []string
	// fault is why it could not be verified, which go-oidc hands on as a text alone.
	fault error
}

// VerifySignature implements oidc.KeySet.
func (p *published) VerifySignature(ctx context.Context, token string) (payload []byte, err error) {
	defer func() { p.fault = err }()
	algs := make([]jose.SignatureAlgorithm, len(p.allowed))
	for i, alg := range p.allowed {
		algs[i] = jose.SignatureAlgorithm(alg)
	}
	signed, err := jose.ParseSignedCompact(token, algs)
	if err != nil {
		return nil, untrusted("ID token: %w", err)
	}
	header := signed.Signatures[0].Header
	err = p.known.keys.use(ctx, p.address, keysFor, keysStale, keysAgain, p.upstream.fetchKeys, func(set *keySet) bool {
		for _, key := range set.keys {
			if header.KeyID != "" && key.KeyID != header.KeyID || key.Algorithm != "" && key.Algorithm != header.Algorithm {
				continue
			}
			if verified, err := signed.Verify(key.Key); err == nil {
				payload = verified
				return true
			}
		}
		return false
	})
	return payload, err
}

// told is what an ID token says, once it was verified.
type told struct {
	issuer, subject string
	authTime        time.Time
	claims          map[string]any
}

// token verifies a token of the provider for us, but for who its issuer is: that checkIssuer knows.
func (u *Upstream) token(ctx context.Context, k *known, p plan, m *metadata, raw string, expires bool) (*oidc.IDToken, map[string]any, error) {
	if len(raw) > maxIDToken {
		return nil, nil, untrusted("the token has %d bytes", len(raw))
	}
	keys := &published{upstream: u, known: k, address: m.Keys, allowed: m.allowed()}
	config := &oidc.Config{ClientID: p.ClientID, SupportedSigningAlgs: keys.allowed, SkipExpiryCheck: !expires, SkipIssuerCheck: true}
	token, err := oidc.NewVerifier(p.Issuer, keys, config).Verify(ctx, raw)
	if errors.Is(keys.fault, ErrDown) {
		return nil, nil, keys.fault
	}
	if err != nil {
		return nil, nil, untrusted("token: %w", err)
	}
	var payload json.RawMessage
	if err := token.Claims(&payload); err != nil {
		return nil, nil, untrusted("token: %w", err)
	}
	// encoding/json, which go-oidc reads with, takes AUD for aud; so that no claim is read in two ways, there must be one of each (S-101).
	claims, err := members(payload)
	return token, claims, err
}

// verify checks an ID token as OpenID Connect Core 1.0 §3.1.3.7 has it (S-236).
func (u *Upstream) verify(ctx context.Context, k *known, p plan, m *metadata, r *Request, raw, accessToken string) (*told, error) {
	if raw == "" {
		return nil, untrusted("there is no ID token")
	}
	token, claims, err := u.token(ctx, k, p, m, raw, true)
	if err != nil {
		return nil, err
	}
	issuer, err := p.checkIssuer(token.Issuer, claims)
	if err != nil {
		return nil, err
	}
	azp, isText := claims["azp"].(string)
	_, hasAZP := claims["azp"]
	switch now := time.Now(); {
	case hasAZP && (!isText || azp != p.ClientID):
		return nil, untrusted("the ID token is for another client")
	case len(token.Audience) > 1 && !hasAZP:
		return nil, untrusted("the ID token is for several, and does not say for whom it was made")
	case token.IssuedAt.IsZero() || token.IssuedAt.After(now.Add(ahead)):
		return nil, untrusted("the ID token was issued at %s", token.IssuedAt)
	case token.IssuedAt.Before(r.At.Add(-behind)):
		return nil, untrusted("the ID token is older than the request")
	case !subjectLike(token.Subject):
		return nil, untrusted("the subject is none")
	}
	if (token.Nonce != "" || !p.NoNonce) && !secret.Equal(token.Nonce, r.Nonce) { // S-233
		return nil, untrusted("the nonce is another")
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(accessToken); err != nil {
			return nil, untrusted("ID token: %w", err)
		}
	}
	found := &told{issuer: issuer, subject: token.Subject, claims: claims}
	if number, ok := claims["auth_time"].(json.Number); ok {
		seconds, err := number.Int64()
		if err != nil {
			return nil, untrusted("auth_time is %s", number)
		}
		found.authTime = time.Unix(seconds, 0)
	}
	return found, nil
}

// checkIssuer refuses the token of another issuer, and returns that which the subject is known by.
func (p plan) checkIssuer(issuer string, claims map[string]any) (string, error) {
	switch {
	case p.Directories:
		id, _ := claims["tid"].(string)
		if !directory.MatchString(id) || issuer != p.directory(id) {
			return "", untrusted("the issuer is %q, of directory %q", issuer, id)
		}
		if err := p.lets(id); err != nil {
			return "", err
		}
		return issuer, nil
	case issuer == p.Issuer, p.Preset.Name == "google" && "https://"+issuer == p.Issuer: // which Google documents
		return p.Issuer, nil
	}
	return "", untrusted("the issuer is %q", issuer)
}

// lets refuses whoever is of a directory that is not meant.
func (p plan) lets(id string) error {
	var ok bool
	switch p.tenant {
	case "common":
		ok = true
	case "organizations":
		ok = id != consumers
	case "consumers":
		ok = id == consumers
	default:
		ok = id == p.tenant
	}
	if !ok || len(p.Settings.Tenants) > 0 && !slices.Contains(p.Settings.Tenants, id) {
		return refused("people of directory %s are not let in", id)
	}
	return nil
}

// subjectLike reports whether a text can tell one person from another.
func subjectLike(subject string) bool {
	return subject != "" && len(subject) <= maxSubject && !unprintable(subject)
}
