package upstream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/keizer-auth/keizer/internal/secret"
)

const (
	// appleAudience is whom a client secret is for.
	appleAudience = "https://appleid.apple.com"
	// appleSecretFor is how long one is good; half a year is allowed, and a minute is needed.
	appleSecretFor = 5 * time.Minute
)

// errKey says that what should be a private key is none.
var errKey = errors.New("it must be a private key on P-256, as Apple hands it out in a file that ends with .p8")

// parseKey reads the private key that stands in place of a secret.
func parseKey(text secret.Text) (*ecdsa.PrivateKey, error) {
	block, rest := pem.Decode([]byte(text.Reveal()))
	if block == nil || strings.TrimSpace(string(rest)) != "" {
		return nil, errKey
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*ecdsa.PrivateKey)
	if err != nil || !ok || key.Curve != elliptic.P256() {
		return nil, errKey
	}
	return key, nil
}

// appleSecret makes the client secret of this moment: a token that our key has signed
// (https://developer.apple.com/documentation/accountorganizationaldatasharing/creating-a-client-secret).
func appleSecret(key *ecdsa.PrivateKey, team, keyID, clientID, audience string, now time.Time) (string, error) {
	payload, err := json.Marshal(map[string]any{
		"iss": team, "iat": now.Unix(), "exp": now.Add(appleSecretFor).Unix(), "aud": audience, "sub": clientID,
	})
	if err != nil {
		return "", fmt.Errorf("write client secret: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", keyID))
	if err != nil {
		return "", fmt.Errorf("sign client secret: %w", err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("sign client secret: %w", err)
	}
	return signed.CompactSerialize()
}

// appleName is the name in what Apple tells of a person beside the code. It comes by the browser, unsigned, and is nothing but what
// somebody would be called.
func appleName(user string) map[string]string {
	if user == "" || len(user) > maxUser {
		return nil
	}
	var told struct {
		Name struct {
			First string `json:"firstName"`
			Last  string `json:"lastName"`
		} `json:"name"`
	}
	if json.Unmarshal([]byte(user), &told) != nil {
		return nil
	}
	return map[string]string{
		claimName: strings.TrimSpace(told.Name.First + " " + told.Name.Last), "given_name": told.Name.First, "family_name": told.Name.Last,
	}
}

// maxUser bounds it, in bytes.
const maxUser = 2 << 10

// CheckSecret says what is wrong with what a provider is to be authenticated at by.
func (s *Settings) CheckSecret(text secret.Text) error {
	preset, _ := presetNamed(s.Preset)
	method := preset.AuthMethod
	if s.AuthMethod != "" {
		method = s.AuthMethod
	}
	switch {
	case preset.Key:
		_, err := parseKey(text)
		return err
	case method == AuthNone && text != "":
		return errors.New("there is none where auth_method is none")
	case method != AuthNone && text == "":
		return errors.New("it is needed")
	case len(text) > maxToken || unprintable(text.Reveal()):
		return errors.New("it must be one line, and not without end")
	}
	return nil
}
