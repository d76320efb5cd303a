package manage

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/claimmap"
	"github.com/keizer-auth/keizer/internal/password"
	"github.com/keizer-auth/keizer/internal/permission"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/storage"
)

const (
	// retries bounds how often a change to a client is tried that others change at the same time.
	retries = 10
	// maxKeepOld bounds for how long a replaced secret may go on.
	maxKeepOld = 90 * 24 * time.Hour
)

// ClientInformation is a client as it is shown (RFC 7591 §3.2.1): what it is, and what the server gave it.
type ClientInformation struct {
	ClientID string `json:"client_id"`
	IssuedAt int64  `json:"client_id_issued_at"`
	// ClientSecret is there when it has just been made; nobody can show it again.
	ClientSecret string `json:"client_secret,omitempty"`
	// SecretExpiresAt stands with every secret; 0 is never.
	SecretExpiresAt *int64 `json:"client_secret_expires_at,omitempty"`
	Disabled        bool   `json:"disabled,omitempty"`
	// RegisteredAt is there when it was registered by whoever wanted one (RFC 7591), RegisteredBy when that took a registration token, whose
	// id it is. LastUsedAt is when it was of use, to within a day.
	RegisteredAt *time.Time `json:"registered_at,omitempty"`
	RegisteredBy *uuid.UUID `json:"registered_by,omitempty"`
	LastUsedAt   *time.Time `json:"last_used_at,omitempty"`

	Spec ClientSpec `json:"-"`
}

// InformationOf returns a client as it is shown, with the secret that has just been made for it, if any.
func InformationOf(client *storage.Client, made secret.Text) ClientInformation {
	info := ClientInformation{
		ClientID: client.ClientID, IssuedAt: client.CreatedAt.Unix(), ClientSecret: made.Reveal(), Disabled: client.Disabled, Spec: SpecOf(client),
		RegisteredBy: client.RegisteredBy, RegisteredAt: inUTC(client.RegisteredAt), LastUsedAt: inUTC(client.LastUsedAt),
	}
	if made != "" {
		info.SecretExpiresAt = new(int64)
	}
	return info
}

func inUTC(at *time.Time) *time.Time {
	if at == nil {
		return nil
	}
	return new(at.UTC())
}

// MarshalJSON writes everything as one object.
func (i ClientInformation) MarshalJSON() ([]byte, error) {
	type own ClientInformation
	return mergeJSON(i.Spec, own(i))
}

// CreateClient makes a client of the organization, under an identifier of ours (S-025: a client cannot choose whose it takes),
// and with a secret if it authenticates by one. The secret is not to be had again.
func (o *Operators) CreateClient(ctx context.Context, spec ClientSpec) (*storage.Client, secret.Text, error) {
	return o.createClient(ctx, newClientID(), spec, "")
}

// createClient makes a client under an identifier that does not come from whoever asks for it. A secret that is given is its own.
func (o *Operators) createClient(ctx context.Context, clientID string, spec ClientSpec, given secret.Text) (*storage.Client, secret.Text, error) {
	return o.makeClient(ctx, making{client: &storage.Client{ClientID: clientID}, spec: spec, given: given, action: "client.created"})
}

// making is a client that is to be made.
type making struct {
	client *storage.Client // with what is not in its spec
	spec   ClientSpec
	// given is its secret, where somebody brings it.
	given secret.Text
	// before is done first of all, in the transaction; nil is nothing.
	before func(context.Context) error
	// action is what the audit calls the deed, and facts what it says besides.
	action string
	facts  map[string]any
}

