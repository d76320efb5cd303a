package people

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// The fields of forms, as Invalid names them.
const (
	FieldEmail    = "email"
	FieldUsername = "username"
	FieldName     = "name"
	FieldPassword = "password"
	FieldCode     = "code"
)

// How a field of a form is asked for.
const (
	required = "required"
	optional = "optional"
)

// Newcomer is what somebody says of themselves who makes an account.
type Newcomer struct {
	Username, Name string
	Password       secret.Text
}

// Asked says whether a field of a new account is asked for in this organization, and whether it must be filled in.
func Asked(decided *settings.Settings, field string) (asked, must bool) {
	how := decided.SignUp.Fields[field]
	return how == required || how == optional, how == required
}

// tidy drops what is not asked for, and the spaces around the rest.
func (n *Newcomer) tidy(decided *settings.Settings) {
	n.Username, n.Name = strings.TrimSpace(n.Username), strings.TrimSpace(n.Name)
	if asked, _ := Asked(decided, FieldUsername); !asked {
		n.Username = ""
	}
	if asked, _ := Asked(decided, FieldName); !asked {
		n.Name = ""
	}
}

// check says what is wrong with it, without a look at who exists.
func (n *Newcomer) check(org *tenant.Org, email string) error {
	decided := org.Decided()
	var wrong []error
	add := func(field, text string) { wrong = append(wrong, &Invalid{field, text}) }
	_, must := Asked(decided, FieldUsername)
	if n.Username == "" && must {
		add(FieldUsername, "signup.no_username")
	}
	if n.Username != "" {
		if _, err := identity.Username(n.Username); err != nil {
			add(FieldUsername, "signup.bad_username")
		}
	}
	_, must = Asked(decided, FieldName)
	switch {
	case n.Name == "" && must:
		add(FieldName, "signup.no_name")
	case n.Name != "" && profile.Name(n.Name) != nil:
		add(FieldName, "signup.bad_name")
	}
	wrong = append(wrong, newPassword(FieldPassword, n.Password, email, n.Username, n.Name, org.Name, org.Slug))
	return errors.Join(wrong...)
}

// newPassword says what is wrong with a password that somebody has chosen. about is what is known of them.
func newPassword(field string, text secret.Text, about ...string) error {
	err := password.Judge(text.Reveal(), about...)
	switch {
	case text == "":
		return &Invalid{field, "password.none"}
	case err != nil:
		return &Invalid{field, password.Reason(err)}
	}
	return nil
}

// mayHave reports whether accounts may be made with a canonical address here: by its domain, exactly.
func mayHave(decided *settings.Settings, canonical string) bool {
	at := strings.LastIndexByte(canonical, '@')
	return len(decided.SignUp.Domains) == 0 || slices.Contains(decided.SignUp.Domains, canonical[at+1:])
}

// countLinkName counts that whoever holds a link asks for a user name. Whether somebody has it already has to be told, and the link
// would otherwise be good for asking of any number of names (S-196).
func (p *People) countLinkName(ctx context.Context, who visitor.Visitor, username string, link uuid.UUID) error {
	if username == "" {
		return nil
	}
	return p.take(ctx, who, throttle.NamesPerson, "link "+link.String(), Anonymous, "")
}

// usernameFree reports whether nobody has a user name; the empty one is everybody's.
func (p *People) usernameFree(ctx context.Context, username string) (bool, error) {
	if username == "" {
		return true, nil
	}
	_, err := p.db.UserByLogin(ctx, username)
	if errors.Is(err, storage.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// known returns who has an address or user name, or nil.
func (p *People) known(ctx context.Context, login string) (*storage.User, error) {
	user, err := p.db.UserByLogin(ctx, login)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil //nolint:nilnil // nobody is an answer
	}
	return user, err
}

// errTaken says that an address has come to have an account meanwhile.
var errTaken = fmt.Errorf("somebody has the address by now: %w", storage.ErrSpent)

// whoseIsTaken says what made a new person conflict with another.
func (p *People) whoseIsTaken(ctx context.Context, email string) error {
	user, err := p.known(ctx, email)
	if err != nil {
		return err
	}
	if user != nil {
		return dead(errTaken)
	}
	return &Invalid{FieldUsername, "signup.username_taken"}
}

// insert makes a person whose address is proven, in the transaction of the context.
func (p *People) insert(ctx context.Context, email, username, name, hash, locale string) (*storage.User, error) {
	user := &storage.User{Email: email, PasswordHash: hash, IsActive: true, IsVerified: true, Metadata: map[string]any{}}
	if username != "" {
		user.Username = &username
	}
	if name != "" {
		user.FullName = &name
	}
	if locale != "" && locale != "und" {
		user.Metadata["locale"] = locale
	}
	if err := p.db.CreateUser(ctx, user); err != nil {
		return nil, err
	}
	return user, nil
}
