package manage_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/storage"
)

// by returns ctx for an actor who may do no more than they hold.
func by(ctx context.Context, bound manage.Bound) context.Context {
	return manage.WithActor(ctx, manage.Actor{Name: "user:somebody", Bound: &bound})
}

// rights are the names of what somebody is and may do, as tokens tell of them.
func (o replica) rights(t testing.TB, ctx context.Context, user *storage.User) (roles, permissions []string) {
	t.Helper()
	roles, permissions, err := o.db.RightsOf(ctx, user.ID)
	must(t, err)
	return roles, permissions
}

func (o replica) named(t testing.TB, ctx context.Context, name string) *manage.Role {
	t.Helper()
	role, err := o.RoleNamed(ctx, name)
	must(t, err)
	return role
}

// last is the newest row of the audit.
func (o replica) last(t testing.TB, ctx context.Context) storage.AuditEvent {
	t.Helper()
	events, err := o.db.ListAudit(ctx, storage.AuditFilter{Limit: 1})
	must(t, err)
	return events[0]
}

func forbidden(t testing.TB, deed string, err error, name string) {
	t.Helper()
	var refusal *manage.Forbidden
	if !errors.As(err, &refusal) || refusal.Permission != name {
		t.Errorf("%s: %v, want it forbidden for want of %s", deed, err, name)
	}
}

// S-264: what is taken away is gone, whichever way it goes, and the audit says what there was.
func TestARoleIsMadeChangedGivenAndTaken(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		alice := o.person(t, ctx, "alice")
		for _, action := range []string{"read", "write"} {
			must(t, errOf(o.CreatePermission(ctx, manage.NewPermission{Resource: "orders", Action: action, Description: "Orders."})))
		}
		role, err := o.CreateRole(ctx, manage.NewRole{Name: "clerk", Description: "Takes orders.", Permissions: []string{"orders:write", "orders:read", "orders:read"}})
		must(t, err)
		if event := o.last(t, ctx); event.Action != "role.created" || event.Target != role.ID.String() || event.Details["before"] != nil ||
			!reflect.DeepEqual(event.Details["after"], map[string]any{"name": "clerk", "description": "Takes orders.", "permissions": []any{"orders:read", "orders:write"}}) {
			t.Errorf("%+v", event)
		}
		given, err := o.GrantRole(ctx, alice.ID, role.ID)
		must(t, err)
		if event := o.last(t, ctx); !given || event.Action != "role.granted" || event.Target != alice.ID.String() || event.Details["role"] != "clerk" ||
			!reflect.DeepEqual(event.Details["before"], []any{}) || !reflect.DeepEqual(event.Details["after"], []any{"clerk"}) {
			t.Errorf("%v, %+v", given, event)
		}
		before := len(o.audited(t, ctx))
		if given, err := other.GrantRole(ctx, alice.ID, role.ID); err != nil || given || len(o.audited(t, ctx)) != before {
			t.Errorf("again: %v, %v", given, err)
		}
		if roles, allowed := other.rights(t, ctx, alice); !slices.Equal(roles, []string{"clerk"}) || !slices.Equal(allowed, []string{"orders:read", "orders:write"}) {
			t.Errorf("%v, %v", roles, allowed)
		}

		changed, err := other.UpdateRole(ctx, role.ID, manage.RolePatch{Name: ptr("reader"), Permissions: &[]string{"orders:read"}})
		must(t, err)
		if event := o.last(t, ctx); changed.Name != "reader" || event.Action != "role.updated" ||
			!reflect.DeepEqual(event.Details["after"], map[string]any{"name": "reader", "description": "Takes orders.", "permissions": []any{"orders:read"}}) {
			t.Errorf("%+v, %+v", changed, event)
		}
		if roles, allowed := o.rights(t, ctx, alice); !slices.Equal(roles, []string{"reader"}) || !slices.Equal(allowed, []string{"orders:read"}) {
			t.Errorf("%v, %v", roles, allowed)
		}
		must(t, errOf(o.UpdateRole(ctx, role.ID, manage.RolePatch{Permissions: &[]string{}, Description: ptr("")})))
		if roles, allowed := o.rights(t, ctx, alice); len(roles) != 1 || len(allowed) != 0 {
			t.Errorf("%v, %v", roles, allowed)
		}
		before = len(o.audited(t, ctx))
		must(t, errOf(o.UpdateRole(ctx, role.ID, manage.RolePatch{Name: ptr("reader")}))) // as it is
		if len(o.audited(t, ctx)) != before {
			t.Error("nothing was changed, and it was written down")
		}
		must(t, o.RevokeRole(ctx, alice.ID, role.ID))
		if event := o.last(t, ctx); event.Action != "role.revoked" || !reflect.DeepEqual(event.Details["after"], []any{}) {
			t.Errorf("%+v", event)
		}
		if err := o.RevokeRole(ctx, alice.ID, role.ID); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("a role that they do not have: %v", err)
		}
		must(t, errOf(o.GrantRole(ctx, alice.ID, role.ID)))
		must(t, o.DeleteRole(ctx, role.ID))
		if roles, _ := o.rights(t, ctx, alice); len(roles) != 0 || o.last(t, ctx).Action != "role.deleted" {
			t.Errorf("%v", roles)
		}

		// What is not the organization's own is not there, and what is the product's stays.
		beta := o.organization(t, "beta")
		clerk, err := o.CreateRole(beta, manage.NewRole{Name: "clerk"})
		must(t, err)
		for deed, err := range map[string]error{
			"grant": errOf(o.GrantRole(ctx, alice.ID, clerk.ID)), "revoke": o.RevokeRole(ctx, alice.ID, clerk.ID), "delete": o.DeleteRole(ctx, clerk.ID),
			"update": errOf(o.UpdateRole(ctx, clerk.ID, manage.RolePatch{Name: ptr("x")})), "to a stranger": errOf(o.GrantRole(beta, alice.ID, clerk.ID)),
		} {
			if !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%s: %v", deed, err)
			}
		}
		for _, system := range permission.SystemRoles() {
			role := o.named(t, ctx, system.Name)
			conflicts(t, "delete "+system.Name, o.DeleteRole(ctx, role.ID), "role")
			conflicts(t, "update "+system.Name, errOf(o.UpdateRole(ctx, role.ID, manage.RolePatch{Permissions: &[]string{}})), "role")
		}
		page, err := o.ListPermissions(ctx, "keizer:users:", 1)
		must(t, err)
		conflicts(t, "delete", o.DeletePermission(ctx, page[0].ID), "permission")
		conflicts(t, "update", errOf(o.UpdatePermission(ctx, page[0].ID, manage.PermissionPatch{Action: ptr("x")})), "permission")
	})
}

