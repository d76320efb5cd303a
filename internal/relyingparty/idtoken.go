package relyingparty

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/keizer-auth/keizer/internal/secret"
)

// leeway is how far the server's clock may be ahead of ours.
const leeway = 10 * time.Second

// Check is one thing that was looked at in an ID token, and what came of it.
type Check struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"`
	Detail string `json:"detail"`
	Clause string `json:"clause"`
}

// Expect is what an ID token must agree with.
type Expect struct {
	Nonce       string    // of the request
	AccessToken string    // which at_hash must be of
	MaxAge      *int      // as requested, seconds
	RequestedAt time.Time // when it was requested
	Refreshed   *IDToken  // at a refresh: the ID token before; the nonce is then that one's
}

// IDToken is an ID token taken apart. Its claims may be believed when Verified says so; until then they are for showing.
type IDToken struct {
	Raw     string
	Header  map[string]any
	Claims  map[string]any
	Payload []byte // the claims as they were signed
	Checks  []Check
}

// Verified reports whether every check passed.
func (t *IDToken) Verified() bool {
	return len(t.Checks) > 0 && !slices.ContainsFunc(t.Checks, func(c Check) bool { return !c.Passed })
}

// Subject returns the claim sub.
func (t *IDToken) Subject() string { return text(t.Claims, "sub") }

// UnverifiedError is an ID token that failed a check.
type UnverifiedError struct{ Failed []Check }

// Error names the first check that failed; the rest may follow from it.
func (u *UnverifiedError) Error() string {
	return fmt.Sprintf("the ID token does not verify: %s: %s", u.Failed[0].Name, u.Failed[0].Detail)
}

// VerifyIDToken checks an ID token as OpenID Connect Core 1.0 §3.1.3.7 and, at a refresh, §12.2 ask, and as strictly as
// they allow: at_hash is required although it is optional there, because Keizer promises it.
//
// The signature is go-oidc's to judge, and the token as a whole is put before it once more at the end; every other check
// stands on its own, so that all of them can be shown. The token is returned even when it fails, so that what is wrong
// can be seen; the error is then an *UnverifiedError.
func (c *Client) VerifyIDToken(ctx context.Context, raw string, want Expect) (*IDToken, error) {
	if raw == "" {
		return nil, &MismatchError{"id_token", "the answer of the token endpoint has none"}
	}
	if len(raw) > 16<<10 {
		return nil, &MismatchError{"id_token", "it is longer than 16 KiB"}
	}
	t := &IDToken{Raw: raw}
	if err := t.decode(); err != nil {
		return nil, err
	}

	ctx = oidc.ClientContext(ctx, c.http)
	lax := &oidc.Config{SkipClientIDCheck: true, SkipExpiryCheck: true, SkipIssuerCheck: true}
	parsed, err := c.provider.Verifier(lax).Verify(ctx, raw)
	alg, kid := text(t.Header, "alg"), text(t.Header, "kid")
	if err != nil {
		t.add("signature", false, printable(err.Error(), 300), "OIDC Core §3.1.3.7 (6)")
		return t, &UnverifiedError{Failed: t.Checks}
	}
	t.add("signature", true, fmt.Sprintf("%s, by the published key %s", alg, kid), "OIDC Core §3.1.3.7 (6)")

	now := time.Now()
	t.expect("iss", parsed.Issuer == c.config.Issuer, parsed.Issuer, c.config.Issuer, "OIDC Core §3.1.3.7 (2)")
	c.checkAudience(t, parsed)
	t.checkTimes(parsed, now)
	t.checkSubject(parsed)
	if want.Refreshed == nil {
		same := want.Nonce != "" && secret.Equal(parsed.Nonce, want.Nonce)
		t.expect("nonce", same, parsed.Nonce, "the one of the request", "OIDC Core §3.1.3.7 (11)")
	} else {
		t.checkRefreshed(want.Refreshed)
	}
	t.checkAuthTime(want, now)
	switch err := parsed.VerifyAccessToken(want.AccessToken); {
	case parsed.AccessTokenHash == "":
		t.add("at_hash", false, "it is missing", "OIDC Core §3.1.3.8")
	case err != nil:
		t.add("at_hash", false, "it is not the hash of the access token", "OIDC Core §3.1.3.8")
	default:
		t.add("at_hash", true, "it is the hash of the access token", "OIDC Core §3.1.3.8")
	}

	if t.Verified() {
		// Ours agree; a library that was written by others must come to the same verdict.
		_, err := c.provider.Verifier(&oidc.Config{ClientID: c.config.ClientID}).Verify(ctx, raw)
		if err != nil {
			t.add("go-oidc", false, printable(err.Error(), 300), "")
		}
	}
	if !t.Verified() {
		return t, &UnverifiedError{Failed: slices.DeleteFunc(slices.Clone(t.Checks), func(c Check) bool { return c.Passed })}
	}
	return t, nil
}

