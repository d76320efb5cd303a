package manage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/storage"
)

// Operators does what operators ask for. It is safe for concurrent use.
type Operators struct {
	db     *storage.DB
	hasher *password.Hasher
	log    *slog.Logger

	// composer writes the mail that some deeds tell of; nil where no deed does.
	composer *mail.Composer

	// development says that there is nothing but http://localhost.
	development bool

	// testMode says that everything comes from one suite of tests.
	testMode bool

	// reach says which addresses may be asked, of providers and of clients, and upstream is what asks providers.
	reach    outbound.Options
	upstream *upstream.Upstream

	// addresses says where organizations stand, and outside whose a host is.
	addresses Addresses
	outside   Outside

	// limits are what organizations may decide at the most.
	limits settings.Limits
}

// New returns operators of a database.
func New(db *storage.DB, hasher *password.Hasher, log *slog.Logger) *Operators {
	return &Operators{db: db, hasher: hasher, log: log}
}

// InDevelopment returns operators who may also register addresses to be fetched from this machine, as a jwks_uri that is
// served by a program under development.
func (o *Operators) InDevelopment() *Operators {
	local := *o
	local.development = true
	local.reach.AllowLoopback = true
	return &local
}

// InTestMode returns operators to whom all who register clients from one network may be one suite of tests.
func (o *Operators) InTestMode() *Operators {
	tested := *o
	tested.testMode = true
	return &tested
}

// Actor is who does something, for the audit.
type Actor struct {
	// Name says through which door, and who: "cli:alice", "user:<id>".
	Name      string
	IPAddress string
	RequestID string
	// Client is the client by whose token the actor acts, and ClientOf whose it is; empty where there is no token.
	Client   string
	ClientOf uuid.UUID
	// Bound is what the actor may do at the most, and so what they may give away. Nil is no bound: that of whoever has the database
	// itself, and of the system.
	Bound *Bound
}

// Bound is what an actor may do, by the names of permissions.
type Bound struct {
	Permissions []string
	// Own says that the actor holds whatever the organization permits in applications of its own, besides. It is for a client that
	// acts for itself: no role says what it holds.
	Own bool
}

// Holds reports whether an actor is within their bound with a permission.
func (b *Bound) Holds(name string) bool {
	return b == nil || slices.Contains(b.Permissions, name) || b.Own && !permission.Reserved(name)
}

// Forbidden is the refusal of what an actor may not do, or may not give to others, for want of a permission.
type Forbidden struct{ Permission string }

func (e *Forbidden) Error() string {
	return "it takes the permission " + e.Permission + ", which you do not hold"
}

// mayGive refuses what would give somebody a permission that the actor does not hold, or take from somebody one that is more than
// the actor's.
func mayGive(ctx context.Context, names ...string) error {
	bound := actorOf(ctx).Bound
	if bound == nil {
		return nil
	}
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	for _, name := range permission.Effective(names, org.Root) {
		if !bound.Holds(name) {
			return &Forbidden{name}
		}
	}
	return nil
}

// mayActOn refuses what an actor would do to the account of somebody who may do more than they: it would be a way to become them.
func (o *Operators) mayActOn(ctx context.Context, userID uuid.UUID) error {
	if actorOf(ctx).Bound == nil {
		return nil
	}
	_, held, err := o.db.RightsOf(ctx, userID)
	if err != nil {
		return err
	}
	return mayGive(ctx, held...)
}

type actorKey struct{}

// WithActor returns a context in which everything is done by actor. Where nobody is named, the system itself is.
func WithActor(ctx context.Context, actor Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

func actorOf(ctx context.Context) Actor {
	actor, _ := ctx.Value(actorKey{}).(Actor)
	if actor.Name == "" {
		actor.Name = "system"
	}
	return actor
}

// eventOf is a row of the audit.
func eventOf(ctx context.Context, action, target string, details map[string]any) *storage.AuditEvent {
	actor := actorOf(ctx)
	event := &storage.AuditEvent{Actor: actor.Name, Action: action, Target: target, RequestID: actor.RequestID, Details: details}
	if actor.IPAddress != "" {
		event.IPAddress = &actor.IPAddress
	}
	return event
}

// audit writes down what is being done, in the transaction that it is done in.
func (o *Operators) audit(ctx context.Context, action, target string, details map[string]any) error {
	event := eventOf(ctx, action, target, details)
	if err := o.db.AppendAudit(ctx, event); err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	return nil
}

// Invalid is what is wrong with one thing that was asked for, in words for the person who asked. Several are joined:
// Complaints takes them apart.
type Invalid struct {
	Field   string // by its name in RFC 7591 or on the command line
	Message string
}

func (e *Invalid) Error() string { return e.Field + ": " + e.Message }

// Complaints returns everything that an error says is invalid, or nil.
func Complaints(err error) []*Invalid {
	switch e := err.(type) { //nolint:errorlint // it is this function that unwraps
	case nil:
		return nil
	case *Invalid:
		return []*Invalid{e}
	case interface{ Unwrap() []error }:
		var all []*Invalid
		for _, one := range e.Unwrap() {
			all = append(all, Complaints(one)...)
		}
		return all
	}
	return Complaints(errors.Unwrap(err))
}

// during wraps an error with the deed that it ended. What is wrong with what was asked for, or with who asks, speaks for itself.
func during(deed string, err error) error {
	var conflict *Conflict
	var forbidden *Forbidden
	if len(Complaints(err)) > 0 || errors.As(err, &conflict) || errors.As(err, &forbidden) {
		return err
	}
	return fmt.Errorf("%s: %w", deed, err)
}

// Conflict is a storage.ErrConflict that says which field names something that exists already.
type Conflict struct {
	Field   string
	Message string
}

func (e *Conflict) Error() string { return e.Field + ": " + e.Message }

// Is makes errors.Is(err, storage.ErrConflict) true.
func (e *Conflict) Is(target error) bool { return target == storage.ErrConflict }

// complaints collects what is wrong.
type complaints struct{ found []error }

func (c *complaints) add(field, format string, a ...any) {
	c.found = append(c.found, &Invalid{Field: field, Message: fmt.Sprintf(format, a...)})
}

// check adds an error under the name of a field.
func (c *complaints) check(field string, err error) {
	if err != nil {
		c.add(field, "%s", err)
	}
}

func (c *complaints) err() error { return errors.Join(c.found...) }

// within returns ctx for what is done to an organization that is not in it yet.
func within(ctx context.Context, org *storage.Organization) context.Context {
	return tenant.With(ctx, &tenant.Org{ID: org.ID, Slug: org.Slug, Name: org.Name})
}
