package web

import (
	"strings"

	"github.com/keizer-auth/keizer/internal/tenant"
)

const (
	// accountPath is where the pages begin that one can sign in for without an application.
	accountPath = "/account"
	// maxReturnTo is longer than the path of any of them, in bytes.
	maxReturnTo = 200
)

// ReturnTo is the path of the page to go to after a sign-in without an application: text, below the organization's own base
// path, if it is the path of an account page, else that of the first of them. What it does not know by its form it does not
// take: there is no character in it that a browser could read in two ways, and so no way to another host.
func ReturnTo(org *tenant.Org, text string) string {
	text = strings.TrimPrefix(text, org.BasePath) // an address of ours, or the path below it
	if !isAccountPath(text) {
		text = accountPath
	}
	return org.BasePath + text
}

func isAccountPath(text string) bool {
	rest, ok := strings.CutPrefix(text, accountPath)
	if !ok || len(text) > maxReturnTo {
		return false
	}
	if rest == "" {
		return true
	}
	for segment := range strings.SplitSeq(rest[1:], "/") {
		if segment == "" || strings.ContainsFunc(segment, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return false
		}
	}
	return rest[0] == '/'
}
