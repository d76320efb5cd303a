package manage

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/settings"
	"github.com/keizer-auth/keizer/internal/strictjson"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/provider/keys"
	"github.com/keizer-auth/keizer/storage"
)

// RegistrationPath is where clients are registered, below the issuer.
const RegistrationPath = "/oauth2/register"

// Why nobody is registered, in the words of RFC 7591 §3.2.2 and RFC 6750 §3.1.
const (
	InvalidRedirectURI  = "invalid_redirect_uri"
	InvalidMetadata     = "invalid_client_metadata"
	InvalidStatement    = "invalid_software_statement"
	UnapprovedStatement = "unapproved_software_statement"
	InvalidToken        = "invalid_token"
	RegistrationRefused = "access_denied"
)

// RegistrationError is why a client is not registered, or what was registered not shown or changed.
type RegistrationError struct {
	Code, Description string
	// Cause is for the log.
	Cause error
}

func (e *RegistrationError) Error() string { return e.Code + ": " + e.Description }
func (e *RegistrationError) Unwrap() error { return e.Cause }

func refuseRegistration(code, format string, a ...any) error {
	return &RegistrationError{Code: code, Description: fmt.Sprintf(format, a...)}
}

// registrationRefusal makes what a deed complains of a RegistrationError. Whatever else went wrong stays what it is.
func registrationRefusal(err error) error {
	var forbidden *Forbidden
	complaints := Complaints(err)
	switch {
	case errors.As(err, &forbidden):
		return refuseRegistration(RegistrationRefused, "The client has, or asks for, what whoever registers clients may not give it.")
	case len(complaints) == 0:
		return err
	}
	code, said := InvalidMetadata, make([]string, len(complaints))
	for i, complaint := range complaints {
		said[i] = complaint.Error()
		if complaint.Field == "redirect_uris" {
			code = InvalidRedirectURI
		}
	}
	return &RegistrationError{Code: code, Description: strings.Join(said, "; ")}
}

// Registrar registers clients for those who ask for one themselves (RFC 7591), and changes what was registered (RFC 7592).
type Registrar struct {
	o *Operators
	// statements knows the keys by which software statements are signed.
	statements *keys.ClientKeys
}

// Registrar returns the registrar of these operators.
func (o *Operators) Registrar(statements *keys.ClientKeys) *Registrar {
	return &Registrar{o, statements}
}

// Registered is a client with what whoever registered it holds.
type Registered struct {
	Client *storage.Client
	// Secret is there when it has just been made.
	Secret secret.Text
	// Token is what the registration is looked after with.
	Token secret.Text
}

// Information is what is answered.
func (r *Registered) Information(org *tenant.Org) RegistrationInformation {
	return r.information(org.Issuer)
}

// Register makes a client of what somebody asks for: body is client metadata (RFC 7591 §2), and token the registration token that they
// brought, or empty. From shall be where they ask from, for the audit and for what is let through.
func (r *Registrar) Register(ctx context.Context, body []byte, token secret.Text, from Actor) (*Registered, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	brought, err := r.admit(ctx, org, token, from)
	if err != nil {
		return nil, err
	}
	clientID := newClientID()
	spec, statement, err := r.asked(ctx, org, body)
	if err == nil {
		spec, err = registrantSpec(org, spec, clientID, nil)
	}
	if err != nil {
		return nil, registrationRefusal(err)
	}
	from.Name, from.Bound = "client:"+clientID, &Bound{}
	made := &Registered{Token: secret.Text(secret.New(secret.Registration))}
	digest, now := secret.Digest(made.Token.Reveal()), time.Now().UTC()
	by := making{client: &storage.Client{
		ClientID: clientID, RegisteredAt: &now, LastUsedAt: &now, RegistrationDigest: &digest, SoftwareStatement: filled(statement),
	}, spec: spec, action: "client.registered"}
	if brought != nil {
		by.client.RegisteredBy = &brought.ID
		by.facts = map[string]any{"registration_token": brought.ID.String()}
	}
	by.before = func(ctx context.Context) error {
		// Two who take the last place wait for one another here.
		if err := r.o.db.LockOrganization(ctx, org.ID); err != nil {
			return err
		}
		if n, err := r.o.db.CountRegisteredClients(ctx); err != nil || n >= org.Decided().Registration.MaxClients {
			return cmp.Or(err, refuseRegistration(RegistrationRefused, "The organization takes no more clients."))
		}
		if brought == nil {
			return nil
		}
		err := r.o.db.UseRegistrationToken(ctx, brought.ID)
		if errors.Is(err, storage.ErrSpent) {
			return errRegistrationToken
		}
		return err
	}
	made.Client, made.Secret, err = r.o.makeClient(WithActor(ctx, from), by)
	if err != nil {
		return nil, registrationRefusal(err)
	}
	return made, nil
}

