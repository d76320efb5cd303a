-- +goose Up
-- Requests under way, and what must not be said twice.

CREATE TABLE interactions (
    digest           TEXT PRIMARY KEY NOT NULL,
    org_id           TEXT NOT NULL,
    browser_digest   TEXT NOT NULL,
    client_id        TEXT NOT NULL,
    params           TEXT NOT NULL,
    requested_at     TIMESTAMP NOT NULL,
    session_id       TEXT,
    authenticated_at TIMESTAMP,
    consented_at     TIMESTAMP,
    consented_scopes TEXT NOT NULL DEFAULT '',
    refusal          TEXT NOT NULL DEFAULT '',
    expires_at       TIMESTAMP NOT NULL,
    spent_at         TIMESTAMP,
    created_at       TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;
CREATE INDEX interactions_expires_at_idx ON interactions (expires_at);

CREATE TABLE oauth_par (
    digest     TEXT PRIMARY KEY NOT NULL,
    org_id     TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    params     TEXT NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    spent_at   TIMESTAMP,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;
CREATE INDEX oauth_par_expires_at_idx ON oauth_par (expires_at);

-- jti_digest, because what a client writes into a jti may be of any length.
CREATE TABLE oauth_jtis (
    org_id     TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    jti_digest TEXT NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    PRIMARY KEY (org_id, client_id, jti_digest)
) WITHOUT ROWID;
CREATE INDEX oauth_jtis_expires_at_idx ON oauth_jtis (expires_at);

CREATE TABLE consents (
    id         TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    org_id     TEXT NOT NULL REFERENCES organizations (id),
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id  TEXT NOT NULL,
    scopes     TEXT NOT NULL DEFAULT '',
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT consents_org_id_user_id_client_id_key UNIQUE (org_id, user_id, client_id)
);
CREATE INDEX consents_user_id_idx ON consents (user_id);
CREATE INDEX consents_org_id_client_id_idx ON consents (org_id, client_id);
