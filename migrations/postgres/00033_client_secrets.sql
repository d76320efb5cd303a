-- +goose Up
-- The secrets of a client that proves itself by what it makes of them (client_secret_jwt, OpenID Connect Core 1.0 §9): a digest of them is of no
-- use for that. They are sealed under the master key, with the organization and the row as associated data. Nobody else's are kept.

ALTER TABLE oauth_clients ADD COLUMN sealed_secrets bytea;
