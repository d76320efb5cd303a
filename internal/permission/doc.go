// Package permission names what may be done in an organization through Keizer itself, and who may by being what they are.
//
// It owns the vocabulary of the product's own permissions and what each system role holds of them. It does not own who has which
// role, which is storage, nor what an organization permits in applications of its own, which only that organization knows.
package permission
