package manage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/login/upstream"
	"github.com/keizer-auth/keizer/storage"
)

// described is a whole manifest, its members in the order in which people read them.
type described struct {
	Version     int                   `json:"keizer"`
	Slug        string                `json:"slug"`
	Name        string                `json:"name"`
	Settings    map[string]any        `json:"settings"`
	Hosts       []string              `json:"hosts"`
	Permissions []describedPermission `json:"permissions"`
	Roles       []describedRole       `json:"roles"`
	APIs        []describedAPI        `json:"apis"`
	Providers   []json.RawMessage     `json:"providers"`
	Clients     []json.RawMessage     `json:"clients"`
}

type describedPermission struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Resource    string `json:"resource"`
	Action      string `json:"action"`
}

type describedRole struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Permissions []string `json:"permissions"`
}

type describedAPI struct {
	Identifier string     `json:"identifier"`
	Name       string     `json:"name"`
	ClientID   string     `json:"client_id,omitempty"`
	Scopes     []APIScope `json:"scopes"`
}

// Describe returns the manifest of the organization of ctx: applied to it, nothing changes. Of two organizations that are the same it is
// the same, byte by byte. Secrets are references to variables of the environment that need not be there.
func (o *Operators) Describe(ctx context.Context) (json.RawMessage, error) {
	in, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	var out json.RawMessage
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		org, err := o.db.OrganizationByID(ctx, in.ID)
		if err != nil {
			return err
		}
		all, err := o.describe(ctx, org)
		if err != nil {
			return err
		}
		out, err = unescapedJSON(all)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("describe organization: %w", err)
	}
	return out, nil
}

func (o *Operators) describe(ctx context.Context, org *storage.Organization) (*described, error) {
	all := &described{
		Version: ManifestVersion, Slug: org.Slug, Name: org.Name, Hosts: []string{}, Permissions: []describedPermission{}, Roles: []describedRole{},
		APIs: []describedAPI{}, Providers: []json.RawMessage{}, Clients: []json.RawMessage{},
	}
	var err error
	if all.Settings, err = describeSettings(org); err != nil {
		return nil, err
	}
	hosts, err := o.db.ListHosts(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		all.Hosts = append(all.Hosts, h.Host)
	}
	slices.Sort(all.Hosts)
	permissions, err := o.ownPermissions(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range permissions {
		all.Permissions = append(all.Permissions, describedPermission{p.Name, p.Description, p.Resource, p.Action})
	}
	roles, err := o.ownRoles(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range roles {
		slices.Sort(r.Permissions)
		all.Roles = append(all.Roles, describedRole{r.Name, r.Description, r.Permissions})
	}
	apis, err := o.allAPIs(ctx)
	if err != nil {
		return nil, err
	}
	for i := range apis {
		scopes := ScopesOf(&apis[i])
		slices.SortFunc(scopes, func(a, b APIScope) int { return strings.Compare(a.Name, b.Name) })
		all.APIs = append(all.APIs, describedAPI{apis[i].Identifier, apis[i].Name, deref(apis[i].ClientID), scopes})
	}
	variables := &variableNames{prefix: variableName(org.Slug), taken: map[string]bool{}}
	providers, err := o.allProviders(ctx)
	if err != nil {
		return nil, err
	}
	for i := range providers {
		text, err := describeProvider(&providers[i], variables)
		if err != nil {
			return nil, err
		}
		all.Providers = append(all.Providers, text)
	}
	clients, err := o.allClients(ctx)
	if err != nil {
		return nil, err
	}
	for i := range clients {
		if clients[i].Registered() {
			continue // it is its registrant's, who has what it is looked after with
		}
		text, err := describeClient(&clients[i], variables)
		if err != nil {
			return nil, err
		}
		all.Clients = append(all.Clients, text)
	}
	return all, nil
}

// describeSettings are those that were decided: what they differ in from the defaults.
func describeSettings(org *storage.Organization) (map[string]any, error) {
	decided, err := settings.Parse(org.Settings)
	if err != nil {
		return nil, err
	}
	decided.Branding.Logo = "" // a picture does not stand in a file
	from, err := settings.Default().Map()
	if err != nil {
		return nil, err
	}
	to, err := decided.Map()
	if err != nil {
		return nil, err
	}
	return patchOf(from, to), nil
}

func describeProvider(row *storage.UpstreamProvider, variables *variableNames) (json.RawMessage, error) {
	decided, err := upstream.Parse(row.Settings)
	if err != nil {
		return nil, err
	}
	head := struct {
		Name     string           `json:"name"`
		ClientID string           `json:"client_id"`
		Secret   *SecretReference `json:"secret,omitempty"`
	}{row.Name, row.ClientID, nil}
	if decided.CheckSecret("") != nil { // it needs one
		head.Secret = &SecretReference{Env: variables.of("provider", row.Name), Optional: true}
	}
	return joinedObjects(head, decided)
}

func describeClient(row *storage.Client, variables *variableNames) (json.RawMessage, error) {
	spec := SpecOf(row)
	if len(spec.JWKS) > 0 {
		var set any
		if err := json.Unmarshal(spec.JWKS, &set); err != nil {
			return nil, err
		}
		sorted, err := json.Marshal(set)
		if err != nil {
			return nil, err
		}
		spec.JWKS = sorted
	}
	head := struct {
		ClientID string           `json:"client_id"`
		Secret   *SecretReference `json:"secret,omitempty"`
		Disabled bool             `json:"disabled,omitempty"`
	}{row.ClientID, nil, row.Disabled}
	if bySecret(row.AuthMethod) {
		head.Secret = &SecretReference{Env: variables.of("client", row.ClientID), Optional: true}
	}
	return joinedObjects(head, plainSpec(spec), spec.Metadata)
}

// joinedObjects writes one object of several, whose members have different names, in their order.
func joinedObjects(objects ...any) (json.RawMessage, error) {
	var joined bytes.Buffer
	for _, object := range objects {
		text, err := unescapedJSON(object)
		if err != nil {
			return nil, err
		}
		inner := bytes.TrimSuffix(bytes.TrimPrefix(text, []byte("{")), []byte("}"))
		if len(inner) == 0 || string(text) == "null" {
			continue
		}
		if joined.Len() > 0 {
			joined.WriteByte(',')
		}
		joined.Write(inner)
	}
	return slices.Concat(json.RawMessage("{"), joined.Bytes(), []byte("}")), nil
}

// unescapedJSON writes a value without escaping what only HTML would mind.
func unescapedJSON(value any) (json.RawMessage, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// variableNames makes up names of variables of the environment, each once.
type variableNames struct {
	prefix string
	taken  map[string]bool
}

func (v *variableNames) of(kind, name string) string {
	base := v.prefix + "_" + variableName(kind+"_"+name) + "_SECRET"
	variable := base
	for n := 2; v.taken[variable]; n++ {
		variable = fmt.Sprintf("%s_%d", base, n)
	}
	v.taken[variable] = true
	return variable
}

// variableName is a name as the environment writes it.
func variableName(name string) string {
	out := strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, name)
	// None begins with a digit; and what begins with KEIZER_ is taken for configuration.
	if out != "" && '0' <= out[0] && out[0] <= '9' || strings.HasPrefix(out, "KEIZER") {
		return "_" + out
	}
	return out
}
