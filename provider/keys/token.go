package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/internal/base64url"
	"github.com/keizer-auth/keizer/internal/strictjson"
)

const (
	// Leeway is how far the clock of another may differ from ours.
	Leeway = 10 * time.Second

	maxToken = 16 << 10 // bytes, before anything of a token is looked at
)

// ErrToken is what is wrong with a token, whatever it is. Its text says more, for the log; it never quotes the token.
var ErrToken = errors.New("not a token that is accepted")

func refuse(reason string) error { return fmt.Errorf("%w: %s", ErrToken, reason) }

// A Token is a JWT whose signature has been verified. Whether it has expired is for the caller to ask: a hint may have.
type Token struct {
	Alg, Typ, KID string
	Payload       []byte
	Claims        Claims
}

// Claims are the members of a JWT's payload, each as it stands there.
type Claims map[string]json.RawMessage

// Text returns a member that is a string, or "".
func (c Claims) Text(name string) string {
	raw, there := c[name]
	if !there || len(raw) == 0 || raw[0] != '"' {
		return ""
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return ""
	}
	return text
}

// Texts returns a member that is a string or an array of strings, as aud may be (RFC 7519 §4.1.3), or nil.
func (c Claims) Texts(name string) []string {
	if text := c.Text(name); text != "" {
		return []string{text}
	}
	var texts []string
	if json.Unmarshal(c[name], &texts) != nil {
		return nil
	}
	return texts
}

// Date returns a member that is a NumericDate (RFC 7519 §2), and whether it is there. We write whole seconds and take
// nothing else: a fraction, an exponent, a text or a time before 1970 is an error.
func (c Claims) Date(name string) (at time.Time, there bool, err error) {
	raw, there := c[name]
	if !there {
		return time.Time{}, false, nil
	}
	const year10000 = 253402300800
	seconds, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || seconds <= 0 || seconds >= year10000 {
		return time.Time{}, true, refuse(name + " is not a time in whole seconds")
	}
	return time.Unix(seconds, 0).UTC(), true, nil
}

// CheckTimes refuses a token that has no end or has ended, or that is from the future, by more than Leeway.
func (c Claims) CheckTimes(now time.Time) error {
	exp, there, err := c.Date("exp")
	switch {
	case err != nil:
		return err
	case !there:
		return refuse("it has no exp")
	case !now.Before(exp.Add(Leeway)):
		return refuse("it has expired")
	}
	return c.checkBegun(now)
}

// checkBegun refuses a token that is from the future, by more than Leeway.
func (c Claims) checkBegun(now time.Time) error {
	for _, name := range []string{"nbf", "iat"} {
		at, there, err := c.Date(name)
		if err != nil {
			return err
		}
		if there && at.After(now.Add(Leeway)) {
			return refuse(name + " is in the future")
		}
	}
	return nil
}

// compactToken is a JWS of which nothing has been verified.
type compactToken struct {
	text          string
	alg, kid, typ string
	claims        Claims
	signature     []byte
}

// forbidden header parameters change what is signed or whose key is believed. Those that a token may well carry, such as
// x5t, are not looked at.
var forbidden = []string{"crit", "b64", "zip", "enc", "jwk", "jku", "x5u", "x5c"}

// parseCompact reads a compact JWS whose payload is a JSON object, and whose algorithm is one of algs.
func parseCompact(text string, algs []string) (*compactToken, error) {
	t, signature, err := readCompact(text, algs)
	if err != nil {
		return nil, err
	}
	if t.signature, err = base64url.Decode(signature); err != nil || len(t.signature) == 0 {
		return nil, refuse("its signature is not base64url")
	}
	return t, nil
}

// readCompact reads all but the signature, which it returns as it stands there.
func readCompact(text string, algs []string) (t *compactToken, signature string, err error) {
	if len(text) > maxToken {
		return nil, "", refuse("it is too long")
	}
	// Go's decoder skips line breaks; a token that may have them would have many forms.
	if strings.ContainsAny(text, "\r\n") {
		return nil, "", refuse("it has a line break")
	}
	header, rest, _ := strings.Cut(text, ".")
	payload, signature, signed := strings.Cut(rest, ".")
	if header == "" || payload == "" || !signed || strings.Contains(signature, ".") {
		return nil, "", refuse("it does not have three parts")
	}
	members, err := decodeObject(header)
	if err != nil {
		return nil, "", fmt.Errorf("%w: header: %w", ErrToken, err)
	}
	for _, name := range forbidden {
		if _, there := members[name]; there {
			return nil, "", refuse("its header has " + name)
		}
	}
	t = &compactToken{text: text}
	for name, into := range map[string]*string{"alg": &t.alg, "kid": &t.kid, "typ": &t.typ} {
		if _, there := members[name]; !there {
			continue
		}
		if *into = Claims(members).Text(name); *into == "" {
			return nil, "", refuse("header: " + name + " is not a text")
		}
	}
	if !slices.Contains(algs, t.alg) {
		return nil, "", refuse("its algorithm is not accepted")
	}
	claims, err := decodeObject(payload)
	if err != nil {
		return nil, "", fmt.Errorf("%w: payload: %w", ErrToken, err)
	}
	t.claims = claims
	return t, signature, nil
}

func decodeObject(part string) (map[string]json.RawMessage, error) {
	// Strict: the unused bits of the last character are zero, so that a token has one form.
	data, err := base64url.Decode(part)
	if err != nil {
		return nil, errors.New("not base64url")
	}
	return strictjson.Object(data)
}

// verify checks the signature with a key, and returns the payload that it is on.
func (t *compactToken) verify(public crypto.PublicKey) ([]byte, error) {
	if !fits(t.alg, public) {
		return nil, refuse("its algorithm is not that of the key")
	}
	signed, err := jose.ParseSignedCompact(t.text, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(t.alg)})
	if err != nil {
		return nil, refuse("it is malformed")
	}
	payload, err := signed.Verify(public)
	if err != nil {
		return nil, refuse("its signature does not verify")
	}
	return payload, nil
}

// madeWith reports whether the signature is an HMAC-SHA-256 under a secret (RFC 7518 §3.2).
func (t *compactToken) madeWith(secret []byte) bool {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(t.text[:strings.LastIndexByte(t.text, '.')]))
	return hmac.Equal(mac.Sum(nil), t.signature)
}

// lowest reports whether the signature is the one that sign makes, of the two that verify.
func (t *compactToken) lowest(public crypto.PublicKey) bool {
	if _, ok := public.(*ecdsa.PublicKey); !ok {
		return true
	}
	return len(t.signature) == 64 && new(big.Int).SetBytes(t.signature[32:]).Cmp(halfOrder) <= 0
}
