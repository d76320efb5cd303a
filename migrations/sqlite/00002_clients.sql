-- +goose Up
-- The applications that people sign in to, and the keys that what they are given is signed with.

CREATE TABLE oauth_clients (
    id                        TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    org_id                    TEXT NOT NULL REFERENCES organizations (id),
    client_id                 TEXT NOT NULL,
    name                      TEXT NOT NULL,
    secret_digest             TEXT,
    secret_digest_old         TEXT,
    secret_old_expires_at     TIMESTAMP,
    auth_method               TEXT NOT NULL,
    redirect_uris             TEXT NOT NULL DEFAULT '[]',
    post_logout_redirect_uris TEXT NOT NULL DEFAULT '[]',
    grant_types               TEXT NOT NULL DEFAULT '[]',
    response_types            TEXT NOT NULL DEFAULT '[]',
    response_modes            TEXT NOT NULL DEFAULT '[]',
    scopes                    TEXT NOT NULL DEFAULT '[]',
    audience                  TEXT NOT NULL DEFAULT '[]',
    jwks                      TEXT,
    jwks_uri                  TEXT,
    id_token_alg              TEXT NOT NULL,
    access_token_format       TEXT NOT NULL,
    skip_consent              BOOLEAN NOT NULL DEFAULT false,
    disabled                  BOOLEAN NOT NULL DEFAULT false,
    logo_uri                  TEXT,
    policy_uri                TEXT,
    tos_uri                   TEXT,
    client_uri                TEXT,
    metadata                  TEXT,
    version                   INTEGER NOT NULL DEFAULT 1,
    created_at                TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at                TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT oauth_clients_org_id_client_id_key UNIQUE (org_id, client_id)
);

-- private_jwk is sealed under the master key, with the organization and the row as associated data.
CREATE TABLE signing_keys (
    id           TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    org_id       TEXT NOT NULL REFERENCES organizations (id),
    kid          TEXT NOT NULL,
    alg          TEXT NOT NULL,
    private_jwk  BLOB NOT NULL,
    public_jwk   TEXT NOT NULL,
    activates_at TIMESTAMP NOT NULL,
    retires_at   TIMESTAMP,
    expires_at   TIMESTAMP,
    revoked_at   TIMESTAMP,
    created_at   TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT signing_keys_org_id_kid_key UNIQUE (org_id, kid)
);
