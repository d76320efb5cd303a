package storage

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/migrations"
)

// AuditEvent says who did what to whom, in the transaction in which it was done.
type AuditEvent struct {
	ID uuid.UUID `gorm:"column:id;primaryKey"`
	Owned
	Actor     string         `gorm:"column:actor"`
	Action    string         `gorm:"column:action"`
	Target    string         `gorm:"column:target"`
	IPAddress *string        `gorm:"column:ip_address"`
	RequestID string         `gorm:"column:request_id"`
	Details   map[string]any `gorm:"column:details;serializer:json"`
	CreatedAt time.Time      `gorm:"column:created_at"`

	// Sequence is the event's place in the chain of its organization, from 1 on without a gap; 0 for what was written before there
	// were chains. It grows in the order in which transactions are committed: after an event none comes to light before it.
	Sequence int64 `gorm:"column:sequence"`
	// MAC is over the event and all before it. See auditchain.go.
	MAC string `gorm:"column:mac"`
	// RawDetails are the details to the letter, as the MAC is over them. ListAudit fills it.
	RawDetails *string `gorm:"-"`
}

func (AuditEvent) TableName() string { return "audit_events" }

// Changes are the details of a deed that changed something: of what there was before and after, the members in which they differ. Nil is
// that there is no such member.
func Changes(before, after map[string]any) map[string]any {
	was, is := make(map[string]any), make(map[string]any)
	for name, value := range before {
		if there, ok := after[name]; !ok || !reflect.DeepEqual(value, there) {
			was[name] = value
		}
	}
	for name, value := range after {
		if there, ok := before[name]; !ok || !reflect.DeepEqual(value, there) {
			is[name] = value
		}
	}
	if len(was) == 0 && len(is) == 0 {
		return nil
	}
	return map[string]any{"before": was, "after": is}
}

// Audited is what the audit tells of a person when it changes. What they say of themselves besides, and the metadata, is told by the
// names of its members only: the audit keeps for ever what it is told.
func (u *User) Audited() map[string]any {
	return map[string]any{"email": u.Email, "username": deref(u.Username), "name": deref(u.FullName), "verified": u.IsVerified, "active": u.IsActive}
}

func deref(text *string) any {
	if text == nil {
		return nil
	}
	return *text
}

// AppendAudit adds an event to the audit of the organization. It is written when the transaction is committed, as the last thing
// before that, so that nobody waits for the chain longer than they must; what cannot be written then rolls the deed back. The event
// is left as it was: a transaction that is run again appends it again.
func (db *DB) AppendAudit(ctx context.Context, event *AuditEvent) error {
	return db.AppendAudits(ctx, []*AuditEvent{event})
}

// AppendAudits adds events, as AppendAudit does.
func (db *DB) AppendAudits(ctx context.Context, events []*AuditEvent) error {
	org, err := tenant.From(ctx)
	if err != nil {
		return fmt.Errorf("append audit event: %w", err)
	}
	written := make([]*AuditEvent, len(events))
	for i, event := range events {
		if written[i], err = event.canonical(org.ID); err != nil {
			return fmt.Errorf("append audit event: %w", err)
		}
	}
	return db.InTx(ctx, func(ctx context.Context) error {
		t := db.transactionOf(ctx)
		t.audit = append(t.audit, written...)
		return nil
	})
}

// AuditFilter says which events are asked for. What is zero leaves nothing out.
type AuditFilter struct {
	// Actor, Action and Target are what the events' own are equal to.
	Actor, Action, Target string
	// Since and Until bound the time of the events: at or after the one, before the other.
	Since, Until time.Time

	// OldestFirst turns the order round, which is by sequence, the newest first; what stands outside of the chain is older than what
	// stands in it, and ordered by its time.
	OldestFirst bool
	// After is the last event of the page before: the page begins after it, in the order that is asked for. Its Sequence, and where
	// that is 0 its CreatedAt and ID, are what matters of it.
	After *AuditEvent
	// Limit is how many events are returned at the most.
	Limit int
}

// ListAudit returns the events of the organization that a filter lets through, page by page.
func (db *DB) ListAudit(ctx context.Context, filter AuditFilter) ([]AuditEvent, error) {
	var events []AuditEvent
	err := db.scoped(ctx, reading, "list audit events", func(q *query) (err error) {
		where, order, args := filter.conditions()
		events, err = q.auditEvents(where+" ORDER BY "+order+" LIMIT "+strconv.Itoa(limited(filter.Limit)), args...)
		for i := range events {
			events[i].readDetails()
		}
		return err
	})
	return events, err
}

// conditions are those of a statement whose first argument is the organization.
func (f AuditFilter) conditions() (where, order string, args []any) {
	add := func(condition string, values ...any) {
		for _, value := range values {
			args = append(args, value)
			condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(args)+1), 1)
		}
		where += " AND " + condition
	}
	for _, equal := range []struct{ column, value string }{{"actor", f.Actor}, {"action", f.Action}, {"target", f.Target}} {
		if equal.value != "" {
			add(equal.column+" = ?", equal.value)
		}
	}
	if !f.Since.IsZero() {
		add("created_at >= ?", f.Since)
	}
	if !f.Until.IsZero() {
		add("created_at < ?", f.Until)
	}
	beyond, direction := "<", "DESC"
	if f.OldestFirst {
		beyond, direction = ">", "ASC"
	}
	if a := f.After; a != nil && a.Sequence > 0 {
		add("sequence "+beyond+" ?", a.Sequence)
	} else if a != nil {
		add(fmt.Sprintf("(sequence %[1]s 0 OR sequence = 0 AND (created_at %[1]s ? OR created_at = ? AND id %[1]s ?))", beyond), a.CreatedAt, a.CreatedAt, a.ID)
	}
	return where, fmt.Sprintf("sequence %[1]s, created_at %[1]s, id %[1]s", direction), args
}

// auditEvents reads events of the organization, with their details as text.
func (q *query) auditEvents(further string, args ...any) ([]AuditEvent, error) {
	rows, err := q.pool.QueryContext(q.ctx, `SELECT id, actor, action, target, ip_address, request_id, details, created_at, sequence, mac
		FROM audit_events WHERE org_id = $1`+further, append([]any{q.org}, args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var events []AuditEvent
	for rows.Next() {
		e := AuditEvent{Owned: Owned{q.org}}
		if err := rows.Scan(&e.ID, &e.Actor, &e.Action, &e.Target, &e.IPAddress, &e.RequestID, &e.RawDetails, &e.CreatedAt, &e.Sequence, &e.MAC); err != nil {
			return nil, err
		}
		if q.db.dialect == migrations.Postgres {
			e.rewriteDetails()
		}
		events = append(events, e)
	}
	return events, rows.Err()
}
