package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/storage"
)

const (
	// assertionLife is how far ahead an assertion may end, and how long ago it may have been issued.
	assertionLife = 5 * time.Minute

	maxJTI = 256 // characters
)

// HS256 is what client_secret_jwt signs by (OpenID Connect Core 1.0 §9). There is no other use of it.
const HS256 = "HS256"

// secretJWT is the authentication method of clients whose assertions are made by their secret.
const secretJWT = "client_secret_jwt"

// AssertionAlgorithms returns the algorithms that assertions may be signed by, whichever of the two methods they are of.
func AssertionAlgorithms() []string { return append(ClientAlgorithms(), HS256) }

// An AssertionVerifier checks what clients authenticate with by private_key_jwt and client_secret_jwt (RFC 7523 §3, OpenID Connect Core 1.0 §9).
type AssertionVerifier struct {
	db      *storage.DB
	clients *ClientKeys
}

// NewAssertionVerifier returns a verifier that knows the keys of clients from clients.
func NewAssertionVerifier(db *storage.DB, clients *ClientKeys) *AssertionVerifier {
	return &AssertionVerifier{db: db, clients: clients}
}

// Verify checks that assertion was made by client, lately, for one of audiences alone and for the first time. What is wrong with an
// assertion is an ErrToken, which is answered invalid_client; any other error is a fault of ours, storage.ErrUnavailable
// among them. outbound.Cause tells the log why keys could not be fetched.
//
// An assertion is spent when everything else about it is right, and only then: one that was refused may be mended and sent
// again, and nobody can spend another's.
func (v *AssertionVerifier) Verify(ctx context.Context, client *storage.Client, assertion string, audiences ...string) error {
	// What the client is registered for settles what its key is: a public one is never taken for a secret (RFC 8725 §2.1).
	algs, prove := ClientAlgorithms(), v.clients.verify
	if client.AuthMethod == secretJWT {
		algs, prove = []string{HS256}, v.verifySecret
	}
	if only, ok := client.Metadata["token_endpoint_auth_signing_alg"].(string); ok && only != "" {
		algs = intersect(algs, []string{only})
	}
	t, err := parseCompact(assertion, algs)
	if err != nil {
		return err
	}
	// An explicit type keeps other JWTs that the client signs from passing for assertions (RFC 8725 §3.11).
	if t.typ != "" && !strings.EqualFold(t.typ, "JWT") && !strings.EqualFold(t.typ, "client-authentication+jwt") {
		return refuse("it is of another type")
	}
	ends, err := checkAssertion(t.claims, client.ClientID, audiences, time.Now())
	if err != nil {
		return err
	}
	if err := prove(ctx, client, t); err != nil {
		return err
	}
	err = v.db.UseJTI(ctx, client.ClientID, t.claims.Text("jti"), ends.Add(Leeway))
	if errors.Is(err, storage.ErrConflict) {
		return refuse("its jti has been used")
	}
	if err != nil {
		return fmt.Errorf("spend assertion: %w", err)
	}
	return nil
}

// verifySecret checks that t was made with a secret of the client that is good now.
func (v *AssertionVerifier) verifySecret(ctx context.Context, client *storage.Client, t *compactToken) error {
	secrets, err := v.db.ClientSecrets(ctx, client)
	if err != nil {
		return err
	}
	for _, one := range secrets {
		if t.madeWith([]byte(one.Reveal())) {
			return nil
		}
	}
	return refuse("no secret of the client verifies it")
}

// AssertionSubject returns whom an assertion says that it is of, so that the client can be looked up before anything is
// verified (RFC 7521 §4.2 leaves client_id out). It proves nothing. What cannot be read names nobody.
func AssertionSubject(assertion string) string {
	t, err := parseCompact(assertion, AssertionAlgorithms())
	if err != nil {
		return ""
	}
	return t.claims.Text("sub")
}

// checkAssertion judges the claims, and returns when the assertion ends.
func checkAssertion(claims Claims, clientID string, audiences []string, now time.Time) (ends time.Time, err error) {
	if err := claims.CheckTimes(now); err != nil {
		return time.Time{}, err
	}
	ends, _, err = claims.Date("exp")
	if err != nil {
		return time.Time{}, err
	}
	issued, there, err := claims.Date("iat")
	switch jti := claims.Text("jti"); {
	case err != nil:
		return time.Time{}, err
	case !there:
		return time.Time{}, refuse("it has no iat")
	case ends.After(now.Add(assertionLife + Leeway)):
		return time.Time{}, refuse("it ends too far ahead")
	case issued.Before(now.Add(-assertionLife - Leeway)):
		return time.Time{}, refuse("it was issued too long ago")
	case clientID == "" || claims.Text("iss") != clientID || claims.Text("sub") != clientID:
		return time.Time{}, refuse("its iss and sub are not the client's identifier")
	// One text, and exactly ours: an assertion that is good at two servers lets one act as the client at the other, and so does one
	// whose audience two servers read in two ways (draft-ietf-oauth-rfc7523bis).
	case claims.Text("aud") == "" || !slices.Contains(audiences, claims.Text("aud")):
		return time.Time{}, refuse("its aud is not the issuer, as one text")
	case jti == "" || len(jti) > maxJTI:
		return time.Time{}, refuse("it has no jti, or one that is too long")
	}
	return ends, nil
}
