-- +goose Up
-- What a person proves who they are with, besides a password: passkeys, authenticator apps, recovery codes; and the browsers
-- that are known to be theirs.

-- record is the credential as the WebAuthn library writes it, of which only sign_count and the flags within change.
CREATE TABLE passkeys (
    id            uuid PRIMARY KEY,
    org_id        uuid NOT NULL REFERENCES organizations (id),
    user_id       uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    credential_id text NOT NULL,
    name          text NOT NULL,
    record        bytea NOT NULL,
    sign_count    bigint NOT NULL DEFAULT 0,
    backed_up     boolean NOT NULL DEFAULT false,
    cloned_at     timestamp,
    created_at    timestamp NOT NULL,
    last_used_at  timestamp,
    CONSTRAINT passkeys_org_id_credential_id_key UNIQUE (org_id, credential_id)
);
CREATE INDEX passkeys_user_id_idx ON passkeys (user_id);

-- An authenticator app (RFC 6238). last_step is the time step of the last code that was taken: none is taken twice.
CREATE TABLE authenticators (
    id           uuid PRIMARY KEY,
    org_id       uuid NOT NULL REFERENCES organizations (id),
    user_id      uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         text NOT NULL,
    secret       bytea NOT NULL,
    last_step    bigint NOT NULL DEFAULT 0,
    created_at   timestamp NOT NULL,
    last_used_at timestamp
);
CREATE INDEX authenticators_user_id_idx ON authenticators (user_id);

CREATE TABLE recovery_codes (
    digest     text PRIMARY KEY,
    org_id     uuid NOT NULL REFERENCES organizations (id),
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamp NOT NULL,
    used_at    timestamp
);
CREATE INDEX recovery_codes_user_id_idx ON recovery_codes (user_id);

-- A browser in which a person has signed in before. It proves nothing; it is counted apart from strangers, and until
-- trusted_until it need not give a second factor.
CREATE TABLE devices (
    id            uuid PRIMARY KEY,
    org_id        uuid NOT NULL REFERENCES organizations (id),
    user_id       uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token         text NOT NULL,
    user_agent    text NOT NULL DEFAULT '',
    trusted_until timestamp,
    expires_at    timestamp NOT NULL,
    created_at    timestamp NOT NULL,
    last_seen_at  timestamp NOT NULL,
    CONSTRAINT devices_token_user_id_key UNIQUE (token, user_id)
);
CREATE INDEX devices_user_id_idx ON devices (user_id);
CREATE INDEX devices_expires_at_idx ON devices (expires_at);
