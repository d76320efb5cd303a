package web

import (
	"net/url"

	"github.com/keizer-auth/keizer/internal/tenant"
)

// brand is what a page shows of an organization besides its name.
type brand struct {
	// Accent is the address of the style sheet of its color, Logo that of its picture; both may be empty.
	Accent, Logo string
	// Its links for people, which are asked once more whether they are https.
	Terms, Policy, Support string
}

func brandOf(org *tenant.Org) brand {
	chosen := org.Decided().Branding
	b := brand{Terms: httpsOnly(chosen.TermsURI), Policy: httpsOnly(chosen.PolicyURI), Support: httpsOnly(chosen.SupportURI)}
	b.Accent, _ = accentSheet(chosen.Accent)
	if chosen.Logo != "" {
		b.Logo = org.BasePath + "/logo/" + url.PathEscape(chosen.Logo)
	}
	return b
}

// Linked reports whether there is anything to link to.
func (b brand) Linked() bool { return b.Terms != "" || b.Policy != "" || b.Support != "" }
