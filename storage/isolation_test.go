package storage_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/seal"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
	"github.com/keizer-auth/keizer/storage/storagetest"
)

// A trespass is one method of *storage.DB, called in a context with what belongs to the organization of f. The error is
// what the method answered; found counts what it gave away without one.
type trespass func(db *storage.DB, ctx context.Context, f *fixture) (found int, err error)

func only(err error) (int, error) { return 0, err }

func row[T any](r *T, err error) (int, error) {
	if r != nil {
		return 1, err
	}
	return 0, err
}

func rows[T any](r []T, err error) (int, error) { return len(r), err }

// trespasses has a case for every method that asks about one organization. unharmed are those that answer a stranger
// nothing at all: that there was nothing to do is no error to them.
var trespasses = map[string]trespass{
	"CreateUser": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateUser(ctx, &storage.User{Owned: f.user.Owned, Email: "new@example.com", PasswordHash: "!"}))
	},
	"User": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.User(ctx, f.user.ID))
	},
	"UserByLogin": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.UserByLogin(ctx, f.user.Email))
	},
	"FindUsers": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		found, _, err := db.FindUsers(ctx, storage.UserFilter{Search: "a", Email: f.user.Email, Role: f.role.Name}, storage.Listing{Sort: "-email"})
		after, _, err2 := db.FindUsers(ctx, storage.UserFilter{}, storage.Listing{After: &storage.Position{Value: time.Time{}.Format(time.RFC3339Nano)}})
		return len(found) + len(after), errors.Join(err, err2)
	},
	"FindClients": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		found, _, err := db.FindClients(ctx, storage.ClientFilter{Search: "a"}, storage.Listing{After: &storage.Position{}, Sort: "client_name"})
		return len(found), err
	},
	"FindSessions": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		found, _, err := db.FindSessions(ctx, storage.SessionFilter{UserID: &f.user.ID}, storage.Listing{})
		all, _, err2 := db.FindSessions(ctx, storage.SessionFilter{}, storage.Listing{Sort: "-last_used_at", After: &storage.Position{Value: "2100-01-01T00:00:00Z"}})
		return len(found) + len(all), errors.Join(err, err2)
	},
	"SessionByID": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.SessionByID(ctx, f.session.ID, time.Time{}))
	},
	"FindGrants": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		found, _, err := db.FindGrants(ctx, storage.GrantFilter{UserID: &f.user.ID, ClientID: f.client.ClientID}, storage.Listing{})
		all, _, err2 := db.FindGrants(ctx, storage.GrantFilter{}, storage.Listing{After: &storage.Position{Value: "1970-01-01T00:00:00Z"}})
		return len(found) + len(all), errors.Join(err, err2)
	},
	"Grant": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.Grant(ctx, f.grant.ID))
	},
	"FindInvitations": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		found, _, err := db.FindInvitations(ctx, "guest@example.com", storage.Listing{})
		all, _, err2 := db.FindInvitations(ctx, "", storage.Listing{After: &storage.Position{Value: "1970-01-01T00:00:00Z"}})
		return len(found) + len(all), errors.Join(err, err2)
	},
	"InvitationByID": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.InvitationByID(ctx, f.invitationID))
	},
	// The same request under the same key to another organization is another one.
	"ClaimRequest": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		_, answer, err := db.ClaimRequest(ctx, "body", "key")
		if errors.Is(err, storage.ErrClaimed) {
			return 1, nil
		}
		return len(answer), err
	},
	"AnswerRequest": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.AnswerRequest(ctx, f.claim, []byte("stolen")))
	},
	"GiveUpRequest": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.GiveUpRequest(ctx, f.claim))
	},
	"PasswordHashFrom": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		hash, err := db.PasswordHashFrom(ctx, uuid.Nil)
		return count(hash == f.user.PasswordHash), err
	},
	"ListUsers": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.ListUsers(ctx, uuid.Nil, 0))
	},
	"UpdateUser": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		u := *f.user
		u.Email = "stolen@example.com"
		return only(db.UpdateUser(ctx, &u))
	},
	"SearchUsers": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.SearchUsers(ctx, "", uuid.Nil, 0))
	},
	"UsersNamed": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.UsersNamed(ctx, []uuid.UUID{f.user.ID}, []string{f.user.Email}, nil))
	},
	"CreateUsers": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateUsers(ctx, []*storage.User{{Owned: f.user.Owned, Email: "new@example.com", PasswordHash: "!"}}))
	},
	"AppendAudits": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.AppendAudits(ctx, []*storage.AuditEvent{{Owned: f.user.Owned, Actor: "x", Action: "y"}}))
	},
	"RoleNames": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		names, err := db.RoleNames(ctx, []uuid.UUID{f.user.ID})
		return len(names), err
	},
	"ListSessions": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		sessions, _, err := db.ListSessions(ctx, &f.user.ID, time.Time{}, uuid.Nil, 0)
		all, _, err2 := db.ListSessions(ctx, nil, time.Time{}, uuid.Nil, 0)
		return len(sessions) + len(all), errors.Join(err, err2)
	},
	"CountSessions": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return db.CountSessions(ctx, f.user.ID)
	},
	"EndEverySession": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		n, err := db.EndEverySession(ctx, true)
		return int(n), err
	},
	"SetPasswordHash": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.SetPasswordHash(ctx, f.user.ID, "stolen"))
	},
	"SetUserActive": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.SetUserActive(ctx, f.user.ID, false))
	},
	"VerifyUser": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.VerifyUser(ctx, f.user.ID, f.user.Email))
	},
	"SetLogo": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.SetLogo(ctx, &storage.Logo{Owned: f.user.Owned, Digest: "other", ContentType: "image/png", Image: []byte("x")}))
	},
	"Logo": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.Logo(ctx, f.logo))
	},
	"DeleteLogo": func(db *storage.DB, ctx context.Context, _ *fixture) (int, error) {
		return only(db.DeleteLogo(ctx))
	},
	"CreateHost": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateHost(ctx, &storage.Host{Owned: f.user.Owned, Host: "new.example.com", Token: "t"}))
	},
	"Host": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.Host(ctx, f.host.Host))
	},
	"ListHosts": func(db *storage.DB, ctx context.Context, _ *fixture) (int, error) {
		return rows(db.ListHosts(ctx))
	},
	"VerifyHost": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.VerifyHost(ctx, f.claimed, "dns"))
	},
	"DeleteHost": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.DeleteHost(ctx, f.host.Host))
	},
	"CreateInvitation": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateInvitation(ctx, "new@example.com", &storage.Invitation{
			OrgID: f.user.OrgID, Token: uuid.NewString(), ExpiresAt: now(),
		}))
	},
	"Invitation": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.Invitation(ctx, f.invitation))
	},
	"InvitationOf": func(db *storage.DB, ctx context.Context, _ *fixture) (int, error) {
		return row(db.InvitationOf(ctx, "guest@example.com"))
	},
	"ListInvitations": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.ListInvitations(ctx, uuid.Nil, 0))
	},
	"EnqueueResetRequest": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.EnqueueResetRequest(ctx, &storage.ResetRequest{OrgID: f.user.OrgID, Login: "alice"}))
	},
	"EndResetRequest": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.EndResetRequest(ctx, f.resetRequest))
	},
	"RecordLogin": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.RecordLogin(ctx, f.user.ID, time.Now()))
	},
	"DeleteUser": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.DeleteUser(ctx, f.user.ID))
	},
	// A role of that name is the stranger's own, and not the other one.
	"EnsureRole": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		role, err := db.EnsureRole(ctx, f.role.Name, "", false)
		return other(role, func(r *storage.Role) uuid.UUID { return r.ID }, f.role.ID), err
	},
	"RoleByName": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		role, err := db.RoleByName(ctx, f.role.Name) // of that name there may be one of the stranger's own
		n := other(role, func(r *storage.Role) uuid.UUID { return r.ID }, f.role.ID)
		return n, err
	},
	"GrantRole": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.GrantRole(ctx, f.user.ID, f.role.ID))
	},
	"RolesOf": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.RolesOf(ctx, f.user.ID))
	},
	"EnsurePermission": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		p, err := db.EnsurePermission(ctx, f.permission.Name, "", "r", "a")
		return other(p, func(p *storage.Permission) uuid.UUID { return p.ID }, f.permission.ID), err
	},
	"GrantPermission": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.GrantPermission(ctx, f.role.ID, f.permission.ID))
	},
	"PermissionsOf": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.PermissionsOf(ctx, f.user.ID))
	},
	"CreateSession": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateSession(ctx, &storage.Session{UserID: f.user.ID, Token: uuid.NewString(), ExpiresAt: time.Now().Add(minute)}))
	},
	"SessionByToken": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		s, _, err := db.SessionByToken(ctx, f.session.Token)
		return row(s, err)
	},
	"RenewSession": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.RenewSession(ctx, f.session))
	},
	"TouchSession": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.TouchSession(ctx, f.session.ID, time.Now()))
	},
	"EndSession": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.EndSession(ctx, f.session.ID, true))
	},
	"NoteSessionClient": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return 0, db.NoteSessionClient(ctx, &storage.SessionClient{SessionID: f.session.ID, ClientID: "stolen", ExpiresAt: now().Add(minute)})
	},
	"ClientsOfSession": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		clients, err := db.ClientsOfSession(ctx, f.session.ID)
		return len(clients), err
	},
	// A stranger has a salt of their own.
	"PairwiseSalt": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		theirs, err := db.PairwiseSalt(f.ctx)
		if err != nil {
			return 0, err
		}
		salt, err := db.PairwiseSalt(ctx)
		return count(slices.Equal(salt, theirs)), err
	},
	"ClaimSourcesOf": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		texts, err := db.ClaimSourcesOf(ctx, f.user.ID)
		return len(texts), err
	},
	"HasClaimSources": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		has, err := db.HasClaimSources(ctx)
		return count(has), err
	},
	"UserIDs": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		ids, err := db.UserIDs(ctx, uuid.Nil, 100)
		return count(slices.Contains(ids, f.user.ID)), err
	},
	"LogoutDelivered": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.LogoutDelivered(ctx, &storage.SessionClient{SessionID: f.session.ID, ClientID: "told"}))
	},
	"PostponeLogout": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.PostponeLogout(ctx, &storage.SessionClient{SessionID: f.session.ID, ClientID: "told"}, now(), "stolen"))
	},
	"EndSessionsOfUser": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.EndSessionsOfUser(ctx, f.user.ID))
	},
	"FactorCounts": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		n, err := db.FactorCounts(ctx, f.user.ID)
		return n.Passkeys + n.Authenticators + n.RecoveryCodes, err
	},
	"SessionsOfUser": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.SessionsOfUser(ctx, f.user.ID, time.Time{}))
	},
	"PersonOfSession": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		found, err := db.PersonOfSession(ctx, f.session.ID)
		if found != uuid.Nil {
			return 1, err
		}
		return 0, err
	},
	"SessionOfUser": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.SessionOfUser(ctx, f.user.ID, f.session.ID))
	},
	"EndOtherSessions": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.EndOtherSessions(ctx, f.user.ID, uuid.New(), true))
	},
	"UpstreamAccountsOf": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.UpstreamAccountsOf(ctx, f.user.ID))
	},
	"DeleteFactorsSince": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.DeleteFactorsSince(ctx, f.user.ID, time.Time{}))
	},
	"LockUser": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.LockUser(ctx, f.user.ID))
	},
	"UpdateProfile": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		stolen := *f.user
		stolen.Username, stolen.FullName = nil, nil
		return only(db.UpdateProfile(ctx, &stolen))
	},
	"ChangeEmail": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.ChangeEmail(ctx, f.user.ID, f.user.Email, "stolen@example.com"))
	},
	"OtherOwner": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		exists, err := db.OtherOwner(ctx, uuid.Nil)
		return count(exists), err
	},
	"EnsureSystemRoles": func(db *storage.DB, ctx context.Context, _ *fixture) (int, error) {
		return only(db.EnsureSystemRoles(ctx))
	},
	"CreateRole": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateRole(ctx, &storage.Role{Owned: f.user.Owned, Name: "stolen"}))
	},
	"Role": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.Role(ctx, f.role.ID))
	},
	"LockRole": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.LockRole(ctx, f.role.ID))
	},
	"ListRoles": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		roles, err := db.ListRoles(ctx, "", 0)
		return count(slices.ContainsFunc(roles, func(r storage.Role) bool { return r.ID == f.role.ID })), err
	},
	"CountRoles": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		n, err := db.CountRoles(ctx)
		roles, err2 := db.ListRoles(ctx, "", 0)
		return n - len(roles), errors.Join(err, err2)
	},
	"UpdateRole": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		stolen := *f.role
		stolen.Name = "stolen"
		return only(db.UpdateRole(ctx, &stolen))
	},
	"DeleteRole": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.DeleteRole(ctx, f.role.ID))
	},
	"RevokeRole": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.RevokeRole(ctx, f.user.ID, f.role.ID))
	},
	"RoleHolders": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.RoleHolders(ctx, f.role.ID, uuid.Nil, 0))
	},
	"CreatePermission": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreatePermission(ctx, &storage.Permission{Owned: f.user.Owned, Name: "stolen", Resource: "r", Action: "a"}))
	},
	"Permission": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.Permission(ctx, f.permission.ID))
	},
	"PermissionsNamed": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		permissions, err := db.PermissionsNamed(ctx, []string{f.permission.Name})
		return count(slices.ContainsFunc(permissions, func(p storage.Permission) bool { return p.ID == f.permission.ID })), err
	},
	"ListPermissions": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		permissions, err := db.ListPermissions(ctx, "", 0)
		return count(slices.ContainsFunc(permissions, func(p storage.Permission) bool { return p.ID == f.permission.ID })), err
	},
	"CountPermissions": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		n, err := db.CountPermissions(ctx)
		permissions, err2 := db.ListPermissions(ctx, "", 0)
		return n - len(permissions), errors.Join(err, err2)
	},
	"UpdatePermission": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		stolen := *f.permission
		stolen.Name = "stolen"
		return only(db.UpdatePermission(ctx, &stolen))
	},
	"DeletePermission": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.DeletePermission(ctx, f.permission.ID))
	},
	"WithdrawPermission": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.WithdrawPermission(ctx, f.role.ID, f.permission.ID))
	},
	"PermissionsOfRoles": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		names, err := db.PermissionsOfRoles(ctx, []uuid.UUID{f.role.ID})
		return len(names), err
	},
	"RightsOf": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		roles, permissions, err := db.RightsOf(ctx, f.user.ID)
		return len(roles) + len(permissions), err
	},
	"CreateAPI": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		foreign := db.CreateAPI(ctx, &storage.API{Identifier: "https://tied.example", Scopes: []storage.APIScope{{Name: "x", PermissionID: &f.permission.ID}}})
		if foreign == nil {
			return 1, nil
		}
		return only(db.CreateAPI(ctx, &storage.API{Owned: f.user.Owned, Identifier: "https://stolen.example"}))
	},
	"API": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.API(ctx, f.api.ID))
	},
	"APIByIdentifier": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.APIByIdentifier(ctx, f.api.Identifier))
	},
	"ListAPIs": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.ListAPIs(ctx, "", 0))
	},
	"ScopesNamed": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.ScopesNamed(ctx, []string{"read", "write"}))
	},
	"CountAPIs": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return db.CountAPIs(ctx)
	},
	"UpdateAPI": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		stolen := *f.api
		stolen.Name, stolen.Scopes = "stolen", nil
		return only(db.UpdateAPI(ctx, &stolen))
	},
	"DeleteAPI": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.DeleteAPI(ctx, f.api.ID))
	},
	"ApplicationsOfUser": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.ApplicationsOfUser(ctx, f.user.ID))
	},
	"AuditOfUser": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.AuditOfUser(ctx, "user:"+f.user.ID.String(), f.user.ID, nil, 0))
	},
	"CreateSignIn": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateSignIn(ctx, &storage.SignIn{UserID: f.user.ID, Digest: uuid.NewString(), ExpiresAt: time.Now().Add(minute)}))
	},
	"SignIn": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		s, _, err := db.SignIn(ctx, f.signIn)
		return row(s, err)
	},
	"SpendSignIn": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.SpendSignIn(ctx, f.signIn))
	},
	"EndSignInsOfUser": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.EndSignInsOfUser(ctx, f.user.ID))
	},
	// The same challenge at another organization is another one.
	"SpendChallenge": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.SpendChallenge(ctx, f.challenge, time.Now().Add(minute)))
	},
	"CreatePasskey": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreatePasskey(ctx, &storage.Passkey{UserID: f.user.ID, CredentialID: uuid.NewString()}))
	},
	"PasskeysOf": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.PasskeysOf(ctx, f.user.ID))
	},
	"CountPasskeys": func(db *storage.DB, ctx context.Context, _ *fixture) (int, error) { return db.CountPasskeys(ctx) },
	"PasskeyByCredential": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.PasskeyByCredential(ctx, f.passkey.CredentialID))
	},
	"UsePasskey": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.UsePasskey(ctx, f.passkey, 8, false, []byte("stolen")))
	},
	"MarkPasskeyCloned": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.MarkPasskeyCloned(ctx, f.passkey.ID))
	},
	"RenamePasskey": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.RenamePasskey(ctx, f.user.ID, f.passkey.ID, "stolen"))
	},
	"DeletePasskey": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.DeletePasskey(ctx, f.user.ID, f.passkey.ID))
	},
	"CreateAuthenticator": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateAuthenticator(ctx, &storage.Authenticator{UserID: f.user.ID}))
	},
	"AuthenticatorsOf": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.AuthenticatorsOf(ctx, f.user.ID))
	},
	"UseAuthenticator": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.UseAuthenticator(ctx, f.app.ID, 1<<40))
	},
	"DeleteAuthenticator": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.DeleteAuthenticator(ctx, f.user.ID, f.app.ID))
	},
	"ReplaceRecoveryCodes": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.ReplaceRecoveryCodes(ctx, f.user.ID, []string{uuid.NewString()}))
	},
	"SpendRecoveryCode": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return db.SpendRecoveryCode(ctx, f.user.ID, f.recovery)
	},
	"RecoveryCodeUnused": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		unused, err := db.RecoveryCodeUnused(ctx, f.user.ID, f.recovery)
		return count(unused), err
	},
	"DeleteFactors": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.DeleteFactors(ctx, f.user.ID))
	},
	"CreateClient": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateClient(ctx, &storage.Client{Owned: f.client.Owned, ClientID: "new"}))
	},
	"Client": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.Client(ctx, f.client.ClientID))
	},
	"ListClients": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.ListClients(ctx, "", 0))
	},
	"OriginRegistered": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		known, err := db.OriginRegistered(ctx, "https://rp.example")
		return count(known), err
	},
	"UpdateClient": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		c := *f.client
		c.Name = "stolen"
		return only(db.UpdateClient(ctx, &c))
	},
	"CreateRegistrationToken": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateRegistrationToken(ctx, &storage.RegistrationToken{Owned: f.user.Owned, Digest: uuid.NewString(), ExpiresAt: now()}))
	},
	"RegistrationToken": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.RegistrationToken(ctx, f.registered.ID))
	},
	"RegistrationTokenByDigest": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.RegistrationTokenByDigest(ctx, f.registered.Digest))
	},
	"UseRegistrationToken": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.UseRegistrationToken(ctx, f.registered.ID))
	},
	"DeleteRegistrationToken": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.DeleteRegistrationToken(ctx, f.registered.ID))
	},
	"FindRegistrationTokens": func(db *storage.DB, ctx context.Context, _ *fixture) (int, error) {
		found, _, err := db.FindRegistrationTokens(ctx, storage.Listing{})
		return len(found), err
	},
	"CountRegisteredClients": func(db *storage.DB, ctx context.Context, _ *fixture) (int, error) {
		return db.CountRegisteredClients(ctx)
	},
	"UseClient": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.UseClient(ctx, "registered-"+*f.user.Username))
	},
	"UnusedClients": func(db *storage.DB, ctx context.Context, _ *fixture) (int, error) {
		return rows(db.UnusedClients(ctx, time.Now(), 0))
	},
	"LockPermission": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.LockPermission(ctx, f.permission.ID))
	},
	"LockAPI": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.LockAPI(ctx, f.api.ID))
	},
	"SealClientSecrets": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		c := *f.client
		if err := db.SealClientSecrets(ctx, &c, "stolen"); err != nil {
			return 0, err
		}
		return only(db.UpdateClient(ctx, &c)) // only then it is written
	},
	"ClientSecrets": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		found, err := db.ClientSecrets(ctx, f.client)
		if errors.Is(err, seal.ErrOpen) {
			err = storage.ErrNotFound // a row that was copied opens nowhere else
		}
		return rows(found, err)
	},
	"LockClient": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.LockClient(ctx, f.client.ClientID))
	},
	"DeleteClient": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.DeleteClient(ctx, f.client.ClientID))
	},
	"CreateSigningKey": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateSigningKey(ctx, &storage.SigningKey{Owned: f.key.Owned, KID: "new", Alg: "ES256"}))
	},
	"SigningKeys": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) { return rows(db.SigningKeys(ctx)) },
	"SigningKey": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.SigningKey(ctx, f.key.KID))
	},
	"RetireSigningKey": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.RetireSigningKey(ctx, f.key.ID, time.Now(), time.Now()))
	},
	"RetireSigningKeys": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.RetireSigningKeys(ctx, f.key.Alg, uuid.Nil, time.Now(), time.Now()))
	},
	"RevokeSigningKey": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.RevokeSigningKey(ctx, f.key.KID))
	},
	"CreateInteraction": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateInteraction(ctx, &storage.Interaction{Owned: f.user.Owned, Digest: uuid.NewString(), ExpiresAt: time.Now()}))
	},
	"Interaction": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.Interaction(ctx, f.interaction))
	},
	"InteractionSelected": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.InteractionSelected(ctx, f.interaction, uuid.New(), time.Now()))
	},
	"InteractionAuthenticated": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.InteractionAuthenticated(ctx, f.interaction, uuid.New(), time.Now()))
	},
	"InteractionConsented": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.InteractionConsented(ctx, f.interaction, []string{"x"}, time.Now()))
	},
	"RefuseInteraction": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.RefuseInteraction(ctx, f.interaction, "access_denied"))
	},
	"SpendInteraction": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.SpendInteraction(ctx, f.interaction))
	},
	"Consent": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.Consent(ctx, f.user.ID, f.client.ClientID))
	},
	"SaveConsent": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.SaveConsent(ctx, f.user.ID, f.client.ClientID, []string{"x"}))
	},
	"DeleteConsent": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.DeleteConsent(ctx, f.user.ID, f.client.ClientID))
	},
	"CreateCode": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateCode(ctx, &storage.Code{Owned: f.user.Owned, Digest: uuid.NewString(), ExpiresAt: time.Now()}))
	},
	"Code": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) { return row(db.Code(ctx, f.code)) },
	"SpendCode": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.SpendCode(ctx, f.code))
	},
	"CreateGrant": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateGrant(ctx, &storage.Grant{Owned: f.user.Owned, ExpiresAt: time.Now()}))
	},
	"RevokeGrant": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		ended, err := db.RevokeGrant(ctx, f.grant.ID)
		if ended {
			return 1, err
		}
		return 0, err
	},
	"RevokeGrantsOfUser": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.RevokeGrantsOfUser(ctx, f.user.ID))
	},
	"RevokeGrantsOfUserAndClient": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.RevokeGrantsOfUserAndClient(ctx, f.user.ID, f.client.ClientID))
	},
	"CreateAccessToken": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateAccessToken(ctx, &storage.AccessToken{Owned: f.user.Owned, Digest: uuid.NewString(), ExpiresAt: time.Now()}))
	},
	"AccessToken": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		own, _, err := db.AccessToken(ctx, f.ownAccess)
		if err == nil || own != nil {
			return 1, err
		}
		t, _, err := db.AccessToken(ctx, f.access)
		return row(t, err)
	},
	"AccessTokenWithUser": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		t, _, _, err := db.AccessTokenWithUser(ctx, f.access)
		return row(t, err)
	},
	"RevokeAccessToken": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(errors.Join(db.RevokeAccessToken(ctx, f.access), db.RevokeAccessToken(ctx, f.ownAccess)))
	},
	"CreateRefreshToken": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateRefreshToken(ctx, &storage.RefreshToken{
			Owned: f.user.Owned, Digest: uuid.NewString(), GrantID: f.grant.ID, ExpiresAt: time.Now().Add(minute),
		}))
	},
	"RefreshToken": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		t, _, err := db.RefreshToken(ctx, f.refresh)
		return row(t, err)
	},
	"SpendRefreshToken": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.SpendRefreshToken(ctx, f.refresh, nil))
	},
	"CreatePAR": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreatePAR(ctx, &storage.PAR{Owned: f.user.Owned, Digest: uuid.NewString(), ExpiresAt: time.Now()}))
	},
	"PAR": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) { return row(db.PAR(ctx, f.par)) },
	"SpendPAR": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.SpendPAR(ctx, f.par))
	},
	// The same jti of a client of the same name is another one.
	"UseJTI": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.UseJTI(ctx, f.client.ClientID, "jti-1", time.Now().Add(minute)))
	},
	"CreateVerificationToken": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateVerificationToken(ctx, &storage.VerificationToken{
			UserID: &f.user.ID, Token: secret.Digest(uuid.NewString()), Type: storage.PasswordReset, ExpiresAt: time.Now().Add(minute),
		}))
	},
	"VerificationToken": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.VerificationToken(ctx, f.verification, storage.PasswordReset))
	},
	"VerificationTokenOf": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.VerificationTokenOf(ctx, f.user.ID.String(), storage.PasswordReset))
	},
	"VerificationTokens": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.VerificationTokens(ctx, storage.PasswordReset, uuid.Nil, 0))
	},
	"VerificationTokensOfUser": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.VerificationTokensOfUser(ctx, f.user.ID, storage.PasswordReset))
	},
	"SpendVerificationToken": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.SpendVerificationToken(ctx, f.verification, storage.PasswordReset))
	},
	"TryVerificationToken": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.TryVerificationToken(ctx, f.verification, storage.PasswordReset, 5))
	},
	"EndVerificationToken": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		token, err := db.VerificationToken(f.ctx, f.verification, storage.PasswordReset)
		if err != nil {
			return 0, err
		}
		return only(db.EndVerificationToken(ctx, token.ID, storage.PasswordReset))
	},
	"EndVerificationTokensOfUser": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.EndVerificationTokensOfUser(ctx, f.user.ID, storage.PasswordReset))
	},
	"AppendAudit": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.AppendAudit(ctx, &storage.AuditEvent{Owned: f.user.Owned, Actor: "x", Action: "y"}))
	},
	"ListAudit": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.ListAudit(ctx, storage.AuditFilter{}))
	},
	"AuditChain": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		chain, err := db.AuditChain(ctx)
		return count(err == nil && chain.Last.OrgID == f.user.OrgID), err
	},
	"VerifyAudit": func(db *storage.DB, ctx context.Context, _ *fixture) (int, error) {
		report, err := db.VerifyAudit(ctx, storage.AuditVerification{})
		if err != nil {
			return 0, err
		}
		return int(report.Verified + report.Unchained + report.Found), nil
	},
	"EnqueueMail": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.EnqueueMail(ctx, &f.user.ID, &mail.Message{Kind: mail.PasswordChange, To: f.user.Email}))
	},
	"AbandonMail": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.AbandonMail(ctx, f.mail, "given up"))
	},
	"CreateUpstreamProvider": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateUpstreamProvider(ctx, &storage.UpstreamProvider{Owned: f.user.Owned, Name: "new"}))
	},
	"UpstreamProvider": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.UpstreamProvider(ctx, f.provider.Name))
	},
	"CreateUpstreamAccount": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateUpstreamAccount(ctx, &storage.UpstreamAccount{
			UserID: f.user.ID, ProviderID: f.provider.ID, Issuer: upstreamIssuer, Subject: "u-2",
		}))
	},
	"CreateDevice": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.CreateDevice(ctx, &storage.Device{UserID: f.user.ID, Token: uuid.NewString(), ExpiresAt: time.Now().Add(minute)}))
	},
	"Device": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.Device(ctx, f.device.Token, f.user.ID))
	},
	"DevicesOf": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.DevicesOf(ctx, f.user.ID))
	},
	"SeeDevice": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.SeeDevice(ctx, f.device.ID, "stolen", time.Now().Add(minute)))
	},
	"TrustDevice": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.TrustDevice(ctx, f.device.ID, &f.device.ExpiresAt))
	},
	"DistrustDevices": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.DistrustDevices(ctx, f.user.ID))
	},
	"MoveDevices": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.MoveDevices(ctx, f.device.Token, uuid.NewString()))
	},
	"ForgetDevice": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.ForgetDevice(ctx, f.user.ID, f.device.ID))
	},
	"ForgetDevices": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.ForgetDevices(ctx, f.user.ID))
	},
	// A limit of that name and subject is the stranger's own.
	"Take": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.Take(ctx, fixtureLimit, f.user.Email))
	},
	"GiveBack": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.GiveBack(ctx, fixtureLimit, f.user.Email))
	},
	"TakeTurn": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.TakeTurn(ctx, fixtureBackoff, f.user.Email))
	},
	"Forgive": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.Forgive(ctx, fixtureBackoff, f.user.Email))
	},
	"UpstreamAccount": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.UpstreamAccount(ctx, f.provider.ID, f.account.Issuer, f.account.Subject))
	},
	"UpstreamProviderByID": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.UpstreamProviderByID(ctx, f.provider.ID))
	},
	"ListUpstreamProviders": func(db *storage.DB, ctx context.Context, _ *fixture) (int, error) {
		return rows(db.ListUpstreamProviders(ctx, "", 0))
	},
	"UpdateUpstreamProvider": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		p := *f.provider
		p.ClientID = "stolen"
		return only(db.UpdateUpstreamProvider(ctx, &p))
	},
	"LockUpstreamProvider": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.LockUpstreamProvider(ctx, f.provider.Name))
	},
	"RightsAtProvider": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return rows(db.RightsAtProvider(ctx, f.provider.ID))
	},
	"DeleteUpstreamProvider": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		n, err := db.DeleteUpstreamProvider(ctx, f.provider.ID)
		return int(n), err
	},
	"UpstreamAccountOf": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.UpstreamAccountOf(ctx, f.user.ID, f.account.ID))
	},
	"UseUpstreamAccount": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		a := *f.account
		return only(db.UseUpstreamAccount(ctx, &a))
	},
	"ClaimUpstreamRenewal": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		a := *f.account
		return only(db.ClaimUpstreamRenewal(ctx, &a, now().Add(minute)))
	},
	"GiveUpUpstreamRenewal": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		a := *f.account
		return 0, db.GiveUpUpstreamRenewal(ctx, &a)
	},
	"RenewUpstreamTokens": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		a := *f.account
		return only(db.RenewUpstreamTokens(ctx, &a, "stolen", "stolen", nil))
	},
	"DeleteUpstreamAccount": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.DeleteUpstreamAccount(ctx, f.user.ID, f.account.ID))
	},
	"DeleteUpstreamAccounts": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		n, err := db.DeleteUpstreamAccounts(ctx, f.user.ID)
		return int(n), err
	},
	// A request of the stranger's own must not be for what is not.
	"CreateUpstreamRequest": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		made := storage.UpstreamRequest{Digest: uuid.NewString(), BrowserDigest: f.browser, ProviderID: f.provider.ID, ExpiresAt: now().Add(minute)}
		own := storage.UpstreamProvider{Name: "own " + made.Digest}
		if err := db.CreateUpstreamProvider(ctx, &own); err != nil {
			return 0, err
		}
		about := made
		about.ProviderID, about.UserID = own.ID, &f.user.ID
		err := db.CreateUpstreamRequest(ctx, &about)
		if _, deleted := db.DeleteUpstreamProvider(ctx, own.ID); deleted != nil {
			return 0, deleted
		}
		if !isNotFound(err) {
			return 1, err
		}
		return only(db.CreateUpstreamRequest(ctx, &made))
	},
	"UpstreamRequest": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.UpstreamRequest(ctx, f.state))
	},
	"HeldUpstreamRequest": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return row(db.HeldUpstreamRequest(ctx, f.browser))
	},
	"AnswerUpstreamRequest": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.AnswerUpstreamRequest(ctx, &storage.UpstreamRequest{Digest: f.state, BrowserDigest: f.browser}))
	},
	"SpendUpstreamRequest": func(db *storage.DB, ctx context.Context, f *fixture) (int, error) {
		return only(db.SpendUpstreamRequest(ctx, f.state))
	},
}

