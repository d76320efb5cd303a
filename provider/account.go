package provider

import (
	"github.com/gin-gonic/gin"

	"github.com/keizer-auth/keizer/internal/identity"
	"github.com/keizer-auth/keizer/storage"
)

// account is the account that an authorization request is about, of those that the browser is signed in to.
type account struct {
	session *storage.Session // nil for none
	user    *storage.User
	// aside is true when it is not the browser's current one, but named by a hint.
	aside bool
	// others is true when there are more that the request may mean.
	others bool
}

// account finds the account of a request: the current one, unless a hint names another that is signed in. What the person has chosen, or
// signed in to, for this very request comes before any hint. A hint is no choice: the current account stays the one that it is (S-029).
func (p *Provider) account(c *gin.Context, a *authorization) (*account, error) {
	session, user, err := p.sessions.Current(c)
	if err != nil {
		return nil, err
	}
	others, err := p.sessions.Others(c)
	if err != nil {
		return nil, err
	}
	found := &account{session: session, user: user, others: len(others) > 0}
	if session != nil && (a.isFor(session) || a.means(user)) {
		return found, nil
	}
	for _, other := range others {
		if !a.means(other.User) {
			continue
		}
		used, err := p.sessions.Use(c.Request.Context(), other.Session)
		if err != nil {
			return nil, err
		}
		if used {
			return &account{session: other.Session, user: other.User, aside: true, others: true}, nil
		}
	}
	if session == nil && a.loginHint() != "" {
		found.others = false // it is about somebody who is none of them
	}
	return found, nil
}

// isFor reports whether the person has chosen the account of a session, or signed in to it, for this very request.
func (a *authorization) isFor(session *storage.Session) bool {
	i := a.interaction
	return i != nil && i.SessionID != nil && *i.SessionID == session.ID && (i.SelectedAt != nil || i.AuthenticatedAt != nil)
}

// means reports whether a hint of the request names a person: by their subject, or else by what they sign in with (OpenID Connect Core 1.0
// §3.1.2.1). Without a hint it means nobody in particular.
func (a *authorization) means(user *storage.User) bool {
	if a.hint != "" {
		return a.hint == a.names.subject(user.ID.String())
	}
	hint := a.loginHint()
	if hint == "" {
		return false
	}
	if email, err := identity.Email(hint); err == nil {
		return user.EmailCanonical != nil && *user.EmailCanonical == email
	}
	name, err := identity.Username(hint)
	return err == nil && user.UsernameCanonical != nil && *user.UsernameCanonical == name
}

func (a *authorization) loginHint() string { return a.form.Get("login_hint") }
