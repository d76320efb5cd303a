package admin

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// Session is a browser in which somebody is signed in, as it is answered.
type Session struct {
	ID         string    `json:"id" format:"uuid"`
	UserID     string    `json:"user_id" format:"uuid"`
	User       string    `json:"user" doc:"What the person signs in with."`
	UserAgent  string    `json:"user_agent,omitempty"`
	IPAddress  string    `json:"ip_address,omitempty"`
	AuthTime   time.Time `json:"auth_time" doc:"When they last proved who they are."`
	AMR        []string  `json:"amr" doc:"How (RFC 8176)."`
	ACR        string    `json:"acr,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at"`
	ExpiresAt  time.Time `json:"expires_at"`
}

func sessionOf(row *storage.SessionOfPerson) Session {
	s := &row.Session
	amr := s.AMR
	if amr == nil {
		amr = []string{}
	}
	return Session{
		ID: s.ID.String(), UserID: s.UserID.String(), User: row.User.DisplayName(), UserAgent: s.UserAgent, IPAddress: deref(s.IPAddress),
		AuthTime: s.AuthTime.UTC(), AMR: amr, ACR: s.ACR, CreatedAt: s.CreatedAt.UTC(), LastUsedAt: s.LastUsedAt.UTC(), ExpiresAt: s.ExpiresAt.UTC(),
	}
}

// usedSince is when a session must have been used last to be one still.
func (a *API) usedSince(ctx context.Context) (time.Time, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return time.Time{}, err
	}
	return time.Now().Add(-cmp.Or(time.Duration(org.Decided().Sessions.Idle), a.idleTimeout)).UTC(), nil
}

// Ended is how many sessions ended.
type Ended struct {
	SessionsEnded int64 `json:"sessions_ended"`
}

// ended answers how many there were.
type ended struct{ Body Ended }

const sessionsPath = orgPath + "/sessions"

// mountSessions are /organizations/{org}/sessions, and those of one person.
func (a *API) mountSessions() {
	find := func(ctx context.Context, p Paging, sort string, user *uuid.UUID) (*page[Session], error) {
		l, err := a.listing(ctx, p, "sessions", sort, user)
		if err != nil {
			return nil, err
		}
		since, err := a.usedSince(ctx)
		if err != nil {
			return nil, err
		}
		rows, next, err := a.db.FindSessions(ctx, storage.SessionFilter{UserID: user, UsedSince: since}, l)
		if err != nil {
			return nil, err
		}
		return paged(ctx, a, rows, next, "sessions", sort, user, sessionOf)
	}

	type listIn struct {
		InOrg
		Paging
		Sort string `query:"sort" enum:"created_at,-created_at,last_used_at,-last_used_at" default:"created_at"`
	}
	register(a, operation{
		id: "list-sessions", method: http.MethodGet, path: sessionsPath, summary: "List the browsers in which people are signed in",
		permission: permission.SessionsRead,
	}, func(ctx context.Context, in *listIn) (*page[Session], error) {
		return find(ctx, in.Paging, in.Sort, nil)
	})

	register(a, operation{
		id: "end-sessions", method: http.MethodDelete, path: sessionsPath, summary: "Sign everybody out",
		description: "What was granted for offline access ends too where the organization says so.", permission: permission.SessionsWrite,
	}, func(ctx context.Context, _ *InOrg) (*ended, error) {
		n, err := a.operators.RevokeEverySession(ctx)
		return &ended{Ended{n}}, err
	})

	type OfSession struct {
		InOrg
		Session string `path:"session" doc:"The session's id."`
	}
	type readIn struct {
		OfSession
		Reading
	}
	register(a, operation{
		id: "get-session", method: http.MethodGet, path: sessionsPath + "/{session}", summary: "Show a session", permission: permission.SessionsRead,
	}, func(ctx context.Context, in *readIn) (*one[Session], error) {
		id, err := storage.ParseID(in.Session)
		if err != nil {
			return nil, err
		}
		since, err := a.usedSince(ctx)
		if err != nil {
			return nil, err
		}
		row, err := a.db.SessionByID(ctx, id, since)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, sessionOf(row))
	})

	register(a, operation{
		id: "end-session", method: http.MethodDelete, path: sessionsPath + "/{session}", summary: "Sign somebody out of one browser",
		description: "What was granted for offline access in it ends too where the organization says so.", permission: permission.SessionsWrite,
	}, func(ctx context.Context, in *OfSession) (*nothing, error) {
		id, err := storage.ParseID(in.Session)
		if err != nil {
			return nil, err
		}
		return nil, a.operators.RevokeSession(ctx, id)
	})

	type listOfIn struct {
		OfUser
		Paging
		Sort string `query:"sort" enum:"created_at,-created_at,last_used_at,-last_used_at" default:"created_at"`
	}
	register(a, operation{
		id: "list-user-sessions", method: http.MethodGet, path: userPath + "/sessions", summary: "List the browsers in which a person is signed in",
		permission: permission.SessionsRead,
	}, func(ctx context.Context, in *listOfIn) (*page[Session], error) {
		user, err := a.user(ctx, in.User)
		if err != nil {
			return nil, err
		}
		return find(ctx, in.Paging, in.Sort, &user.ID)
	})

	register(a, operation{
		id: "end-user-sessions", method: http.MethodDelete, path: userPath + "/sessions", summary: "Sign a person out everywhere",
		description: "All that was granted in their name ends too.", permission: permission.SessionsWrite,
	}, func(ctx context.Context, in *OfUser) (*ended, error) {
		user, err := a.user(ctx, in.User)
		if err != nil {
			return nil, err
		}
		n, err := a.operators.RevokeSessionsOf(ctx, user)
		return &ended{Ended{int64(n)}}, err
	})
}
