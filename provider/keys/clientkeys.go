package keys

import (
	"context"
	"errors"
	"fmt"

	"github.com/keizer-auth/keizer/internal/outbound"
	"github.com/keizer-auth/keizer/storage"
)

// ClientKeys are the keys of clients: those that are registered (jwks), and those that clients publish (jwks_uri).
type ClientKeys struct{ remote remoteKeys }

// NewClientKeys returns keys of which those that are published are fetched through client.
func NewClientKeys(client *outbound.Client) *ClientKeys {
	return &ClientKeys{remoteKeys{client: client, sets: make(map[remoteName]*remoteSet)}}
}

// verify checks that a client has signed t. That it has not, and that its keys cannot be had, is an ErrToken.
func (c *ClientKeys) verify(ctx context.Context, client *storage.Client, t *compactToken) error {
	candidates, err := c.candidates(ctx, client, t)
	if err != nil {
		return err
	}
	// One key if the header names it, else a few.
	for _, k := range candidates {
		if _, err := t.verify(k.public); err == nil {
			return nil
		}
	}
	return refuse("no key of the client verifies it")
}

// candidates returns the keys of the client that may have signed t.
func (c *ClientKeys) candidates(ctx context.Context, client *storage.Client, t *compactToken) ([]clientKey, error) {
	found, err := c.of(ctx, client, func(k clientKey) bool { return k.usable(t.alg, t.kid) })
	switch {
	case err == nil:
		return found, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, fmt.Errorf("%w: %w", ErrToken, err)
}

// errNoKeys is a client that has neither registered keys nor published any.
var errNoKeys = errors.New("the client has no keys")

// of returns the keys of the client that fit. None is not an error.
func (c *ClientKeys) of(ctx context.Context, client *storage.Client, fit func(clientKey) bool) ([]clientKey, error) {
	switch {
	case client.JWKS != nil && *client.JWKS != "":
		found, err := parseClientJWKS([]byte(*client.JWKS), false)
		return filtered(found, fit), err
	case client.JWKSURI != nil && *client.JWKSURI != "":
		return c.remote.find(ctx, remoteName{client.ID, *client.JWKSURI}, fit)
	}
	return nil, errNoKeys
}
