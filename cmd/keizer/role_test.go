package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestRolesPermissionsAndAPIsAreManagedFromTheCommandLine(t *testing.T) {
	everywhere(t, func(t *testing.T, s *station) {
		var names []string
		for _, role := range s.array("role", "list") {
			if role["is_system_role"] != true {
				t.Errorf("a new organization has the role %v", role)
			}
			names = append(names, text(t, role, "name"))
		}
		if !slices.Equal(names, []string{"admin", "auditor", "member", "owner"}) {
			t.Errorf("the system roles are %v", names)
		}
		s.doWith("correct horse battery", "user", "create", "--username", "alice", "--email", "alice@example.com", "--role", "operator", "--password-stdin")

		made := s.object("permission", "create", "orders:write", "--description", "Change orders.")
		if made["resource"] != "orders" || made["action"] != "write" || made["is_system"] != false || made["description"] != "Change orders." {
			t.Errorf("%v", made)
		}
		s.do("permission", "create", "refund", "--resource", "orders", "--action", "refund")
		s.refused(exitUsage, "RESOURCE:ACTION", "permission", "create", "refunds")
		s.refused(exitConflict, "another spelling", "permission", "create", "Orders:Write")
		s.refused(exitUsage, "kept for Keizer itself", "permission", "create", "Keizer:users:read")
		if listed := s.array("permission", "list"); len(listed) != 26 {
			t.Errorf("%d permissions", len(listed))
		}
		if changed := s.object("permission", "update", text(t, made, "id"), "--description", "Change and cancel orders."); changed["description"] != "Change and cancel orders." {
			t.Errorf("%v", changed)
		}
		s.refused(exitConflict, "nobody changes", "permission", "update", "keizer:users:read", "--description", "x")
		s.refused(exitUsage, "needs --name", "permission", "update", "refund")
		s.refused(exitNotFound, `permission "nothing" does not exist in organization "default"`, "permission", "show", "nothing")

		role := s.object("role", "create", "clerk", "--description", "Takes orders.", "--permission", "orders:write")
		if !reflect.DeepEqual(role["permissions"], []any{"orders:write"}) || role["is_system_role"] != false {
			t.Errorf("%v", role)
		}
		s.refused(exitUsage, `no permission "orders:wirte"`, "role", "create", "other", "--permission", "orders:wirte")
		s.refused(exitUsage, "kept for a system role", "role", "create", "Owner")
		s.refused(exitConflict, "another spelling", "role", "create", "CLERK")
		if changed := s.object("role", "update", "clerk", "--allow", "refund", "--withdraw", "orders:write"); !reflect.DeepEqual(changed["permissions"], []any{"refund"}) {
			t.Errorf("%v", changed)
		}
		if shown := s.object("role", "show", text(t, role, "id")); !reflect.DeepEqual(shown["permissions"], []any{"refund"}) || shown["description"] != "Takes orders." {
			t.Errorf("%v", shown)
		}
		s.refused(exitUsage, "contradict", "role", "update", "clerk", "--permission", "refund", "--allow", "orders:write")
		s.refused(exitConflict, "system role", "role", "update", "operator", "--description", "x")
		s.refused(exitConflict, "system role", "role", "delete", "owner")

		if person := s.object("role", "grant", "alice", "clerk"); !reflect.DeepEqual(person["roles"], []any{"clerk", "owner"}) {
			t.Errorf("%v", person)
		}
		s.do("role", "grant", "alice", "clerk") // again
		if holders := s.array("role", "holders", "clerk"); len(holders) != 1 || holders[0]["username"] != "alice" {
			t.Errorf("%v", holders)
		}
		s.refused(exitConflict, "make another owner first", "role", "revoke", "alice", "operator")
		if person := s.object("role", "revoke", "alice", "clerk"); !reflect.DeepEqual(person["roles"], []any{"owner"}) {
			t.Errorf("%v", person)
		}
		s.refused(exitNotFound, `does not have the role "clerk"`, "role", "revoke", "alice", "clerk")
		s.refused(exitNotFound, `user "bob"`, "role", "grant", "bob", "clerk")
		s.refused(exitNotFound, `role "chief" does not exist in organization "default"`, "role", "grant", "alice", "chief")
		s.refused(exitUsage, "needs ROLE", "role", "grant", "alice")

		api := s.object("api", "create", "https://orders.example", "--name", "Orders", "--scope", "orders:read", "--scope", "orders:write",
			"--describe", "orders:read=See your orders", "--require", "orders:write=orders:write")
		want := []any{
			map[string]any{"name": "orders:read", "description": "See your orders"}, map[string]any{"name": "orders:write", "permission": "orders:write"},
		}
		if api["identifier"] != "https://orders.example" || api["name"] != "Orders" || !reflect.DeepEqual(api["scopes"], want) {
			t.Errorf("%v", api)
		}
		s.refused(exitConflict, "an API has it already", "api", "create", "https://orders.example")
		for _, identifier := range []string{"orders", "https://orders.example/#part", "/orders", "https://", "http://localhost:8080"} {
			s.refused(exitUsage, "identifier: ", "api", "create", identifier)
		}
		for _, scope := range []string{"openid", "Roles", "keizer:users:read", "two words", ""} {
			s.refused(exitUsage, "scopes: ", "api", "create", "https://other.example", "--scope", scope)
		}
		s.refused(exitUsage, `no permission "nothing"`, "api", "update", "https://orders.example", "--require", "orders:read=nothing")
		s.refused(exitUsage, `no scope "orders:delete"`, "api", "update", "https://orders.example", "--require", "orders:delete=refund")
		s.refused(exitUsage, `no client "nobody"`, "api", "update", "https://orders.example", "--client-id", "nobody")
		s.refused(exitConflict, "tied to it", "permission", "delete", "orders:write")
		api = s.object("api", "update", text(t, api, "id"), "--without-scope", "orders:read", "--require", "orders:write=")
		if !reflect.DeepEqual(api["scopes"], []any{map[string]any{"name": "orders:write"}}) {
			t.Errorf("%v", api)
		}
		if listed := s.array("api", "list"); len(listed) != 1 || listed[0]["identifier"] != "https://orders.example" {
			t.Errorf("%v", listed)
		}
		if table := s.do("api", "show", "https://orders.example"); !strings.Contains(table, "orders:write") {
			t.Errorf("%s", table)
		}
		s.do("permission", "delete", "orders:write")
		s.do("api", "delete", "https://orders.example")
		s.refused(exitNotFound, `API "https://orders.example" does not exist`, "api", "show", "https://orders.example")
		s.do("role", "delete", "clerk")
		s.do("org", "create", "acme")
		s.refused(exitNotFound, `role "clerk"`, "role", "show", "clerk", "--org", "acme")
		if listed := s.array("permission", "list", "--org", "acme"); len(listed) != 24 {
			t.Errorf("acme has %d permissions", len(listed))
		}
	})
}