// S-269: names that somebody takes for one another are one.
func TestNoTwoNamesAreSpellingsOfOneAnother(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		must(t, errOf(o.CreateRole(ctx, manage.NewRole{Name: "Straße"})))
		for _, name := range []string{"straße", "STRASSE", "Straße"} {
			conflicts(t, name, errOf(other.CreateRole(ctx, manage.NewRole{Name: name})), "name")
		}
		for _, name := range []string{"", " x", "Owner", "ADMIN", "operator", "Ｏｗｎｅｒ", "a;b", "a\nb", "\u202eeditor", strings.Repeat("x", 201), "\xff"} {
			complains(t, name, errOf(o.CreateRole(ctx, manage.NewRole{Name: name})), "name")
		}
		complains(t, "all at once", errOf(o.CreateRole(ctx, manage.NewRole{Name: "owner", Description: "a\nb"})), "name", "description")
		complains(t, "nothing there", errOf(o.CreateRole(ctx, manage.NewRole{Name: "x", Permissions: []string{"Keizer:users:read", "orders:read"}})), "permissions")

		must(t, errOf(o.CreatePermission(ctx, manage.NewPermission{Name: "Orders.Read", Resource: "orders", Action: "read"})))
		conflicts(t, "orders.read", errOf(other.CreatePermission(ctx, manage.NewPermission{Name: "orders.read", Resource: "orders", Action: "read"})), "name")
		for _, p := range []manage.NewPermission{
			{Resource: "keizer:users", Action: "read"}, {Resource: "KEIZER:users", Action: "read"}, {Name: "two words", Resource: "a", Action: "b"},
		} {
			complains(t, p.Resource, errOf(o.CreatePermission(ctx, p)), "name")
		}
		complains(t, "empty", errOf(o.CreatePermission(ctx, manage.NewPermission{})), "resource", "action")
		complains(t, "colon", errOf(o.CreatePermission(ctx, manage.NewPermission{Resource: "a", Action: "b:c"})), "action")

		// Of many who make a role of one name at once, whatever its spelling, one does.
		errs := atOnce(func(i int) error {
			return errOf([]replica{o, other}[i%2].CreateRole(ctx, manage.NewRole{Name: []string{"editor", "Editor", "EDITOR", "eDitor"}[i]}))
		}, 4)
		if made := slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, storage.ErrConflict) }); len(made) != 1 || made[0] != nil {
			t.Errorf("%v", made)
		}
	})
}

