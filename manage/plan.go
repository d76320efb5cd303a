package manage

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/storage"
)

// The kinds of things that a manifest speaks of.
const (
	kindOrganization = "organization"
	kindPermission   = "permission"
	kindRole         = "role"
	kindHost         = "host"
	kindProvider     = "provider"
	kindClient       = "client"
	kindAPI          = "api"
)

// What becomes of a secret.
const (
	secretGiven     = "given"
	secretGenerated = "generated"
	secretChanged   = "changed"
)

// planner compares a manifest with what there is, and puts down what is to be done about it, in the order in which it can be.
type planner struct {
	o       *Operators
	m       *Manifest
	options ApplyOptions
	org     *storage.Organization
	// made says that the organization was not there before.
	made  bool
	c     complaints
	steps []step
	// takings are what is taken away, in the order in which things are made.
	takings []step
}

// make puts the plan together. Things come before those that name them, and go after them.
func (p *planner) make(ctx context.Context) error {
	for _, of := range []struct {
		spoken bool
		reads  string
		plan   func(context.Context) error
	}{
		{p.m.permissions != nil, permission.RolesRead, p.planPermissions}, {p.m.roles != nil, permission.RolesRead, p.planRoles},
		{p.m.settings != nil || p.m.Name != nil || p.made, permission.OrganizationRead, p.planOrganization},
		{p.m.hosts != nil, permission.OrganizationRead, p.planHosts}, {p.m.providers != nil, permission.ProvidersRead, p.planProviders},
		{p.m.clients != nil, permission.ClientsRead, p.planClients}, {p.m.apis != nil, permission.APIsRead, p.planAPIs},
	} {
		if !of.spoken {
			continue
		}
		if !actorOf(ctx).Bound.Holds(of.reads) {
			return &Forbidden{of.reads}
		}
		if err := of.plan(ctx); err != nil {
			return err
		}
	}
	slices.Reverse(p.takings)
	p.steps = append(p.steps, p.takings...)
	return p.c.err()
}

// put adds a step, unless nothing is to be done.
func (p *planner) put(s step, before, after map[string]any) {
	s.Members = memberChanges(before, after)
	switch {
	case before == nil:
		s.Action = ChangeCreate
	case len(s.Members) > 0 || s.Secret != "":
		s.Action = ChangeUpdate
	default:
		s.Action, s.do = ChangeNone, nil
	}
	p.steps = append(p.steps, s)
}

// leave adds that something stays that the manifest does not name, or that it goes, if it is pruned and nothing stands in its way.
func (p *planner) leave(s step, inTheWay string) {
	s.Action = ChangeLeft
	switch {
	case !p.options.Prune:
		s.do = nil
	case inTheWay != "":
		s.do, s.Note = nil, inTheWay
	default:
		s.Action = ChangeDelete
	}
	s.field = func(string) string { return "" }
	p.takings = append(p.takings, s)
}

// memberChanges are the members in which two states differ, by name. What is empty is as if it were not there.
func memberChanges(before, after map[string]any) (members []MemberChange) {
	names := slices.Concat(slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(after)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		was, is := plainValue(before[name]), plainValue(after[name])
		if !reflect.DeepEqual(was, is) {
			members = append(members, MemberChange{name, was, is})
		}
	}
	return members
}

