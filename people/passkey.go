package people

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"

	"github.com/keizer-auth/keizer/internal/mail"
	"github.com/keizer-auth/keizer/internal/proof"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/internal/useragent"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// Ceremony is what a page needs to ask an authenticator for something: the options that its script hands to the browser, in JSON,
// and what comes back with the answer.
type Ceremony struct {
	Options string
	Sealed  string
}

// The purposes of ceremonies. An answer to one is none to another.
const (
	ceremonySignIn   = "passkey sign-in"
	ceremonyFactor   = "passkey factor"
	ceremonyRegister = "passkey register"
)

// maxCredential bounds what a browser sends of a credential, in bytes.
const maxCredential = 32 << 10

// wrongPasskey is said of every passkey that is not taken, whatever is wrong with it.
func wrongPasskey() error { return &Invalid{Field: "passkey", Message: "factor.passkey_wrong"} }

// PasskeysPossible reports whether browsers make passkeys for an organization: not where its address is that of a machine.
func PasskeysPossible(org *tenant.Org) bool {
	u, err := url.Parse(org.Issuer)
	if err != nil || u.Hostname() == "" {
		return false
	}
	_, err = netip.ParseAddr(u.Hostname())
	return err != nil && (u.Scheme == "https" || u.Hostname() == "localhost")
}

// relyingParty is the organization as authenticators know it: by the host of its issuer, and asked from that origin only.
// Organizations below a path share both, which is why a credential is looked up in the organization and belongs to a person of it.
func relyingParty(org *tenant.Org) (*webauthn.WebAuthn, string, error) {
	u, err := url.Parse(org.Issuer)
	if err != nil {
		return nil, "", fmt.Errorf("read the issuer: %w", err)
	}
	origin := u.Scheme + "://" + u.Host
	required := true
	rp, err := webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: org.Name, RPOrigins: []string{origin}, AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			RequireResidentKey: &required, ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationPreferred,
		},
		// A password manager may answer more than it was asked.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, "", fmt.Errorf("set up passkeys: %w", err)
	}
	return rp, origin, nil
}

// holder is a person as the library wants to know one.
type holder struct {
	user *storage.User
	keys []webauthn.Credential
}

func (h *holder) WebAuthnID() []byte                         { return h.user.ID[:] }
func (h *holder) WebAuthnName() string                       { return h.user.DisplayName() }
func (h *holder) WebAuthnCredentials() []webauthn.Credential { return h.keys }
func (h *holder) WebAuthnDisplayName() string {
	if h.user.FullName != nil && *h.user.FullName != "" {
		return *h.user.FullName
	}
	return h.user.DisplayName()
}

// hold reads the passkeys of a person that are taken.
func hold(user *storage.User, keys ...storage.Passkey) (*holder, error) {
	h := &holder{user: user}
	for _, key := range keys {
		if key.ClonedAt != nil {
			continue
		}
		var credential webauthn.Credential
		if err := json.Unmarshal(key.Record, &credential); err != nil {
			return nil, fmt.Errorf("read passkey %s: %w", key.ID, err)
		}
		// The column is what uses are compared by, and the record a copy.
		credential.Authenticator.SignCount = uint32(key.SignCount) //nolint:gosec // it was one
		h.keys = append(h.keys, credential)
	}
	return h, nil
}

func (p *People) ceremony(ctx context.Context, options any, session *webauthn.SessionData, bound ...string) (*Ceremony, error) {
	text, err := json.Marshal(options)
	if err != nil {
		return nil, fmt.Errorf("write the options of a passkey: %w", err)
	}
	sealed, err := p.sealChallenge(ctx, session, bound...)
	if err != nil {
		return nil, err
	}
	return &Ceremony{Options: string(text), Sealed: sealed}, nil
}

// BeginPasskeySignIn asks for any passkey of the organization, from whoever sits at a browser. It says nothing of who has one.
func (p *People) BeginPasskeySignIn(ctx context.Context, browser string) (*Ceremony, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	rp, _, err := relyingParty(org)
	if err != nil {
		return nil, err
	}
	options, session, err := rp.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, fmt.Errorf("begin a passkey sign-in: %w", err)
	}
	return p.ceremony(ctx, options.Response, session, ceremonySignIn, browser)
}

