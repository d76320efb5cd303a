package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/keizer-auth/keizer/internal/mergepatch"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/manage"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

// Client is a client as it is answered: its metadata under the names of RFC 7591, and what the server gave it.
type Client struct{ manage.ClientInformation }

// Schema implements huma.SchemaProvider.
func (Client) Schema(r huma.Registry) *huma.Schema {
	s := clientSchema(r)
	given := huma.SchemaFromType(r, reflect.TypeFor[manage.ClientInformation]())
	for name, member := range given.Properties {
		s.Properties[name] = member
	}
	s.Required = []string{"client_id", "client_id_issued_at", "client_name"}
	s.PrecomputeMessages()
	return s
}

// clientSchema is client metadata. Members that have no schema of their own here are those of the registry of RFC 7591 §4.
func clientSchema(r huma.Registry) *huma.Schema {
	s := huma.SchemaFromType(r, reflect.TypeFor[manage.ClientSpec]())
	loose := *s
	loose.Properties = make(map[string]*huma.Schema, len(s.Properties))
	for name, member := range s.Properties {
		loose.Properties[name] = member
	}
	loose.Properties["jwks"] = &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Description: "A JWK Set (RFC 7517 §5)."}
	for name, values := range map[string][]string{
		"id_token_encrypted_response_alg": keys.EncryptionAlgorithms(), "id_token_encrypted_response_enc": keys.ContentAlgorithms(),
		"userinfo_signed_response_alg":    keys.Algorithms(),
		"userinfo_encrypted_response_alg": keys.EncryptionAlgorithms(), "userinfo_encrypted_response_enc": keys.ContentAlgorithms(),
		"introspection_signed_response_alg":    keys.Algorithms(),
		"introspection_encrypted_response_alg": keys.EncryptionAlgorithms(), "introspection_encrypted_response_enc": keys.ContentAlgorithms(),
	} {
		member := &huma.Schema{Type: huma.TypeString}
		for _, value := range values {
			member.Enum = append(member.Enum, value)
		}
		loose.Properties[name] = member
	}
	loose.Required, loose.AdditionalProperties = nil, true
	loose.Description = "Client metadata (RFC 7591 §2), and of Keizer's own response_modes, access_token_format, skip_consent, pkce_optional, " +
		"claim_mappings and audience."
	loose.PrecomputeMessages()
	return &loose
}

func clientOf(row *storage.Client) Client { return Client{manage.InformationOf(row, "")} }

func clientWith(row *storage.Client, made secret.Text) Client {
	return Client{manage.InformationOf(row, made)}
}

// SecretRotation is how a secret is replaced.
type SecretRotation struct {
	KeepOld settings.Duration `json:"keep_old,omitzero" doc:"How long the secret of before stays good beside the new one, at most 2160h." example:"24h"`
}

// OfClient is the part of an address that names a client.
type OfClient struct {
	InOrg
	Client string `path:"client" maxLength:"200" doc:"The client_id."`
}

// ifClient carries a deed about a client out if it is as whoever asks knows it.
func (a *API) ifClient(ctx context.Context, c Changing, name string, deed func(context.Context) error) error {
	lock := func(ctx context.Context) error { return a.db.LockClient(ctx, name) }
	current := func(ctx context.Context) (any, error) {
		row, err := a.db.Client(ctx, name)
		if err != nil {
			return nil, err
		}
		return clientOf(row), nil
	}
	return a.unchanged(ctx, c, lock, current, deed)
}

const (
	clientsPath = orgPath + "/clients"
	clientPath  = clientsPath + "/{client}"
)