// plainValue is a value as JSON has it, or nil if it is an empty one.
func plainValue(value any) (plain any) {
	text, err := json.Marshal(value)
	if err != nil || json.Unmarshal(text, &plain) != nil {
		return fmt.Sprint(value)
	}
	switch v := plain.(type) {
	case string:
		if v == "" {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	case []any:
		if len(v) == 0 {
			return nil
		}
	case map[string]any:
		if len(v) == 0 {
			return nil
		}
	}
	return plain
}

func ownField(name string) string { return "/" + escapeToken(name) }

// allOf reads a list page by page.
func allOf[T any](read func(after string, limit int) ([]T, error), name func(T) string) (all []T, err error) {
	const page = 500
	for after := ""; ; {
		rows, err := read(after, page)
		if err != nil {
			return nil, err
		}
		if all = append(all, rows...); len(rows) < page {
			// A database has its own order, of which the same is everywhere.
			slices.SortFunc(all, func(a, b T) int { return strings.Compare(name(a), name(b)) })
			return all, nil
		}
		after = name(rows[len(rows)-1])
	}
}

func (o *Operators) ownPermissions(ctx context.Context) ([]storage.Permission, error) {
	all, err := allOf(func(after string, limit int) ([]storage.Permission, error) {
		return o.db.ListPermissions(ctx, after, limit)
	},
		func(p storage.Permission) string { return p.Name })
	return slices.DeleteFunc(all, func(p storage.Permission) bool { return permission.Reserved(p.Name) }), err
}

func (o *Operators) ownRoles(ctx context.Context) ([]Role, error) {
	all, err := allOf(func(after string, limit int) ([]Role, error) { return o.ListRoles(ctx, after, limit) }, func(r Role) string { return r.Name })
	return slices.DeleteFunc(all, func(r Role) bool { return r.IsSystemRole }), err
}

func (o *Operators) allAPIs(ctx context.Context) ([]storage.API, error) {
	return allOf(func(after string, limit int) ([]storage.API, error) { return o.db.ListAPIs(ctx, after, limit) },
		func(a storage.API) string { return a.Identifier })
}

func (o *Operators) allProviders(ctx context.Context) ([]storage.UpstreamProvider, error) {
	return allOf(func(after string, limit int) ([]storage.UpstreamProvider, error) {
		return o.db.ListUpstreamProviders(ctx, after, limit)
	},
		func(p storage.UpstreamProvider) string { return p.Name })
}

func (o *Operators) allClients(ctx context.Context) ([]storage.Client, error) {
	return allOf(func(after string, limit int) ([]storage.Client, error) { return o.db.ListClients(ctx, after, limit) },
		func(c storage.Client) string { return c.ClientID })
}

func (p *planner) planPermissions(ctx context.Context) error {
	there, err := p.o.ownPermissions(ctx)
	if err != nil {
		return err
	}
	for _, w := range p.m.permissions {
		after := storage.Permission{Name: w.Name, Description: w.Description, Resource: w.Resource, Action: w.Action}
		s := step{Change: Change{Kind: kindPermission, Name: w.Name}, at: w.at, field: ownField, needs: permission.RolesWrite}
		i := slices.IndexFunc(there, func(one storage.Permission) bool { return one.Name == w.Name })
		if i >= 0 {
			before := there[i]
			there = slices.Delete(there, i, i+1)
			s.do = func(ctx context.Context) (secret.Text, error) {
				_, err := p.o.UpdatePermission(ctx, before.ID, PermissionPatch{Description: &w.Description, Resource: &w.Resource, Action: &w.Action})
				return "", err
			}
			p.put(s, permissionState(&before), permissionState(&after))
		} else {
			s.do = func(ctx context.Context) (secret.Text, error) {
				_, err := p.o.CreatePermission(ctx, w.NewPermission)
				return "", err
			}
			p.put(s, nil, permissionState(&after))
		}
		p.judge(s, checkPermission(after))
	}
	if len(there) == 0 {
		return nil
	}
	tied, err := p.tied(ctx)
	for _, one := range there {
		s := step{Change: Change{Kind: kindPermission, Name: one.Name}, at: "/permissions", needs: permission.RolesWrite}
		s.do = func(ctx context.Context) (secret.Text, error) { return "", p.o.DeletePermission(ctx, one.ID) }
		inTheWay := ""
		if api := tied[one.Name]; api != "" {
			inTheWay = "a scope of the API " + api + " is tied to it"
		}
		p.leave(s, inTheWay)
	}
	return err
}

// judge complains of what is wrong with what a step would make, if it makes something else of it.
func (p *planner) judge(s step, err error) {
	if len(p.steps) > 0 && p.steps[len(p.steps)-1].Action == ChangeNone || err == nil {
		return
	}
	p.c.found = append(p.c.found, s.placed(err))
}

// futureAPIs are the APIs that there will be, as far as they are known to this plan.
func (p *planner) futureAPIs(ctx context.Context) (apis []NewAPI, err error) {
	named := make(map[string]bool)
	for _, w := range p.m.apis {
		apis, named[w.Identifier] = append(apis, w.NewAPI), true
	}
	if p.m.apis != nil && p.options.Prune {
		return apis, nil
	}
	rows, err := p.o.allAPIs(ctx)
	for i := range rows {
		if !named[rows[i].Identifier] {
			apis = append(apis, NewAPI{Identifier: rows[i].Identifier, ClientID: deref(rows[i].ClientID), Scopes: ScopesOf(&rows[i])})
		}
	}
	return apis, err
}

// tied are the permissions that scopes will be tied to, each with an API that has one.
func (p *planner) tied(ctx context.Context) (map[string]string, error) {
	apis, err := p.futureAPIs(ctx)
	tied := make(map[string]string)
	for _, api := range apis {
		for _, s := range api.Scopes {
			tied[s.Permission] = api.Identifier
		}
	}
	delete(tied, "")
	return tied, err
}

func (p *planner) planRoles(ctx context.Context) error {
	there, err := p.o.ownRoles(ctx)
	if err != nil {
		return err
	}
	for _, w := range p.m.roles {
		permissions := slices.Compact(slices.Sorted(slices.Values(w.Permissions)))
		after := Role{Role: storage.Role{Name: w.Name, Description: w.Description}, Permissions: listOf(permissions)}
		s := step{Change: Change{Kind: kindRole, Name: w.Name}, at: w.at, field: ownField, needs: permission.RolesWrite}
		i := slices.IndexFunc(there, func(one Role) bool { return one.Name == w.Name })
		if i >= 0 {
			before := there[i]
			there = slices.Delete(there, i, i+1)
			slices.Sort(before.Permissions)
			s.do = func(ctx context.Context) (secret.Text, error) {
				_, err := p.o.UpdateRole(ctx, before.ID, RolePatch{Description: &w.Description, Permissions: &permissions})
				return "", err
			}
			p.put(s, before.state(), after.state())
		} else {
			s.do = func(ctx context.Context) (secret.Text, error) {
				_, err := p.o.CreateRole(ctx, w.NewRole)
				return "", err
			}
			p.put(s, nil, after.state())
		}
		var c complaints
		c.check("name", checkRoleName(w.Name))
		c.check("description", checkDescription(w.Description))
		p.judge(s, c.err())
	}
	needed := p.rolesDecided()
	for _, one := range there {
		s := step{Change: Change{Kind: kindRole, Name: one.Name}, at: "/roles", needs: permission.RolesWrite}
		s.do = func(ctx context.Context) (secret.Text, error) { return "", p.o.DeleteRole(ctx, one.ID) }
		inTheWay := ""
		if slices.Contains(needed, one.Name) {
			inTheWay = "second_factor.roles of the organization names it"
		}
		p.leave(s, inTheWay)
	}
	return nil
}

// rolesDecided are the roles that a second factor will be asked of.
func (p *planner) rolesDecided() []string {
	decided, err := settings.Parse(p.org.Settings)
	if p.m.settings != nil {
		_, decided, err = p.m.settings.Apply(nil)
	}
	if err != nil {
		return nil // whoever needs them complains
	}
	return decided.SecondFactor.Roles
}

func (p *planner) planOrganization(context.Context) error {
	current, err := settings.Parse(p.org.Settings)
	if err != nil {
		return err
	}
	desired := current
	if p.m.settings != nil {
		if _, desired, err = p.m.settings.Apply(nil); err != nil {
			return err
		}
		desired.Branding.Logo = current.Branding.Logo
	}
	patch := OrganizationPatch{Name: p.m.Name}
	from, err := current.Map()
	if err != nil {
		return err
	}
	to, err := desired.Map()
	if err != nil {
		return err
	}
	patch.Settings = settings.Patch(patchOf(from, to))
	changed, err := settings.Changes(current, desired)
	if err != nil {
		return err
	}
	s := step{
		Change: Change{Action: ChangeNone, Kind: kindOrganization, Name: p.org.Slug}, needs: permission.OrganizationWrite,
		field: func(name string) string {
			if name == "name" || name == "slug" {
				return "/" + name
			}
			return "/settings/" + strings.ReplaceAll(escapeToken(name), ".", "/")
		},
		do: func(ctx context.Context) (secret.Text, error) {
			_, err := p.o.UpdateOrganization(ctx, p.org.Slug, patch)
			return "", err
		},
	}
	switch {
	case p.made:
		s.Action, s.Members = ChangeCreate, []MemberChange{{"name", nil, p.org.Name}}
	case p.m.Name != nil && *p.m.Name != p.org.Name:
		s.Members = []MemberChange{{"name", p.org.Name, *p.m.Name}}
	}
	for _, path := range slices.Sorted(maps.Keys(changed)) {
		one, _ := changed[path].(map[string]any)
		s.Members = append(s.Members, MemberChange{"settings." + path, one["before"], one["after"]})
	}
	if s.Action == ChangeNone && len(s.Members) > 0 {
		s.Action = ChangeUpdate
	}
	if s.Action == ChangeNone {
		s.do = nil
	}
	p.steps = append(p.steps, s)
	return nil
}

// patchOf is the merge patch (RFC 7396) that makes one object of another.
func patchOf(from, to map[string]any) map[string]any {
	patch := make(map[string]any)
	for name := range from {
		if _, stays := to[name]; !stays {
			patch[name] = nil
		}
	}
	for name, value := range to {
		was, isObject := from[name].(map[string]any)
		is, isObjectToo := value.(map[string]any)
		switch {
		case isObject && isObjectToo:
			if below := patchOf(was, is); len(below) > 0 {
				patch[name] = below
			}
		case !reflect.DeepEqual(from[name], value):
			patch[name] = value
		}
	}
	return patch
}

func (p *planner) planHosts(ctx context.Context) error {
	there, err := p.o.db.ListHosts(ctx)
	if err != nil {
		return err
	}
	for _, w := range p.m.hosts {
		s := step{Change: Change{Kind: kindHost, Name: w.host}, at: w.at, field: func(string) string { return "" }, needs: permission.OrganizationWrite}
		if i := slices.IndexFunc(there, func(one storage.Host) bool { return one.Host == w.host }); i >= 0 {
			there = slices.Delete(there, i, i+1)
			p.put(s, map[string]any{}, nil)
			continue
		}
		s.Note = "it is claimed, and the organization's once it is proven"
		s.do = func(ctx context.Context) (secret.Text, error) {
			_, err := p.o.AddHost(ctx, w.host)
			return "", err
		}
		p.put(s, nil, nil)
	}
	for _, one := range there {
		s := step{Change: Change{Kind: kindHost, Name: one.Host}, at: "/hosts", needs: permission.OrganizationWrite}
		s.do = func(ctx context.Context) (secret.Text, error) { return "", p.o.RemoveHost(ctx, one.Host) }
		inTheWay := ""
		if deref(p.org.IssuerHost) == one.Host || deref(p.org.IssuerHostNext) == one.Host {
			inTheWay = "it is, or is about to be, the issuer"
		}
		p.leave(s, inTheWay)
	}
	return nil
}

// providerMembers are what is compared of a provider.
func providerMembers(clientID string, decided map[string]any) map[string]any {
	members := maps.Clone(decided)
	members["client_id"] = clientID
	return members
}

func (p *planner) planProviders(ctx context.Context) error {
	there, err := p.o.allProviders(ctx)
	if err != nil {
		return err
	}
	// Home domains may move from one provider to another, which may have them when the first has let go.
	var losing, others []step
	keep := func(s step, loses bool) {
		if loses {
			losing = append(losing, s)
		} else {
			others = append(others, s)
		}
	}
	for _, w := range p.m.providers {
		var row *storage.UpstreamProvider
		if i := slices.IndexFunc(there, func(one storage.UpstreamProvider) bool { return one.Name == w.name }); i >= 0 {
			there = slices.Delete(there, i, i+1)
			if row, err = p.o.db.UpstreamProvider(ctx, w.name); err != nil { // with its secret
				return err
			}
		}
		s, loses, err := p.planProvider(w, row)
		if err != nil {
			return err
		}
		keep(s, loses)
	}
	for _, one := range there {
		rights, err := p.o.db.RightsAtProvider(ctx, one.ID)
		if err != nil {
			return err
		}
		s := step{Change: Change{Kind: kindProvider, Name: one.Name}, at: "/providers", needs: permission.ProvidersWrite}
		s.do = func(ctx context.Context) (secret.Text, error) {
			_, err := p.o.DeleteProvider(ctx, one.Name)
			return "", err
		}
		inTheWay := ""
		if slices.Contains(rights, permission.OrganizationDelete) {
			inTheWay = "somebody signs in there who runs the organization: keizer provider delete deletes it all the same"
		}
		p.leave(s, inTheWay)
		// Nothing names a provider, and others may come to have its home domains.
		last := len(p.takings) - 1
		p.steps, p.takings = append(p.steps, p.takings[last]), p.takings[:last]
	}
	p.steps = slices.Concat(p.steps, losing, others)
	return nil
}

// planProvider says what is to be done about one provider, and whether it loses a home domain by it.
func (p *planner) planProvider(w wantedProvider, row *storage.UpstreamProvider) (s step, loses bool, err error) {
	s = step{Change: Change{Kind: kindProvider, Name: w.name}, at: w.at, field: providerPointer, needs: permission.ProvidersWrite}
	desired, err := w.members.Apply(nil)
	if err != nil {
		return s, false, err
	}
	var current *upstream.Settings
	from := map[string]any{}
	if row != nil {
		if current, err = upstream.Parse(row.Settings); err != nil {
			return s, false, err
		}
		if from, err = current.Map(); err != nil {
			return s, false, err
		}
	}
	to, err := desired.Map()
	if err != nil {
		return s, false, err
	}
	var c complaints
	if row == nil || !reflect.DeepEqual(from, to) {
		for _, complaint := range upstream.Complaints(desired.Validate(p.o.reach)) {
			c.add(complaint.Path, "%s", complaint.Message)
		}
		if to, err = desired.Map(); err != nil { // in its canonical form
			return s, false, err
		}
	}
	given, isGiven := p.secretOf(w.secret)
	patch := ProviderPatch{ClientID: &w.clientID, Settings: upstream.Patch(patchOf(from, to))}
	var before map[string]any
	switch {
	case row == nil:
		c.check("name", checkProviderName(w.name))
		if isGiven {
			s.Secret, patch.Secret = secretGiven, &given
		}
		c.check("client_secret", desired.CheckSecret(given))
		s.do = func(ctx context.Context) (secret.Text, error) {
			_, err := p.o.CreateProvider(ctx, w.name, patch)
			return "", err
		}
	default:
		before = providerMembers(row.ClientID, from)
		loses = slices.ContainsFunc(current.HomeDomains, func(domain string) bool { return !slices.Contains(desired.HomeDomains, domain) })
		if desired.AuthMethod == upstream.AuthNone && !isGiven {
			given, isGiven = "", true // it has no use for the one that it had
		}
		if isGiven && !secret.Equal(given.Reveal(), row.ClientSecret) {
			s.Secret, patch.Secret = secretChanged, &given
		}
		s.do = func(ctx context.Context) (secret.Text, error) {
			_, err := p.o.UpdateProvider(ctx, w.name, patch)
			return "", err
		}
	}
	if err := c.err(); err != nil {
		p.c.found = append(p.c.found, s.placed(err))
	}
	steps := p.steps
	p.steps = nil
	p.put(s, before, providerMembers(w.clientID, to))
	s, p.steps = p.steps[0], steps
	return s, loses, nil
}

// secretOf is the secret that a reference stands for.
func (p *planner) secretOf(reference *SecretReference) (text secret.Text, given bool) {
	if reference == nil {
		return "", false
	}
	text, given = p.options.Secrets[reference.Pointer]
	return text, given
}

// clientMembers are what is compared of a client: of its keys, which they are.
func clientMembers(spec ClientSpec, disabled bool) (map[string]any, error) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil, err
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	if keys, ok := members["jwks"]; ok {
		sorted, err := json.Marshal(keys)
		if err != nil {
			return nil, err
		}
		members["jwks"] = "SHA-256 " + secret.Digest(string(sorted))
	}
	members["disabled"] = disabled
	return members, nil
}