// S-265, S-266: nobody gives what they do not hold, nor has a way to somebody, or something, that holds more.
func TestNobodyGivesAwayWhatTheyDoNotHold(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "acme")
		owner, carol := o.person(t, ctx, "owner", permission.Owner), o.person(t, ctx, "carol")
		payments, err := o.CreatePermission(ctx, manage.NewPermission{Resource: "payments", Action: "approve"})
		must(t, err)
		must(t, errOf(o.CreatePermission(ctx, manage.NewPermission{Resource: "payments", Action: "read"})))
		approver, err := o.CreateRole(ctx, manage.NewRole{Name: "approver", Permissions: []string{payments.Name}})
		must(t, err)
		reader, err := o.CreateRole(ctx, manage.NewRole{Name: "reader", Permissions: []string{"payments:read"}})
		must(t, err)
		mighty, _, err := o.CreateClient(ctx, manage.ClientSpec{
			Name: "mighty", GrantTypes: []string{manage.GrantClientCredentials}, Scope: permission.UsersWrite + " " + permission.KeysWrite,
		})
		must(t, err)
		api, err := o.CreateAPI(ctx, manage.NewAPI{
			Identifier: "https://payments.example", Name: "Payments", Scopes: []manage.APIScope{{Name: "approve", Permission: payments.Name}, {Name: "see"}},
		})
		must(t, err)

		// Somebody who may write everything of some kinds, and read payments.
		team := by(ctx, manage.Bound{Permissions: []string{
			permission.RolesWrite, permission.UsersWrite, permission.ClientsWrite, permission.InvitationsWrite, permission.APIsWrite, "payments:read",
		}})
		ownerRole, auditor := o.named(t, ctx, permission.Owner), o.named(t, ctx, permission.Auditor)
		before := len(o.audited(t, ctx))
		for deed, refused := range map[string]struct {
			err  error
			want string
		}{
			"give a role that allows more":       {errOf(o.GrantRole(team, carol.ID, approver.ID)), payments.Name},
			"make somebody an owner":             {errOf(o.GrantRole(team, carol.ID, ownerRole.ID)), permission.APIsRead},
			"take a role that allows more":       {o.RevokeRole(team, owner.ID, ownerRole.ID), permission.APIsRead},
			"make a role that allows more":       {errOf(o.CreateRole(team, manage.NewRole{Name: "x", Permissions: []string{payments.Name}})), payments.Name},
			"make a role that rotates keys":      {errOf(o.CreateRole(team, manage.NewRole{Name: "x", Permissions: []string{permission.KeysWrite}})), permission.KeysWrite},
			"let a role allow more":              {errOf(o.UpdateRole(team, reader.ID, manage.RolePatch{Permissions: &[]string{"payments:read", payments.Name}})), payments.Name},
			"let a role allow less than another": {errOf(o.UpdateRole(team, approver.ID, manage.RolePatch{Permissions: &[]string{}})), payments.Name},
			"delete a role that allows more":     {o.DeleteRole(team, approver.ID), payments.Name},
			"give a permission another meaning":  {errOf(o.UpdatePermission(team, payments.ID, manage.PermissionPatch{Name: ptr("x")})), payments.Name},
			"delete a permission":                {o.DeletePermission(team, payments.ID), payments.Name},
			"free a scope of its permission": {
				errOf(o.UpdateAPI(team, api.ID, manage.APIPatch{Scopes: &[]manage.APIScope{{Name: "approve"}}})), payments.Name,
			},
			"delete an API whose scope takes a permission": {o.DeleteAPI(team, api.ID), payments.Name},
			"make a person who may do more": {
				errOf(o.CreateUser(team, manage.NewUser{Email: "new@example.com", Password: goodPassword, Roles: []string{"auditor"}})), permission.APIsRead,
			},
			"invite somebody who may do more": {errOf2(o.Invite(team, manage.NewInvitation{Email: "new@example.com", Roles: []string{"approver"}})), payments.Name},
			"import somebody who may do more": {
				errOf(o.ImportUsers(team, manage.JSONLines(strings.NewReader(`{"email":"new@example.com","roles":["approver"]}`)), manage.ImportOptions{})), payments.Name,
			},
			"import an owner": {
				errOf(o.ImportUsers(team, manage.JSONLines(strings.NewReader(`{"email":"new@example.com","roles":["operator"]}`)), manage.ImportOptions{})), permission.APIsRead,
			},
			"import over an owner": {
				errOf(o.ImportUsers(team, manage.JSONLines(strings.NewReader(`{"id":"`+owner.ID.String()+`","email":"mine@example.com"}`)),
					manage.ImportOptions{OnConflict: manage.ConflictUpdate})), permission.APIsRead,
			},
			"have an owner's password":       {o.SetPassword(team, "owner", goodPassword), permission.APIsRead},
			"have an owner's mail":           {errOf(o.UpdateUser(team, owner.ID, manage.UserPatch{Email: ptr("mine@example.com")})), permission.APIsRead},
			"switch an owner off":            {errOf(o.DisableUser(team, owner.ID)), permission.APIsRead},
			"delete an owner":                {o.DeleteUser(team, owner.ID), permission.APIsRead},
			"take an owner's factors":        {errOf(o.ResetFactors(team, owner.ID)), permission.APIsRead},
			"make a client that may do more": {errOf2(o.CreateClient(team, manage.ClientSpec{Name: "x", RedirectURIs: []string{"https://x.example"}, Scope: "openid " + permission.KeysWrite})), permission.KeysWrite},
			"make a client that acts for itself at an API": {
				errOf2(o.CreateClient(team, manage.ClientSpec{Name: "x", GrantTypes: []string{manage.GrantClientCredentials}, Scope: "approve see"})), payments.Name,
			},
			"let a client do more":             {errOf2(o.UpdateClient(team, mighty.ClientID, manage.ClientPatch{Scope: ptr("openid")})), permission.KeysWrite},
			"have the secret of a client":      {errOf(o.RotateClientSecret(team, mighty.ClientID, 0)), permission.KeysWrite},
			"delete a client that may do more": {o.DeleteClient(team, mighty.ClientID), permission.KeysWrite},
		} {
			forbidden(t, deed, refused.err, refused.want)
		}
		if got := o.audited(t, ctx); len(got) != before {
			t.Errorf("what was forbidden was done: %v", got[before:])
		}

		// What they hold they give, and what gives nobody anything they do.
		must(t, errOf(o.GrantRole(team, carol.ID, reader.ID)))
		must(t, o.RevokeRole(team, carol.ID, reader.ID))
		must(t, errOf(o.CreateRole(team, manage.NewRole{Name: "helper", Permissions: []string{permission.UsersWrite, "payments:read"}})))
		must(t, errOf(o.UpdateUser(team, carol.ID, manage.UserPatch{FullName: ptr("Carol")})))
		must(t, errOf(o.CreatePermission(team, manage.NewPermission{Resource: "stock", Action: "write"})))

		// A client acts for itself with its scopes, and with whatever the organization permits in its own applications.
		machine := by(ctx, manage.Bound{Permissions: []string{permission.RolesWrite}, Own: true})
		must(t, errOf(o.GrantRole(machine, carol.ID, approver.ID)))
		forbidden(t, "a machine gives more", errOf(o.GrantRole(machine, carol.ID, auditor.ID)), permission.APIsRead)

		// An owner of this organization makes others; what reaches beyond it means nothing here, and so is not asked for.
		var all []string
		for _, p := range permission.All() {
			if !permission.Reaches(p.Name) {
				all = append(all, p.Name)
			}
		}
		must(t, errOf(o.GrantRole(by(ctx, manage.Bound{Permissions: all, Own: true}), carol.ID, ownerRole.ID)))
		if roles, _ := o.rights(t, ctx, carol); !slices.Contains(roles, permission.Owner) {
			t.Errorf("%v", roles)
		}
	})
}

