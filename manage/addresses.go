package manage

import (
	"fmt"
	"slices"
	"time"

	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// Addresses says at which address each organization stands. It comes from the configuration, and never from a request.
type Addresses struct {
	// Base is the address of the server itself, without a trailing slash.
	Base string
	// Root is the slug of the organization whose address is Base; may be empty.
	Root string
}

// Management is the identifier of the management API: its address, and the audience of tokens for it.
func (a Addresses) Management() string { return a.Base + "/api/v1" }

// Issuer returns the issuer of an organization at a time, and the path part of it.
func (a Addresses) Issuer(org *storage.Organization, at time.Time) (issuer, path string) {
	if host := org.IssuerHostAt(at); host != "" {
		return httpsOf(host), ""
	}
	return a.below(org)
}

// below is the address of an organization that has no host of its own.
func (a Addresses) below(org *storage.Organization) (issuer, path string) {
	if org.Slug != a.Root {
		path = "/o/" + org.Slug
	}
	return a.Base + path, path
}

func httpsOf(host string) string { return "https://" + host }

// former are the issuers that an organization may have had before.
func (a Addresses) former(org *storage.Organization, at time.Time) (issuers []string) {
	now, _ := a.Issuer(org, at)
	for _, host := range org.FormerHostsAt(at) {
		issuers = append(issuers, httpsOf(host))
	}
	below, _ := a.below(org)
	return slices.DeleteFunc(append(issuers, below), func(issuer string) bool { return issuer == now })
}

// Tenant returns an organization as requests see it at a time.
func (a Addresses) Tenant(row *storage.Organization, at time.Time) (*tenant.Org, error) {
	decided, err := settings.Parse(row.Settings)
	if err != nil {
		return nil, fmt.Errorf("organization %s: %w", row.Slug, err) // fail closed: what was decided is not known
	}
	org := &tenant.Org{
		ID: row.ID, Slug: row.Slug, Name: row.Name, Former: a.former(row, at), Root: a.Root != "" && row.Slug == a.Root,
		Suspended: row.SuspendedAt != nil, Settings: decided,
	}
	org.Issuer, org.BasePath = a.Issuer(row, at)
	return org, nil
}

// Serving returns operators who know at which addresses organizations stand.
func (o *Operators) Serving(a Addresses) *Operators {
	serving := *o
	serving.addresses = a
	return &serving
}

// Addresses says at which addresses organizations stand.
func (o *Operators) Addresses() Addresses { return o.addresses }