// other is 1 if what was found is the very row that belongs to somebody else.
func other[T any](found *T, id func(*T) uuid.UUID, theirs uuid.UUID) int {
	if found != nil && id(found) == theirs {
		return 1
	}
	return 0
}

// unharmed are the methods for which there being nothing to do is not an error.
var unharmed = []string{
	"FindUsers", "FindClients", "FindSessions", "FindGrants", "FindInvitations", "ClaimRequest", "GiveUpRequest",
	"NoteSessionClient", "ClientsOfSession", "PairwiseSalt", "UserIDs", "ClaimSourcesOf", "HasClaimSources", "SearchUsers", "UsersNamed", "RoleNames", "ListSessions", "CountSessions", "EndEverySession",
	"ListUsers", "EnsureRole", "RoleByName", "RolesOf", "EnsurePermission", "PermissionsOf", "EndSessionsOfUser", "ListClients", "SigningKeys",
	"OriginRegistered", "RetireSigningKeys", "DeleteConsent", "RevokeGrant", "RevokeGrantsOfUser", "RevokeGrantsOfUserAndClient", "RevokeAccessToken",
	"UseJTI", "ListAudit", "VerifyAudit", "EndSignInsOfUser", "SpendChallenge", "RecoveryCodeUnused", "PasskeysOf", "AuthenticatorsOf", "FactorCounts", "SessionsOfUser",
	"VerificationTokens", "VerificationTokensOfUser", "ListInvitations", "EndVerificationTokensOfUser",
	"Take", "GiveBack", "TakeTurn", "Forgive", "DevicesOf", "DistrustDevices", "MoveDevices", "ForgetDevices",
	"OtherOwner", "ApplicationsOfUser", "AuditOfUser",
	"EnsureSystemRoles", "ListRoles", "CountRoles", "RoleHolders", "PermissionsNamed", "ListPermissions", "CountPermissions", "PermissionsOfRoles",
	"RightsOf", "ListAPIs", "ScopesNamed", "CountAPIs",
	"DeleteLogo", "ListHosts", "CountPasskeys", "FindRegistrationTokens", "CountRegisteredClients", "UseClient", "UnusedClients",
	"EndOtherSessions", "UpstreamAccountsOf", "GiveUpUpstreamRenewal", "ListUpstreamProviders", "DeleteUpstreamAccounts", "DeleteFactorsSince", "RightsAtProvider",
}

