package responsetype

import "strings"

// The words that a response type is made of.
const (
	Code    = "code"
	Token   = "token"
	IDToken = "id_token"
)

// Type is what an authorization request asks the authorization endpoint for.
type Type struct {
	Code, Token, IDToken bool
}

// legacy are those that give tokens in the address of a browser, in the order of OpenID Connect Core 1.0 §3. An access token alone
// (RFC 6749 §4.2) is none of them: nothing would tell the client whom it is about.
var legacy = []Type{
	{IDToken: true},
	{IDToken: true, Token: true},
	{Code: true, IDToken: true},
	{Code: true, Token: true},
	{Code: true, IDToken: true, Token: true},
}

// Supported returns the response types as they are written, those that give tokens in the address of a browser only if that is wanted.
func Supported(withLegacy bool) []string {
	all := []string{Code}
	if withLegacy {
		for _, t := range legacy {
			all = append(all, t.String())
		}
	}
	return all
}

// Parse reads a response type, whose words may stand in any order (RFC 6749 §3.1.1), and reports whether it is one that is supported.
func Parse(text string) (Type, bool) {
	var t Type
	for word := range strings.SplitSeq(text, " ") {
		var there *bool
		switch word {
		case Code:
			there = &t.Code
		case Token:
			there = &t.Token
		case IDToken:
			there = &t.IDToken
		default:
			return Type{}, false
		}
		if *there {
			return Type{}, false
		}
		*there = true
	}
	return t, t.Code || t.IDToken
}

// String is the response type as the specifications write it.
func (t Type) String() string {
	words := make([]string, 0, 3)
	for _, word := range []struct {
		there bool
		name  string
	}{{t.Code, Code}, {t.IDToken, IDToken}, {t.Token, Token}} {
		if word.there {
			words = append(words, word.name)
		}
	}
	return strings.Join(words, " ")
}

// Direct reports whether the answer holds a token, and not only a code: it travels where no server sees it, then, and never in a query
// (OAuth 2.0 Multiple Response Type Encoding Practices 1.0 §3, §5).
func (t Type) Direct() bool { return t.Token || t.IDToken }

// In reports whether the response type is among some, in whatever order those are written.
func (t Type) In(registered []string) bool {
	for _, text := range registered {
		if one, ok := Parse(text); ok && one == t {
			return true
		}
	}
	return false
}
