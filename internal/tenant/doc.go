// Package tenant carries the organization that a request is for.
//
// It owns one thing: which organization stands in a context, and the refusal when none does. It does not know how the
// organization was found (that is server) nor what may be read in its name (that is storage).
package tenant
