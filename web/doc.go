// Package web is everything about a browser: the pages it is shown, the cookies it keeps, and what becomes of an error on its
// way to a person.
//
// It owns the templates and the style sheet (embedded, and every page tried with sample data before the first request), the
// headers of a page, the texts and their language, the session and flow cookies and what they are bound to, the tokens in
// forms, and the page that every error of a browser's request ends as. It does not own what a page asks for or decides:
// that is login, and provider where the protocol has pages of its own.
//
// Specifications: RFC 6265bis (cookies), Content Security Policy Level 3, OAuth 2.0 Form Post Response Mode 1.0, the
// ui_locales parameter of OpenID Connect Core 1.0 §3.1.2.1, WCAG 2.2 AA.
package web