func (o *Operators) makeClient(ctx context.Context, m making) (*storage.Client, secret.Text, error) {
	spec, client := m.spec.Complete(), m.client
	if err := spec.validate(o.reach); err != nil {
		return nil, "", err
	}
	spec.apply(client)
	if err := o.mayRegister(ctx, client); err != nil {
		return nil, "", err
	}
	if err := checkSector(o.AskSectors(ctx, spec), nil, spec); err != nil {
		return nil, "", err
	}
	if m.given != "" {
		if err := o.takeSecret(ctx, client, m.given); err != nil {
			return nil, "", err
		}
	}
	made, err := o.giveSecret(ctx, client)
	if err != nil {
		return nil, "", during("create client", err)
	}
	details := map[string]any{"before": nil, "after": clientState(client)}
	maps.Copy(details, m.facts)
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		if m.before != nil {
			if err := m.before(ctx); err != nil {
				return err
			}
		}
		row := *client // of a transaction that is tried twice the second must not find what the first wrote
		if err := o.db.CreateClient(ctx, &row); err != nil {
			return err
		}
		if err := o.ensureKeys(ctx, client); err != nil {
			return err
		}
		if err := o.audit(ctx, m.action, client.ClientID, details); err != nil {
			return err
		}
		*client = row
		return nil
	})
	if err != nil {
		return nil, "", during("create client", err)
	}
	return client, made, nil
}

// mayRegister refuses clients that may ask for more than the actor holds: of Keizer itself, and, where a client acts for itself and no
// role narrows it, of the organization's APIs. Whoever has such a client's secret, or has written down where its tokens are sent, has
// what it has: so it is asked of every change to one.
func (o *Operators) mayRegister(ctx context.Context, client *storage.Client) error {
	if actorOf(ctx).Bound == nil {
		return nil
	}
	needs := slices.DeleteFunc(slices.Clone(client.Scopes), func(scope string) bool { return !permission.Known(scope) })
	if slices.Contains(client.GrantTypes, GrantClientCredentials) {
		for after := ""; ; {
			apis, err := o.db.ListAPIs(ctx, after, maxAPIs)
			if err != nil {
				return err
			}
			for _, api := range apis {
				after = api.Identifier
				for _, s := range api.Scopes {
					if s.Permission != "" && slices.Contains(client.Scopes, s.Name) {
						needs = append(needs, s.Permission)
					}
				}
			}
			if len(apis) < maxAPIs {
				break
			}
		}
	}
	return mayGive(ctx, needs...)
}

// newClientID returns 24 characters that are easily read aloud and double-clicked: 120 random bits in lower-case base 32.
func newClientID() string {
	var random [15]byte
	rand.Read(random[:])
	return strings.ToLower(base32.StdEncoding.EncodeToString(random[:]))
}

// giveSecret makes the secret that a client needs and does not have, and takes away those that it has no use for.
func (o *Operators) giveSecret(ctx context.Context, client *storage.Client) (secret.Text, error) {
	switch {
	case !bySecret(client.AuthMethod):
		client.SecretDigest, client.SecretDigestOld, client.SecretOldExpiresAt, client.SealedSecrets = nil, nil, nil, nil
		return "", nil
	case !lacksSecret(client, client.AuthMethod):
		if client.AuthMethod != AuthSecretJWT {
			client.SealedSecrets = nil
		}
		return "", nil
	}
	made := secret.Text(secret.New(secret.ClientSecret))
	return made, o.haveSecret(ctx, client, made)
}

// haveSecret makes a secret the client's only one.
func (o *Operators) haveSecret(ctx context.Context, client *storage.Client, only secret.Text) error {
	digest := secret.Digest(only.Reveal())
	client.SecretDigest, client.SecretDigestOld, client.SecretOldExpiresAt = &digest, nil, nil
	return o.sealSecrets(ctx, client, only)
}

// sealSecrets keeps the secrets of a client that proves itself by what it makes of them (client_secret_jwt), and those of no other.
func (o *Operators) sealSecrets(ctx context.Context, client *storage.Client, secrets ...secret.Text) error {
	if client.AuthMethod != AuthSecretJWT {
		secrets = nil
	}
	return o.db.SealClientSecrets(ctx, client, secrets...)
}

// lacksSecret reports whether a client has no secret that it could authenticate with by a method: of one that it had for another, nothing but a
// digest may be left.
func lacksSecret(client *storage.Client, method string) bool {
	return client.SecretDigest == nil || method == AuthSecretJWT && client.SealedSecrets == nil
}

