-- +goose Up
-- What a person proves who they are with, besides a password: passkeys, authenticator apps, recovery codes; and the browsers
-- that are known to be theirs.

-- record is the credential as the WebAuthn library writes it, of which only sign_count and the flags within change.
CREATE TABLE passkeys (
    id            TEXT PRIMARY KEY NOT NULL,
    org_id        TEXT NOT NULL REFERENCES organizations (id),
    user_id       TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    credential_id TEXT NOT NULL,
    name          TEXT NOT NULL,
    record        BLOB NOT NULL,
    sign_count    INTEGER NOT NULL DEFAULT 0,
    backed_up     BOOLEAN NOT NULL DEFAULT FALSE,
    cloned_at     TIMESTAMP,
    created_at    TIMESTAMP NOT NULL,
    last_used_at  TIMESTAMP,
    CONSTRAINT passkeys_org_id_credential_id_key UNIQUE (org_id, credential_id)
);
CREATE INDEX passkeys_user_id_idx ON passkeys (user_id);

-- An authenticator app (RFC 6238). last_step is the time step of the last code that was taken: none is taken twice.
CREATE TABLE authenticators (
    id           TEXT PRIMARY KEY NOT NULL,
    org_id       TEXT NOT NULL REFERENCES organizations (id),
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    secret       BLOB NOT NULL,
    last_step    INTEGER NOT NULL DEFAULT 0,
    created_at   TIMESTAMP NOT NULL,
    last_used_at TIMESTAMP
);
CREATE INDEX authenticators_user_id_idx ON authenticators (user_id);

CREATE TABLE recovery_codes (
    digest     TEXT PRIMARY KEY NOT NULL,
    org_id     TEXT NOT NULL REFERENCES organizations (id),
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at TIMESTAMP NOT NULL,
    used_at    TIMESTAMP
);
CREATE INDEX recovery_codes_user_id_idx ON recovery_codes (user_id);

-- A browser in which a person has signed in before. It proves nothing; it is counted apart from strangers, and until
-- trusted_until it need not give a second factor.
CREATE TABLE devices (
    id            TEXT PRIMARY KEY NOT NULL,
    org_id        TEXT NOT NULL REFERENCES organizations (id),
    user_id       TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token         TEXT NOT NULL,
    user_agent    TEXT NOT NULL DEFAULT '',
    trusted_until TIMESTAMP,
    expires_at    TIMESTAMP NOT NULL,
    created_at    TIMESTAMP NOT NULL,
    last_seen_at  TIMESTAMP NOT NULL,
    CONSTRAINT devices_token_user_id_key UNIQUE (token, user_id)
);
CREATE INDEX devices_user_id_idx ON devices (user_id);
CREATE INDEX devices_expires_at_idx ON devices (expires_at);
