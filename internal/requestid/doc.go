// Package requestid carries the name of a request, by which a page, a log line and an audit row of it find one another.
//
// It owns the form of the name and its place in the context. Who gives a request its name is server.
package requestid
