package proof

import "slices"

// The authentication contexts there are (acr), from the weaker to the stronger.
const (
	// One is one factor alone.
	One = "urn:keizer:acr:1fa"
	// Multi is two different factors, or a passkey that has verified its person, which is two in one.
	Multi = "urn:keizer:acr:2fa"
)

// Values are the authentication contexts there are.
func Values() []string { return []string{One, Multi} }

// The methods of authentication (RFC 8176 §2).
const (
	Password = "pwd"
	// Federated is that another provider has vouched for the person. How they have proven it there is for that provider to say, and
	// is not repeated: nobody here has seen it. The name is no registered one (RFC 8176 §6.1).
	Federated = "fed"
	// OTP is a code: of an authenticator app, of a list of recovery codes, or by mail.
	OTP = "otp"
	// Channel is something received another way than the browser's own.
	Channel = "mca"
	// Key is possession of a private key; Hardware and Software say where that is kept.
	Key      = "pop"
	Hardware = "hwk"
	Software = "swk"
	// Present is that the key has verified its person, by a PIN or by what they are.
	Present = "user"
	// Several is that two different factors were proven.
	Several = "mfa"
)

// Strong reports whether methods are two different factors: something known or received beside something had. A passkey that
// has verified its person is both. What another provider vouches for stands in place of a password, and a code by mail beside it is
// no second: whoever has somebody's account there may well have their mail.
func Strong(amr []string) bool {
	password, code, key := slices.Contains(amr, Password), slices.Contains(amr, OTP), slices.Contains(amr, Key)
	federated := slices.Contains(amr, Federated) && !slices.Contains(amr, Channel)
	return password && (code || key) || code && key || key && slices.Contains(amr, Present) || federated && (code || key)
}

// Together joins methods, each once, and says so where they are two factors.
func Together(lists ...[]string) []string {
	var all []string
	for _, word := range slices.Concat(lists...) {
		if word != Several && !slices.Contains(all, word) {
			all = append(all, word)
		}
	}
	if Strong(all) {
		all = append(all, Several)
	}
	return all
}

// ACR is the authentication context that methods amount to.
func ACR(amr []string) string {
	if Strong(amr) {
		return Multi
	}
	return One
}
