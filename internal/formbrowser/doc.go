// Package formbrowser is a browser without a screen and without JavaScript: it follows redirects, keeps cookies, reads
// forms and presses their buttons, and stops where the pages lead back to the client.
//
// It owns the part of a browser's behavior that a sign-in depends on: which cookies go where, which controls of a form are
// sent, that a required field left empty keeps a form from being sent, which method survives a redirect, and the
// Origin and Sec-Fetch-* headers that a server tells cross-site requests by. `keizer try --username` signs in with it,
// and so do the tests of whole journeys.
//
// It does not own what the pages mean: whoever drives it names the controls by their ids. It does not run scripts, load
// images or frames, or apply a Content-Security-Policy; a real browser is the judge of those. Of SameSite it knows that another
// site's form brings no cookie but those that are None.
//
// It serves HTML's form submission, RFC 6265 and its prefixes of cookie names, Fetch Metadata, and the receiving side of
// OAuth 2.0 Form Post Response Mode.
package formbrowser
