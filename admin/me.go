package admin

import (
	"context"
	"net/http"
	"slices"
)

// Me is whom a request is from, as it is answered.
type Me struct {
	Kind         string         `json:"kind" enum:"user,client" doc:"Whether the token acts for a person, or for the client itself."`
	Organization OrganizationOf `json:"organization" doc:"The organization that the token is of."`
	ClientID     string         `json:"client_id" doc:"The client that the token was given to."`
	User         *User          `json:"user,omitempty"`
	Scopes       []string       `json:"scopes" doc:"What the token was granted."`
	Permissions  []string       `json:"permissions" doc:"What may be done with it: its scopes, as far as the roles of its person allow them at this moment."`
}

// OrganizationOf says which organization something is of.
type OrganizationOf struct {
	ID     string `json:"id" format:"uuid"`
	Slug   string `json:"slug"`
	Name   string `json:"name"`
	Issuer string `json:"issuer" format:"uri"`
	Root   bool   `json:"root" doc:"Whether it is the one whose operators run the whole server."`
}

// mountMe is /me.
func (a *API) mountMe() {
	register(a, operation{
		id: "get-me", method: http.MethodGet, path: "/me", summary: "Show whom the access token acts for", permission: anyone, never: []int{http.StatusForbidden},
	}, func(ctx context.Context, in *Reading) (*one[Me], error) {
		who := callerOf(ctx)
		org := who.org
		me := Me{
			Kind: "client", Organization: OrganizationOf{org.ID.String(), org.Slug, org.Name, org.Issuer, org.Root}, ClientID: who.clientID,
			Scopes: append([]string{}, who.scopes...), Permissions: append([]string{}, who.held...),
		}
		slices.Sort(me.Permissions)
		if who.user != nil {
			user := userOf(who.user)
			me.Kind, me.User = "user", &user
		}
		return shownUnless(*in, me)
	})
}
