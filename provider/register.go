package provider

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage/fositestore"
	"github.com/keizer-auth/keizer/web"
)

// ParamClient is the part of an address that names a client.
const ParamClient = "client"

// Register serves POST /oauth2/register (RFC 7591 §3, OpenID Connect Dynamic Client Registration 1.0 §3).
func (p *Provider) Register(c *gin.Context) error {
	p.allowAnyOrigin(c)
	token, body, err := registrationRequest(c.Request)
	if err == nil {
		var made *manage.Registered
		if made, err = p.registrar.Register(c.Request.Context(), body, token, registrant(c)); err == nil {
			return p.writeRegistration(c, http.StatusCreated, made)
		}
	}
	p.registrationError(c, err)
	return nil
}

// Registration serves GET /oauth2/register/{client_id} (RFC 7592 §2.1).
func (p *Provider) Registration(c *gin.Context) error {
	p.allowAnyOrigin(c)
	token, err := registrationToken(c.Request)
	if err == nil {
		var found *manage.Registered
		if found, err = p.registrar.Registration(c.Request.Context(), c.Param(ParamClient), token, registrant(c)); err == nil {
			return p.writeRegistration(c, http.StatusOK, found)
		}
	}
	p.registrationError(c, err)
	return nil
}

// UpdateRegistration serves PUT /oauth2/register/{client_id} (RFC 7592 §2.2).
func (p *Provider) UpdateRegistration(c *gin.Context) error {
	p.allowAnyOrigin(c)
	token, body, err := registrationRequest(c.Request)
	if err == nil {
		var changed *manage.Registered
		if changed, err = p.registrar.Update(c.Request.Context(), c.Param(ParamClient), token, body, registrant(c)); err == nil {
			return p.writeRegistration(c, http.StatusOK, changed)
		}
	}
	p.registrationError(c, err)
	return nil
}

// DeleteRegistration serves DELETE /oauth2/register/{client_id} (RFC 7592 §2.3).
func (p *Provider) DeleteRegistration(c *gin.Context) error {
	p.allowAnyOrigin(c)
	token, err := registrationToken(c.Request)
	if err == nil {
		err = p.registrar.Delete(c.Request.Context(), c.Param(ParamClient), token, registrant(c))
	}
	if err != nil {
		p.registrationError(c, err)
		return nil
	}
	c.Writer.Header()["Cache-Control"] = noStore
	c.Status(http.StatusNoContent)
	return nil
}

// RegistrationPreflight serves OPTIONS of the same: applications in a browser register themselves before anything is known of where they are.
// No cookie counts here, so that whoever may read the answer may have asked for it anyway.
func (p *Provider) RegistrationPreflight(c *gin.Context) error {
	p.allowAnyOrigin(c)
	c.Header("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE")
	c.Header("Access-Control-Allow-Headers", "Authorization, Content-Type")
	c.Header("Access-Control-Max-Age", "300")
	c.Status(http.StatusNoContent)
	return nil
}

func (p *Provider) allowAnyOrigin(c *gin.Context) {
	c.Writer.Header()["Access-Control-Allow-Origin"] = anyOrigin
	c.Header("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
}

// registrant is where a request comes from.
func registrant(c *gin.Context) manage.Actor {
	return manage.Actor{IPAddress: c.ClientIP(), RequestID: web.RequestID(c)}
}

// registrationToken is the one token of a request, which stands in its header (RFC 6750 §2.1); empty where there is none.
func registrationToken(r *http.Request) (secret.Text, error) {
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return "", nil
	}
	token, refusal := bearerToken(&http.Request{Method: http.MethodGet, Header: r.Header})
	if refusal != nil || len(values) > 1 {
		return "", &manage.RegistrationError{Code: manage.InvalidToken, Description: "The Authorization header does not bring one bearer token."}
	}
	return secret.Text(token), nil
}

// registrationRequest is the token of a request, and its body, which is JSON.
func registrationRequest(r *http.Request) (secret.Text, []byte, error) {
	token, err := registrationToken(r)
	if err != nil {
		return "", nil, err
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return "", nil, &manage.RegistrationError{Code: manage.InvalidMetadata, Description: "The Content-Type must be application/json."}
	}
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		err = &manage.RegistrationError{Code: manage.InvalidMetadata, Description: "The request body could not be read.", Cause: err}
	}
	return token, body, err
}

func (p *Provider) writeRegistration(c *gin.Context, status int, r *manage.Registered) error {
	org, err := orgOf(c)
	if err != nil {
		return err
	}
	p.writeJSON(c, status, r.Information(org))
	return nil
}

// registrationError answers what was not registered (RFC 7591 §3.2.2).
func (p *Provider) registrationError(c *gin.Context, err error) {
	var refused *manage.RegistrationError
	var exceeded *throttle.Exceeded
	switch {
	case errors.As(err, &exceeded):
		p.tooOften(c, exceeded, errorBody{"temporarily_unavailable", "Too many clients are registered, or requests made of one. Try again later."})
	case !errors.As(err, &refused):
		p.jsonError(c, err)
	case refused.Code == manage.InvalidToken:
		if p.tooManyFailures(c, errorBody{refused.Code, "Tokens have failed too often from this address."}) {
			return
		}
		if c.GetHeader("Authorization") == "" {
			p.bearerError(c, answer{status: http.StatusUnauthorized})
			return
		}
		p.bearerError(c, answer{http.StatusUnauthorized, refused.Code, descriptionText(refused.Description)})
	case refused.Code == manage.RegistrationRefused:
		p.writeJSON(c, http.StatusForbidden, errorBody{refused.Code, descriptionText(refused.Description)})
	default:
		if refused.Cause != nil {
			p.log.InfoContext(c.Request.Context(), "a client was not registered", "path", c.FullPath(), "error", refused.Code, "cause", refused.Cause)
		}
		p.writeJSON(c, http.StatusBadRequest, errorBody{refused.Code, descriptionText(refused.Description)})
	}
}

// noteUse writes down that a client that was registered is of use, which keeps it from being removed. That it cannot be is no fault of the
// request.
func (p *Provider) noteUse(ctx context.Context, client *fositestore.Client) {
	if client.UsedWithin(time.Now()) {
		return
	}
	if err := p.db.UseClient(ctx, client.ClientID); err != nil {
		p.log.WarnContext(ctx, "it is not written down that a client is of use", "cause", err)
	}
}

// registrationEndpoint is where clients are registered, if anybody may register one.
func registrationEndpoint(base string, decided *settings.Settings) string {
	if decided.Registration.Mode == settings.RegistrationOff {
		return ""
	}
	return base + "register"
}
