package provider

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

// The client authentication methods (OpenID Connect Core 1.0 §9).
const (
	methodBasic         = "client_secret_basic"
	methodPost          = "client_secret_post"
	methodPrivateKeyJWT = "private_key_jwt"
	methodSecretJWT     = "client_secret_jwt"
	methodNone          = "none"

	// byAssertion is either of the two before the client is known: it is registered for one of them.
	byAssertion = "client_assertion"

	// tokenPath is where the token endpoint is, below an issuer.
	tokenPath = "/oauth2/token" //nolint:gosec // no credential

	assertionTypeJWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
)

// clientAuthenticator finds out which client sends a request (RFC 6749 §2.3, RFC 7523 §2.2). It replaces fosite's.
type clientAuthenticator struct {
	clients    *fositestore.Clients
	assertions *keys.AssertionVerifier
}

// credentials are what a request brought to prove its client.
type credentials struct {
	method   string
	clientID string
	secret   string // or the assertion
}

// authenticated is what fosite asks instead of authenticating by itself: the client that the endpoint has authenticated
// before fosite was called. An assertion is spent by being checked, so this happens once.
func authenticated(ctx context.Context, _ *http.Request, _ url.Values) (fosite.Client, error) {
	if client := fositestore.ClientOf(ctx); client != nil {
		return client, nil
	}
	return nil, errInvalidClient
}

// Authenticate returns the client that sent the request, or invalid_client, whatever was wrong with it. A public client has
// nothing to prove: it is taken at its word, and what it asks for is bound to more than that word (PKCE, rotation).
func (a *clientAuthenticator) Authenticate(ctx context.Context, r *http.Request, form url.Values) (*fositestore.Client, error) {
	given, err := readCredentials(r, form)
	if err != nil {
		return nil, err
	}
	client, err := a.clients.Client(ctx, given.clientID)
	if err == nil {
		err = a.prove(ctx, client, given)
	}
	if errors.Is(err, errInvalidClient) {
		// A client is remembered for a moment, in which its secret, its keys or its method may have changed.
		changed, readErr := a.clients.Changed(ctx, client)
		switch {
		case readErr != nil:
			err = readErr
		case changed != nil:
			client, err = changed, a.prove(ctx, changed, given)
		}
	}
	if errors.Is(err, storage.ErrNotFound) {
		// The work of a known client, so that the time does not tell which it was.
		secretMatches(&storage.Client{SecretDigest: &unknownDigest}, given.secret)
		// What a stranger gave for a name may be something else that went into the wrong field: it is not written down.
		return nil, errInvalidClient.WithWrap(errors.New("a client that does not exist, or is disabled"))
	}
	if err != nil {
		return nil, err
	}
	return client, nil
}

// prove checks what a request brought against what its client is registered with.
func (a *clientAuthenticator) prove(ctx context.Context, client *fositestore.Client, given credentials) error {
	asserted := given.method == byAssertion && (client.AuthMethod == methodPrivateKeyJWT || client.AuthMethod == methodSecretJWT)
	if given.method != client.AuthMethod && !asserted {
		return notProven(given.clientID, "it is registered for "+client.AuthMethod+", and the request used "+given.method)
	}
	switch given.method {
	case methodNone:
		return nil
	case methodBasic, methodPost:
		if !secretMatches(client.Client, given.secret) {
			return notProven(given.clientID, "its secret is another")
		}
		return nil
	case byAssertion:
		org, err := tenant.From(ctx)
		if err != nil {
			return err
		}
		err = a.assertions.Verify(ctx, client.Client, given.secret, assertionAudiences(org, client.Client)...)
		if errors.Is(err, keys.ErrToken) {
			return notProven(given.clientID, err.Error())
		}
		return err
	}
	return notProven(given.clientID, "its method is not known")
}

// assertionAudiences are whom the assertions of a client may be for, at whichever endpoint it authenticates: the issuer (RFC 9700 §2.5,
// draft-ietf-oauth-rfc7523bis). Clients that are written by OpenID Connect Core 1.0 §9 name the token endpoint: one that has registered itself
// was told by nobody to do otherwise, and for those that operators make it is the organization's decision.
func assertionAudiences(org *tenant.Org, client *storage.Client) []string {
	audiences := []string{org.Issuer}
	if client.RegisteredAt != nil || org.Decided().Tokens.LegacyAssertionAudience {
		audiences = append(audiences, org.Issuer+tokenPath)
	}
	return audiences
}

// notProven is invalid_client, with a reason for our own log: the one who asks is not told which it was. The client exists.
func notProven(clientID, reason string) error {
	return errInvalidClient.WithWrap(fmt.Errorf("client %.64q: %s", clientID, reason))
}

// unknownDigest is the digest of nothing that was ever given out.
var unknownDigest = secret.Digest("no client has this secret")

