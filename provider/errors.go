package provider

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

// Errors beside those fosite has words for.
var (
	// errInvalidTarget is RFC 8707 §2.
	errInvalidTarget = &fosite.RFC6749Error{
		ErrorField: "invalid_target", CodeField: http.StatusBadRequest,
		DescriptionField: "The requested resource is unknown, or this client may not have tokens for it.",
	}
	// errUnsupportedGrantType carries our own list of what is supported.
	errUnsupportedGrantType = fosite.ErrUnsupportedGrantType.WithHint(
		"The grant types are authorization_code, refresh_token and client_credentials.")
	// errNoPerson is a grant by somebody who is gone, or switched off.
	errNoPerson = fosite.ErrInvalidGrant.WithHint("The account that this was granted by is no longer active.")
	// errInvalidClient says the same of an unknown client, a wrong secret and a wrong method (RFC 6749 §5.2).
	errInvalidClient = fosite.ErrInvalidClient.WithHint("Client authentication failed.")
)

// answer is an error as a client sees it.
type answer struct {
	status      int
	code        string
	description string
}

// registered are the error codes that RFCs give to the endpoints that answer through here: RFC 6749 §4.1.2.1 and §5.2,
// RFC 6750 §3.1, RFC 8707 §2, RFC 9126 §2.3, OpenID Connect Core 1.0 §3.1.2.6. Whatever else fosite says is translated.
var registered = map[string]int{
	"invalid_request": http.StatusBadRequest, "invalid_client": http.StatusBadRequest, "invalid_grant": http.StatusBadRequest,
	"unauthorized_client": http.StatusBadRequest, "unsupported_grant_type": http.StatusBadRequest, "invalid_scope": http.StatusBadRequest,
	"access_denied": http.StatusForbidden, "unsupported_response_type": http.StatusBadRequest, "invalid_target": http.StatusBadRequest,
	"login_required": http.StatusBadRequest, "consent_required": http.StatusBadRequest, "interaction_required": http.StatusBadRequest,
	"account_selection_required": http.StatusBadRequest, "request_not_supported": http.StatusBadRequest,
	"request_uri_not_supported": http.StatusBadRequest, "registration_not_supported": http.StatusBadRequest,
	"invalid_request_uri": http.StatusBadRequest, "invalid_request_object": http.StatusBadRequest,
	"unmet_authentication_requirements": http.StatusBadRequest,
	"invalid_token":                     http.StatusUnauthorized, "insufficient_scope": http.StatusForbidden,
	"server_error": http.StatusInternalServerError, "temporarily_unavailable": http.StatusServiceUnavailable,
}

// translated are fosite's own words for what has a registered one.
var translated = map[string]string{
	"scope_not_granted": "invalid_scope", "invalid_state": "invalid_request", "unsupported_response_mode": "invalid_request",
	"token_expired": "invalid_grant", "token_inactive": "invalid_grant", "token_signature_mismatch": "invalid_grant",
	"token_claim": "invalid_grant", "not_found": "invalid_grant", "jti_known": "invalid_client", "request_forbidden": "invalid_request",
	"request_unauthorized": "invalid_client",
}

// answerFor is the one place where an error becomes an OAuth answer. An outage comes first: whatever fosite made of it, a
// client that hears invalid_grant throws its tokens away.
func answerFor(err error) answer {
	var oauth *fosite.RFC6749Error
	switch {
	case errors.Is(err, storage.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return answer{http.StatusServiceUnavailable, "temporarily_unavailable", "The server cannot answer right now. Try again in a moment."}
	case errors.Is(err, storage.ErrSpent), errors.Is(err, fosite.ErrInvalidatedAuthorizeCode):
		return answer{http.StatusBadRequest, "invalid_grant", "The code or token has been used already."}
	case errors.As(err, &oauth):
		code := oauth.ErrorField
		if better, ok := translated[code]; ok {
			code = better
		}
		if status, ok := registered[code]; ok && status != http.StatusInternalServerError {
			return answer{status, code, describe(oauth)}
		}
	}
	return answer{http.StatusInternalServerError, "server_error", "The server could not process the request."}
}

// describe is what a client's developer reads. Hints are written for them; causes and debug texts are not.
func describe(err *fosite.RFC6749Error) string {
	text := err.HintField
	if text == "" {
		text = err.DescriptionField
	}
	return descriptionText(text)
}

// maxDescription bounds what a request can make us say back to it.
const maxDescription = 300

// descriptionText keeps to the characters that RFC 6749 §5.2 admits in error_description.
func descriptionText(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '"':
			b.WriteByte('\'')
		case r == '\\':
			b.WriteByte('/')
		case r < 0x20 || r > 0x7e:
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
		if b.Len() >= maxDescription {
			break
		}
	}
	return b.String()
}

