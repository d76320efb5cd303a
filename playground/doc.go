// Package playground is an ordinary OpenID Connect client that lives inside the server it talks to, so that whoever tries
// Keizer out sees a whole sign-in: the request, the callback, the tokens, each check of the ID token, userinfo, a refresh,
// a revocation, a sign-out, and every HTTP exchange with its curl equivalent.
//
// It owns its pages under /playground, the public client it is registered as, and the runs: what one browser has asked and
// received. A run is kept in the memory of this process, for an hour at the most and in a bounded number, found by a random
// cookie. That makes it fit for development alone, where there is one process: behind several replicas a callback would
// reach one that has never heard of the run. The server mounts it in development mode and nowhere else.
//
// It has one door of its own into the server, introspection, which a public client cannot ask for. Discovery, tokens and
// userinfo go over loopback HTTP through the base address, by package relyingparty, as they would from any other machine: what
// it shows of them is what a stranger would get.
//
// It serves the client's side of RFC 6749, RFC 7636, RFC 7009, RFC 9207 and OpenID Connect Core 1.0 by way of that package.
package playground
