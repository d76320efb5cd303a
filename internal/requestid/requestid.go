package requestid

import (
	"context"
	"crypto/rand"
)

type contextKey struct{}

// New returns a fresh name: 26 letters and digits that can be read out over a telephone.
func New() string { return rand.Text() }

// With returns a context of the request that id names.
func With(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, contextKey{}, id)
}

// From returns the name of the request of ctx, or nothing outside of one.
func From(ctx context.Context) string {
	id, _ := ctx.Value(contextKey{}).(string)
	return id
}