// TryPasskeySignIn looks at an answer to BeginPasskeySignIn, and returns whose it is. It proves the person wholly: that they have
// the key, and that it has verified them. What is no good is *Invalid, and counts like a wrong password for the network that it comes
// from and for the organization: nobody guesses a key, but each failure is a row of the audit. What is right is taken however often
// others have failed, so that strangers lock nobody out (S-201).
func (p *People) TryPasskeySignIn(ctx context.Context, who visitor.Visitor, browser, sealed, answer string) (*storage.User, *Given, error) {
	var session webauthn.SessionData
	opened, err := p.openChallenge(ctx, sealed, &session, ceremonySignIn, browser)
	if err != nil {
		return nil, nil, err
	}
	return p.tryPasskey(ctx, who, nil, opened, session, answer)
}

// BeginPasskeyFactor asks a person for one of their passkeys.
func (p *People) BeginPasskeyFactor(ctx context.Context, browser string, user *storage.User) (*Ceremony, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := p.db.PasskeysOf(ctx, user.ID)
	if err != nil {
		return nil, err
	}
	h, err := hold(user, keys...)
	if err != nil {
		return nil, err
	}
	if len(h.keys) == 0 {
		return nil, storage.ErrNotFound
	}
	rp, _, err := relyingParty(org)
	if err != nil {
		return nil, err
	}
	options, session, err := rp.BeginLogin(h)
	if err != nil {
		return nil, fmt.Errorf("begin a passkey as a second factor: %w", err)
	}
	return p.ceremony(ctx, options.Response, session, ceremonyFactor, browser, user.ID.String())
}

// TryPasskeyFactor looks at an answer to BeginPasskeyFactor. It is counted as TryCode counts.
func (p *People) TryPasskeyFactor(
	ctx context.Context, who visitor.Visitor, browser string, user *storage.User, under, sealed, answer string,
) (*Given, error) {
	var session webauthn.SessionData
	opened, err := p.openChallenge(ctx, sealed, &session, ceremonyFactor, browser, user.ID.String())
	if err != nil {
		return nil, err
	}
	return p.counted(ctx, who, user, under, func() (*Given, error) {
		_, given, err := p.tryPasskey(ctx, who, user, opened, session, answer)
		return given, err
	})
}

// errForeignPasskey says that an answer is of a credential that is nobody's here, or not of whom it says.
var errForeignPasskey = errors.New("the credential is not that person's")

// tryPasskey verifies an assertion (Web Authentication §7.2). want is whose it must be, nil where that is what is asked.
func (p *People) tryPasskey(
	ctx context.Context, who visitor.Visitor, want *storage.User, opened *challenge, session webauthn.SessionData, answer string,
) (*storage.User, *Given, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, nil, err
	}
	rp, origin, err := relyingParty(org)
	if err != nil {
		return nil, nil, err
	}
	refused := func(user *storage.User, cause error) (*storage.User, *Given, error) {
		if errors.Is(cause, storage.ErrUnavailable) || errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
			return nil, nil, cause
		}
		target := ""
		if user != nil {
			target = user.ID.String()
		}
		p.log.DebugContext(ctx, "a passkey was refused", "cause", cause, "user", target)
		if want == nil { // whose it is, or may be, is counted elsewhere
			if err := p.takeFrom(ctx, who, throttle.SignInNetwork, throttle.SignInOrganization); err != nil {
				return nil, nil, err
			}
		}
		return nil, nil, errors.Join(wrongPasskey(), p.audit(ctx, who, Anonymous, "user.factor_failed", target, map[string]any{"way": ByPasskey}))
	}
	if len(answer) > maxCredential {
		return refused(want, protocol.ErrBadRequest)
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(answer))
	if err != nil {
		return refused(want, err)
	}
	if parsed.Response.CollectedClientData.Origin != origin {
		return refused(want, protocol.ErrVerification)
	}

	row, err := p.db.PasskeyByCredential(ctx, base64.RawURLEncoding.EncodeToString(parsed.RawID))
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, nil, err
	}
	if err != nil || want != nil && row.UserID != want.ID {
		return refused(want, errForeignPasskey)
	}
	user, err := p.db.User(ctx, row.UserID)
	if err != nil {
		return refused(want, err)
	}
	if !user.IsActive || row.ClonedAt != nil {
		return refused(user, errForeignPasskey)
	}
	var credential *webauthn.Credential
	if want == nil {
		h, err := hold(user, *row)
		if err != nil {
			return nil, nil, err
		}
		_, credential, err = rp.ValidatePasskeyLogin(func(_, handle []byte) (webauthn.User, error) {
			if !bytes.Equal(handle, user.ID[:]) {
				return nil, errForeignPasskey
			}
			return h, nil
		}, session, parsed)
		if err != nil {
			return refused(user, err)
		}
	} else {
		keys, err := p.db.PasskeysOf(ctx, user.ID)
		if err != nil {
			return nil, nil, err
		}
		h, err := hold(user, keys...)
		if err != nil {
			return nil, nil, err
		}
		if credential, err = rp.ValidateLogin(h, session, parsed); err != nil {
			return refused(user, err)
		}
	}
	if credential.Authenticator.CloneWarning {
		if err := p.cloned(ctx, who, user, row, opened); err != nil {
			return nil, nil, err
		}
		return refused(user, errors.New("the count of the passkey has gone back"))
	}

	record, err := json.Marshal(credential)
	if err != nil {
		return nil, nil, fmt.Errorf("write passkey: %w", err)
	}
	amr := keyMethods(credential.Flags.BackupEligible, parsed.Response.AuthenticatorData.Flags.HasUserVerified())
	return user, &Given{UserID: user.ID, AMR: amr, take: func(ctx context.Context) error {
		if err := p.spend(ctx, opened); err != nil {
			return err
		}
		return p.db.UsePasskey(ctx, row, int64(credential.Authenticator.SignCount), credential.Flags.BackupState, record)
	}}, nil
}

