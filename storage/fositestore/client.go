package fositestore

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/maypok86/otter/v2"
	"github.com/ory/fosite"

	"github.com/keizer-auth/keizer/internal/tenant"
	"github.com/keizer-auth/keizer/storage"
)

// Client is a client row behind fosite's interfaces. It is shared between requests and never changed.
type Client struct {
	*storage.Client
	scopes, grants, responses, audience fosite.Arguments
	modes                               []fosite.ResponseModeType
}

var (
	_ fosite.Client             = (*Client)(nil)
	_ fosite.ResponseModeClient = (*Client)(nil)
)

// NewClient puts a row behind fosite's interfaces. The issuer is a resource that every client may have tokens for, without
// being registered for it: userinfo is there.
func NewClient(row *storage.Client, issuer string) *Client {
	c := &Client{
		Client:    row,
		scopes:    fosite.Arguments(row.Scopes),
		grants:    fosite.Arguments(row.GrantTypes),
		responses: fosite.Arguments(row.ResponseTypes),
		audience:  append(fosite.Arguments{issuer}, row.Audience...),
	}
	for _, mode := range row.ResponseModes {
		c.modes = append(c.modes, fosite.ResponseModeType(mode))
	}
	return c
}

// GetID implements fosite.Client.
func (c *Client) GetID() string { return c.ClientID }

// GetHashedSecret implements fosite.Client. It is empty: our own client authentication looks at the row, and fosite's,
// were it ever reached, must find nothing that verifies.
func (c *Client) GetHashedSecret() []byte { return nil }

// GetRedirectURIs implements fosite.Client.
func (c *Client) GetRedirectURIs() []string { return c.RedirectURIs }

// GetGrantTypes implements fosite.Client.
func (c *Client) GetGrantTypes() fosite.Arguments { return c.grants }

// GetResponseTypes implements fosite.Client.
func (c *Client) GetResponseTypes() fosite.Arguments { return c.responses }

// GetScopes implements fosite.Client.
func (c *Client) GetScopes() fosite.Arguments { return c.scopes }

// GetAudience implements fosite.Client.
func (c *Client) GetAudience() fosite.Arguments { return c.audience }

// IsPublic implements fosite.Client: a client without credentials (RFC 6749 §2.1).
func (c *Client) IsPublic() bool { return c.AuthMethod == "none" }

// GetResponseModes implements fosite.ResponseModeClient.
func (c *Client) GetResponseModes() []fosite.ResponseModeType { return c.modes }

// HasGrant reports whether the client is registered for a grant type.
func (c *Client) HasGrant(grantType string) bool { return c.grants.Has(grantType) }

// At returns the client with one redirect URI only: the one of this request, already matched by our own rule. fosite's
// matcher is looser than ours (it lets a loopback redirect change its scheme), so it is given nothing to be loose with.
func (c *Client) At(redirectURI string) *Client {
	row := *c.Client
	row.RedirectURIs = []string{redirectURI}
	at := *c
	at.Client = &row
	return &at
}

// Clients looks clients up by their id, keeping each for a moment so that a busy client costs no query a request. A change
// to a client is seen at the latest after that moment, on every replica.
type Clients struct {
	db    *storage.DB
	cache *otter.Cache[clientKey, *Client]
}

type clientKey struct {
	org uuid.UUID
	id  string
}

// ClientCacheTime is how long a client may be served from memory. It bounds how long a replaced secret, a removed redirect
// URI or a deleted client lives on; nobody is told to forget one, so that no such message can be lost.
const ClientCacheTime = time.Second

// clientCacheSize bounds the memory that clients take, at some 3 KiB each.
const clientCacheSize = 10_000

// NewClients returns an empty cache over db.
func NewClients(db *storage.DB) *Clients {
	return &Clients{db: db, cache: otter.Must(&otter.Options[clientKey, *Client]{
		MaximumSize:      clientCacheSize,
		ExpiryCalculator: otter.ExpiryWriting[clientKey, *Client](ClientCacheTime),
	})}
}

// Client returns the client of the organization in ctx, or storage.ErrNotFound: also for a disabled one, which nothing may
// be issued to. Absence is not kept: a client works as soon as it was made.
func (c *Clients) Client(ctx context.Context, clientID string) (*Client, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	if !utf8.ValidString(clientID) || strings.IndexByte(clientID, 0) >= 0 {
		return nil, storage.ErrNotFound // PostgreSQL would not even look for it
	}
	key := clientKey{org.ID, clientID}
	if client, ok := c.cache.GetIfPresent(key); ok {
		return client, nil
	}
	return c.read(ctx, org, key)
}

// Changed returns the client as the database has it by now, for whoever could not prove to be it as it was remembered: a
// secret works as soon as it was given out, and not a moment later. If nothing has changed it is nil.
func (c *Clients) Changed(ctx context.Context, was *Client) (*Client, error) {
	org, err := tenant.From(ctx)
	if err != nil {
		return nil, err
	}
	key := clientKey{org.ID, was.ClientID}
	client, err := c.read(ctx, org, key)
	if errors.Is(err, storage.ErrNotFound) {
		c.cache.Invalidate(key)
	}
	if err != nil || client.Version == was.Version {
		return nil, err
	}
	return client, nil
}

func (c *Clients) read(ctx context.Context, org *tenant.Org, key clientKey) (*Client, error) {
	row, err := c.db.Client(ctx, key.id)
	if err != nil {
		return nil, err
	}
	if row.Disabled {
		return nil, storage.ErrNotFound
	}
	client := NewClient(row, org.Issuer)
	c.cache.Set(key, client)
	return client, nil
}