// asksEverywhere are the methods that are not about one organization. It is a list to keep short: each has its reason.
var asksEverywhere = map[string]string{
	"Ping":                     "a sign of life",
	"CreateOrganization":       "there is none yet",
	"OrganizationByID":         "of a row that says which it belongs to",
	"OrganizationBySlug":       "it is how the organization of a request is found",
	"changeOrganization":       "for operators, who may be of the installation and not of the organization",
	"SuspendOrganization":      "as above",
	"DeleteOrganization":       "as above",
	"OrganizationByHost":       "it is how the organization of a request is found",
	"HostClaimed":              "whether the host of a request is one that somebody claims",
	"ListDeletedOrganizations": "they are nobody's any more",
	"UnerasedOrganizations":    "a job",
	"eraseOf":                  "a job",
	"eraseNext":                "a job",
	"OrganizationErased":       "a job",
	"OrganizationsWithoutKeys": "a job",
	"IssuersChangingSince":     "a job",
	"OrganizationsWithUnused":  "a job",
	"ListOrganizations":        "for operators of the installation",
	"OwnerExists":              "whether anybody can operate the installation at all",
	"CreateSetupToken":         "the link that makes the first operator belongs to no organization",
	"SetupToken":               "as above",
	"SpendSetupTokens":         "as above",
	"EndSetupTokens":           "as above",
	"ClaimResetRequests":       "a job",
	"CheckMasterKey":           "the installation has one master key",
	"resealPage":               "the installation has one master key",
	"resealTokens":             "as above",
	"ResealInstance":           "as above",
	"CheckpointAudits":         "a job",
	"PurgeAudit":               "of an organization that was deleted",
	"purge":                    "a job",
	"forgetAnswers":            "a job",
	"ClaimMail":                "a job delivers the mail of all",
	"ClaimLogouts":             "a job tells the clients of all",
	"MailDelivered":            "as above",
	"PostponeMail":             "as above",
	"ReleaseMail":              "as above",
	"RetryMail":                "for operators of the installation, who have one mail server",
	"ListMail":                 "as above",
	"MailByID":                 "as above",
	"FindOrganizations":        "for operators of the installation",
	"LockOrganization":         "for operators, who may be of the installation and not of the organization",
	"TokenOrganization":        "it is how the organization that a request is from is found",
	"fulfil":                   "whoever is done something to need not be whoever asked for it",
}

