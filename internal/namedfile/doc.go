// Package namedfile reads files that a person has named, in a configuration, and says in one clause why it cannot.
package namedfile
