// Package providertest is an OpenID provider for tests of clients: good enough to sign in at, and able to misbehave in
// one chosen respect, which Keizer itself refuses to do.
//
// It owns the shortest honest code flow (discovery, keys, sign-in and consent pages with the ids of ours, code, tokens,
// userinfo, introspection, revocation, logout) and the faults that a client must notice. It owns no security and is test
// furniture: nothing but tests imports it.
package providertest
