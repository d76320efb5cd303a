package fositestore

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// Store implements fosite's storage interfaces. What it is asked to write it records in the Unit of the context; what it is
// asked to revoke it revokes at once, in a transaction of its own, because a revocation for reuse must survive the refusal
// that it comes with.
//
// Wherever fosite says signature, it means what our token strategy made of the token: its digest.
type Store struct {
	db      *storage.DB
	clients *Clients
}

var (
	_ fosite.Storage                = (*Store)(nil)
	_ oauth2.CoreStorage            = (*Store)(nil)
	_ oauth2.TokenRevocationStorage = (*Store)(nil)
)

// New returns a Store over db.
func New(db *storage.DB, clients *Clients) *Store {
	return &Store{db: db, clients: clients}
}

// GetClient implements fosite.ClientManager.
func (s *Store) GetClient(ctx context.Context, id string) (fosite.Client, error) {
	client, err := s.client(ctx, id)
	if err != nil {
		return nil, notFound(err)
	}
	return client, nil
}

func (s *Store) client(ctx context.Context, id string) (*Client, error) {
	if unit, err := unitFrom(ctx); err == nil && unit.Client != nil && unit.Client.ClientID == id {
		return unit.Client, nil
	}
	return s.clients.Client(ctx, id)
}

// ClientAssertionJWTValid implements fosite.ClientManager. Assertions are checked by our own client authentication; the
// question reaching this place would mean that fosite's is in use, so it is answered with a refusal.
func (s *Store) ClientAssertionJWTValid(context.Context, string) error { return fosite.ErrJTIKnown }

// SetClientAssertionJWT implements fosite.ClientManager; see ClientAssertionJWTValid.
func (s *Store) SetClientAssertionJWT(context.Context, string, time.Time) error {
	return fosite.ErrJTIKnown
}

// CreateAuthorizeCodeSession implements oauth2.AuthorizeCodeStorage. The row merges what fosite keeps in three: the code,
// the PKCE challenge and the OpenID Connect session.
func (s *Store) CreateAuthorizeCodeSession(ctx context.Context, digest string, request fosite.Requester) error {
	unit, client, session, err := recording(ctx, request)
	if err != nil {
		return err
	}
	facts, err := encodeFacts(session.Facts)
	if err != nil {
		return fmt.Errorf("encode the facts of a code: %w", err)
	}
	user, err := uuid.Parse(session.Subject)
	if err != nil {
		return fmt.Errorf("a code without a user: %w", err)
	}
	form := request.GetRequestForm() // of it, what provider's SanitationWhiteList names
	unit.newCode = &storage.Code{
		Digest:              digest,
		GrantID:             uuid.Must(uuid.NewV7()),
		ClientID:            client.ClientID,
		UserID:              user,
		SessionID:           sessionID(session.Facts.SessionID),
		RedirectURI:         form.Get("redirect_uri"),
		CodeChallenge:       form.Get("code_challenge"),
		CodeChallengeMethod: form.Get("code_challenge_method"),
		Scope:               request.GetGrantedScopes(),
		Audience:            request.GetGrantedAudience(),
		Facts:               facts,
		RequestedAt:         request.GetRequestedAt(),
		ExpiresAt:           session.GetExpiresAt(fosite.AuthorizeCode),
	}
	return nil
}

// GetAuthorizeCodeSession implements oauth2.AuthorizeCodeStorage. A used code comes back with its request and
// fosite.ErrInvalidatedAuthorizeCode; an expired one is not found.
func (s *Store) GetAuthorizeCodeSession(ctx context.Context, digest string, _ fosite.Session) (fosite.Requester, error) {
	unit, err := unitFrom(ctx)
	if err != nil {
		return nil, err
	}
	if digest == "" {
		return nil, fosite.ErrNotFound // what was sent has not the form of a code
	}
	if unit.code == nil || unit.code.Digest != digest {
		code, err := s.db.Code(ctx, digest)
		if err != nil {
			return nil, notFound(err)
		}
		unit.code = code
	}
	code := unit.code

	client, err := s.client(ctx, code.ClientID)
	if err != nil {
		return nil, notFound(err)
	}
	facts, err := decodeFacts(code.Facts)
	if err != nil {
		return nil, fmt.Errorf("read the facts of a code: %w", err)
	}
	audience := current(ctx, code.Audience)
	session := &Session{Facts: facts, Subject: code.UserID.String()}
	session.SetExpiresAt(fosite.AuthorizeCode, code.ExpiresAt)
	request := &fosite.Request{
		ID:                code.GrantID.String(),
		RequestedAt:       code.RequestedAt,
		Client:            client,
		RequestedScope:    code.Scope,
		GrantedScope:      code.Scope,
		RequestedAudience: audience,
		GrantedAudience:   audience,
		Form:              url.Values{"redirect_uri": {code.RedirectURI}},
		Session:           session,
	}
	if len(unit.narrowed) > 0 {
		request.GrantedAudience = unit.narrowed
	}
	if unit.scope != nil {
		request.GrantedScope = unit.scope
	}
	if code.UsedAt != nil {
		return request, fosite.ErrInvalidatedAuthorizeCode
	}
	return request, nil
}

