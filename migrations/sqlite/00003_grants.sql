-- +goose Up
-- What was granted, and what is held of it. A grant is the family of everything that came of one authorization: revoking
-- it is one UPDATE, and an access token whose grant is gone is dead. That is why codes and access tokens carry no foreign
-- key: the rows that are written most need none to be safe. Refresh tokens end with their grant, spent ones included, and
-- not before: a spent one is how its second use is told.

CREATE TABLE oauth_grants (
    id         TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    org_id     TEXT NOT NULL REFERENCES organizations (id),
    client_id  TEXT NOT NULL,
    user_id    TEXT REFERENCES users (id) ON DELETE CASCADE,
    session_id TEXT,
    scope      TEXT NOT NULL DEFAULT '',
    audience   TEXT NOT NULL DEFAULT '[]',
    facts      TEXT,
    expires_at TIMESTAMP NOT NULL,
    revoked_at TIMESTAMP,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;
CREATE INDEX oauth_grants_user_id_idx ON oauth_grants (user_id);
CREATE INDEX oauth_grants_session_id_idx ON oauth_grants (session_id);
CREATE INDEX oauth_grants_org_id_client_id_idx ON oauth_grants (org_id, client_id);
CREATE INDEX oauth_grants_expires_at_idx ON oauth_grants (expires_at);

CREATE TABLE oauth_codes (
    digest                TEXT PRIMARY KEY NOT NULL,
    org_id                TEXT NOT NULL,
    grant_id              TEXT NOT NULL,
    client_id             TEXT NOT NULL,
    user_id               TEXT NOT NULL,
    session_id            TEXT,
    redirect_uri          TEXT NOT NULL DEFAULT '',
    code_challenge        TEXT NOT NULL DEFAULT '',
    code_challenge_method TEXT NOT NULL DEFAULT '',
    requested_scope       TEXT NOT NULL DEFAULT '',
    scope                 TEXT NOT NULL DEFAULT '',
    audience              TEXT NOT NULL DEFAULT '[]',
    facts                 TEXT,
    requested_at          TIMESTAMP NOT NULL,
    expires_at            TIMESTAMP NOT NULL,
    used_at               TIMESTAMP,
    created_at            TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;
CREATE INDEX oauth_codes_expires_at_idx ON oauth_codes (expires_at);

CREATE TABLE oauth_access_tokens (
    digest     TEXT PRIMARY KEY NOT NULL,
    org_id     TEXT NOT NULL,
    grant_id   TEXT,
    client_id  TEXT NOT NULL,
    subject    TEXT NOT NULL,
    scope      TEXT NOT NULL DEFAULT '',
    audience   TEXT NOT NULL DEFAULT '[]',
    format     TEXT NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    revoked_at TIMESTAMP,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;
CREATE INDEX oauth_access_tokens_expires_at_idx ON oauth_access_tokens (expires_at);
-- A token that a client holds for itself has no grant to die with; it is found by its client when that is deleted.
CREATE INDEX oauth_access_tokens_client_id_idx ON oauth_access_tokens (org_id, client_id) WHERE grant_id IS NULL;

CREATE TABLE oauth_refresh_tokens (
    digest     TEXT PRIMARY KEY NOT NULL,
    org_id     TEXT NOT NULL,
    grant_id   TEXT NOT NULL REFERENCES oauth_grants (id) ON DELETE CASCADE,
    client_id  TEXT NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    spent_at   TIMESTAMP,
    answer     BLOB,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;
CREATE INDEX oauth_refresh_tokens_grant_id_idx ON oauth_refresh_tokens (grant_id);
CREATE INDEX oauth_refresh_tokens_spent_at_idx ON oauth_refresh_tokens (spent_at) WHERE answer IS NOT NULL;
