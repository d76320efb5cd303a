package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

// ApplyOptions say how a manifest is applied.
type ApplyOptions struct {
	// DryRun does everything and lets nothing of it stand.
	DryRun bool
	// Prune deletes what a part of the manifest that is there does not name.
	Prune bool
	// Secrets are what the references of the manifest stand for, by their pointers.
	Secrets map[string]secret.Text
}

// What becomes of something that a manifest speaks of.
const (
	ChangeCreate = "create"
	ChangeUpdate = "change"
	ChangeDelete = "delete"
	ChangeNone   = "none"
	// ChangeLeft is of what is there, does not stand in the manifest, and stays.
	ChangeLeft = "left"
)

// Change is what becomes of one thing.
type Change struct {
	Action string `json:"action" enum:"create,change,delete,none,left"`
	Kind   string `json:"kind" enum:"organization,permission,role,host,provider,client,api"`
	Name   string `json:"name"`
	// Members are those that differ.
	Members []MemberChange `json:"members,omitempty"`
	// Secret says what becomes of its secret, if anything does.
	Secret string `json:"secret,omitempty" enum:"given,generated,changed"`
	// ClientSecret is there when it has just been generated; nobody can show it again.
	ClientSecret string `json:"client_secret,omitempty"`
	// Note says what is to be known besides.
	Note string `json:"note,omitempty"`
}

// MemberChange is a member that was something else. What it was not at all, or comes to be no longer, is nil.
type MemberChange struct {
	Member string `json:"member"`
	Before any    `json:"before"`
	After  any    `json:"after"`
}

// Applied is what came of a manifest.
type Applied struct {
	Organization string   `json:"organization"`
	DryRun       bool     `json:"dry_run"`
	Changes      []Change `json:"changes"`
}

// Changed reports whether anything was changed, or would have been.
func (a *Applied) Changed() bool {
	for _, change := range a.Changes {
		if change.Action != ChangeNone && change.Action != ChangeLeft {
			return true
		}
	}
	return false
}

// applyAttempts is how often a manifest is applied that something stands in the way of: somebody else may have made the same this moment,
// and then it is there, and compared with.
const applyAttempts = 2

// errDryRun ends a transaction of which nothing is to stand.
var errDryRun = errors.New("nothing of it is to stand")

// Apply makes an organization what a manifest says that it is to be, and says what it did: by the deeds that there are for each thing,
// all of them in one transaction, or none. Of two who apply something to one organization at once the second waits, and finds what the
// first has done. A deed takes the permission that it takes by itself, and so does reading what a part of the manifest is compared with.
func (o *Operators) Apply(ctx context.Context, m *Manifest, options ApplyOptions) (*Applied, error) {
	if err := m.checkSecrets(options.Secrets); err != nil {
		return nil, err
	}
	ctx, err := o.askSectors(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("apply: %w", err)
	}
	for attempt := 1; ; attempt++ {
		set, err := o.keysFor(ctx, m, options)
		if err != nil {
			return nil, fmt.Errorf("apply: %w", err)
		}
		var plan *planner
		err = o.db.InTx(ctx, func(ctx context.Context) (err error) {
			if plan, ctx, err = o.begin(ctx, m, options, set); err != nil {
				return err
			}
			if err := plan.make(ctx); err != nil {
				return err
			}
			if err := plan.carryOut(ctx); err != nil {
				return err
			}
			if options.DryRun {
				return errDryRun
			}
			return nil
		})
		switch {
		case err == nil, errors.Is(err, errDryRun):
			return plan.applied(), nil
		case !errors.Is(err, storage.ErrConflict) || attempt == applyAttempts:
			return nil, during("apply", err)
		}
	}
}

// checkSecrets looks whether there is a secret for every reference, and for nothing else.
func (m *Manifest) checkSecrets(secrets map[string]secret.Text) error {
	var c complaints
	known := make(map[string]bool, len(m.references))
	for _, reference := range m.references {
		known[reference.Pointer] = true
		if text, ok := secrets[reference.Pointer]; ok && text == "" {
			c.add(reference.Pointer, "the secret is empty")
		} else if !ok && !reference.Optional {
			c.add(reference.Pointer, "the secret is not given")
		}
	}
	for pointer := range secrets {
		if !known[pointer] {
			c.add("", "a secret is given for which the manifest has no reference")
		}
	}
	return c.err()
}

// keysFor makes the keys of an organization that is to be made, before its transaction: it takes its time.
func (o *Operators) keysFor(ctx context.Context, m *Manifest, options ApplyOptions) (*keys.Set, error) {
	switch _, err := o.db.OrganizationBySlug(ctx, m.Slug); {
	case err == nil || options.DryRun:
		return nil, nil //nolint:nilnil // it has them, or needs none
	case !errors.Is(err, storage.ErrNotFound):
		return nil, err
	}
	return keys.Generate()
}

