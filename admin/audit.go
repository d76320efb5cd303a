package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/storage"
)

// AuditEvent is an event of the audit, as it is answered.
type AuditEvent struct {
	Sequence  int64          `json:"sequence" doc:"Its place in the chain; 0 for what was written before there were chains."`
	ID        string         `json:"id" format:"uuid"`
	CreatedAt time.Time      `json:"created_at"`
	Actor     string         `json:"actor" doc:"Who did it: user:ID, client:ID, cli:NAME and so on."`
	Action    string         `json:"action" example:"user.created"`
	Target    string         `json:"target,omitempty" doc:"To whom or what."`
	IPAddress string         `json:"ip_address,omitempty"`
	RequestID string         `json:"request_id,omitempty"`
	Details   map[string]any `json:"details,omitempty"`
	MAC       string         `json:"mac,omitempty" doc:"What the chain is verified by."`
}

func auditEventOf(row *storage.AuditEvent) AuditEvent {
	return AuditEvent{
		Sequence: row.Sequence, ID: row.ID.String(), CreatedAt: row.CreatedAt.UTC(), Actor: row.Actor, Action: row.Action, Target: row.Target,
		IPAddress: deref(row.IPAddress), RequestID: row.RequestID, Details: row.Details, MAC: row.MAC,
	}
}

// auditPlace is where a page of the audit ends.
type auditPlace struct {
	Sequence  int64     `json:"sequence"`
	CreatedAt time.Time `json:"created_at"`
	ID        uuid.UUID `json:"id"`
}

// mountAudit is /organizations/{org}/audit-events.
func (a *API) mountAudit() {
	type Filter struct {
		Actor  string    `query:"actor" maxLength:"300" doc:"Only what this actor did."`
		Action string    `query:"action" maxLength:"100" doc:"Only this."`
		Target string    `query:"target" maxLength:"300" doc:"Only what was done to this."`
		Since  time.Time `query:"since" doc:"Only what was done then or later (RFC 3339)."`
		Until  time.Time `query:"until" doc:"Only what was done before (RFC 3339)."`
		After  int64     `query:"after" minimum:"1" doc:"Only what comes after this number of the chain, in the order that is asked for."`
	}
	type listIn struct {
		InOrg
		Paging
		Filter
		Sort string `query:"sort" enum:"sequence,-sequence" default:"-sequence" doc:"The oldest first, or the newest."`
	}
	register(a, operation{
		id: "list-audit-events", method: http.MethodGet, path: orgPath + "/audit-events", summary: "List what was done in an organization",
		permission: permission.AuditRead,
	}, func(ctx context.Context, in *listIn) (*page[AuditEvent], error) {
		bound := []any{"audit", in.Sort, in.Filter}
		f := storage.AuditFilter{
			Actor: in.Actor, Action: in.Action, Target: in.Target, Since: in.Since, Until: in.Until, OldestFirst: in.Sort == "sequence", Limit: in.Limit + 1,
		}
		if in.After > 0 {
			f.After = &storage.AuditEvent{Sequence: in.After}
		}
		var after auditPlace
		there, err := in.read(ctx, a, bound, &after)
		if err != nil {
			return nil, err
		}
		if there {
			f.After = &storage.AuditEvent{Sequence: after.Sequence, CreatedAt: after.CreatedAt, ID: after.ID}
		}
		rows, err := a.db.ListAudit(ctx, f)
		if err != nil {
			return nil, err
		}
		if len(rows) <= in.Limit {
			return whole(shownAll(rows, auditEventOf)), nil
		}
		rows = rows[:in.Limit]
		out, last := whole(shownAll(rows, auditEventOf)), rows[len(rows)-1]
		return out.onward(ctx, a, bound, auditPlace{last.Sequence, last.CreatedAt, last.ID})
	})
}

// noneFound makes nothing of there being nothing.
func noneFound(err error) error {
	if errors.Is(err, storage.ErrNotFound) {
		return nil
	}
	return err
}