func errOf2[A, B any](_ A, _ B, err error) error { return err }

func TestTheSystemRolesHoldWhatIsMadeAfterThem(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "acme")
		admin := o.person(t, ctx, "admin")
		auditor := o.person(t, ctx, "auditor")
		must(t, errOf(o.GrantRole(ctx, admin.ID, o.named(t, ctx, permission.Admin).ID)))
		must(t, errOf(o.GrantRole(ctx, auditor.ID, o.named(t, ctx, permission.Auditor).ID)))
		p, err := o.CreatePermission(ctx, manage.NewPermission{Resource: "orders", Action: "read"})
		must(t, err)
		holds := func(user *storage.User, name string) bool {
			_, held := o.rights(t, ctx, user)
			return slices.Contains(held, name)
		}
		if !holds(admin, p.Name) || !holds(auditor, p.Name) {
			t.Error("a permission to read is not everybody's who may see everything")
		}
		must(t, errOf(o.UpdatePermission(ctx, p.ID, manage.PermissionPatch{Action: ptr("approve")})))
		if !holds(admin, p.Name) || holds(auditor, p.Name) {
			t.Error("a permission that no longer reads is still the auditor's")
		}
		if holds(admin, permission.OrganizationDelete) || holds(admin, permission.OrganizationsWrite) || !holds(admin, permission.KeysWrite) || holds(auditor, permission.KeysWrite) {
			t.Error("the system roles do not hold what they should")
		}
		must(t, o.DeletePermission(ctx, p.ID))
		if holds(admin, p.Name) {
			t.Error("a permission that was deleted is held")
		}
	})
}

