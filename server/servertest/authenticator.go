package servertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
)

// Authenticator is a device that keeps passkeys, as far as a server can tell (Web Authentication §6). Its fields are what it does
// otherwise than it should, or than others do.
type Authenticator struct {
	t testing.TB
	// Origin is where the browser says that it is asked from.
	Origin string
	// Unverified is one that does not look who holds it.
	Unverified bool
	// Synced is one whose passkeys can be on several devices.
	Synced bool
	// Count is how often it says that it was used; one that does not count says 0.
	Count uint32
	// RelyingParty, Handle and Challenge stand in for what it was asked, where they are not empty.
	RelyingParty, Challenge string
	Handle                  []byte

	credentials []credential
}

type credential struct {
	id, handle []byte
	party      string
	key        *ecdsa.PrivateKey
}

// NewAuthenticator returns a device that somebody holds at a browser.
func NewAuthenticator(t testing.TB, origin string) *Authenticator {
	return &Authenticator{t: t, Origin: origin}
}

// Credentials is how many passkeys it keeps.
func (a *Authenticator) Credentials() int { return len(a.credentials) }

func (a *Authenticator) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

func encode(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func (a *Authenticator) decode(text string) []byte {
	a.t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(text)
	a.must(err)
	return raw
}

// flags of authenticator data (§6.1).
const (
	flagPresent  = 1 << 0
	flagVerified = 1 << 2
	flagEligible = 1 << 3
	flagBackedUp = 1 << 4
	flagAttested = 1 << 6
)

func (a *Authenticator) data(party string, flags byte, attested []byte) []byte {
	if a.RelyingParty != "" {
		party = a.RelyingParty
	}
	flags |= flagPresent
	if !a.Unverified {
		flags |= flagVerified
	}
	if a.Synced {
		flags |= flagEligible | flagBackedUp
	}
	hash := sha256.Sum256([]byte(party))
	data := append(hash[:], flags)
	data = binary.BigEndian.AppendUint32(data, a.Count)
	return append(data, attested...)
}

func (a *Authenticator) client(kind, challenge string) []byte {
	a.t.Helper()
	if a.Challenge != "" {
		challenge = a.Challenge
	}
	text, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.Origin, "crossOrigin": false})
	a.must(err)
	return text
}

// Create makes a passkey, as a page's options ask for it, and returns what the browser would send.
func (a *Authenticator) Create(options string) string {
	a.t.Helper()
	var asked struct {
		Challenge string
		RP        struct{ ID string }
		User      struct{ ID string }
	}
	a.must(json.Unmarshal([]byte(options), &asked))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	a.must(err)
	made := credential{id: make([]byte, 32), handle: a.decode(asked.User.ID), party: asked.RP.ID, key: key}
	rand.Read(made.id)
	a.credentials = append(a.credentials, made)

	point, err := key.PublicKey.Bytes() // 4, x, y
	a.must(err)
	// A key of COSE (RFC 9053 §7.1.1): EC2, ES256, P-256.
	cose := append([]byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20}, point[1:33]...)
	cose = append(append(cose, 0x22, 0x58, 0x20), point[33:]...)
	var noModel [16]byte
	attested := binary.BigEndian.AppendUint16(noModel[:], uint16(len(made.id)))
	attested = append(append(attested, made.id...), cose...)
	data := a.data(made.party, flagAttested, attested)
	// {"fmt": "none", "attStmt": {}, "authData": data} in CBOR.
	object := []byte("\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x59")
	object = binary.BigEndian.AppendUint16(object, uint16(len(data)))
	object = append(object, data...)
	return a.answer(made.id, map[string]any{
		"clientDataJSON": encode(a.client("webauthn.create", asked.Challenge)), "attestationObject": encode(object), "transports": []string{"internal"},
	})
}

// Get answers with the passkey that it made last, as a page's options ask for one.
func (a *Authenticator) Get(options string) string {
	a.t.Helper()
	var asked struct {
		Challenge string
		RPID      string `json:"rpId"`
	}
	a.must(json.Unmarshal([]byte(options), &asked))
	if len(a.credentials) == 0 {
		a.t.Fatal("the authenticator has no passkey")
	}
	own := a.credentials[len(a.credentials)-1]
	handle := own.handle
	if a.Handle != nil {
		handle = a.Handle
	}
	data, client := a.data(asked.RPID, 0, nil), a.client("webauthn.get", asked.Challenge)
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte{}, data...), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, own.key, digest[:])
	a.must(err)
	return a.answer(own.id, map[string]any{
		"clientDataJSON": encode(client), "authenticatorData": encode(data), "signature": encode(signature), "userHandle": encode(handle),
	})
}

func (a *Authenticator) answer(id []byte, response map[string]any) string {
	a.t.Helper()
	text, err := json.Marshal(map[string]any{
		"id": encode(id), "rawId": encode(id), "type": "public-key", "clientExtensionResults": map[string]any{}, "response": response,
	})
	a.must(err)
	return string(text)
}
