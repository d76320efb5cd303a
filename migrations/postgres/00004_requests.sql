-- +goose Up
-- Requests under way, and what must not be said twice.

CREATE TABLE interactions (
    digest           text PRIMARY KEY,
    org_id           uuid NOT NULL,
    browser_digest   text NOT NULL,
    client_id        text NOT NULL,
    params           text NOT NULL,
    requested_at     timestamp NOT NULL,
    session_id       uuid,
    authenticated_at timestamp,
    consented_at     timestamp,
    consented_scopes text NOT NULL DEFAULT '',
    refusal          text NOT NULL DEFAULT '',
    expires_at       timestamp NOT NULL,
    spent_at         timestamp,
    created_at       timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX interactions_expires_at_idx ON interactions (expires_at);

CREATE TABLE oauth_par (
    digest     text PRIMARY KEY,
    org_id     uuid NOT NULL,
    client_id  text NOT NULL,
    params     text NOT NULL,
    expires_at timestamp NOT NULL,
    spent_at   timestamp,
    created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX oauth_par_expires_at_idx ON oauth_par (expires_at);

-- jti_digest, because what a client writes into a jti may be of any length.
CREATE TABLE oauth_jtis (
    org_id     uuid NOT NULL,
    client_id  text NOT NULL,
    jti_digest text NOT NULL,
    expires_at timestamp NOT NULL,
    PRIMARY KEY (org_id, client_id, jti_digest)
);
CREATE INDEX oauth_jtis_expires_at_idx ON oauth_jtis (expires_at);

CREATE TABLE consents (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id     uuid NOT NULL REFERENCES organizations (id),
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id  text NOT NULL,
    scopes     text NOT NULL DEFAULT '',
    created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT consents_org_id_user_id_client_id_key UNIQUE (org_id, user_id, client_id)
);
CREATE INDEX consents_user_id_idx ON consents (user_id);
CREATE INDEX consents_org_id_client_id_idx ON consents (org_id, client_id);