// noQuestion are the exported methods with a context that ask about rows through others, or not at all.
var noQuestion = []string{
	"UpdateOrganization", "SetIssuerHost", "EraseOrganizations",
	"InTx", "Tally", "Migrate", "MigrationStatus", "PendingMigrations", "Purge", "Reseal", "ResealVerificationTokens",
	"ServerVersion", "MasterKeyKnown", "ClockSkew", "LosesPreparedStatements", // of the database itself, for doctor
}

func TestNoMethodReachesIntoAnotherOrganization(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ours, theirs := storagetest.Org(t, db, "ours"), storagetest.Org(t, db, "theirs")
		f := newFixture(t, db, theirs, "alice")
		before := everything(t, db, theirs, f)

		for name, try := range trespasses {
			found, err := try(db, ours, f)
			switch {
			case found > 0:
				t.Errorf("%s gave away %d of another organization's", name, found)
			case slices.Contains(unharmed, name):
				if err != nil && !errors.Is(err, storage.ErrNotFound) {
					t.Errorf("%s: %v", name, err)
				}
			case !errors.Is(err, storage.ErrNotFound) && !errors.Is(err, storage.ErrSpent) && !errors.Is(err, storage.ErrForeign):
				t.Errorf("%s answers %v", name, err)
			}
		}
		if after := everything(t, db, theirs, f); !reflect.DeepEqual(before, after) {
			t.Errorf("something was changed.\nbefore: %+v\nafter:  %+v", before, after)
		}
		// What was tried in vain works for its own organization, so the trying was worth something.
		for _, name := range []string{"User", "UserByLogin", "Client", "Code", "AccessToken", "RefreshToken", "Interaction", "PAR", "Consent"} {
			if _, err := trespasses[name](db, theirs, f); name != "AccessToken" && err != nil {
				t.Errorf("%s in its own organization: %v", name, err)
			}
		}
	})
}