// current is an audience as it is called now, whatever the issuer was when it was granted.
func current(ctx context.Context, audience []string) []string {
	org, err := tenant.From(ctx)
	if err != nil {
		return audience // and without an organization nothing is found
	}
	return org.Current(audience)
}

// InvalidateAuthorizeCodeSession implements oauth2.AuthorizeCodeStorage.
func (s *Store) InvalidateAuthorizeCodeSession(ctx context.Context, digest string) error {
	unit, err := unitFrom(ctx)
	if err != nil {
		return err
	}
	unit.spendCode = digest
	return nil
}

// CreateAccessTokenSession implements oauth2.AccessTokenStorage. With a code, it records the grant too, which exists from
// the moment of the first tokens.
func (s *Store) CreateAccessTokenSession(ctx context.Context, digest string, request fosite.Requester) error {
	unit, client, session, err := recording(ctx, request)
	if err != nil {
		return err
	}
	token := &storage.AccessToken{
		Digest:    digest,
		ClientID:  client.ClientID,
		Subject:   session.Subject,
		Scope:     request.GetGrantedScopes(),
		Audience:  request.GetGrantedAudience(),
		Format:    client.AccessTokenFormat,
		ExpiresAt: session.GetExpiresAt(fosite.AccessToken),
	}
	switch {
	case unit.spendCode != "":
		code := unit.code
		grant := &storage.Grant{
			ID:        code.GrantID,
			ClientID:  code.ClientID,
			UserID:    &code.UserID,
			SessionID: code.SessionID,
			Scope:     code.Scope,
			Audience:  code.Audience,
			ExpiresAt: session.GrantEnds,
		}
		if grant.Facts, err = grantFacts(session); err != nil {
			return err
		}
		unit.newGrant = grant
		token.GrantID = &grant.ID
	case unit.presented != nil:
		token.GrantID = &unit.presented.GrantID
	case unit.direct != nil:
		if unit.newGrant, err = directGrant(client, session, request); err != nil {
			return err
		}
		token.GrantID = &unit.newGrant.ID
	}
	unit.newAccess = token
	return nil
}

// grantFacts are the facts that a grant keeps. The nonce belongs to the first ID token: the grant, which refreshes read, forgets it.
func grantFacts(session *Session) ([]byte, error) {
	facts := session.Facts
	facts.Nonce = ""
	encoded, err := encodeFacts(facts)
	if err != nil {
		return nil, fmt.Errorf("encode the facts of a grant: %w", err)
	}
	return encoded, nil
}

// directGrant is the grant of an access token that comes without a code: it is ended by whatever ends others.
func directGrant(client *Client, session *Session, request fosite.Requester) (*storage.Grant, error) {
	user, err := uuid.Parse(session.Subject)
	if err != nil {
		return nil, fmt.Errorf("a grant without a user: %w", err)
	}
	facts, err := grantFacts(session)
	if err != nil {
		return nil, err
	}
	return &storage.Grant{
		ID: uuid.Must(uuid.NewV7()), ClientID: client.ClientID, UserID: &user, SessionID: sessionID(session.Facts.SessionID),
		Scope: request.GetGrantedScopes(), Audience: request.GetGrantedAudience(), Facts: facts, ExpiresAt: session.GrantEnds,
	}, nil
}

// GetAccessTokenSession implements oauth2.AccessTokenStorage. Nothing in Keizer asks fosite about access tokens: provider
// reads them itself, in one query.
func (s *Store) GetAccessTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, fosite.ErrNotFound
}

// DeleteAccessTokenSession implements oauth2.AccessTokenStorage.
func (s *Store) DeleteAccessTokenSession(ctx context.Context, digest string) error {
	return s.db.RevokeAccessToken(ctx, digest)
}

// CreateRefreshTokenSession implements oauth2.RefreshTokenStorage.
func (s *Store) CreateRefreshTokenSession(ctx context.Context, digest, _ string, request fosite.Requester) error {
	unit, client, session, err := recording(ctx, request)
	if err != nil {
		return err
	}
	token := &storage.RefreshToken{
		Digest:    digest,
		ClientID:  client.ClientID,
		ExpiresAt: session.GetExpiresAt(fosite.RefreshToken),
	}
	switch {
	case unit.newGrant != nil:
		token.GrantID = unit.newGrant.ID
	case unit.presented != nil:
		token.GrantID = unit.presented.GrantID
	default:
		return errors.New("a refresh token without a grant")
	}
	unit.newRefresh = token
	return nil
}