var (
	errRegistrationToken = refuseRegistration(InvalidToken, "The token is unknown, expired, used up or revoked.")
	errNoToken           = refuseRegistration(InvalidToken, "Clients are registered here with a token that an operator gives.")
)

// admit lets through who may register a client, and counts them. Who brings a registration token is bound by what that allows, and not by
// where they come from. It returns the token, nil where none was brought.
func (r *Registrar) admit(ctx context.Context, org *tenant.Org, token secret.Text, from Actor) (brought *storage.RegistrationToken, err error) {
	mode := org.Decided().Registration.Mode
	if mode != settings.RegistrationOpen && mode != settings.RegistrationToken {
		return nil, refuseRegistration(RegistrationRefused, "Clients are not registered by those who want one here.")
	}
	switch {
	case token == "" && mode == settings.RegistrationToken:
		return nil, errNoToken
	case token != "":
		if !secret.Valid(secret.InitialAccess, token.Reveal()) {
			return nil, errRegistrationToken
		}
		brought, err = r.o.db.RegistrationTokenByDigest(ctx, secret.Digest(token.Reveal()))
		if errors.Is(err, storage.ErrNotFound) {
			return nil, errRegistrationToken
		}
		if err != nil {
			return nil, err
		}
	}
	if brought == nil && !r.o.testMode {
		if err := r.take(ctx, throttle.RegisterNetwork, throttle.Network(from.IPAddress), from, ""); err != nil {
			return nil, err
		}
	}
	return brought, r.take(ctx, throttle.RegisterOrganization, "", from, "")
}

// take uses a limit once, for a subject. One that is used up is a *throttle.Exceeded, and written down, once in a while: whoever goes on would
// fill the audit (S-282).
func (r *Registrar) take(ctx context.Context, limit throttle.Limit, subject string, from Actor, target string) error {
	taken := r.o.db.Take(ctx, limit, subject)
	var exceeded *throttle.Exceeded
	if !errors.As(taken, &exceeded) {
		return taken
	}
	var again *throttle.Exceeded
	switch err := r.o.db.Take(ctx, throttle.Notice(limit.Name), subject); {
	case errors.As(err, &again):
		return taken
	case err != nil:
		return err
	}
	from.Name = "anonymous"
	if err := r.o.audit(WithActor(ctx, from), "limit.reached", target, map[string]any{"limit": limit.Name}); err != nil {
		return err
	}
	return taken
}

// asked reads what somebody asks a client to be, and the software statement that they brought.
func (r *Registrar) asked(ctx context.Context, org *tenant.Org, body []byte) (spec ClientSpec, statement string, err error) {
	if len(body) > maxSpec {
		return spec, "", refuseRegistration(InvalidMetadata, "It has more than %d bytes.", maxSpec)
	}
	members, err := strictjson.Object(body)
	if err != nil {
		return spec, "", refuseRegistration(InvalidMetadata, "The request body: %s.", err)
	}
	if raw, there := members[memberStatement]; there && string(raw) != "null" {
		if json.Unmarshal(raw, &statement) != nil || statement == "" {
			return spec, "", refuseRegistration(InvalidStatement, "The software statement is no JWT.")
		}
		claims, err := r.believe(ctx, org, statement)
		if err != nil {
			return spec, "", err
		}
		members = vouched(members, claims)
	} else if org.Decided().Registration.SoftwareStatement == settings.StatementRequired {
		return spec, "", refuseRegistration(InvalidMetadata, "software_statement: this organization wants one.")
	}
	spec, err = readRegistrant(members)
	return spec, statement, err
}

// believe returns what a software statement says, if it is one of somebody who is believed (RFC 7591 §2.3).
func (r *Registrar) believe(ctx context.Context, org *tenant.Org, statement string) (keys.Claims, error) {
	name := keys.StatementIssuerOf(statement)
	if name == "" {
		return nil, refuseRegistration(InvalidStatement, "The software statement is no signed JWT with an iss.")
	}
	issuer, known := org.Decided().Registration.Statements(name)
	if !known {
		return nil, refuseRegistration(UnapprovedStatement, "Software statements of that issuer are not taken here.")
	}
	by := keys.StatementIssuer{Of: org.ID, JWKSURI: issuer.JWKSURI, Algorithms: issuer.Algorithms}
	if len(issuer.JWKS) > 0 {
		set, err := json.Marshal(issuer.JWKS)
		if err != nil {
			return nil, fmt.Errorf("write the keys of an issuer of statements: %w", err)
		}
		by.JWKS = string(set)
	}
	claims, err := r.statements.VerifyStatement(ctx, statement, by, org.Issuer, org.Issuer+RegistrationPath)
	if errors.Is(err, keys.ErrToken) {
		return nil, &RegistrationError{Code: InvalidStatement, Description: "The software statement is not properly signed, or its time is not now.", Cause: err}
	}
	return claims, err
}