func (t *IDToken) add(name string, passed bool, detail, clause string) {
	t.Checks = append(t.Checks, Check{Name: name, Passed: passed, Detail: detail, Clause: clause})
}

// expect adds a check of a value against what it should be, which is said only when it is not.
func (t *IDToken) expect(name string, passed bool, got, want, clause string) {
	detail := printable(got, 300)
	if !passed {
		detail = fmt.Sprintf("it is %q, expected %s", detail, want)
	}
	t.add(name, passed, detail, clause)
}

// decode reads the header and the claims without believing them.
func (t *IDToken) decode() error {
	header, payload, err := Decode(t.Raw)
	if err != nil {
		return &MismatchError{"id_token", err.Error()}
	}
	if t.Header, err = object(header); err != nil {
		return &MismatchError{"id_token", "its header is not a JSON object"}
	}
	if t.Claims, err = object(payload); err != nil {
		return &MismatchError{"id_token", "its claims are not a JSON object"}
	}
	t.Payload = payload
	return nil
}

// checkAudience: the client is in aud; further audiences are nobody this client trusts; azp, where it stands, is the
// client (OpenID Connect Core 1.0 §3.1.3.7, 3 to 5).
func (c *Client) checkAudience(t *IDToken, parsed *oidc.IDToken) {
	only := len(parsed.Audience) == 1 && parsed.Audience[0] == c.config.ClientID
	t.expect("aud", only, strings.Join(parsed.Audience, " "), c.config.ClientID+" alone", "OIDC Core §3.1.3.7 (3)")
	if azp, ok := t.Claims["azp"]; ok {
		t.expect("azp", azp == c.config.ClientID, fmt.Sprint(azp), c.config.ClientID, "OIDC Core §3.1.3.7 (5)")
	}
}

func (t *IDToken) checkTimes(parsed *oidc.IDToken, now time.Time) {
	switch _, ok := t.number("exp"); {
	case !ok:
		t.add("exp", false, "it is missing or no number", "OIDC Core §3.1.3.7 (9)")
	case !now.Before(parsed.Expiry):
		t.add("exp", false, fmt.Sprintf("it expired at %s", stamp(parsed.Expiry)), "OIDC Core §3.1.3.7 (9)")
	default:
		t.add("exp", true, fmt.Sprintf("valid until %s", stamp(parsed.Expiry)), "OIDC Core §3.1.3.7 (9)")
	}
	switch _, ok := t.number("iat"); {
	case !ok:
		t.add("iat", false, "it is missing or no number", "OIDC Core §3.1.3.7 (10)")
	case parsed.IssuedAt.After(now.Add(leeway)):
		t.add("iat", false, fmt.Sprintf("it is in the future: %s", stamp(parsed.IssuedAt)), "OIDC Core §3.1.3.7 (10)")
	default:
		t.add("iat", true, fmt.Sprintf("issued at %s", stamp(parsed.IssuedAt)), "OIDC Core §3.1.3.7 (10)")
	}
	if nbf, ok := t.number("nbf"); ok {
		t.add("nbf", nbf <= now.Add(leeway).Unix(), fmt.Sprintf("not before %s", stamp(time.Unix(nbf, 0))), "RFC 7519 §4.1.5")
	}
}

