package storage

import (
	"context"
	"time"

	"github.com/google/uuid"
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
}

func (AuditEvent) TableName() string { return "audit_events" }

// AppendAudit adds an event. The event is left as it was: a transaction that is run again appends it again.
func (db *DB) AppendAudit(ctx context.Context, event *AuditEvent) error {
	return db.scoped(ctx, writing, "append audit event", func(q *query) error {
		row := *event
		identify(&row.ID)
		row.IPAddress = address(row.IPAddress)
		return q.create(&row)
	})
}

// ListAudit returns the latest events, newest first.
func (db *DB) ListAudit(ctx context.Context, limit int) ([]AuditEvent, error) {
	var events []AuditEvent
	err := db.scoped(ctx, reading, "list audit events", func(q *query) error {
		return q.of(&AuditEvent{}).Order("created_at DESC, id DESC").Limit(limited(limit)).Find(&events).Error
	})
	return events, err
}
