// Package upstreamtest imitates the servers at which people sign in elsewhere, each as its public documentation has it, and able to
// misbehave in one chosen respect.
//
// It owns one small provider and its profiles: what the endpoints are called, how a client authenticates, what an ID token or a profile
// looks like. Whoever comes to its authorization endpoint is the person that the test has put there. It owns no security and is test
// furniture: nothing but tests imports it.
package upstreamtest
