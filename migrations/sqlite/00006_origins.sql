-- +goose Up
-- The web origins of clients' redirect URIs, so that a preflight, which names no client, costs one look-up.

CREATE TABLE oauth_client_origins (
    org_id text NOT NULL,
    origin text NOT NULL,
    client text NOT NULL REFERENCES oauth_clients (id) ON DELETE CASCADE,
    PRIMARY KEY (org_id, origin, client)
);
CREATE INDEX oauth_client_origins_client_idx ON oauth_client_origins (client);
