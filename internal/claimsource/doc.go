// Package claimsource knows the claims about people that others vouch for: aggregated ones, which come with the words of their source, and
// distributed ones, which are to be had at an address (OpenID Connect Core 1.0 §5.6.2).
//
// It owns what may be taken of them from a provider, and how those of several providers stand in one document. It asks nobody for any: whoever
// they are passed on to checks them with the source.
package claimsource
