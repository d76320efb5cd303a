// Package mergepatch changes a JSON object by a merge patch (RFC 7396), as far as that is about objects: what is changed here is never
// anything else.
package mergepatch
