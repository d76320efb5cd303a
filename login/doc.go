// Package login is the pages where a person proves who they are, and says what an application may have of them.
//
// It owns signing in with a password, the consent page, and the setup link's page, where the first operator is made. It meets
// provider in the interaction row alone: it writes there what was proven and sends the browser back to the authorization
// endpoint, which decides what comes next. It does not own how pages look or what a session is (web), what an operator may
// do (manage), or whether a page is needed at all (provider/prompt).
//
// Specifications: OpenID Connect Core 1.0 §3.1.2.3 and §3.1.2.4 (authentication and consent), RFC 8176 (amr), RFC 8252 §8.6
// (clients that cannot be verified), RFC 9700 §4.12 (303 after a form).
package login
