package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/keizer-auth/keizer/internal/secret"
)

// SealClientSecrets puts the secrets of a client into its row, sealed: the current one and, while it is being replaced, the one before. It is
// for clients that prove themselves by what they make of their secret; of all others a digest is kept. Without any there is nothing left.
// The row is still to be written.
func (db *DB) SealClientSecrets(ctx context.Context, client *Client, secrets ...secret.Text) error {
	return db.scoped(ctx, writing, "seal client secrets", func(q *query) error {
		client.SealedSecrets = nil
		if len(secrets) == 0 {
			return nil
		}
		plain := make([]string, len(secrets))
		for i, one := range secrets {
			plain[i] = one.Reveal()
		}
		text, err := json.Marshal(plain)
		if err != nil {
			return err
		}
		identify(&client.ID)
		client.SealedSecrets, err = q.cell("oauth_clients", "sealed_secrets", client.ID.String()).seal(text)
		return err
	})
}

// ClientSecrets returns the secrets of a client that are good now, of those that SealClientSecrets has sealed, the current one first.
func (db *DB) ClientSecrets(ctx context.Context, client *Client) (secrets []secret.Text, err error) {
	if client.SealedSecrets == nil {
		return nil, nil
	}
	err = db.scoped(ctx, reading, "open client secrets", func(q *query) error {
		secrets = nil
		text, err := q.cell("oauth_clients", "sealed_secrets", client.ID.String()).open(client.SealedSecrets)
		if err != nil {
			return err
		}
		var plain []string
		if err := json.Unmarshal(text, &plain); err != nil {
			return fmt.Errorf("secrets of client %s: malformed", client.ClientID) // the cause might quote what is secret
		}
		for i, one := range plain {
			if i == 0 || client.SecretOldExpiresAt != nil && time.Now().Before(*client.SecretOldExpiresAt) {
				secrets = append(secrets, secret.Text(one))
			}
		}
		return nil
	})
	return secrets, err
}

// sealedAnew is what stands sealed in a client's row, under the current master key: what was read before a change of that key is not to be
// written back as it was.
func (q *query) sealedAnew(client *Client) ([]byte, error) {
	if client.SealedSecrets == nil || q.db.ring.Current(client.SealedSecrets) {
		return client.SealedSecrets, nil
	}
	of := q.cell("oauth_clients", "sealed_secrets", client.ID.String())
	plain, err := of.open(client.SealedSecrets)
	if err != nil {
		return nil, err
	}
	return of.seal(plain)
}