// Bounds of a secret that is not of our making, in characters.
const (
	minGivenSecret      = 32
	maxGivenSecret      = 256
	minGivenSecretKinds = 12
)

// checkGivenSecret says why a secret that somebody brings is none. Nobody limits how often it is guessed at but by its being long and
// random, and what is stored of it is a digest that is fast to make (RFC 6749 §10.10): so it is no password.
func checkGivenSecret(given secret.Text, about ...string) error {
	text := given.Reveal()
	kinds := make(map[rune]bool)
	for _, r := range text {
		kinds[r] = true
		if r <= ' ' || r > '~' {
			return errors.New("it must have visible characters of ASCII only")
		}
	}
	switch {
	case len(text) < minGivenSecret || len(text) > maxGivenSecret:
		return fmt.Errorf("it must have %d to %d characters; keizer secret generate makes one", minGivenSecret, maxGivenSecret)
	case len(kinds) < minGivenSecretKinds || password.Judge(text, about...) != nil:
		return errors.New("it can be guessed; keizer secret generate makes one that cannot")
	}
	return nil
}

// takeSecret makes a secret that somebody brings the client's only one.
func (o *Operators) takeSecret(ctx context.Context, client *storage.Client, given secret.Text) error {
	if !bySecret(client.AuthMethod) {
		return &Invalid{Field: "client_secret", Message: "a client that authenticates by " + client.AuthMethod + " has no secret"}
	}
	if err := checkGivenSecret(given, client.ClientID, client.Name); err != nil {
		return &Invalid{Field: "client_secret", Message: err.Error()}
	}
	return o.haveSecret(ctx, client, given)
}

// hasSecret reports whether a secret is the client's.
func hasSecret(client *storage.Client, given secret.Text) bool {
	return client.SecretDigest != nil && secret.Equal(*client.SecretDigest, secret.Digest(given.Reveal()))
}

func bySecret(method string) bool {
	return method == AuthBasic || method == AuthPost || method == AuthSecretJWT
}

