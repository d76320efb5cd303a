package tenant

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/settings"
)

// ErrNone is the answer to a question that only makes sense for one organization, asked without one. Whoever gets it
// stops: a missing organization never means "all of them".
var ErrNone = errors.New("no organization in the context")

// Org is what a request needs to know of the organization it is for. It is shared between requests and never changed.
type Org struct {
	ID   uuid.UUID
	Slug string
	Name string

	// Issuer is the one canonical issuer identifier (OpenID Connect Discovery 1.0 §3), without a trailing slash.
	Issuer string
	// Root says that it is the organization whose owners operate the whole server. Only the server knows which that is.
	Root bool
	// Former are the issuers that it had before: what was issued under them is its own.
	Former []string
	// Suspended says that it serves nobody. Requests never see one that is; operators do.
	Suspended bool
	// BasePath is the path part of Issuer: empty for an organization that has an origin of its own, else "/o/{slug}".
	BasePath string

	// Settings are what its operators have decided. Where somebody acts in its name who needs none of them they may be nil: ask
	// with Decided.
	Settings *settings.Settings
}

// Decided returns the settings of the organization, which are the defaults where it was not read along with them.
func (o *Org) Decided() *settings.Settings {
	if o == nil || o.Settings == nil {
		return settings.Default()
	}
	return o.Settings
}

// Own reports whether an issuer is the organization's, or was before.
func (o *Org) Own(issuer string) bool {
	return issuer == o.Issuer || slices.Contains(o.Former, issuer)
}

// Current returns an audience in which the organization stands under the issuer that it has now, by whichever it was named. What was
// granted before the issuer changed goes on as if it had always been this one.
func (o *Org) Current(audience []string) []string {
	if len(o.Former) == 0 || !slices.ContainsFunc(audience, func(one string) bool { return slices.Contains(o.Former, one) }) {
		return audience
	}
	current := make([]string, 0, len(audience))
	for _, one := range audience {
		if o.Own(one) {
			one = o.Issuer
		}
		if !slices.Contains(current, one) {
			current = append(current, one)
		}
	}
	return current
}

type contextKey struct{}

// With returns a context in which everything is asked for org.
func With(ctx context.Context, org *Org) context.Context {
	return context.WithValue(ctx, contextKey{}, org)
}

// From returns the organization of ctx, or ErrNone.
func From(ctx context.Context) (*Org, error) {
	org, _ := ctx.Value(contextKey{}).(*Org)
	if org == nil || org.ID == uuid.Nil {
		return nil, ErrNone
	}
	return org, nil
}