// GetRefreshTokenSession implements oauth2.RefreshTokenStorage. A spent token comes back with its request and
// fosite.ErrInactiveToken, on which fosite ends the family; but when it may be answered again (Unit.AllowReplay), the unit
// says so and fosite is told that there is nothing, so that it leaves the family alone.
func (s *Store) GetRefreshTokenSession(ctx context.Context, digest string, _ fosite.Session) (fosite.Requester, error) {
	unit, err := unitFrom(ctx)
	if err != nil {
		return nil, err
	}
	if digest == "" {
		return nil, fosite.ErrNotFound // what was sent has not the form of a refresh token
	}
	row, grant, err := s.db.RefreshToken(ctx, digest)
	if err != nil {
		return nil, notFound(err)
	}
	unit.presented = row

	client, err := s.client(ctx, row.ClientID)
	if err != nil {
		return nil, notFound(err)
	}
	facts, err := decodeFacts(grant.Facts)
	if err != nil {
		return nil, fmt.Errorf("read the facts of a grant: %w", err)
	}
	session := &Session{Facts: facts, GrantEnds: grant.ExpiresAt, GrantBegan: grant.CreatedAt}
	if grant.UserID != nil {
		session.Subject = grant.UserID.String()
	}
	session.SetExpiresAt(fosite.RefreshToken, row.ExpiresAt)
	// What the client may no longer ask for, it no longer gets, although it was granted once.
	scope := intersect(grant.Scope, client.Scopes)
	granted := current(ctx, grant.Audience)
	audience := intersect(granted, client.GetAudience())
	if len(audience) < len(granted) && unit.Reach != nil {
		if unit.Reached, err = unit.Reach(ctx, client, granted); err != nil {
			return nil, err
		}
		audience = intersect(granted, append(unit.Reached, client.GetAudience()...))
	}
	request := &fosite.Request{
		ID:                grant.ID.String(),
		RequestedAt:       grant.CreatedAt,
		Client:            client,
		RequestedScope:    scope,
		GrantedScope:      scope,
		RequestedAudience: audience,
		GrantedAudience:   audience,
		Form:              url.Values{},
		Session:           session,
	}
	if row.SpentAt != nil {
		if unit.mayReplay(row) {
			unit.replayed = true
			return nil, fosite.ErrNotFound
		}
		return request, fosite.ErrInactiveToken
	}
	if len(audience) == 0 && len(grant.Audience) > 0 {
		// Nothing is left of it. A token for no resource in particular would be one for userinfo.
		return nil, fosite.ErrNotFound
	}
	return request, nil
}

// DeleteRefreshTokenSession implements oauth2.RefreshTokenStorage. fosite asks for it when a spent token comes again; the
// row stays, as the proof of it, until the family's end.
func (s *Store) DeleteRefreshTokenSession(context.Context, string) error { return nil }

// RotateRefreshToken implements oauth2.RefreshTokenStorage.
func (s *Store) RotateRefreshToken(ctx context.Context, _, digest string) error {
	unit, err := unitFrom(ctx)
	if err != nil {
		return err
	}
	unit.spendRefresh = digest
	return nil
}

// RevokeRefreshToken implements oauth2.TokenRevocationStorage: it ends the grant, and with it every token of the family. fosite
// asks for it when a spent code or refresh token has come again, and for nothing else.
func (s *Store) RevokeRefreshToken(ctx context.Context, grantID string) error {
	unit, err := unitFrom(ctx)
	if err != nil {
		return err
	}
	switch {
	case unit.code != nil && unit.code.GrantID.String() == grantID:
		return unit.endFamily(ctx, unit.code.GrantID, unit.code.ClientID)
	case unit.presented != nil && unit.presented.GrantID.String() == grantID:
		return unit.endFamily(ctx, unit.presented.GrantID, unit.presented.ClientID)
	}
	return fosite.ErrNotFound
}

// RevokeAccessToken implements oauth2.TokenRevocationStorage. fosite always asks for both; RevokeRefreshToken does it all.
func (s *Store) RevokeAccessToken(context.Context, string) error { return nil }

// recording is what every write begins with: where it is recorded, and the request's client and session.
func recording(ctx context.Context, request fosite.Requester) (*Unit, *Client, *Session, error) {
	unit, err := unitFrom(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	client, session, err := Ours(request)
	return unit, client, session, err
}

// Ours returns the client and the session of a request as what they are: fosite was given no others.
func Ours(request fosite.Requester) (*Client, *Session, error) {
	client, ok := request.GetClient().(*Client)
	if !ok {
		return nil, nil, fmt.Errorf("a foreign client type %T", request.GetClient())
	}
	session, ok := request.GetSession().(*Session)
	if !ok {
		return nil, nil, fmt.Errorf("a foreign session type %T", request.GetSession())
	}
	return client, session, nil
}

func intersect(all, allowed []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(one string) bool { return !slices.Contains(allowed, one) })
}

func sessionID(sid string) *uuid.UUID {
	id, err := uuid.Parse(sid)
	if err != nil {
		return nil
	}
	return &id
}

// notFound puts storage's absence into fosite's word for it. Everything else stays what it is: an outage must never look
// like a wrong token.
func notFound(err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return fosite.ErrNotFound
	}
	return err
}
