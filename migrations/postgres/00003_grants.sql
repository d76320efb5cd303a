-- +goose Up
-- What was granted, and what is held of it. A grant is the family of everything that came of one authorization: revoking
-- it is one UPDATE, and an access token whose grant is gone is dead. That is why codes and access tokens carry no foreign
-- key: the rows that are written most need none to be safe. Refresh tokens end with their grant, spent ones included, and
-- not before: a spent one is how its second use is told.

CREATE TABLE oauth_grants (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id     uuid NOT NULL REFERENCES organizations (id),
    client_id  text NOT NULL,
    user_id    uuid REFERENCES users (id) ON DELETE CASCADE,
    session_id uuid,
    scope      text NOT NULL DEFAULT '',
    audience   text NOT NULL DEFAULT '[]',
    facts      text,
    expires_at timestamp NOT NULL,
    revoked_at timestamp,
    created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX oauth_grants_user_id_idx ON oauth_grants (user_id);
CREATE INDEX oauth_grants_session_id_idx ON oauth_grants (session_id);
CREATE INDEX oauth_grants_org_id_client_id_idx ON oauth_grants (org_id, client_id);
CREATE INDEX oauth_grants_expires_at_idx ON oauth_grants (expires_at);

CREATE TABLE oauth_codes (
    digest                text PRIMARY KEY,
    org_id                uuid NOT NULL,
    grant_id              uuid NOT NULL,
    client_id             text NOT NULL,
    user_id               uuid NOT NULL,
    session_id            uuid,
    redirect_uri          text NOT NULL DEFAULT '',
    code_challenge        text NOT NULL DEFAULT '',
    code_challenge_method text NOT NULL DEFAULT '',
    requested_scope       text NOT NULL DEFAULT '',
    scope                 text NOT NULL DEFAULT '',
    audience              text NOT NULL DEFAULT '[]',
    facts                 text,
    requested_at          timestamp NOT NULL,
    expires_at            timestamp NOT NULL,
    used_at               timestamp,
    created_at            timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX oauth_codes_expires_at_idx ON oauth_codes (expires_at);

CREATE TABLE oauth_access_tokens (
    digest     text PRIMARY KEY,
    org_id     uuid NOT NULL,
    grant_id   uuid,
    client_id  text NOT NULL,
    subject    text NOT NULL,
    scope      text NOT NULL DEFAULT '',
    audience   text NOT NULL DEFAULT '[]',
    format     text NOT NULL,
    expires_at timestamp NOT NULL,
    revoked_at timestamp,
    created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX oauth_access_tokens_expires_at_idx ON oauth_access_tokens (expires_at);
-- A token that a client holds for itself has no grant to die with; it is found by its client when that is deleted.
CREATE INDEX oauth_access_tokens_client_id_idx ON oauth_access_tokens (org_id, client_id) WHERE grant_id IS NULL;

CREATE TABLE oauth_refresh_tokens (
    digest     text PRIMARY KEY,
    org_id     uuid NOT NULL,
    grant_id   uuid NOT NULL REFERENCES oauth_grants (id) ON DELETE CASCADE,
    client_id  text NOT NULL,
    expires_at timestamp NOT NULL,
    spent_at   timestamp,
    answer     bytea,
    created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX oauth_refresh_tokens_grant_id_idx ON oauth_refresh_tokens (grant_id);
CREATE INDEX oauth_refresh_tokens_spent_at_idx ON oauth_refresh_tokens (spent_at) WHERE answer IS NOT NULL;