// registrantSpec is what becomes of what somebody asks a client to be. Operators may have decided more of one that is there.
func registrantSpec(org *tenant.Org, spec ClientSpec, clientID string, is *storage.Client) (ClientSpec, error) {
	if spec.Name == "" {
		spec.Name = clientID // RFC 7591 §2, client_name
	}
	if spec.Metadata == nil {
		spec.Metadata = make(map[string]any)
	}
	if spec.Metadata["application_type"] == nil {
		spec.Metadata["application_type"] = "web" // OpenID Connect Dynamic Client Registration 1.0 §2
	}
	var had []string
	if is != nil {
		had = is.Scopes
	}
	spec, err := spec.within(&org.Decided().Registration, org.Decided().Tokens.LegacyResponseTypes, had)
	if err != nil || is == nil {
		return spec, err
	}
	// What was trusted to do without consent, and to be told of people besides, was another application. The rest that operators have decided stays.
	was := SpecOf(is)
	spec.Audience, spec.AccessTokenFormat = was.Audience, was.AccessTokenFormat
	spec.PKCEOptional = (spec.PKCEOptional || was.PKCEOptional) && spec.AuthMethod != AuthNone
	if slices.Equal(spec.ResponseTypes, was.ResponseTypes) && spec.hasPeople() == was.hasPeople() {
		spec.ResponseModes = was.ResponseModes
	}
	return spec, nil
}

// errNotRegistered is all that is said of a client that is not there, is disabled, was made by operators, or is another's (RFC 7592 §2.1).
var errNotRegistered = refuseRegistration(InvalidToken, "The token is not that of this client's registration.")

// Registration returns a client to whoever looks after its registration.
func (r *Registrar) Registration(ctx context.Context, clientID string, token secret.Text, from Actor) (*Registered, error) {
	client, err := r.registered(ctx, clientID, token, from)
	if err != nil {
		return nil, err
	}
	return &Registered{Client: client, Token: token}, nil
}

func (r *Registrar) registered(ctx context.Context, clientID string, token secret.Text, from Actor) (*storage.Client, error) {
	if !secret.Valid(secret.Registration, token.Reveal()) || !isClientID(clientID) {
		return nil, errNotRegistered
	}
	client, err := r.o.db.Client(ctx, clientID)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, errNotRegistered
	}
	if err != nil {
		return nil, err
	}
	if err := holdsRegistration(client, token); err != nil {
		return nil, err
	}
	if err := r.take(ctx, throttle.RegistrationClient, clientID, from, clientID); err != nil {
		return nil, err
	}
	if !client.UsedWithin(time.Now()) {
		return client, r.o.db.UseClient(ctx, clientID)
	}
	return client, nil
}

func holdsRegistration(client *storage.Client, token secret.Text) error {
	if client.Disabled || client.RegistrationDigest == nil || !secret.Equal(*client.RegistrationDigest, secret.Digest(token.Reveal())) {
		return errNotRegistered
	}
	return nil
}

// isClientID reports whether a text has the form of the identifiers that newClientID makes.
func isClientID(text string) bool {
	return len(text) == 24 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// Update puts what is asked for in place of all that was registered (RFC 7592 §2.2).
func (r *Registrar) Update(ctx context.Context, clientID string, token secret.Text, body []byte, from Actor) (*Registered, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	client, err := r.registered(ctx, clientID, token, from)
	if err != nil {
		return nil, err
	}
	given, err := checkUpdate(clientID, body)
	if err != nil {
		return nil, err
	}
	spec, statement, err := r.asked(ctx, org, body)
	if err != nil {
		return nil, registrationRefusal(err)
	}
	if ctx, err = r.askSector(ctx, org, client, spec); err != nil {
		return nil, registrationRefusal(err)
	}
	from.Name, from.Bound = "client:"+clientID, &Bound{}
	changed := &Registered{Token: token}
	changed.Client, changed.Secret, err = r.o.respecify(WithActor(ctx, from), client.ClientID, func(client *storage.Client) (ClientSpec, error) {
		if err := holdsRegistration(client, token); err != nil {
			return spec, err
		}
		if given != "" && !hasSecret(client, given) {
			return spec, refuseRegistration(InvalidMetadata, "client_secret: it is not the client's.")
		}
		client.SoftwareStatement = filled(statement)
		return registrantSpec(org, spec, clientID, client)
	})
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, errNotRegistered // deleted meanwhile
	case err != nil:
		return nil, registrationRefusal(err)
	}
	return changed, nil
}