// everything reads whatever the other organization might have changed.
func everything(t *testing.T, db *storage.DB, ctx context.Context, f *fixture) []any {
	t.Helper()
	var all []any
	add := func(rows ...any) {
		if err, _ := rows[len(rows)-1].(error); err != nil {
			t.Fatalf("read %T: %v", rows[0], err)
		}
		all = append(all, rows[:len(rows)-1]...)
	}
	list := func(rows any, err error) { add(rows, err) }
	user, err := db.ListUsers(ctx, uuid.Nil, 0)
	list(user, err)
	roles, err := db.RolesOf(ctx, f.user.ID)
	list(roles, err)
	permissions, err := db.PermissionsOf(ctx, f.user.ID)
	list(permissions, err)
	allRoles, err := db.ListRoles(ctx, "", 0)
	list(allRoles, err)
	allowed, err := db.PermissionsOfRoles(ctx, []uuid.UUID{f.role.ID})
	add(allowed, err)
	allPermissions, err := db.ListPermissions(ctx, "", 0)
	list(allPermissions, err)
	apis, err := db.ListAPIs(ctx, "", 0)
	list(apis, err)
	session, sessionUser, err := db.SessionByToken(ctx, f.session.Token)
	add(*session, *sessionUser, err)
	clients, err := db.ListClients(ctx, "", 0)
	list(clients, err)
	keys, err := db.SigningKeys(ctx)
	list(keys, err)
	interaction, err := db.Interaction(ctx, f.interaction)
	add(*interaction, err)
	consent, err := db.Consent(ctx, f.user.ID, f.client.ClientID)
	add(*consent, err)
	code, err := db.Code(ctx, f.code)
	add(*code, err)
	access, grant, err := db.AccessToken(ctx, f.access)
	add(*access, *grant, err)
	own, _, err := db.AccessToken(ctx, f.ownAccess)
	add(*own, err)
	refresh, _, err := db.RefreshToken(ctx, f.refresh)
	add(*refresh, err)
	signIn, signInUser, err := db.SignIn(ctx, f.signIn)
	add(*signIn, *signInUser, err)
	passkeys, err := db.PasskeysOf(ctx, f.user.ID)
	list(passkeys, err)
	apps, err := db.AuthenticatorsOf(ctx, f.user.ID)
	list(apps, err)
	factors, err := db.FactorCounts(ctx, f.user.ID)
	add(factors, err)
	par, err := db.PAR(ctx, f.par)
	add(*par, err)
	verifications, err := db.VerificationTokens(ctx, storage.PasswordReset, uuid.Nil, 0)
	list(verifications, err)
	invitations, err := db.ListInvitations(ctx, uuid.Nil, 0)
	list(invitations, err)
	audit, err := db.ListAudit(ctx, storage.AuditFilter{})
	list(audit, err)
	_, _, err = db.ClaimRequest(ctx, "body", "key")
	add(errors.Is(err, storage.ErrClaimed), nil)
	provider, err := db.UpstreamProvider(ctx, f.provider.Name)
	add(*provider, err)
	account, err := db.UpstreamAccount(ctx, f.provider.ID, f.account.Issuer, f.account.Subject)
	add(*account, err)
	devices, err := db.DevicesOf(ctx, f.user.ID)
	list(devices, err)
	hosts, err := db.ListHosts(ctx)
	list(hosts, err)
	registered, err := db.RegistrationToken(ctx, f.registered.ID)
	add(*registered, err)
	add(isExceeded(db.Take(ctx, fixtureLimit, f.user.Email)), isExceeded(db.TakeTurn(ctx, fixtureBackoff, f.user.Email)), nil)
	return all
}

