package storage

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Interaction is an authorization request that waits for a person: to sign in, to consent. The pages and the authorization
// endpoint meet through it. Digest is that of the id in the address, BrowserDigest that of the cookie it is bound to.
type Interaction struct {
	Digest string
	Owned
	BrowserDigest string
	ClientID      string
	Params        url.Values
	// RequestedAt is when the request first arrived; what has to be fresh is measured against it.
	RequestedAt     time.Time
	SessionID       *uuid.UUID
	AuthenticatedAt *time.Time
	// SelectedAt is when the person chose the account of the session among those that the browser is signed in to.
	SelectedAt      *time.Time
	ConsentedAt     *time.Time
	ConsentedScopes []string
	// Refusal is the OAuth error code by which the person, or a page, ended it; empty while it goes on.
	Refusal   string
	ExpiresAt time.Time
	SpentAt   *time.Time
	CreatedAt time.Time
}

// ParamClaimsScope is where the parameters of a stored request keep the scopes that claims belong to which are asked for by themselves. It
// is never taken from a client's request.
const ParamClaimsScope = "keizer:claims_scope"

// ConsentScopes are what the person has to allow for a request, each once.
func ConsentScopes(params url.Values) (scopes []string) {
	for _, name := range []string{"scope", ParamClaimsScope} {
		for _, scope := range strings.Fields(params.Get(name)) {
			if !slices.Contains(scopes, scope) {
				scopes = append(scopes, scope)
			}
		}
	}
	return scopes
}

// form scans url-encoded parameters.
type form struct{ to *url.Values }

func (f form) Scan(src any) error {
	text, err := textOf(src)
	if err != nil {
		return err
	}
	*f.to, err = url.ParseQuery(text)
	return err
}

// CreateInteraction inserts an interaction.
func (db *DB) CreateInteraction(ctx context.Context, i *Interaction) error {
	return db.scoped(ctx, writing, "create interaction", func(q *query) error {
		if err := i.own(q.org); err != nil {
			return err
		}
		date(&i.CreatedAt, q.now)
		date(&i.RequestedAt, q.now)
		_, err := q.exec(`INSERT INTO interactions (digest, org_id, browser_digest, client_id, params, requested_at, session_id,
				authenticated_at, selected_at, consented_at, consented_scopes, refusal, expires_at, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
			i.Digest, q.org, i.BrowserDigest, i.ClientID, i.Params.Encode(), i.RequestedAt, i.SessionID, i.AuthenticatedAt, i.SelectedAt,
			i.ConsentedAt, joined(i.ConsentedScopes), i.Refusal, i.ExpiresAt, i.CreatedAt)
		return err
	})
}

// Interaction returns an interaction that is neither expired nor spent.
func (db *DB) Interaction(ctx context.Context, digest string) (*Interaction, error) {
	var i Interaction
	err := db.scoped(ctx, reading, "read interaction", func(q *query) error {
		i = Interaction{Digest: digest, Owned: Owned{q.org}}
		return q.row(`SELECT browser_digest, client_id, params, requested_at, session_id, authenticated_at, selected_at,
				consented_at, consented_scopes, refusal, expires_at, created_at
			FROM interactions WHERE digest = $1 AND org_id = $2 AND spent_at IS NULL AND expires_at > $3`,
			digest, q.org, q.now).Scan(&i.BrowserDigest, &i.ClientID, form{&i.Params}, &i.RequestedAt, &i.SessionID,
			&i.AuthenticatedAt, &i.SelectedAt, &i.ConsentedAt, words{&i.ConsentedScopes}, &i.Refusal, &i.ExpiresAt, &i.CreatedAt)
	})
	if err != nil {
		return nil, err
	}
	return &i, nil
}

// InteractionAuthenticated notes in which session, and when, the person signed in for it.
func (db *DB) InteractionAuthenticated(ctx context.Context, digest string, sessionID uuid.UUID, at time.Time) error {
	return db.scoped(ctx, writing, "note sign-in of interaction", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE interactions SET session_id = $1, authenticated_at = $2, consented_at = NULL, consented_scopes = ''
			WHERE digest = $3 AND org_id = $4 AND spent_at IS NULL AND expires_at > $5`, sessionID, at, digest, q.org, q.now))
	})
}

// InteractionSelected notes in which of the browser's sessions the person answers it. Whatever was proven or agreed to for it before may have
// been in another.
func (db *DB) InteractionSelected(ctx context.Context, digest string, sessionID uuid.UUID, at time.Time) error {
	return db.scoped(ctx, writing, "note account of interaction", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE interactions SET session_id = $1, selected_at = $2, authenticated_at = NULL, consented_at = NULL,
				consented_scopes = ''
			WHERE digest = $3 AND org_id = $4 AND spent_at IS NULL AND expires_at > $5`, sessionID, at, digest, q.org, q.now))
	})
}

// InteractionConsented notes what the person agreed to.
func (db *DB) InteractionConsented(ctx context.Context, digest string, scopes []string, at time.Time) error {
	return db.scoped(ctx, writing, "note consent of interaction", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE interactions SET consented_scopes = $1, consented_at = $2
			WHERE digest = $3 AND org_id = $4 AND spent_at IS NULL AND expires_at > $5`, joined(scopes), at, digest, q.org, q.now))
	})
}

// RefuseInteraction notes the OAuth error code that it is to be answered with.
func (db *DB) RefuseInteraction(ctx context.Context, digest, code string) error {
	return db.scoped(ctx, writing, "refuse interaction", func(q *query) error {
		return one(ErrNotFound)(q.exec(`UPDATE interactions SET refusal = $1
			WHERE digest = $2 AND org_id = $3 AND spent_at IS NULL AND expires_at > $4`, code, digest, q.org, q.now))
	})
}

// SpendInteraction ends an interaction in the answer to its request. Of several at once, one succeeds; the others get
// ErrSpent.
func (db *DB) SpendInteraction(ctx context.Context, digest string) error {
	return db.scoped(ctx, writing, "spend interaction", func(q *query) error {
		return q.spend(`UPDATE interactions SET spent_at = $1
			WHERE digest = $2 AND org_id = $3 AND spent_at IS NULL AND expires_at > $4`, q.now, digest, q.org, q.now)
	})
}