func (p *planner) planClients(ctx context.Context) error {
	there, err := p.o.allClients(ctx)
	if err != nil {
		return err
	}
	for _, w := range p.m.clients {
		var row *storage.Client
		if i := slices.IndexFunc(there, func(one storage.Client) bool { return one.ClientID == w.id }); i >= 0 {
			row = new(there[i])
			there = slices.Delete(there, i, i+1)
		}
		if err := p.planClient(ctx, w, row); err != nil {
			return err
		}
	}
	if len(there) == 0 {
		return nil
	}
	apis, err := p.futureAPIs(ctx)
	for _, one := range there {
		if one.Registered() {
			continue // no operator has made it, and no file names it
		}
		s := step{Change: Change{Kind: kindClient, Name: one.ClientID}, at: "/clients", needs: permission.ClientsWrite}
		s.do = func(ctx context.Context) (secret.Text, error) { return "", p.o.DeleteClient(ctx, one.ClientID) }
		inTheWay := ""
		if i := slices.IndexFunc(apis, func(api NewAPI) bool { return api.ClientID == one.ClientID }); i >= 0 {
			inTheWay = "the API " + apis[i].Identifier + " introspects tokens by it"
		}
		if actingClient(ctx, p.org.ID, one.ClientID) {
			inTheWay = "it is the client by which you act"
		}
		p.leave(s, inTheWay)
	}
	return err
}