// S-257: a query without an organization is an error, and not one about all of them.
func TestWithoutAnOrganizationNothingIsAsked(t *testing.T) {
	storagetest.Each(t, func(t *testing.T, db *storage.DB) {
		ctx := storagetest.Org(t, db, "acme")
		f := newFixture(t, db, ctx, "alice")
		before := everything(t, db, ctx, f)
		for name, try := range trespasses {
			if found, err := try(db, t.Context(), f); !errors.Is(err, storage.ErrNoTenant) || found > 0 {
				t.Errorf("%s answers %d, %v", name, found, err)
			}
		}
		if !reflect.DeepEqual(before, everything(t, db, ctx, f)) {
			t.Error("something was changed")
		}
	})
}

func TestEveryMethodIsTriedAsAnotherOrganization(t *testing.T) {
	methods := reflect.TypeFor[*storage.DB]()
	asks := reflect.TypeFor[context.Context]()
	seen := make(map[string]bool)
	for i := range methods.NumMethod() {
		m := methods.Method(i)
		if m.Type.NumIn() < 2 || m.Type.In(1) != asks {
			continue
		}
		seen[m.Name] = true
		_, tried := trespasses[m.Name]
		_, everywhere := asksEverywhere[m.Name]
		if n := count(tried, everywhere, slices.Contains(noQuestion, m.Name)); n != 1 {
			t.Errorf("%s must be in exactly one of the lists above, and is in %d", m.Name, n)
		}
	}
	for name := range trespasses {
		if !seen[name] {
			t.Errorf("there is no method %s", name)
		}
	}
}