// keyMethods are the methods of authentication that a passkey stands for (RFC 8176 §2). One that can be backed up is not kept by
// a piece of hardware, whatever it was made in.
func keyMethods(backupEligible, verified bool) []string {
	amr := []string{proof.Key, proof.Hardware}
	if backupEligible {
		amr[1] = proof.Software
	}
	if verified {
		amr = append(amr, proof.Present)
	}
	return amr
}

// cloned notes that there are two of a passkey: its count was less than it has been. It is not taken any more, and its owner is
// told. An answer that was sent twice has counted already, and is errStale: of that, the passkey knows nothing.
func (p *People) cloned(ctx context.Context, who visitor.Visitor, user *storage.User, key *storage.Passkey, answered *challenge) error {
	return p.db.InTx(ctx, func(ctx context.Context) error {
		if err := p.spend(ctx, answered); err != nil {
			return err
		}
		err := p.db.MarkPasskeyCloned(ctx, key.ID)
		if errors.Is(err, storage.ErrNotFound) {
			return nil // somebody else saw it at the same time
		}
		if err != nil {
			return err
		}
		if err := p.audit(ctx, who, Anonymous, "passkey.cloned", key.ID.String(), map[string]any{"name": key.Name, "user": user.ID.String()}); err != nil {
			return err
		}
		return p.post(ctx, user, mail.Letter{Kind: mail.FactorRemoved, What: "mail.what.cloned", Item: key.Name, Language: who.Language})
	})
}

// Passkeys are the passkeys of a person.
func (p *People) Passkeys(ctx context.Context, user *storage.User) ([]storage.Passkey, error) {
	return p.db.PasskeysOf(ctx, user.ID)
}

// BeginPasskey asks for a new passkey for a person.
func (p *People) BeginPasskey(ctx context.Context, browser string, user *storage.User) (*Ceremony, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := p.db.PasskeysOf(ctx, user.ID)
	if err != nil {
		return nil, err
	}
	h, err := hold(user, keys...)
	if err != nil {
		return nil, err
	}
	rp, _, err := relyingParty(org)
	if err != nil {
		return nil, err
	}
	options, session, err := rp.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.keys).CredentialDescriptors()))
	if err != nil {
		return nil, fmt.Errorf("begin a passkey: %w", err)
	}
	return p.ceremony(ctx, options.Response, session, ceremonyRegister, browser, user.ID.String())
}

