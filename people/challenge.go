package people

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/keizer-auth/keizer/internal/base64url"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// A challenge is what a page asks for an answer to, and a browser carries in between: sealed, so that it can be neither read nor
// made nor changed, for one organization, one purpose, one browser and one person. Showing the page writes nothing; the answer
// uses the challenge up.
type challenge struct {
	Expires time.Time `json:"expires"`
	Data    []byte    `json:"data"`
	digest  string
}

const (
	purposeChallenge  = "challenge"
	challengeLifetime = 10 * time.Minute
	maxChallenge      = 16 << 10 // bytes
)

// errStale is said of a challenge that cannot be answered any more: the page is to be opened again.
var errStale = &Invalid{Field: "challenge", Message: "factor.stale"}

func (p *People) sealChallenge(ctx context.Context, data any, bound ...string) (string, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(data)
	if err == nil {
		text, err = json.Marshal(challenge{Expires: time.Now().UTC().Add(challengeLifetime), Data: text})
	}
	if err != nil {
		return "", fmt.Errorf("write a challenge: %w", err)
	}
	sealed, err := p.keyring.Seal(purposeChallenge, text, append([]string{org.ID.String()}, bound...)...)
	if err != nil {
		return "", fmt.Errorf("seal a challenge: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// openChallenge reads what sealChallenge made for the same bounds. Anything else, and one that is too old, is errStale.
func (p *People) openChallenge(ctx context.Context, text string, to any, bound ...string) (*challenge, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	if len(text) > maxChallenge {
		return nil, errStale
	}
	sealed, err := base64url.Decode(text)
	if err != nil {
		return nil, errStale
	}
	plain, err := p.keyring.Open(purposeChallenge, sealed, append([]string{org.ID.String()}, bound...)...)
	if err != nil {
		return nil, errStale
	}
	c := &challenge{digest: secret.Digest(string(sealed))}
	if err := errors.Join(json.Unmarshal(plain, c), json.Unmarshal(c.Data, to)); err != nil {
		return nil, fmt.Errorf("read a challenge: %w", err)
	}
	if !c.Expires.After(time.Now()) {
		return nil, errStale
	}
	return c, nil
}

// spend uses a challenge up. One that was used before is errStale.
func (p *People) spend(ctx context.Context, c *challenge) error {
	err := p.db.SpendChallenge(ctx, c.digest, c.Expires)
	if errors.Is(err, storage.ErrSpent) {
		return errStale
	}
	return err
}