func count(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

// everywhere is found in the source, so that nobody reaches for it in passing.
func TestOnlyThoseWhoMustAskEverywhere(t *testing.T) {
	var callers []string
	files := token.NewFileSet()
	sources, err := filepath.Glob("*.go")
	must(t, err)
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, name, nil, 0)
		must(t, err)
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(f, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if s.Sel.Name == "everywhere" {
					callers = append(callers, f.Name.Name)
				}
				// The builder and the pools are reached through a query, which is scoped or says that it is not.
				if name := f.Name.Name; s.Sel.Name == "run" && name != "scoped" && name != "everywhere" ||
					s.Sel.Name == "builder" && !slices.Contains([]string{"Open", "of", "create", "createOnce"}, name) {
					t.Errorf("%s: %s goes past scoped and everywhere", files.Position(s.Pos()), name)
				}
				return true
			})
		}
	}
	slices.Sort(callers)
	want := make([]string, 0, len(asksEverywhere))
	for name := range asksEverywhere {
		want = append(want, name)
	}
	slices.Sort(want)
	if !slices.Equal(callers, want) {
		t.Errorf("everywhere is called by %v, want %v", callers, want)
	}
}

func TestAnIDThatIsNoneNamesNothing(t *testing.T) {
	id := uuid.New()
	if got, err := storage.ParseID(id.String()); err != nil || got != id {
		t.Errorf("ParseID(%s) = %v, %v", id, got, err)
	}
	for _, text := range []string{
		"", "1", "' OR 1=1 --", "zzz' OR 1=1", id.String() + " ", "{" + id.String() + "}", "urn:uuid:" + id.String(),
		strings.ReplaceAll(id.String(), "-", ""), uuid.Nil.String(), strings.Repeat("a", 36), strings.Repeat("a", 10<<10),
		secret.Digest("x"),
	} {
		if _, err := storage.ParseID(text); !isNotFound(err) {
			t.Errorf("ParseID(%.50q): %v", text, err)
		}
	}
}
