package people

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/text/language"

	"github.com/keizer-auth/keizer/internal/profile"
	"github.com/keizer-auth/keizer/internal/secret"
	"github.com/keizer-auth/keizer/internal/throttle"
	"github.com/keizer-auth/keizer/internal/visitor"
	"github.com/keizer-auth/keizer/storage"
)

// How long links work.
const (
	verificationLife = 24 * time.Hour
	resetLife        = 30 * time.Minute
)

// ErrDeadLink is the answer to a link or code that never was, belongs to somebody else, has expired or was used: which of them
// is not told.
var ErrDeadLink = errors.New("the link is dead")

// dead says of a token that is not there, or that somebody else has used meanwhile, what its holder is told.
func dead(err error) error {
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrSpent) {
		return fmt.Errorf("%w: %w", ErrDeadLink, err)
	}
	return err
}

// token looks up what a link holds. One that opens nothing counts against the network that it is tried from.
func (p *People) token(ctx context.Context, who visitor.Visitor, text, kind string) (*storage.VerificationToken, error) {
	network := throttle.Network(who.Address)
	if err := p.take(ctx, who, throttle.LinkNetwork, network, Anonymous, ""); err != nil {
		return nil, err
	}
	if !secret.Valid(secret.Verification, text) {
		return nil, ErrDeadLink
	}
	row, err := p.db.VerificationToken(ctx, secret.Digest(text), kind)
	if err != nil {
		return nil, dead(err)
	}
	return row, p.db.GiveBack(ctx, throttle.LinkNetwork, network)
}

// purposeLink is what the keyring seals the data of a token for.
const purposeLink = "link"

// sealed is how the data of a token looks that holds a secret.
type sealed struct {
	Sealed []byte `json:"sealed"`
}

// seal makes data for a token of a digest that nobody reads in the database.
func (p *People) seal(digest string, data any) ([]byte, error) {
	plain, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("seal the data of a link: %w", err)
	}
	var s sealed
	if s.Sealed, err = p.keyring.Seal(purposeLink, plain, digest); err != nil {
		return nil, fmt.Errorf("seal the data of a link: %w", err)
	}
	return json.Marshal(s)
}

// Reseal seals the data of links anew that is sealed under an older master key than the current one.
func (p *People) Reseal(ctx context.Context) (storage.Resealed, error) {
	return p.db.ResealVerificationTokens(ctx, p.sealAnew)
}

// sealAnew is the data of a link under the current master key; nil where it is under it, or not sealed.
func (p *People) sealAnew(digest string, data []byte) ([]byte, error) {
	var s sealed
	if json.Unmarshal(data, &s) != nil || len(s.Sealed) == 0 || p.keyring.Current(s.Sealed) {
		return nil, nil //nolint:nilerr // it is not sealed
	}
	plain, err := p.keyring.Open(purposeLink, s.Sealed, digest)
	if err == nil {
		s.Sealed, err = p.keyring.Seal(purposeLink, plain, digest)
	}
	if err != nil {
		return nil, fmt.Errorf("seal the data of a link anew: %w", err)
	}
	return json.Marshal(s)
}

func (p *People) unseal(row *storage.VerificationToken, data any) error {
	var s sealed
	err := json.Unmarshal(row.Data, &s)
	if err != nil {
		return fmt.Errorf("open the data of a link: %w", err)
	}
	plain, err := p.keyring.Open(purposeLink, s.Sealed, row.Token)
	if err == nil {
		err = json.Unmarshal(plain, data)
	}
	if err != nil {
		return fmt.Errorf("open the data of a link: %w", err)
	}
	return nil
}

// languageOf is what a person is spoken to in, if anything says so.
func languageOf(user *storage.User) language.Tag { return profile.Language(user.Metadata) }
