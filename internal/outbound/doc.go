// Package outbound fetches what stands at an address that somebody else chose: a client's keys, an upstream's metadata.
//
// It owns the guard against server-side request forgery: which addresses may be spoken to (checked on the address that is
// being connected to, after all name resolution, so that no answer of a name server changes it), on which ports, for how
// long, and how much is read. It follows no redirects, knows no proxy, keeps no cookies and tries nothing twice. Whatever
// goes wrong is answered by one error with one text, so that nobody learns from it what stands in our network; the cause
// is there for the log of the operator.
//
// It does not own what is fetched: whoever asks reads it, and remembers it or its absence for as long as suits it.
//
// RFC 6890 and the IANA special-purpose address registries; RFC 6052 (NAT64), RFC 3056 (6to4), RFC 9700 §4.
package outbound
