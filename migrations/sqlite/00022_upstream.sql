-- +goose Up
-- Signing in at somebody else's server: providers that change, accounts there, and sign-ins that are under way.

ALTER TABLE oauth_providers ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE oauth_providers ADD COLUMN updated_at TIMESTAMP;

-- label is what the person is called there, for people to read.
ALTER TABLE oauth_accounts ADD COLUMN label TEXT NOT NULL DEFAULT '';
ALTER TABLE oauth_accounts ADD COLUMN last_used_at TIMESTAMP;

-- A browser that was sent to a provider and is to come back: digest is that of the state. Or, held, an identity that a provider has
-- vouched for and that waits for its person to prove something more. data is sealed.
CREATE TABLE upstream_requests (
    digest         TEXT PRIMARY KEY NOT NULL,
    org_id         TEXT NOT NULL,
    browser_digest TEXT NOT NULL,
    provider_id    TEXT NOT NULL REFERENCES oauth_providers (id) ON DELETE CASCADE,
    user_id        TEXT REFERENCES users (id) ON DELETE CASCADE,
    held           BOOLEAN NOT NULL DEFAULT false,
    data           BLOB NOT NULL,
    answered_at    TIMESTAMP,
    spent_at       TIMESTAMP,
    expires_at     TIMESTAMP NOT NULL,
    created_at     TIMESTAMP NOT NULL
);
CREATE INDEX upstream_requests_expires_at_idx ON upstream_requests (expires_at);
CREATE INDEX upstream_requests_browser_digest_idx ON upstream_requests (browser_digest);
CREATE INDEX upstream_requests_provider_id_idx ON upstream_requests (provider_id);
CREATE INDEX upstream_requests_user_id_idx ON upstream_requests (user_id);
