package provider

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"

	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/internal/base64url"
	"github.com/keizer-auth/keizer/internal/responsetype"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

// pkceHandler requires Proof Key for Code Exchange with S256 of every client but those that authenticate and are registered to do without
// (RFC 7636, RFC 9700 §2.1.1). It replaces
// fosite's, which forgets the challenge at the first wrong verifier and then lets a request without one pass: here the
// challenge is part of the code's row and lives as long as the code.
type pkceHandler struct{}

var (
	_ fosite.AuthorizeEndpointHandler = (*pkceHandler)(nil)
	_ fosite.TokenEndpointHandler     = (*pkceHandler)(nil)
)

// HandleAuthorizeEndpointRequest implements fosite.AuthorizeEndpointHandler. It stands before the handler that makes the
// code, and refuses what that must not see.
func (pkceHandler) HandleAuthorizeEndpointRequest(_ context.Context, request fosite.AuthorizeRequester, _ fosite.AuthorizeResponder) error {
	client, ok := request.GetClient().(*fositestore.Client)
	if !ok {
		return fmt.Errorf("a foreign client type %T", request.GetClient())
	}
	return checkChallenge(request.GetRequestForm(), request.GetResponseTypes().Has(responsetype.Code) && !mayLackChallenge(client))
}

// mayLackChallenge reports whether a client may have a code without a challenge: one that proves itself when it redeems it.
func mayLackChallenge(client *fositestore.Client) bool {
	return client.PKCEOptional() && !client.IsPublic()
}

// checkChallenge checks that a challenge is there, where one is needed, and its form (RFC 7636 §4.2 and §4.3).
func checkChallenge(form url.Values, needed bool) error {
	challenge, method := form.Get("code_challenge"), form.Get("code_challenge_method")
	switch {
	case challenge == "" && method == "" && !needed:
		return nil
	case challenge == "":
		return fosite.ErrInvalidRequest.WithHint("PKCE is required: the request needs a code_challenge and code_challenge_method=S256.")
	case method != "S256":
		return fosite.ErrInvalidRequest.WithHint("The code_challenge_method must be S256.")
	}
	if sum, err := base64url.Decode(challenge); err != nil || len(sum) != sha256.Size {
		return fosite.ErrInvalidRequest.WithHint("The code_challenge must be the base64url encoding of a SHA-256, without padding.")
	}
	return nil
}

// CanHandleTokenEndpointRequest implements fosite.TokenEndpointHandler.
func (pkceHandler) CanHandleTokenEndpointRequest(_ context.Context, request fosite.AccessRequester) bool {
	return request.GetGrantTypes().ExactOne(grantAuthorizationCode)
}

// CanSkipClientAuth implements fosite.TokenEndpointHandler.
func (pkceHandler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// HandleTokenEndpointRequest implements fosite.TokenEndpointHandler. It stands behind the code handler, which has put the
// code's row into the unit.
func (pkceHandler) HandleTokenEndpointRequest(ctx context.Context, request fosite.AccessRequester) error {
	code, err := fositestore.CodeOf(ctx)
	if err != nil {
		return fosite.ErrServerError.WithWrap(err)
	}
	if code.CodeChallenge == "" {
		// Whoever has a verifier has sent a challenge, and somebody has taken that away (RFC 9700 §2.1.1).
		if request.GetRequestForm().Has("code_verifier") {
			return fosite.ErrInvalidGrant.WithHint("There is a code_verifier, and there was no code_challenge.")
		}
		return nil
	}
	if !verifierMatches(request.GetRequestForm().Get("code_verifier"), code.CodeChallenge) {
		return fosite.ErrInvalidGrant.WithHint("The code_verifier is missing, malformed, or not the one that the code_challenge was made of.")
	}
	return nil
}

// PopulateTokenEndpointResponse implements fosite.TokenEndpointHandler.
func (pkceHandler) PopulateTokenEndpointResponse(context.Context, fosite.AccessRequester, fosite.AccessResponder) error {
	return nil
}

// verifierMatches checks the form of a verifier (RFC 7636 §4.1) and compares it with its challenge (§4.6).
func verifierMatches(verifier, challenge string) bool {
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	for _, c := range []byte(verifier) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
		default:
			return false
		}
	}
	sum := sha256.Sum256([]byte(verifier))
	return secret.Equal(base64.RawURLEncoding.EncodeToString(sum[:]), challenge)
}