// secretMatches compares with both secrets that a client may have while it rotates.
func secretMatches(client *storage.Client, given string) bool {
	if given == "" {
		return false
	}
	digest := secret.Digest(given)
	ok := client.SecretDigest != nil && *client.SecretDigest != "" && secret.Equal(digest, *client.SecretDigest)
	if !ok && client.SecretDigestOld != nil && *client.SecretDigestOld != "" &&
		client.SecretOldExpiresAt != nil && time.Now().Before(*client.SecretOldExpiresAt) {
		ok = secret.Equal(digest, *client.SecretDigestOld)
	}
	return ok
}

// readCredentials finds the one method that a request uses (RFC 6749 §2.3: more than one is an invalid request).
func readCredentials(r *http.Request, form url.Values) (credentials, error) {
	var found []credentials
	if header := r.Header.Values("Authorization"); len(header) > 0 {
		id, pass, ok := parseBasic(header)
		if !ok {
			return credentials{}, errInvalidClient.WithWrap(errors.New("the Authorization header is no proper Basic header"))
		}
		found = append(found, credentials{methodBasic, id, pass})
	}
	if form.Has("client_secret") {
		found = append(found, credentials{methodPost, form.Get("client_id"), form.Get("client_secret")})
	}
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		assertion := form.Get("client_assertion")
		if form.Get("client_assertion_type") != assertionTypeJWT {
			return credentials{}, errInvalidClient.WithHintf("The client_assertion_type must be %s.", assertionTypeJWT)
		}
		id := form.Get("client_id")
		if id == "" {
			// RFC 7521 §4.2 makes client_id optional: the assertion names its subject. It proves nothing yet.
			id = keys.AssertionSubject(assertion)
		}
		found = append(found, credentials{byAssertion, id, assertion})
	}

	switch {
	case len(found) > 1:
		return credentials{}, fosite.ErrInvalidRequest.WithHint("The request authenticates its client in more than one way.")
	case len(found) == 0:
		found = append(found, credentials{methodNone, form.Get("client_id"), ""})
	}
	given := found[0]
	switch {
	case given.clientID == "":
		return credentials{}, errInvalidClient.WithWrap(errors.New("the request names no client"))
	case form.Has("client_id") && form.Get("client_id") != given.clientID:
		return credentials{}, errInvalidClient.WithWrap(errors.New("the request names two clients"))
	}
	return given, nil
}

// parseBasic reads the one Authorization header of a client (RFC 6749 §2.3.1): both halves are form-encoded before they are
// joined. What is malformed in any way is refused, never tried in another reading.
func parseBasic(headers []string) (id, pass string, ok bool) {
	if len(headers) != 1 {
		return "", "", false
	}
	scheme, encoded, found := strings.Cut(headers[0], " ")
	if !found || !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return "", "", false
	}
	id, pass, found = strings.Cut(string(decoded), ":")
	if !found {
		return "", "", false
	}
	if id, err = url.QueryUnescape(id); err != nil {
		return "", "", false
	}
	if pass, err = url.QueryUnescape(pass); err != nil {
		return "", "", false
	}
	return id, pass, id != ""
}

// failedTooOften counts a client that did not prove who it is, by where the request came from, and answers it with 429 when those
// are too many. Who proves who it is costs nothing here, and is never kept out by others who do not. Each process counts by itself
// first, so that a flood of them is no flood of writes, and that it still counts when the database does not.
func (p *Provider) failedTooOften(c *gin.Context) bool {
	return p.tooManyFailures(c, errorBody{"invalid_client", "Clients have failed to authenticate from this address too often."})
}

// tooManyFailures is the same for whatever else strangers may try, with an answer of its own.
func (p *Provider) tooManyFailures(c *gin.Context, body errorBody) bool {
	ctx, network := c.Request.Context(), throttle.Network(c.ClientIP())
	org, err := tenant.From(ctx)
	if err != nil {
		return false
	}
	if err = p.failures.Take(org.ID.String() + " " + network); err == nil {
		err = p.db.Take(ctx, throttle.ClientNetwork, network)
	}
	var exceeded *throttle.Exceeded
	switch {
	case err == nil:
		return false
	case !errors.As(err, &exceeded):
		p.log.ErrorContext(ctx, "failures of clients are counted by this process alone", "cause", err)
		return false
	}
	p.tooOften(c, exceeded, body)
	return true
}

// tooOften answers what goes beyond a limit (RFC 6585 §4).
func (p *Provider) tooOften(c *gin.Context, exceeded *throttle.Exceeded, body errorBody) {
	wait := max(time.Second, exceeded.RetryAfter)
	c.Header("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	p.writeJSON(c, http.StatusTooManyRequests, body)
}