// A second factor that is asked of a role is asked of it under whatever name it has, so it keeps that name; and what was decided of
// operators is decided of owners.
func TestARoleThatASecondFactorIsAskedOfKeepsItsName(t *testing.T) {
	each(t, func(t *testing.T, o, _ replica) {
		ctx := o.organization(t, "acme")
		clerk, err := o.CreateRole(ctx, manage.NewRole{Name: "clerk"})
		must(t, err)
		patch := make(settings.Patch)
		must(t, errors.Join(patch.Set("second_factor.require", "roles"), patch.Set("second_factor.roles", "clerk,operator")))
		row, err := o.UpdateOrganization(ctx, "acme", manage.OrganizationPatch{Settings: patch})
		must(t, err)
		decided, err := settings.Parse(row.Settings)
		if err != nil || !slices.Equal(decided.SecondFactor.Roles, []string{"clerk", "owner"}) {
			t.Errorf("%v, %v", decided.SecondFactor.Roles, err)
		}
		conflicts(t, "rename", errOf(o.UpdateRole(ctx, clerk.ID, manage.RolePatch{Name: ptr("writer")})), "name")
		must(t, errOf(o.UpdateRole(ctx, clerk.ID, manage.RolePatch{Name: ptr("clerk"), Description: ptr("Takes orders.")})))
	})
}

// F-14: a role that is given while it goes is not there afterwards, and neither is an error that is nobody's fault.
func TestARoleThatIsGivenWhileItGoesIsGone(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		alice := o.person(t, ctx, "alice")
		p, err := o.CreatePermission(ctx, manage.NewPermission{Resource: "orders", Action: "read"})
		must(t, err)
		for range 8 {
			role, err := o.CreateRole(ctx, manage.NewRole{Name: "clerk"})
			must(t, err)
			errs := atOnce(func(i int) error {
				switch i {
				case 0:
					return o.DeleteRole(ctx, role.ID)
				case 1:
					return errOf(other.GrantRole(ctx, alice.ID, role.ID))
				default:
					return errOf(other.UpdateRole(ctx, role.ID, manage.RolePatch{Permissions: &[]string{p.Name}}))
				}
			}, 3)
			if errs[0] != nil {
				t.Errorf("the deletion: %v", errs[0])
			}
			for _, err := range errs[1:] {
				if err != nil && !errors.Is(err, storage.ErrNotFound) {
					t.Errorf("beside it: %v", err)
				}
			}
			if roles, allowed := o.rights(t, ctx, alice); len(roles)+len(allowed) != 0 {
				t.Errorf("%v, %v", roles, allowed)
			}
		}
	})
}

// An owner goes by losing the role as well as by going.
func TestTheLastOwnerKeepsTheRole(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		owner := o.named(t, ctx, permission.Owner)
		alice := o.person(t, ctx, "alice", permission.Owner)
		conflicts(t, "the only one", o.RevokeRole(ctx, alice.ID, owner.ID), "user")
		off := o.person(t, ctx, "off", permission.Owner)
		must(t, errOf(o.DisableUser(ctx, off.ID)))
		conflicts(t, "beside one who is switched off", o.RevokeRole(ctx, alice.ID, owner.ID), "user")
		must(t, o.RevokeRole(ctx, off.ID, owner.ID)) // who owns nothing while they are off
		bob := o.person(t, ctx, "bob", permission.Owner)
		must(t, o.RevokeRole(ctx, alice.ID, owner.ID))
		conflicts(t, "the one who is left", other.RevokeRole(ctx, bob.ID, owner.ID), "user")
	})
}

