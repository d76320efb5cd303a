package storage

import (
	"context"
	"fmt"

	"github.com/keizer-auth/keizer/internal/redirect"
)

// OriginRegistered reports whether any client of the organization has a redirect URI of this web origin.
func (db *DB) OriginRegistered(ctx context.Context, origin string) (bool, error) {
	var known bool
	err := db.scoped(ctx, reading, "read origin", func(q *query) error {
		return q.row(`SELECT EXISTS (SELECT 1 FROM oauth_client_origins WHERE org_id = $1 AND origin = $2)`, q.org, origin).Scan(&known)
	})
	return known, err
}

// writeOrigins puts a client's origins in place of those it had. It runs in the transaction that writes the client.
func (q *query) writeOrigins(client *Client) error {
	if _, err := q.exec(`DELETE FROM oauth_client_origins WHERE org_id = $1 AND client = $2`, q.org, client.ID); err != nil {
		return fmt.Errorf("remove origins: %w", err)
	}
	for _, uri := range client.RedirectURIs {
		origin := redirect.Origin(uri)
		if origin == "" {
			continue
		}
		_, err := q.exec(`INSERT INTO oauth_client_origins (org_id, origin, client) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
			q.org, origin, client.ID)
		if err != nil {
			return fmt.Errorf("write origin: %w", err)
		}
	}
	return nil
}