// AddPasskey gives a person the passkey that an answer to BeginPasskey brings (Web Authentication §7.1). What is no good is
// *Invalid.
func (p *People) AddPasskey(
	ctx context.Context, who visitor.Visitor, browser string, user *storage.User, sealed, answer, name string, also Enrolled,
) error {
	var session webauthn.SessionData
	opened, err := p.openChallenge(ctx, sealed, &session, ceremonyRegister, browser, user.ID.String())
	if err != nil {
		return err
	}
	org, err := tenant.From(ctx)
	if err != nil {
		return err
	}
	rp, origin, err := relyingParty(org)
	if err != nil {
		return err
	}
	if len(answer) > maxCredential {
		return wrongPasskey()
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(answer))
	if err != nil || parsed.Response.CollectedClientData.Origin != origin {
		return wrongPasskey()
	}
	credential, err := rp.CreateCredential(&holder{user: user}, session, parsed)
	if err != nil {
		p.log.DebugContext(ctx, "a new passkey was refused", "cause", err, "user", user.ID)
		return wrongPasskey()
	}
	credential.Attestation = webauthn.CredentialAttestation{} // none was asked for
	record, err := json.Marshal(credential)
	if err != nil {
		return fmt.Errorf("write passkey: %w", err)
	}
	name = factorName(name, cmp.Or(useragent.Readable(who.Agent), "Passkey"))
	err = p.db.InTx(ctx, func(ctx context.Context) error {
		if err := p.spend(ctx, opened); err != nil {
			return err
		}
		if err := p.roomForFactor(ctx, user); err != nil {
			return err
		}
		key := &storage.Passkey{
			UserID: user.ID, CredentialID: base64.RawURLEncoding.EncodeToString(credential.ID), Name: name, Record: record,
			SignCount: int64(credential.Authenticator.SignCount), BackedUp: credential.Flags.BackupState,
		}
		if err := p.db.CreatePasskey(ctx, key); err != nil {
			return err
		}
		if err := p.audit(ctx, who, byUser(user.ID), "passkey.added", key.ID.String(), map[string]any{"name": name}); err != nil {
			return err
		}
		if err := p.post(ctx, user, mail.Letter{Kind: mail.FactorAdded, What: "mail.what.passkey", Item: name, Language: who.Language}); err != nil {
			return err
		}
		return also(ctx, keyMethods(credential.Flags.BackupEligible, parsed.Response.AttestationObject.AuthData.Flags.HasUserVerified()))
	})
	if errors.Is(err, storage.ErrConflict) {
		return wrongPasskey()
	}
	return err
}

// RenamePasskey gives a person's passkey another name.
func (p *People) RenamePasskey(ctx context.Context, who visitor.Visitor, user *storage.User, id uuid.UUID, name string) error {
	name = factorName(name, "")
	if name == "" {
		return &Invalid{Field: "name", Message: "factor.no_name"}
	}
	return p.db.InTx(ctx, func(ctx context.Context) error {
		before, err := p.db.PasskeysOf(ctx, user.ID)
		if err != nil {
			return err
		}
		if err := p.db.RenamePasskey(ctx, user.ID, id, name); err != nil {
			return err
		}
		details := map[string]any{"name": name}
		for _, key := range before {
			if key.ID == id {
				maps.Copy(details, storage.Changes(map[string]any{"name": key.Name}, map[string]any{"name": name}))
			}
		}
		return p.audit(ctx, who, byUser(user.ID), "passkey.renamed", id.String(), details)
	})
}

// RemovePasskey takes a passkey from a person, unless it is the last factor of one who must have one (*Invalid).
func (p *People) RemovePasskey(ctx context.Context, who visitor.Visitor, user *storage.User, id uuid.UUID) error {
	return p.db.InTx(ctx, func(ctx context.Context) error {
		user, err := p.db.LockUser(ctx, user.ID)
		if err != nil {
			return err
		}
		keys, err := p.db.PasskeysOf(ctx, user.ID)
		if err != nil {
			return err
		}
		name := ""
		for _, key := range keys {
			if key.ID == id {
				name = key.Name
			}
		}
		if err := p.db.DeletePasskey(ctx, user.ID, id); err != nil {
			return err
		}
		return p.removed(ctx, who, user, "passkey.removed", "mail.what.passkey", id, name)
	})
}