func TestAnAPIIsRegisteredChangedAndDeleted(t *testing.T) {
	each(t, func(t *testing.T, o, other replica) {
		ctx := o.organization(t, "acme")
		must(t, errOf(o.CreatePermission(ctx, manage.NewPermission{Resource: "orders", Action: "write"})))
		client, _, err := o.CreateClient(ctx, manage.ClientSpec{Name: "api", GrantTypes: []string{manage.GrantClientCredentials}})
		must(t, err)
		api, err := o.CreateAPI(ctx, manage.NewAPI{
			Identifier: "https://orders.example", Name: "Orders", ClientID: client.ClientID,
			Scopes: []manage.APIScope{{Name: "write", Description: "Change your orders.", Permission: "orders:write"}, {Name: "read"}},
		})
		must(t, err)
		found, err := other.API(ctx, api.ID)
		must(t, err)
		if want := []manage.APIScope{{Name: "read"}, {Name: "write", Description: "Change your orders.", Permission: "orders:write"}}; !slices.Equal(manage.ScopesOf(found), want) ||
			found.ClientID == nil || *found.ClientID != client.ClientID || found.Version != 1 {
			t.Errorf("%+v", found)
		}
		if event := o.last(t, ctx); event.Action != "api.created" || event.Target != api.ID.String() || event.Details["before"] != nil {
			t.Errorf("%+v", event)
		}
		conflicts(t, "again", errOf(other.CreateAPI(ctx, manage.NewAPI{Identifier: "https://orders.example", Name: "x"})), "identifier")
		must(t, errOf(o.CreateAPI(o.organization(t, "beta"), manage.NewAPI{Identifier: "https://orders.example", Name: "x"}))) // elsewhere it is free
		for _, identifier := range []string{"", "orders", "/orders", "//orders.example", "https://orders.example#x", "https://or ders.example", "https:", "https://id.example/o/acme"} {
			complains(t, identifier, errOf(o.CreateAPI(ctx, manage.NewAPI{Identifier: identifier, Name: "x"})), "identifier")
		}
		for _, scopes := range [][]manage.APIScope{
			{{Name: "openid"}}, {{Name: "ROLES"}}, {{Name: "keizer:users:read"}}, {{Name: "a b"}}, {{Name: ""}}, {{Name: "x"}, {Name: "X"}},
			{{Name: "x", Permission: "nothing"}}, {{Name: "x", Description: "a\nb"}}, make([]manage.APIScope, 101),
		} {
			complains(t, "scopes", errOf(o.UpdateAPI(ctx, api.ID, manage.APIPatch{Scopes: &scopes})), "scopes")
		}
		complains(t, "all at once", errOf(o.CreateAPI(ctx, manage.NewAPI{Identifier: "x", Scopes: []manage.APIScope{{Name: "openid"}}, ClientID: "nobody"})),
			"identifier", "name", "scopes", "client_id")

		// Of changes at once all count.
		errs := atOnce(func(i int) error {
			by := []replica{o, other}[i%2]
			if i < 2 {
				return errOf(by.UpdateAPI(ctx, api.ID, manage.APIPatch{Name: ptr("Shop")}))
			}
			return errOf(by.UpdateAPI(ctx, api.ID, manage.APIPatch{ClientID: ptr("")}))
		}, 4)
		must(t, errors.Join(errs...))
		if found, err = o.APIByIdentifier(ctx, "https://orders.example"); err != nil || found.Name != "Shop" || found.ClientID != nil || len(found.Scopes) != 2 {
			t.Errorf("%+v, %v", found, err)
		}
		must(t, o.DeleteAPI(ctx, api.ID))
		if _, err := other.API(ctx, api.ID); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%v", err)
		}
		if err := o.DeleteAPI(ctx, api.ID); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%v", err)
		}
		if err := errOf(o.UpdateAPI(ctx, uuid.New(), manage.APIPatch{Name: ptr("x")})); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("%v", err)
		}
		for _, action := range o.audited(t, ctx) {
			if !strings.Contains(action, ".") {
				t.Error(action)
			}
		}
	})
}
