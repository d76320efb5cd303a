-- +goose Up
-- What the management API asks of the database: requests that are carried out once however often they come, and what an
-- organization has in the order in which it was made. An answer is sealed, for there may be a secret in it.

CREATE TABLE idempotency_keys (
    digest        TEXT NOT NULL PRIMARY KEY,
    org_id        TEXT NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    request       TEXT NOT NULL,
    attempt       TEXT NOT NULL,
    claimed_until TIMESTAMP NOT NULL,
    done_at       TIMESTAMP,
    answer        BLOB,
    expires_at    TIMESTAMP NOT NULL,
    created_at    TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX idempotency_keys_expires_at_idx ON idempotency_keys (expires_at);
CREATE INDEX idempotency_keys_org_id_idx ON idempotency_keys (org_id);
CREATE INDEX users_org_id_created_at_id_idx ON users (org_id, created_at, id);
CREATE INDEX sessions_org_id_created_at_id_idx ON sessions (org_id, created_at, id);
CREATE INDEX verification_tokens_org_id_type_created_at_id_idx ON verification_tokens (org_id, type, created_at, id);