// causeOf is what is wrapped in an error of fosite, whose own text is its code alone.
func causeOf(err error) error {
	var oauth *fosite.RFC6749Error
	if errors.As(err, &oauth) {
		if cause := oauth.Unwrap(); cause != nil {
			return cause
		}
	}
	return err
}

type errorBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// jsonError answers an error of an endpoint that applications call (RFC 6749 §5.2). A fault of ours is logged, once, here.
func (p *Provider) jsonError(c *gin.Context, err error) {
	if errors.Is(err, context.Canceled) && c.Request.Context().Err() != nil {
		p.pages.Fail(c, err) // nobody reads the answer any more, and nothing is wrong with us
		return
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		p.writeJSON(c, http.StatusRequestEntityTooLarge, errorBody{"invalid_request", "The request body is too large."})
		return
	}
	a := answerFor(err)
	if a.code == "invalid_client" {
		if p.failedTooOften(c) {
			return
		}
		// RFC 6749 §5.2: 401 with the scheme when the client tried the header, else 400.
		if c.GetHeader("Authorization") != "" {
			a.status = http.StatusUnauthorized
			c.Header("WWW-Authenticate", `Basic realm="keizer", charset="UTF-8"`)
		}
	}
	p.faultLogged(c, a.status, err)
	switch {
	case errors.Is(err, keys.ErrClientKeysAway):
		c.Header("Retry-After", keysRetryAfter)
	case a.status == http.StatusServiceUnavailable:
		c.Header("Retry-After", retryAfter)
	}
	p.writeJSON(c, a.status, errorBody{a.code, a.description})
}

// RefuseWith answers an application that has asked where nothing answers.
func (p *Provider) RefuseWith(c *gin.Context, status int, description string) {
	p.writeJSON(c, status, errorBody{"invalid_request", description})
}

// Refuse answers an application whose request found no organization to ask: storage.ErrNotFound is a 404, and an outage what it
// is everywhere.
func (p *Provider) Refuse(c *gin.Context, err error) {
	if errors.Is(err, storage.ErrNotFound) {
		p.writeJSON(c, http.StatusNotFound, errorBody{"invalid_request", "There is no organization at this address."})
		return
	}
	p.jsonError(c, err)
}

// retryAfter is how long, in seconds, a client waits before it tries again during an outage; keysRetryAfter is as long as nobody asks again
// for keys that could not be fetched.
const (
	retryAfter     = "2"
	keysRetryAfter = "60"
)

// faultLogged writes down what the answer does not say: the cause of a fault of ours, and why a client could not prove who it
// is, which its developer asks the operator.
func (p *Provider) faultLogged(c *gin.Context, status int, err error) {
	if errors.Is(err, errInvalidClient) && status < http.StatusInternalServerError {
		p.log.InfoContext(c.Request.Context(), "a client did not authenticate", "path", c.FullPath(), "cause", causeOf(err))
		return
	}
	if errors.Is(err, keys.ErrNoEncryptionKey) || errors.Is(err, keys.ErrClientKeysAway) {
		p.log.WarnContext(c.Request.Context(), "nothing can be encrypted to a client", "path", c.FullPath(), "cause", causeOf(err), "fetch", outbound.Cause(err))
		return
	}
	if status >= http.StatusInternalServerError {
		p.log.ErrorContext(c.Request.Context(), "a request failed", "path", c.FullPath(), "status", status, "cause", err)
	}
}
