package people

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/storage"
)

// Deps is what People stands on.
type Deps struct {
	DB       *storage.DB
	Hasher   *password.Hasher
	Keyring  *seal.Keyring
	Composer *mail.Composer
	// Upstream speaks to the providers of others.
	Upstream *upstream.Upstream
	Log      *slog.Logger
}

// People does what people ask for themselves, in the organization of the context. It is safe for concurrent use.
type People struct {
	db       *storage.DB
	hasher   *password.Hasher
	keyring  *seal.Keyring
	composer *mail.Composer
	upstream *upstream.Upstream
	log      *slog.Logger
	asked    chan struct{}
}

// New puts a People together.
func New(d Deps) *People {
	return &People{db: d.DB, hasher: d.Hasher, keyring: d.Keyring, composer: d.Composer, upstream: d.Upstream, log: d.Log, asked: make(chan struct{}, 1)}
}

// Anonymous is the actor of what nobody has proven to have done.
const Anonymous = "anonymous"

// byUser names the person who did something, for the audit.
func byUser(id uuid.UUID) string { return "user:" + id.String() }

// audit writes down what a visitor does, in the transaction that it is done in.
func (p *People) audit(ctx context.Context, who visitor.Visitor, actor, action, target string, details map[string]any) error {
	event := &storage.AuditEvent{Actor: actor, Action: action, Target: target, RequestID: who.RequestID, Details: details}
	if who.Address != "" {
		event.IPAddress = &who.Address
	}
	if err := p.db.AppendAudit(ctx, event); err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	return nil
}
