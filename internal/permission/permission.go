package permission

import (
	"slices"
	"strings"

	"github.com/keizer-auth/keizer/internal/identity"
)

// Prefix begins the names of the product's own permissions. An organization's own never begin with it.
const Prefix = "keizer:"

// What may be done to a resource.
const (
	Read   = "read"
	Write  = "write"
	Delete = "delete"
)

// The product's own permissions. Each is also the name of the scope by which a token for the management API asks for it.
const (
	OrganizationRead   = Prefix + "organization:read"
	OrganizationWrite  = Prefix + "organization:write"
	OrganizationDelete = Prefix + "organization:delete"
	UsersRead          = Prefix + "users:read"
	UsersWrite         = Prefix + "users:write"
	InvitationsRead    = Prefix + "invitations:read"
	InvitationsWrite   = Prefix + "invitations:write"
	SessionsRead       = Prefix + "sessions:read"
	SessionsWrite      = Prefix + "sessions:write"
	GrantsRead         = Prefix + "grants:read"
	GrantsWrite        = Prefix + "grants:write"
	RolesRead          = Prefix + "roles:read"
	RolesWrite         = Prefix + "roles:write"
	ClientsRead        = Prefix + "clients:read"
	ClientsWrite       = Prefix + "clients:write"
	APIsRead           = Prefix + "apis:read"
	APIsWrite          = Prefix + "apis:write"
	ProvidersRead      = Prefix + "providers:read"
	ProvidersWrite     = Prefix + "providers:write"
	KeysRead           = Prefix + "keys:read"
	KeysWrite          = Prefix + "keys:write"
	AuditRead          = Prefix + "audit:read"

	// OrganizationsRead and OrganizationsWrite reach into every organization, and make new ones. They mean something in the root
	// organization only.
	OrganizationsRead  = Prefix + "organizations:read"
	OrganizationsWrite = Prefix + "organizations:write"
)

// Permission is one thing that a role may allow: an action on a resource.
type Permission struct {
	Name, Resource, Action, Description string
}

// descriptions say what a permission is for, in the order in which people read them. They stand in a row of every organization: for
// those that there are, what is added here or changed needs a migration.
var descriptions = []struct{ name, description string }{
	{OrganizationRead, "See the organization's name, settings and hosts."},
	{OrganizationWrite, "Change the organization's name, settings and hosts."},
	{OrganizationDelete, "Suspend and delete the organization."},
	{UsersRead, "See people and their profiles."},
	{UsersWrite, "Make, change, disable and delete people, and reset how they sign in."},
	{InvitationsRead, "See who is invited."},
	{InvitationsWrite, "Invite people, and take invitations back."},
	{SessionsRead, "See who is signed in, and where."},
	{SessionsWrite, "Sign people out."},
	{GrantsRead, "See which applications people have let in."},
	{GrantsWrite, "End what applications were let in to."},
	{RolesRead, "See roles, permissions and who has them."},
	{RolesWrite, "Make and change roles and permissions, and give roles to people."},
	{ClientsRead, "See registered applications."},
	{ClientsWrite, "Register, change and delete applications, and make their secrets anew."},
	{APIsRead, "See registered APIs and their scopes."},
	{APIsWrite, "Register, change and delete APIs and their scopes."},
	{ProvidersRead, "See upstream providers."},
	{ProvidersWrite, "Add, change and delete upstream providers."},
	{KeysRead, "See signing keys."},
	{KeysWrite, "Rotate and retire signing keys."},
	{AuditRead, "Read the audit."},
	{OrganizationsRead, "See every organization of this server and what is in it."},
	{OrganizationsWrite, "Make organizations, and change every organization of this server and what is in it."},
}

// All returns the product's own permissions in the order in which people read them.
func All() []Permission {
	all := make([]Permission, len(descriptions))
	for i, d := range descriptions {
		resource, action := split(d.name)
		all[i] = Permission{d.name, resource, action, d.description}
	}
	return all
}

// split takes a name apart: what stands behind its last colon is the action.
func split(name string) (resource, action string) {
	i := strings.LastIndexByte(name, ':')
	return name[:i], name[i+1:]
}

// Known reports whether a name is a permission of the product.
func Known(name string) bool {
	return slices.ContainsFunc(descriptions, func(d struct{ name, description string }) bool { return d.name == name })
}

// Reserved reports whether a name is kept for the product, in whatever spelling: no organization gives it to one of its own.
func Reserved(name string) bool { return strings.HasPrefix(identity.Name(name), Prefix) }

// The system roles, which every organization has.
const (
	Owner   = "owner"
	Admin   = "admin"
	Auditor = "auditor"
	Member  = "member"

	// Operator is what owner was called, and may still be called where somebody names a role.
	Operator = "operator"
)

// How much of what an organization permits in applications of its own a system role holds: all of it, or what only reads.
const (
	Own        = "all"
	OwnReading = "reading"
)

// Role is a system role and what it holds.
type Role struct {
	Name, Description string
	// Permissions are those of the product.
	Permissions []string
	// Own is one of the words above, or empty.
	Own string
}

// SystemRoles returns the roles that every organization has, the mightiest first.
func SystemRoles() []Role {
	var everything, most, seeing []string
	for _, p := range All() {
		everything = append(everything, p.Name)
		if p.Name != OrganizationDelete && p.Resource != Prefix+"organizations" {
			most = append(most, p.Name)
		}
		if p.Action == Read && p.Name != OrganizationsRead {
			seeing = append(seeing, p.Name)
		}
	}
	return []Role{
		{Owner, "May do everything in this organization.", everything, Own},
		{Admin, "May do everything in this organization but suspend or delete it.", most, Own},
		{Auditor, "May see everything in this organization and change nothing.", seeing, OwnReading},
		{Member, "Belongs to this organization.", nil, ""},
	}
}

// RoleNamed returns the name of the role that somebody means: the synonym of owner is taken for owner.
func RoleNamed(name string) string {
	if name == Operator {
		return Owner
	}
	return name
}

// IsSystemRole reports whether a name is that of a system role, or the synonym of one.
func IsSystemRole(name string) bool {
	return slices.Contains([]string{Owner, Admin, Auditor, Member, Operator}, name)
}

// ReservedRole reports whether a name is that of a system role, or the synonym of one, in whatever spelling.
func ReservedRole(name string) bool { return IsSystemRole(identity.Name(name)) }

// Reaches reports whether a permission reaches beyond the organization that it is given in. Outside the root organization such a
// one means nothing, whoever holds it.
func Reaches(name string) bool { return name == OrganizationsRead || name == OrganizationsWrite }

// Effective returns those of the permissions that somebody holds which mean something: all in the root organization, and in any
// other those that do not reach beyond it.
func Effective(held []string, root bool) []string {
	if root {
		return held
	}
	return slices.DeleteFunc(slices.Clone(held), Reaches)
}
