package provider

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/fositestore"
)

const (
	// logoutTokenLife is short: what a client cannot check at once it is told again (OpenID Connect Back-Channel Logout 1.0 §2.4).
	logoutTokenLife = 2 * time.Minute
	// maxLogoutAnswer is how much of what a client says is read, in bytes. None of it matters.
	maxLogoutAnswer = 16 << 10
	// logoutEvent is what makes a token a logout token.
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
)

// logoutTokenClaims are those of OpenID Connect Back-Channel Logout 1.0 §2.4. There is no nonce, so that it can be no ID token.
type logoutTokenClaims struct {
	Issuer    string                    `json:"iss"`
	Subject   string                    `json:"sub"`
	Audience  string                    `json:"aud"`
	IssuedAt  int64                     `json:"iat"`
	ExpiresAt int64                     `json:"exp"`
	ID        string                    `json:"jti"`
	Events    map[string]map[string]any `json:"events"`
	SessionID string                    `json:"sid"`
}

// ErrRefusedLogout is a client that has been told of a logout and will not hear of it: to tell it again would change nothing
// (OpenID Connect Back-Channel Logout 1.0 §2.8).
var ErrRefusedLogout = errors.New("the client refuses the logout token")

// TellOfLogout tells a client that a session has ended (OpenID Connect Back-Channel Logout 1.0 §2.5). A client that is gone, switched off, or
// not to be told so needs no telling. Any error but ErrRefusedLogout is worth another attempt.
func (p *Provider) TellOfLogout(ctx context.Context, logout *storage.SessionClient) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	client, err := p.clients.Client(ctx, logout.ClientID)
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	address := client.BackChannelLogoutURI()
	if address == "" {
		return nil
	}
	known, err := p.subjects.names(ctx, client.Sector())
	if err != nil {
		return err
	}
	now := time.Now()
	// Signed and encrypted as ID tokens are (§2.4).
	token, err := p.protector.protect(ctx, client, client.IDTokenProtection(), "logout+jwt", logoutTokenClaims{
		Issuer: org.Issuer, Subject: known.subject(logout.UserID.String()), Audience: client.ClientID,
		IssuedAt: now.Unix(), ExpiresAt: now.Add(logoutTokenLife).Unix(),
		ID: uuid.NewString(), Events: map[string]map[string]any{logoutEvent: {}}, SessionID: known.session(logout.SessionID.String()),
	})
	if err != nil {
		return fmt.Errorf("make a logout token: %w", err)
	}
	form := url.Values{"logout_token": {token}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefusedLogout, err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := p.outside.Do(request)
	if err != nil {
		return fmt.Errorf("tell client %s of a logout: %w", client.ClientID, err)
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
	switch answer.StatusCode {
	case http.StatusOK, http.StatusNoContent:
		return nil
	case http.StatusBadRequest:
		return fmt.Errorf("%w: client %s answers with status 400", ErrRefusedLogout, client.ClientID)
	}
	return fmt.Errorf("client %s answers with status %d", client.ClientID, answer.StatusCode)
}

// noteSession remembers, with what is issued, that a client is to hear of the end of the session, if it wants to.
func (p *Provider) noteSession(client *fositestore.Client, session *storage.Session) (deeds []func(context.Context) error) {
	if client.BackChannelLogoutURI() == "" && client.FrontChannelLogoutURI() == "" {
		return nil
	}
	return append(deeds, func(ctx context.Context) error {
		return p.db.NoteSessionClient(ctx, &storage.SessionClient{
			SessionID: session.ID, ClientID: client.ClientID, ExpiresAt: session.ExpiresAt.Add(logoutLife),
		})
	})
}

// logoutLife is how long after the end of a session its clients may still be told of it.
const logoutLife = 24 * time.Hour