// begin finds or makes the organization, which nobody else changes until the transaction ends, and returns a context for it.
func (o *Operators) begin(ctx context.Context, m *Manifest, options ApplyOptions, set *keys.Set) (*planner, context.Context, error) {
	plan := &planner{o: o, m: m, options: options}
	row, err := o.db.OrganizationBySlug(ctx, m.Slug)
	if err == nil {
		if err = o.db.LockOrganization(ctx, row.ID); err == nil {
			row, err = o.db.OrganizationByID(ctx, row.ID)
		}
	} else if errors.Is(err, storage.ErrNotFound) {
		if set == nil && !options.DryRun {
			return nil, nil, storage.ErrConflict // it was deleted this moment
		}
		row, err = plan.found(ctx, set)
	}
	if err != nil {
		return nil, nil, err
	}
	org, err := o.addresses.Tenant(row, time.Now())
	if err != nil {
		return nil, nil, err
	}
	plan.org = row
	return plan, tenant.With(ctx, org), nil
}

// found makes the organization.
func (p *planner) found(ctx context.Context, set *keys.Set) (*storage.Organization, error) {
	if bound := actorOf(ctx).Bound; !bound.Holds(permission.OrganizationsWrite) {
		return nil, &Forbidden{permission.OrganizationsWrite}
	}
	name := p.m.Slug
	if p.m.Name != nil {
		name = *p.m.Name
	}
	if err := checkOrganization(name, p.m.Slug, "/name", "/slug"); err != nil {
		return nil, err
	}
	row, err := p.o.insertOrganization(ctx, name, p.m.Slug, nil, set)
	if err != nil {
		return nil, err
	}
	p.made = true
	return row, p.o.audit(within(ctx, row), "organization.created", row.Slug, map[string]any{"name": name})
}

// Placed is an error about one part of a manifest.
type Placed struct {
	// Pointer is where the part stands (RFC 6901).
	Pointer string
	What    string
	cause   error
}

func (e *Placed) Error() string { return e.What + ": " + e.cause.Error() }
func (e *Placed) Unwrap() error { return e.cause }

// step is one thing of a plan, and how it is done.
type step struct {
	Change
	// at is where it stands in the manifest, and below which member its fields are; needs is the permission that it takes.
	at    string
	field func(name string) string
	needs string
	do    func(ctx context.Context) (made secret.Text, err error)
}

// carryOut does what the plan says, in its order.
func (p *planner) carryOut(ctx context.Context) error {
	for i := range p.steps {
		s := &p.steps[i]
		if s.do == nil {
			continue
		}
		var made secret.Text
		var err error
		if !actorOf(ctx).Bound.Holds(s.needs) {
			err = &Forbidden{s.needs}
		} else {
			made, err = s.do(ctx)
		}
		if err != nil {
			return s.placed(err)
		}
		if made != "" && !p.options.DryRun {
			s.ClientSecret = made.Reveal()
		}
	}
	return p.stillMay(ctx)
}

// stillMay asks once more whether the actor may have the clients that were made or changed, now that the APIs are what they come to be.
func (p *planner) stillMay(ctx context.Context) error {
	for _, s := range p.steps {
		if s.do == nil || s.Kind != kindClient || s.Action == ChangeDelete {
			continue
		}
		client, err := p.o.db.Client(ctx, s.Name)
		if err == nil {
			err = p.o.mayRegister(ctx, client)
		}
		if err != nil {
			return s.placed(err)
		}
	}
	return nil
}

// placed says at which part of the manifest an error came up.
func (s *step) placed(err error) error {
	var conflict *Conflict
	switch complaints := Complaints(err); {
	case len(complaints) > 0:
		all := make([]error, len(complaints))
		for i, complaint := range complaints {
			all[i] = &Invalid{Field: s.at + s.field(complaint.Field), Message: complaint.Message}
		}
		return errors.Join(all...)
	case errors.As(err, &conflict):
		return &Conflict{Field: s.at + s.field(conflict.Field), Message: conflict.Message}
	}
	return &Placed{Pointer: s.at, What: s.Kind + " " + s.Name, cause: err}
}

// applied is what was done, in its order, but that the organization itself stands before all that is in it.
func (p *planner) applied() *Applied {
	applied := &Applied{Organization: p.m.Slug, DryRun: p.options.DryRun, Changes: make([]Change, 0, len(p.steps))}
	for _, s := range p.steps {
		if s.Kind == kindOrganization {
			applied.Changes = slices.Insert(applied.Changes, 0, s.Change)
			continue
		}
		applied.Changes = append(applied.Changes, s.Change)
	}
	return applied
}

// actingClient reports whether a client is the one by whose token the actor acts: who deletes it cuts off the branch they sit on.
func actingClient(ctx context.Context, org uuid.UUID, clientID string) bool {
	actor := actorOf(ctx)
	return actor.Client != "" && actor.Client == clientID && actor.ClientOf == org
}