// askSector fetches the document of the sector that a client comes to name, before the transaction in which it does.
func (r *Registrar) askSector(ctx context.Context, org *tenant.Org, client *storage.Client, spec ClientSpec) (context.Context, error) {
	before := SpecOf(client)
	after, err := registrantSpec(org, spec, client.ClientID, client)
	if err != nil {
		return ctx, err
	}
	if newSector(&before, after) && after.validate(r.o.reach) == nil { // else it is said later what is wrong
		return r.o.AskSectors(ctx, after), nil
	}
	return r.o.AskSectors(ctx), nil
}

// checkUpdate checks the members of a request for an update that say for which client it is (RFC 7592 §2.2), and returns the secret that
// it names, if any.
func checkUpdate(clientID string, body []byte) (given secret.Text, err error) {
	members, err := strictjson.Object(body)
	if err != nil {
		return "", refuseRegistration(InvalidMetadata, "The request body: %s.", err)
	}
	for _, name := range givenMembers {
		if _, there := members[name]; there {
			return "", refuseRegistration(InvalidMetadata, "%s: it is given by the server, and no request for an update has it.", name)
		}
	}
	var named, text string
	if json.Unmarshal(members["client_id"], &named) != nil || named != clientID {
		return "", refuseRegistration(InvalidMetadata, "client_id: it must be the client's own.")
	}
	if raw, there := members["client_secret"]; there && (json.Unmarshal(raw, &text) != nil || text == "") {
		return "", refuseRegistration(InvalidMetadata, "client_secret: it is not the client's.")
	}
	return secret.Text(text), nil
}

// Delete takes a client away, with everything that was given to it (RFC 7592 §2.3).
func (r *Registrar) Delete(ctx context.Context, clientID string, token secret.Text, from Actor) error {
	if _, err := r.registered(ctx, clientID, token, from); err != nil {
		return err
	}
	from.Name, from.Bound = "client:"+clientID, &Bound{}
	err := r.o.DeleteClient(WithActor(ctx, from), clientID)
	if errors.Is(err, storage.ErrNotFound) {
		return errNotRegistered
	}
	return registrationRefusal(err)
}

// RemoveUnusedClients takes the registered clients of an organization away that were of no use for as long as it says, and returns how many
// those were. It goes on until ctx ends.
func (o *Operators) RemoveUnusedClients(ctx context.Context, org *storage.Organization) (removed int, err error) {
	const page = 100
	decided, err := settings.Parse(org.Settings)
	if err != nil || decided.Registration.Idle == 0 {
		return 0, err
	}
	ctx, since := within(ctx, org), time.Now().Add(-time.Duration(decided.Registration.Idle))
	for {
		clients, err := o.db.UnusedClients(ctx, since, page)
		if err != nil {
			return removed, fmt.Errorf("remove unused clients: %w", err)
		}
		for i := range clients {
			gone, err := o.removeUnused(ctx, clients[i].ClientID, since)
			if err != nil {
				return removed, fmt.Errorf("remove unused clients: %w", err)
			}
			if gone {
				removed++
			}
		}
		if len(clients) < page {
			return removed, nil
		}
	}
}

func (o *Operators) removeUnused(ctx context.Context, clientID string, since time.Time) (gone bool, err error) {
	err = o.db.InTx(ctx, func(ctx context.Context) error {
		gone = false
		if err := o.db.LockClient(ctx, clientID); err != nil {
			return err
		}
		client, err := o.db.Client(ctx, clientID)
		if err != nil || client.LastUsedAt == nil || !client.LastUsedAt.Before(since) {
			return err // used this very moment
		}
		if err := o.db.DeleteClient(ctx, clientID); err != nil {
			return err
		}
		gone = true
		return o.audit(ctx, "client.expired", clientID, map[string]any{
			"last_used_at": client.LastUsedAt.UTC().Format(time.RFC3339), "before": clientState(client), "after": nil,
		})
	})
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil // another replica was quicker
	}
	return gone, err
}