func (t *IDToken) checkSubject(parsed *oidc.IDToken) {
	ok := parsed.Subject != "" && len(parsed.Subject) <= 255
	for _, r := range parsed.Subject {
		ok = ok && r < 0x80
	}
	t.expect("sub", ok, parsed.Subject, "1 to 255 ASCII characters", "OIDC Core §2")
}

// checkAuthTime: whoever asks for max_age is owed auth_time and may count it (OpenID Connect Core 1.0 §3.1.3.7, 13). It
// counts from the request, since a person may read the consent page for as long as they like.
func (t *IDToken) checkAuthTime(want Expect, now time.Time) {
	const clause = "OIDC Core §3.1.3.7 (13)"
	seconds, ok := t.number("auth_time")
	at := time.Unix(seconds, 0)
	switch {
	case want.MaxAge == nil && !ok:
	case !ok:
		t.add("auth_time", false, "it is missing although max_age was asked", clause)
	case at.After(now.Add(leeway)):
		t.add("auth_time", false, "it is in the future: "+stamp(at), clause)
	case want.MaxAge != nil && at.Before(want.RequestedAt.Add(-leeway-time.Duration(*want.MaxAge)*time.Second)):
		t.add("auth_time", false, fmt.Sprintf("signed in at %s, longer ago than max_age=%d", stamp(at), *want.MaxAge), clause)
	default:
		t.add("auth_time", true, "signed in at "+stamp(at), clause)
	}
}

// checkRefreshed compares with the ID token before (OpenID Connect Core 1.0 §12.2): the same person at the same server
// for the same client, signed in at the same time; a nonce need not come again, but may not be another.
func (t *IDToken) checkRefreshed(before *IDToken) {
	const clause = "OIDC Core §12.2"
	for _, name := range []string{"iss", "sub", "aud", "auth_time", "azp"} {
		if t.Claims[name] == nil && before.Claims[name] == nil {
			continue
		}
		same := jsonEqual(t.Claims[name], before.Claims[name])
		detail := "the same as before"
		if !same {
			detail = fmt.Sprintf("%v, before it was %v", printable(fmt.Sprint(t.Claims[name]), 200), before.Claims[name])
		}
		t.add("refreshed "+name, same, detail, clause)
	}
	if nonce, ok := t.Claims["nonce"]; ok {
		t.add("refreshed nonce", jsonEqual(nonce, before.Claims["nonce"]), "the same as before, if it comes at all", clause)
	}
	now, _ := t.number("iat")
	then, _ := before.number("iat")
	t.add("refreshed iat", now >= then, fmt.Sprintf("%d, before it was %d", now, then), clause)
}

// number reads a NumericDate, whole seconds (RFC 7519 §2).
func (t *IDToken) number(name string) (int64, bool) {
	n, ok := t.Claims[name].(json.Number)
	if !ok {
		return 0, false
	}
	if whole, err := n.Int64(); err == nil {
		return whole, true
	}
	float, err := n.Float64()
	if err != nil || float < 0 || float > 1<<53 {
		return 0, false
	}
	return int64(float), true
}

// Decode returns the header and the payload of a compact JWS without verifying anything.
func Decode(jws string) (header, payload []byte, err error) {
	parts := strings.Split(jws, ".")
	if len(parts) != 3 {
		return nil, nil, fmt.Errorf("it has %d parts, a signed JWT has 3", len(parts))
	}
	if header, err = base64.RawURLEncoding.DecodeString(parts[0]); err != nil {
		return nil, nil, fmt.Errorf("its header is not base64url")
	}
	if payload, err = base64.RawURLEncoding.DecodeString(parts[1]); err != nil {
		return nil, nil, fmt.Errorf("its payload is not base64url")
	}
	return header, payload, nil
}

func text(members map[string]any, name string) string {
	s, _ := members[name].(string)
	return s
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func jsonEqual(a, b any) bool {
	left, err := json.Marshal(a)
	if err != nil {
		return false
	}
	right, err := json.Marshal(b)
	return err == nil && string(left) == string(right)
}
