package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/tenant"
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
}

func (AuditEvent) TableName() string { return "audit_events" }

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
	links := make([]*auditLink, len(events))
	for i, event := range events {
		if links[i], err = newAuditLink(event, org.ID); err != nil {
			return fmt.Errorf("append audit event: %w", err)
		}
	}
	return db.InTx(ctx, func(ctx context.Context) error {
		t := db.transactionOf(ctx)
		t.audit = append(t.audit, links...)
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
	err := db.scoped(ctx, reading, "list audit events", func(q *query) error {
		g := q.of(&AuditEvent{})
		for _, equal := range []struct{ column, value string }{{"actor", filter.Actor}, {"action", filter.Action}, {"target", filter.Target}} {
			if equal.value != "" {
				g = g.Where(equal.column+" = ?", equal.value)
			}
		}
		if !filter.Since.IsZero() {
			g = g.Where("created_at >= ?", instant(filter.Since))
		}
		if !filter.Until.IsZero() {
			g = g.Where("created_at < ?", instant(filter.Until))
		}
		beyond, order := "<", "DESC"
		if filter.OldestFirst {
			beyond, order = ">", "ASC"
		}
		if a := filter.After; a != nil && a.Sequence > 0 {
			g = g.Where("sequence "+beyond+" ?", a.Sequence)
		} else if a != nil {
			at := instant(a.CreatedAt)
			g = g.Where(fmt.Sprintf("(sequence %[1]s 0 OR sequence = 0 AND (created_at %[1]s ? OR created_at = ? AND id %[1]s ?))", beyond), at, at, a.ID)
		}
		events = nil
		return g.Order(fmt.Sprintf("sequence %[1]s, created_at %[1]s, id %[1]s", order)).Limit(limited(filter.Limit)).Find(&events).Error
	})
	return events, err
}
