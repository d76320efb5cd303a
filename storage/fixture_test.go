package storage_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/storage"
)

// fixture is one of everything that an organization may have.
type fixture struct {
	ctx        context.Context // of the organization
	user       *storage.User
	client     *storage.Client
	role       *storage.Role
	permission *storage.Permission
	api        *storage.API
	session    *storage.Session
	grant      *storage.Grant
	key        *storage.SigningKey
	provider   *storage.UpstreamProvider
	passkey    *storage.Passkey
	app        *storage.Authenticator
	account    *storage.UpstreamAccount
	device     *storage.Device
	mail       *storage.Mail // claimed
	registered *storage.RegistrationToken
	host       *storage.Host
	claimed    *storage.Host // and not proven

	code, access, ownAccess, refresh, interaction, par, verification, invitation, signIn, recovery, challenge string // digests
	state, browser, held                                                                                      string // likewise

	resetRequest, invitationID uuid.UUID
	claim                      *storage.Claim
	logo                       string // digest
}

func newFixture(t testing.TB, db *storage.DB, ctx context.Context, name string) *fixture {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	hour := time.Now().Add(time.Hour)
	digest := func() string { return secret.Digest(uuid.NewString()) }
	f := &fixture{
		ctx: ctx, code: digest(), access: digest(), ownAccess: digest(), refresh: digest(), interaction: digest(), par: digest(),
		verification: digest(), invitation: digest(), signIn: digest(), recovery: digest(), challenge: digest(),
		state: digest(), browser: digest(), held: digest(),
	}
	f.user = &storage.User{
		Email: name + "@example.com", Username: &name, PasswordHash: "!", IsActive: true, Metadata: map[string]any{"team": "blue"},
	}
	must(db.CreateUser(ctx, f.user))
	f.logo = digest()
	must(db.SetLogo(ctx, &storage.Logo{Digest: f.logo, ContentType: "image/png", Image: []byte("picture")}))
	var err error
	f.role, err = db.EnsureRole(ctx, "editor", "may edit", false)
	must(err)
	f.permission, err = db.EnsurePermission(ctx, "pages:write", "write pages", "pages", "write")
	must(err)
	must(db.GrantRole(ctx, f.user.ID, f.role.ID))
	must(db.GrantPermission(ctx, f.role.ID, f.permission.ID))
	f.api = &storage.API{
		Identifier: "https://pages.example", Name: "Pages",
		Scopes: []storage.APIScope{{Name: "read", Description: "Read pages."}, {Name: "write", Description: "Write pages.", PermissionID: &f.permission.ID}},
	}
	must(db.CreateAPI(ctx, f.api))
	f.client = &storage.Client{
		ClientID: "client-" + name, Name: "App", AuthMethod: "client_secret_basic", RedirectURIs: []string{"https://rp.example/cb"},
		Scopes: []string{"openid", "profile"}, IDTokenAlg: "RS256", AccessTokenFormat: "opaque",
	}
	must(db.SealClientSecrets(ctx, f.client, "client-secret-of-"+secret.Text(name)))
	must(db.CreateClient(ctx, f.client))
	ip := "2001:db8::1"
	f.session = &storage.Session{
		UserID: f.user.ID, Token: digest(), IPAddress: &ip, UserAgent: "Browser/1.0", AMR: []string{"pwd"}, ACR: "1", ExpiresAt: hour,
	}
	must(db.CreateSession(ctx, f.session))
	f.grant = &storage.Grant{
		ClientID: f.client.ClientID, UserID: &f.user.ID, SessionID: &f.session.ID, Scope: []string{"openid", "profile"},
		Audience: []string{"https://api.example"}, Facts: []byte(`{"nonce":"n"}`), ExpiresAt: hour,
	}
	must(db.CreateGrant(ctx, f.grant))
	must(db.CreateCode(ctx, &storage.Code{
		Digest: f.code, GrantID: f.grant.ID, ClientID: f.client.ClientID, UserID: f.user.ID, SessionID: &f.session.ID,
		RedirectURI: "https://rp.example/cb", CodeChallenge: "challenge", CodeChallengeMethod: "S256",
		RequestedScope: []string{"openid", "profile", "email"}, Scope: []string{"openid", "profile"},
		Audience: []string{"https://api.example"}, Facts: []byte(`{"nonce":"n"}`), ExpiresAt: hour,
	}))
	must(db.CreateAccessToken(ctx, &storage.AccessToken{
		Digest: f.access, GrantID: &f.grant.ID, ClientID: f.client.ClientID, Subject: f.user.ID.String(),
		Scope: []string{"openid", "profile"}, Audience: []string{"https://api.example"}, Format: "opaque", ExpiresAt: hour,
	}))
	must(db.CreateAccessToken(ctx, &storage.AccessToken{
		Digest: f.ownAccess, ClientID: f.client.ClientID, Subject: f.client.ClientID, Scope: []string{"read"}, Format: "opaque",
		ExpiresAt: hour,
	}))
	must(db.CreateRefreshToken(ctx, &storage.RefreshToken{
		Digest: f.refresh, GrantID: f.grant.ID, ClientID: f.client.ClientID, ExpiresAt: hour,
	}))
	must(db.CreateInteraction(ctx, &storage.Interaction{
		Digest: f.interaction, BrowserDigest: digest(), ClientID: f.client.ClientID,
		Params: url.Values{"scope": {"openid profile"}, "state": {"a b&c"}}, ExpiresAt: hour,
	}))
	must(db.CreatePAR(ctx, &storage.PAR{
		Digest: f.par, ClientID: f.client.ClientID, Params: url.Values{"scope": {"openid"}}, ExpiresAt: hour,
	}))
	must(db.SaveConsent(ctx, f.user.ID, f.client.ClientID, []string{"openid"}))
	f.key = &storage.SigningKey{KID: "kid-" + name, Alg: "ES256", PrivateJWK: []byte(`{"d":"private"}`), PublicJWK: []byte(`{"x":"public"}`)}
	must(db.CreateSigningKey(ctx, f.key))
	must(db.CreateVerificationToken(ctx, &storage.VerificationToken{
		OrgID: &f.user.OrgID, UserID: &f.user.ID, Token: f.verification, Type: "password_reset", ExpiresAt: hour,
	}))
	invitation := &storage.Invitation{Token: f.invitation, Email: "Guest@example.com", Roles: []uuid.UUID{f.role.ID}, ExpiresAt: hour}
	must(db.CreateInvitation(ctx, "guest@example.com", invitation))
	f.invitationID = invitation.ID
	f.claim, _, err = db.ClaimRequest(ctx, "body", "key")
	must(err)
	request := storage.ResetRequest{Login: name}
	must(db.EnqueueResetRequest(ctx, &request))
	f.resetRequest = request.ID
	f.provider = &storage.UpstreamProvider{Name: "upstream", ClientID: "us", ClientSecret: "upstream-secret"}
	must(db.CreateUpstreamProvider(ctx, f.provider))
	f.account = &storage.UpstreamAccount{
		UserID: f.user.ID, ProviderID: f.provider.ID, Issuer: upstreamIssuer, Subject: "u-1", Label: "alice@upstream.example", AccessToken: "upstream-at", RefreshToken: "upstream-rt", ClaimSources: "{}",
	}
	must(db.CreateUpstreamAccount(ctx, f.account))
	must(db.CreateUpstreamRequest(ctx, &storage.UpstreamRequest{
		Digest: f.state, BrowserDigest: f.browser, ProviderID: f.provider.ID, UserID: &f.user.ID, Data: []byte(`{"nonce":"upstream-nonce"}`), ExpiresAt: hour,
	}))
	must(db.CreateUpstreamRequest(ctx, &storage.UpstreamRequest{
		Digest: f.held, BrowserDigest: f.browser, ProviderID: f.provider.ID, Held: true, Data: []byte(`{"held":true}`), ExpiresAt: hour,
	}))
	must(db.UseJTI(ctx, f.client.ClientID, "jti-1", hour))
	f.device = &storage.Device{UserID: f.user.ID, Token: digest(), UserAgent: "Browser/1.0", ExpiresAt: hour}
	must(db.CreateDevice(ctx, f.device))
	must(db.NoteSessionClient(ctx, &storage.SessionClient{SessionID: f.session.ID, ClientID: "told", ExpiresAt: hour}))
	_, err = db.PairwiseSalt(ctx)
	must(err)
	f.registered = &storage.RegistrationToken{Digest: digest(), Name: "Developers", MaxUses: 1, ExpiresAt: hour}
	must(db.CreateRegistrationToken(ctx, f.registered))
	long := time.Now().Add(-1000 * time.Hour).UTC()
	must(db.CreateClient(ctx, &storage.Client{
		ClientID: "registered-" + name, Name: "Registered", AuthMethod: "none", IDTokenAlg: "RS256", AccessTokenFormat: "opaque",
		RegisteredAt: &long, RegisteredBy: &f.registered.ID, RegistrationDigest: &f.registered.Digest, LastUsedAt: &long,
	}))
	must(db.TrustDevice(ctx, f.device.ID, &hour))
	must(db.Take(ctx, fixtureLimit, f.user.Email))
	must(db.TakeTurn(ctx, fixtureBackoff, f.user.Email))
	must(db.EnqueueMail(ctx, &f.user.ID, &mail.Message{Kind: mail.PasswordReset, To: f.user.Email, Link: "https://id.example/mail-canary"}))
	claimed, err := db.ClaimMail(ctx, hour, 1)
	must(err)
	f.mail = &claimed[0]
	must(db.CreateSignIn(ctx, &storage.SignIn{
		Digest: f.signIn, BrowserDigest: digest(), UserID: f.user.ID, InteractionDigest: f.interaction, ReturnTo: "/account", AMR: []string{"pwd"},
		ProvenAt: time.Now(), ExpiresAt: hour,
	}))
	must(db.SpendChallenge(ctx, f.challenge, hour))
	under := "-" + f.user.OrgID.String() + ".example.com" // a host is of one organization at the most
	f.host, f.claimed = &storage.Host{Host: name + under, Token: "t"}, &storage.Host{Host: name + "-claim" + under, Token: "t"}
	must(db.CreateHost(ctx, f.host))
	must(db.CreateHost(ctx, f.claimed))
	must(db.VerifyHost(ctx, f.host, "dns"))
	f.passkey = &storage.Passkey{UserID: f.user.ID, CredentialID: "credential-" + name, Name: "Key", Record: []byte("the record"), SignCount: 7, BackedUp: true}
	must(db.CreatePasskey(ctx, f.passkey))
	f.app = &storage.Authenticator{UserID: f.user.ID, Name: "Phone", Secret: []byte("totp-hunter2"), LastStep: 1}
	must(db.CreateAuthenticator(ctx, f.app))
	must(db.ReplaceRecoveryCodes(ctx, f.user.ID, []string{f.recovery, digest()}))
	must(db.AppendAudit(ctx, &storage.AuditEvent{
		Actor: name, Action: "user.created", Target: f.user.ID.String(), IPAddress: &ip, Details: map[string]any{"k": "v"},
	}))
	return f
}

const minute = time.Minute

// upstreamIssuer is that of the provider that the fixture has.
const upstreamIssuer = "https://upstream.example"

// Limits that the fixture uses up.
var (
	fixtureLimit   = throttle.Limit{Name: "fixture", Burst: 1, Per: time.Hour}
	fixtureBackoff = throttle.Backoff{Name: "fixture_turns", Free: 1, First: time.Hour, Most: time.Hour, Forget: 3 * time.Hour}
)

func isExceeded(err error) bool {
	var exceeded *throttle.Exceeded
	return errors.As(err, &exceeded)
}

func now() time.Time { return time.Now().UTC() }

func isNotFound(err error) bool { return errors.Is(err, storage.ErrNotFound) }

// eventually waits for something that another process brings about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	until := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-until:
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func containsSecret(text string) bool { return strings.Contains(text, "hunter2") }