func (p *planner) planClient(ctx context.Context, w wantedClient, row *storage.Client) error {
	desired := w.spec.Complete()
	after, err := clientMembers(desired, w.disabled)
	if err != nil {
		return err
	}
	s := step{Change: Change{Kind: kindClient, Name: w.id}, at: w.at, needs: permission.ClientsWrite, field: func(name string) string {
		if name == "client_secret" {
			name = "secret"
		}
		return ownField(name)
	}}
	given, isGiven := p.secretOf(w.secret)
	var c complaints
	var before map[string]any
	switch {
	case w.secret != nil && !bySecret(desired.AuthMethod):
		c.add("client_secret", "a client that authenticates by %s has no secret", desired.AuthMethod)
	case isGiven && (row == nil || !hasSecret(row, given) || lacksSecret(row, desired.AuthMethod)):
		s.Secret = secretGiven
		if row != nil && row.SecretDigest != nil {
			s.Secret = secretChanged
		}
		c.check("client_secret", checkGivenSecret(given, w.id, desired.Name))
	case !isGiven && bySecret(desired.AuthMethod) && (row == nil || lacksSecret(row, desired.AuthMethod)):
		s.Secret = secretGenerated
	}
	if row == nil {
		s.do = func(ctx context.Context) (secret.Text, error) {
			client, made, err := p.o.createClient(ctx, w.id, desired, given)
			if err == nil && w.disabled {
				_, _, err = p.o.UpdateClient(ctx, client.ClientID, ClientPatch{Disabled: &w.disabled})
			}
			return made, err
		}
	} else {
		if before, err = clientMembers(SpecOf(row), row.Disabled); err != nil {
			return err
		}
		same := len(memberChanges(before, after)) == 0
		s.do = func(ctx context.Context) (made secret.Text, err error) {
			if !same || s.Secret == secretGenerated {
				_, made, err = p.o.UpdateClient(ctx, w.id, wholeClient(desired, w.disabled))
			}
			if err == nil && (s.Secret == secretGiven || s.Secret == secretChanged) {
				made, err = "", p.o.setClientSecret(ctx, w.id, given)
			}
			return made, err
		}
	}
	p.put(s, before, after)
	if row == nil || len(memberChanges(before, after)) > 0 {
		var was *ClientSpec
		if row != nil {
			was = new(SpecOf(row))
		}
		if err := p.o.validate(ctx, was, desired); !errors.Is(err, storage.ErrConflict) { // of which the deed itself will say
			c.found = append(c.found, err)
		}
	}
	p.judge(s, c.err())
	return nil
}