// mountClients are /organizations/{org}/clients and what is done to one of them.
func (a *API) mountClients() {
	type Filter struct {
		Search   string `query:"search" maxLength:"200" doc:"What stands in the name."`
		Disabled string `query:"disabled" enum:"true,false"`

		Registered string `query:"registered" enum:"true,false" doc:"Whether they were registered by whoever wanted one (RFC 7591)."`
	}
	type listIn struct {
		InOrg
		Paging
		Filter
		Sort string `query:"sort" enum:"created_at,-created_at,client_name,-client_name,client_id,-client_id" default:"created_at"`
	}
	register(a, operation{
		id: "list-clients", method: http.MethodGet, path: clientsPath, summary: "List clients", permission: permission.ClientsRead,
	}, func(ctx context.Context, in *listIn) (*page[Client], error) {
		l, err := a.listing(ctx, in.Paging, "clients", in.Sort, in.Filter)
		if err != nil {
			return nil, err
		}
		rows, next, err := a.db.FindClients(ctx, storage.ClientFilter{Search: in.Search, Disabled: truth(in.Disabled), Registered: truth(in.Registered)}, l)
		if err != nil {
			return nil, err
		}
		return paged(ctx, a, rows, next, "clients", in.Sort, in.Filter, clientOf)
	})

	schemas := a.huma.OpenAPI().Components.Schemas
	type createIn struct {
		InOrg
		Body json.RawMessage
	}
	register(a, operation{
		id: "create-client", method: http.MethodPost, path: clientsPath, summary: "Make a client", status: http.StatusCreated,
		description: "Makes a client, under an id that the server chooses, and its secret if it authenticates by one. The secret is shown this once.",
		permission:  permission.ClientsWrite, schema: clientSchema(schemas),
	}, func(ctx context.Context, in *createIn) (*one[Client], error) {
		spec, err := manage.ParseClientSpec(in.Body)
		if err != nil {
			return nil, err
		}
		row, secret, err := a.operators.CreateClient(ctx, spec)
		if err != nil {
			return nil, err
		}
		out, err := made(ctx, a, row.ClientID, clientWith(row, secret))
		if err != nil {
			return nil, err
		}
		out.ETag, err = tagOf(clientOf(row)) // of what is shown from now on
		return out, err
	})

	type readIn struct {
		OfClient
		Reading
	}
	register(a, operation{
		id: "get-client", method: http.MethodGet, path: clientPath, summary: "Show a client", permission: permission.ClientsRead,
	}, func(ctx context.Context, in *readIn) (*one[Client], error) {
		row, err := a.db.Client(ctx, in.Client)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, clientOf(row))
	})

	type patchIn struct {
		OfClient
		Changing
		Body json.RawMessage `contentType:"application/merge-patch+json"`
	}
	patchSchema := optional(schemas, clientSchema(schemas))
	patchSchema.Nullable = false
	patchSchema.Properties["disabled"] = &huma.Schema{Type: huma.TypeBoolean, Description: "Whether it is refused everything."}
	patchSchema.PrecomputeMessages()
	register(a, operation{
		id: "update-client", method: http.MethodPatch, path: clientPath, summary: "Change a client",
		description: "A member that is null goes back to its default. A client that comes to need a secret by it is given one, which is shown this once.",
		permission:  permission.ClientsWrite, schema: patchSchema,
	}, func(ctx context.Context, in *patchIn) (out *one[Client], err error) {
		ctx = a.askSector(ctx, in.Client, in.Body)
		err = a.ifClient(ctx, in.Changing, in.Client, func(ctx context.Context) error {
			return a.db.InTx(ctx, func(ctx context.Context) error {
				if err := a.db.LockClient(ctx, in.Client); err != nil {
					return err
				}
				before, err := a.db.Client(ctx, in.Client)
				if err != nil {
					return err
				}
				patch, err := clientPatch(before, in.Body)
				if err != nil {
					return err
				}
				row, secret, err := a.operators.UpdateClient(ctx, in.Client, patch)
				if err != nil {
					return err
				}
				if out, err = shown(clientWith(row, secret)); err != nil {
					return err
				}
				out.ETag, err = tagOf(clientOf(row))
				return err
			})
		})
		return out, err
	})

	type deleteIn struct {
		OfClient
		Changing
	}
	register(a, operation{
		id: "delete-client", method: http.MethodDelete, path: clientPath, summary: "Delete a client",
		description: "Deletes a client and everything that was given to it.", permission: permission.ClientsWrite,
	}, func(ctx context.Context, in *deleteIn) (*nothing, error) {
		return nil, a.ifClient(ctx, in.Changing, in.Client, func(ctx context.Context) error { return a.operators.DeleteClient(ctx, in.Client) })
	})

	type subjectIn struct {
		OfClient
		Reading
		Subject string `path:"subject" maxLength:"255" doc:"What the client knows the person by: the sub of its tokens."`
	}
	register(a, operation{
		id: "get-client-subject", method: http.MethodGet, path: clientPath + "/subjects/{subject}", summary: "Show whom a client knows by a sub",
		description: "Finds the person whom an application speaks of by a sub, also where that is pairwise (OpenID Connect Core 1.0 §8.1).",
		permission:  permission.UsersRead,
	}, func(ctx context.Context, in *subjectIn) (*one[User], error) {
		row, err := a.operators.UserBehind(ctx, in.Client, in.Subject)
		if err != nil {
			return nil, err
		}
		return shownUnless(in.Reading, userOf(row))
	})

	type rotateIn struct {
		OfClient
		Body *SecretRotation
	}
	register(a, operation{
		id: "rotate-client-secret", method: http.MethodPost, path: clientPath + "/secret", summary: "Give a client a new secret",
		description: "The secret is shown this once.", permission: permission.ClientsWrite,
	}, func(ctx context.Context, in *rotateIn) (*one[Client], error) {
		var how SecretRotation
		if in.Body != nil {
			how = *in.Body
		}
		secret, err := a.operators.RotateClientSecret(ctx, in.Client, time.Duration(how.KeepOld))
		if err != nil {
			return nil, err
		}
		row, err := a.db.Client(ctx, in.Client)
		if err != nil {
			return nil, err
		}
		return shown(clientWith(row, secret))
	})
}

