// Package visitor says who is at the other end of a request, as far as that shows before anybody has proven anything.
//
// It owns a handful of facts. It does not own how they are read from a request, which is web.
package visitor
