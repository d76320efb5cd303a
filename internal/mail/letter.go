package mail

import (
	"golang.org/x/text/language"

	"github.com/keizer-auth/keizer/internal/tenant"
)

// Kind is the kind of a letter. Each has a template and texts of its own.
type Kind string

// The letters there are.
const (
	VerifyEmail    Kind = "verify_email"    // Link, Code: prove that an address is yours, when you sign up or later
	SignUpExists   Kind = "sign_up_exists"  // Link: somebody signed up with an address that has an account; to sign in, or reset
	Invitation     Kind = "invitation"      // Link, Inviter: you are invited
	PasswordReset  Kind = "password_reset"  // Link
	EmailCode      Kind = "email_code"      // Code: a second factor
	ConfirmEmail   Kind = "confirm_email"   // Link: to a new address, that it becomes yours
	EmailChanging  Kind = "email_changing"  // Address: to the old address, that a change to Address was asked for
	EmailChanged   Kind = "email_changed"   // Link, Address: to the old address, with a link that undoes it
	EmailMoved     Kind = "email_moved"     // Address: to the old address, where nothing may undo it
	EmailIsYours   Kind = "email_is_yours"  // to the new address, that it has become that of the account
	PasswordChange Kind = "password_change" // the password was changed
	FactorAdded    Kind = "factor_added"    // What, Item: a passkey, an authenticator app, recovery codes
	FactorRemoved  Kind = "factor_removed"  // What, Item
	RecoveryUsed   Kind = "recovery_used"   // Left: a recovery code was used
	NewDevice      Kind = "new_device"      // Agent, Place: a sign-in from a browser not seen before
	AccountDeleted Kind = "account_deleted"
	Test           Kind = "test" // that mail arrives; for operators
)

// Letter is what is to be told to somebody. What a kind does not use stays empty.
type Letter struct {
	Kind Kind
	// To is the address, as it is stored: never one that a stranger has typed for an account that has another.
	To string
	// Name is what the person is called; may be empty.
	Name string
	// Language is what they are spoken to in.
	Language language.Tag

	// Organization is the name of the organization that writes, and Issuer its address. FromName and ReplyTo are its settings.
	Organization, Issuer string
	FromName, ReplyTo    string
	// Sender is the address that the organization wants its mail to come from; empty is the server's.
	Sender string
	// Accent is the organization's colour, "#rrggbb"; empty is Keizer's own.
	Accent string

	// Link opens a page with a button; Code is typed in by hand. Neither stands in the subject.
	Link, Code string
	// What else a letter tells, in words that are ready to be read; What may be the id of a text.
	Inviter, Address, What, Item, Left, Agent, Place string
	// When it happened, or until when Link and Code are good, in words.
	When, Until string
}

// From returns the letter with the organization that writes it filled in: its name, its address, its settings, and its language
// where the person's is not known.
func (l Letter) From(org *tenant.Org) Letter {
	decided := org.Decided()
	l.Organization, l.Issuer = org.Name, org.Issuer
	l.FromName, l.Sender, l.ReplyTo, l.Accent = decided.Mail.FromName, decided.Mail.From, decided.Mail.ReplyTo, decided.Branding.Accent
	if l.FromName == "" {
		l.FromName = org.Name
	}
	if l.Language == language.Und && decided.Language != "" {
		l.Language = language.Make(decided.Language)
	}
	return l
}