// askSector has what stands at the sector_identifier_uri of a client fetched, if a patch makes that another, before anything is locked. What
// is wrong with the patch, or with the client, is for the deed to say.
func (a *API) askSector(ctx context.Context, clientID string, body []byte) context.Context {
	if before, err := a.db.Client(ctx, clientID); err == nil {
		if patch, err := clientPatch(before, body); err == nil {
			return a.operators.AskSector(ctx, clientID, patch)
		}
	}
	return a.operators.AskSectors(ctx)
}

// clientPatch reads a merge patch of a client as it is.
func clientPatch(before *storage.Client, body []byte) (manage.ClientPatch, error) {
	var patch manage.ClientPatch
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return patch, unreadable(err)
	}
	if disabled, ok := members["disabled"]; ok {
		patch.Disabled = new(bool)
		if err := json.Unmarshal(disabled, patch.Disabled); err != nil {
			return patch, unreadable(err)
		}
		delete(members, "disabled")
	}
	// What is taken away takes its default; what is set is judged by name and type.
	var taken []string
	for name, value := range members {
		if string(value) == "null" {
			taken = append(taken, name)
			delete(members, name)
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		return patch, err
	}
	spec, err := manage.ParseClientSpec(text)
	if err != nil {
		return patch, err
	}
	if err := json.Unmarshal(text, &patch); err != nil {
		return patch, unreadable(err)
	}
	metadata := mergepatch.Apply(manage.SpecOf(before).Metadata, spec.Metadata)
	for _, name := range taken {
		var own bool
		if patch, own = patch.Unset(name); !own {
			delete(metadata, name)
		}
	}
	if len(spec.Metadata) > 0 || len(taken) > 0 {
		patch.Metadata = &metadata
	}
	return patch, nil
}