// ClientPatch is a change to a client. What is nil stays as it is; what is empty goes back to its default.
type ClientPatch struct {
	Name                   *string             `json:"client_name"`
	RedirectURIs           *[]string           `json:"redirect_uris"`
	PostLogoutRedirectURIs *[]string           `json:"post_logout_redirect_uris"`
	AuthMethod             *string             `json:"token_endpoint_auth_method"`
	GrantTypes             *[]string           `json:"grant_types"`
	ResponseTypes          *[]string           `json:"response_types"`
	ResponseModes          *[]string           `json:"response_modes"`
	Scope                  *string             `json:"scope"`
	Audience               *[]string           `json:"audience"`
	IDTokenAlg             *string             `json:"id_token_signed_response_alg"`
	AccessTokenFormat      *string             `json:"access_token_format"`
	SkipConsent            *bool               `json:"skip_consent"`
	PKCEOptional           *bool               `json:"pkce_optional"`
	ClaimMappings          *[]claimmap.Mapping `json:"claim_mappings"`
	Disabled               *bool               `json:"disabled"`
	JWKS                   *json.RawMessage    `json:"jwks"`
	JWKSURI                *string             `json:"jwks_uri"`
	ClientURI              *string             `json:"client_uri"`
	LogoURI                *string             `json:"logo_uri"`
	PolicyURI              *string             `json:"policy_uri"`
	TosURI                 *string             `json:"tos_uri"`
	Contacts               *[]string           `json:"contacts"`
	Metadata               *map[string]any     `json:"-"`
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// to returns the spec as the patch makes it.
func (p ClientPatch) to(s ClientSpec) ClientSpec {
	code, direct := s.responds()
	set(&s.Name, p.Name)
	set(&s.RedirectURIs, p.RedirectURIs)
	set(&s.PostLogoutRedirectURIs, p.PostLogoutRedirectURIs)
	set(&s.AuthMethod, p.AuthMethod)
	set(&s.GrantTypes, p.GrantTypes)
	set(&s.ResponseTypes, p.ResponseTypes)
	set(&s.ResponseModes, p.ResponseModes)
	set(&s.Scope, p.Scope)
	set(&s.Audience, p.Audience)
	set(&s.IDTokenAlg, p.IDTokenAlg)
	set(&s.AccessTokenFormat, p.AccessTokenFormat)
	set(&s.SkipConsent, p.SkipConsent)
	set(&s.PKCEOptional, p.PKCEOptional)
	set(&s.ClaimMappings, p.ClaimMappings)
	set(&s.JWKS, p.JWKS)
	set(&s.JWKSURI, p.JWKSURI)
	set(&s.ClientURI, p.ClientURI)
	set(&s.LogoURI, p.LogoURI)
	set(&s.PolicyURI, p.PolicyURI)
	set(&s.TosURI, p.TosURI)
	set(&s.Contacts, p.Contacts)
	set(&s.Metadata, p.Metadata)
	// A client that no longer sends people here has no responses to be told the form of.
	if p.GrantTypes != nil && len(s.GrantTypes) > 0 && !s.hasPeople() {
		if p.ResponseTypes == nil {
			s.ResponseTypes = nil
		}
		if p.ResponseModes == nil {
			s.ResponseModes = nil
		}
	}
	// And what goes another way than before goes as it does by default.
	if nowCode, nowDirect := s.responds(); p.ResponseTypes != nil && p.ResponseModes == nil && (nowCode != code || nowDirect != direct) {
		s.ResponseModes = nil
	}
	// What replaces the keys replaces them wherever they were.
	if p.JWKS != nil && len(*p.JWKS) > 0 && p.JWKSURI == nil {
		s.JWKSURI = ""
	}
	if p.JWKSURI != nil && *p.JWKSURI != "" && p.JWKS == nil {
		s.JWKS = nil
	}
	return s
}

// UpdateClient changes a client of the organization. Of two changes at once both count, one after the other. If the client
// comes to need a secret by it, that is returned; else there is none.
func (o *Operators) UpdateClient(ctx context.Context, clientID string, patch ClientPatch) (*storage.Client, secret.Text, error) {
	return o.respecify(o.AskSector(ctx, clientID, patch), clientID, func(client *storage.Client) (ClientSpec, error) {
		set(&client.Disabled, patch.Disabled)
		return patch.to(SpecOf(client)), nil
	})
}

// respecify makes a client what wanted makes of what it is. Whose sector it may come to name was asked before (AskSectors). A secret that it
// comes to need is returned.
func (o *Operators) respecify(
	ctx context.Context, clientID string, wanted func(*storage.Client) (ClientSpec, error),
) (*storage.Client, secret.Text, error) {
	var made secret.Text
	client, err := o.changeClient(ctx, clientID, "client.updated", func(client *storage.Client) (map[string]any, error) {
		before := SpecOf(client)
		spec, err := wanted(client)
		if err != nil {
			return nil, err
		}
		spec = spec.Complete()
		if err := o.validate(ctx, &before, spec); err != nil {
			return nil, err
		}
		spec.apply(client)
		made, err = o.giveSecret(ctx, client)
		return nil, err
	})
	if err != nil {
		return nil, "", during("update client", err)
	}
	return client, made, nil
}

// clientState is what the audit tells of a client: what was registered, of its keys only which they are, and of its secrets nothing.
func clientState(client *storage.Client) map[string]any {
	state := make(map[string]any)
	text, err := json.Marshal(SpecOf(client))
	if err != nil || json.Unmarshal(text, &state) != nil {
		state["client_name"] = client.Name // cannot be: all of it came from JSON
	}
	if client.JWKS != nil {
		state["jwks"] = secret.Digest(*client.JWKS)
	}
	state["disabled"] = client.Disabled
	return state
}

// changeClient reads a client, lets change decide, and writes it, again if somebody else wrote it in between.
func (o *Operators) changeClient(
	ctx context.Context, clientID, action string, change func(*storage.Client) (facts map[string]any, err error),
) (client *storage.Client, err error) {
	for range retries {
		err = o.db.InTx(ctx, func(ctx context.Context) (err error) {
			if client, err = o.db.Client(ctx, clientID); err != nil {
				return err
			}
			if err := o.mayRegister(ctx, client); err != nil {
				return err
			}
			before := clientState(client)
			facts, err := change(client)
			if err != nil {
				return err
			}
			details := storage.Changes(before, clientState(client))
			if details == nil {
				details = make(map[string]any)
			}
			maps.Copy(details, facts)
			if err := o.mayRegister(ctx, client); err != nil {
				return err
			}
			if err := o.db.UpdateClient(ctx, client); err != nil {
				return err
			}
			if err := o.ensureKeys(ctx, client); err != nil {
				return err
			}
			return o.audit(ctx, action, clientID, details)
		})
		if !errors.Is(err, storage.ErrConflict) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return client, nil
}

// setClientSecret gives a client a secret that somebody brings; those before it end at once.
func (o *Operators) setClientSecret(ctx context.Context, clientID string, given secret.Text) error {
	_, err := o.changeClient(ctx, clientID, "client.secret_set", func(client *storage.Client) (map[string]any, error) {
		return nil, o.takeSecret(ctx, client, given)
	})
	if err != nil {
		return during("set client secret", err)
	}
	return nil
}

// RotateClientSecret gives a client a new secret. The one before goes on for keepOld, so that a client that runs in many
// places can be told one by one; any older one ends at once, for two at the most are good.
func (o *Operators) RotateClientSecret(ctx context.Context, clientID string, keepOld time.Duration) (secret.Text, error) {
	if keepOld < 0 || keepOld > maxKeepOld {
		return "", &Invalid{Field: "keep_old", Message: fmt.Sprintf("it must be between 0 and %s", maxKeepOld)}
	}
	var made secret.Text
	_, err := o.changeClient(ctx, clientID, "client.secret_rotated", func(client *storage.Client) (facts map[string]any, err error) {
		if !bySecret(client.AuthMethod) {
			message := "a client that authenticates by " + client.AuthMethod + " has no secret"
			return nil, &Invalid{Field: "token_endpoint_auth_method", Message: message}
		}
		old := client.SecretDigest
		var sealed []secret.Text
		if keepOld > 0 { // else it does not matter what it was, nor whether it can still be opened
			if sealed, err = o.db.ClientSecrets(ctx, client); err != nil {
				return nil, err
			}
		}
		client.SecretDigest = nil
		if made, err = o.giveSecret(ctx, client); err != nil {
			return nil, err
		}
		if old != nil && keepOld > 0 {
			until := time.Now().Add(keepOld).UTC()
			client.SecretDigestOld, client.SecretOldExpiresAt = old, &until
			if err := o.sealSecrets(ctx, client, append([]secret.Text{made}, sealed[:min(1, len(sealed))]...)...); err != nil {
				return nil, err
			}
		}
		return map[string]any{"keep_old": keepOld.String()}, nil
	})
	if err != nil {
		return "", during("rotate client secret", err)
	}
	return made, nil
}

// DeleteClient removes a client of the organization and everything that was given to it.
func (o *Operators) DeleteClient(ctx context.Context, clientID string) error {
	err := o.db.InTx(ctx, func(ctx context.Context) error {
		client, err := o.db.Client(ctx, clientID)
		if err != nil {
			return err
		}
		if err := o.mayRegister(ctx, client); err != nil {
			return err
		}
		if err := o.db.DeleteClient(ctx, clientID); err != nil {
			return err
		}
		return o.audit(ctx, "client.deleted", clientID, map[string]any{"before": clientState(client), "after": nil})
	})
	if err != nil {
		return during("delete client", err)
	}
	return nil
}
