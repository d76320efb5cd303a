package manage

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/storage"
)

// SuspendOrganization makes an organization one that nobody is served by: it issues nothing, what it has issued is good for nothing, and
// its pages say so, on every replica within a second. That it is suspended already is no error.
func (o *Operators) SuspendOrganization(ctx context.Context, slug string) (*storage.Organization, error) {
	return o.suspend(ctx, slug, true, "organization.suspended")
}

// ResumeOrganization ends the suspension of an organization; what it had issued is good again, as far as it has not expired. That it is
// not suspended is no error.
func (o *Operators) ResumeOrganization(ctx context.Context, slug string) (*storage.Organization, error) {
	return o.suspend(ctx, slug, false, "organization.resumed")
}

func (o *Operators) suspend(ctx context.Context, slug string, suspended bool, action string) (org *storage.Organization, err error) {
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		if org, err = o.db.OrganizationBySlug(ctx, slug); err != nil {
			return err
		}
		before := org.SuspendedAt
		err := o.db.SuspendOrganization(ctx, org, suspended)
		if errors.Is(err, storage.ErrSpent) {
			return nil
		}
		if err != nil {
			return err
		}
		return o.audit(within(ctx, org), action, slug, storage.Changes(
			map[string]any{"suspended_at": timeOrNil(before)}, map[string]any{"suspended_at": timeOrNil(org.SuspendedAt)}))
	})
	if err != nil {
		return nil, during(action, err)
	}
	return org, nil
}

func timeOrNil(at *time.Time) any {
	if at == nil {
		return nil
	}
	return at.UTC().Format(time.RFC3339)
}

// DeleteOrganization deletes an organization and everything of it: for whoever looks, at once and as a whole. Its slug and its hosts are
// free from then on; a new organization of its slug is another one. What is left of it in the tables is taken away by EraseDeleted, and
// its audit stays. The root organization, and the last one that there is, are a Conflict.
func (o *Operators) DeleteOrganization(ctx context.Context, slug string) error {
	if slug != "" && slug == o.addresses.Root {
		return &Conflict{Field: "slug", Message: "it is the root organization: name another one in root_organization first"}
	}
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		org, err := o.db.OrganizationBySlug(ctx, slug)
		if err != nil {
			return err
		}
		issuer, _ := o.addresses.Issuer(org, time.Now())
		if err := o.db.DeleteOrganization(ctx, org.ID); errors.Is(err, storage.ErrConflict) {
			return &Conflict{Field: "slug", Message: "it is the last organization that there is"}
		} else if err != nil {
			return err
		}
		return o.audit(within(ctx, org), "organization.deleted", slug, map[string]any{"name": org.Name, "issuer": issuer})
	})
	if err != nil {
		return during("delete organization", err)
	}
	return nil
}

const (
	eraseBatch = 500
	// eraseAtOnce is of how many deleted organizations the rows are looked for in one walk.
	eraseAtOnce = 100
)

// EraseDeleted takes away what is left of organizations that were deleted, and returns how many rows that were. Whoever is interrupted,
// or does it beside another replica, leaves the rest to whoever comes next.
func (o *Operators) EraseDeleted(ctx context.Context) (erased int64, err error) {
	for {
		began := time.Now()
		orgs, err := o.db.UnerasedOrganizations(ctx, eraseAtOnce)
		if err != nil {
			return erased, during("erase organizations", err)
		}
		ids := make([]uuid.UUID, len(orgs))
		for i, org := range orgs {
			ids[i] = org.ID
		}
		n, err := o.db.EraseOrganizations(ctx, ids, eraseBatch)
		erased += n
		if err != nil {
			return erased, during("erase organizations", err)
		}
		settled := 0
		for _, org := range orgs {
			// A request that had begun before may have written something after we looked; then it is looked once more.
			if !org.Settled(began) {
				continue
			}
			settled++
			if err := o.erased(ctx, &org); err != nil {
				return erased, during("erase organizations", err)
			}
		}
		if settled == 0 || len(orgs) < eraseAtOnce {
			return erased, nil
		}
	}
}

func (o *Operators) erased(ctx context.Context, org *storage.Organization) error {
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		if err := o.db.OrganizationErased(ctx, org.ID); err != nil {
			return err
		}
		return o.audit(within(ctx, org), "organization.erased", org.FormerSlug(), nil)
	})
	if errors.Is(err, storage.ErrSpent) {
		return nil // another replica was faster
	}
	return err
}