// wholeClient is the patch that makes a client just this.
func wholeClient(s ClientSpec, disabled bool) ClientPatch {
	return ClientPatch{
		Name: &s.Name, RedirectURIs: &s.RedirectURIs, PostLogoutRedirectURIs: &s.PostLogoutRedirectURIs, AuthMethod: &s.AuthMethod,
		GrantTypes: &s.GrantTypes, ResponseTypes: &s.ResponseTypes, ResponseModes: &s.ResponseModes, Scope: &s.Scope, Audience: &s.Audience,
		IDTokenAlg: &s.IDTokenAlg, AccessTokenFormat: &s.AccessTokenFormat, SkipConsent: &s.SkipConsent, PKCEOptional: &s.PKCEOptional, Disabled: &disabled,
		ClaimMappings: &s.ClaimMappings,
		JWKS:          &s.JWKS, JWKSURI: &s.JWKSURI, ClientURI: &s.ClientURI, LogoURI: &s.LogoURI, PolicyURI: &s.PolicyURI, TosURI: &s.TosURI, Contacts: &s.Contacts,
		Metadata: &s.Metadata,
	}
}

func (p *planner) planAPIs(ctx context.Context) error {
	there, err := p.o.allAPIs(ctx)
	if err != nil {
		return err
	}
	for _, w := range p.m.apis {
		after := storage.API{Identifier: w.Identifier, Name: w.Name, ClientID: filled(w.ClientID)}
		for _, s := range w.Scopes {
			after.Scopes = append(after.Scopes, storage.APIScope{Name: s.Name, Description: s.Description, Permission: s.Permission})
		}
		s := step{Change: Change{Kind: kindAPI, Name: w.Identifier}, at: w.at, field: ownField, needs: permission.APIsWrite}
		if i := slices.IndexFunc(there, func(one storage.API) bool { return one.Identifier == w.Identifier }); i >= 0 {
			before := there[i]
			there = slices.Delete(there, i, i+1)
			slices.SortFunc(before.Scopes, func(a, b storage.APIScope) int { return strings.Compare(a.Name, b.Name) })
			scopes := append([]APIScope{}, w.Scopes...)
			s.do = func(ctx context.Context) (secret.Text, error) {
				_, err := p.o.UpdateAPI(ctx, before.ID, APIPatch{Name: &w.Name, ClientID: &w.ClientID, Scopes: &scopes})
				return "", err
			}
			p.put(s, apiState(&before), apiState(&after))
		} else {
			s.do = func(ctx context.Context) (secret.Text, error) {
				_, err := p.o.CreateAPI(ctx, w.NewAPI)
				return "", err
			}
			p.put(s, nil, apiState(&after))
		}
		p.judge(s, cmp.Or(p.o.checkOwnIdentifier(ctx, w.Identifier), checkAPI(&after)))
	}
	for _, one := range there {
		s := step{Change: Change{Kind: kindAPI, Name: one.Identifier}, at: "/apis", needs: permission.APIsWrite}
		s.do = func(ctx context.Context) (secret.Text, error) { return "", p.o.DeleteAPI(ctx, one.ID) }
		p.leave(s, "")
	}
	return nil
}
