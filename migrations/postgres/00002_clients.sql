-- +goose Up
-- The applications that people sign in to, and the keys that what they are given is signed with.

CREATE TABLE oauth_clients (
    id                        uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id                    uuid NOT NULL REFERENCES organizations (id),
    client_id                 text NOT NULL,
    name                      text NOT NULL,
    secret_digest             text,
    secret_digest_old         text,
    secret_old_expires_at     timestamp,
    auth_method               text NOT NULL,
    redirect_uris             jsonb NOT NULL DEFAULT '[]',
    post_logout_redirect_uris jsonb NOT NULL DEFAULT '[]',
    grant_types               jsonb NOT NULL DEFAULT '[]',
    response_types            jsonb NOT NULL DEFAULT '[]',
    response_modes            jsonb NOT NULL DEFAULT '[]',
    scopes                    jsonb NOT NULL DEFAULT '[]',
    audience                  jsonb NOT NULL DEFAULT '[]',
    jwks                      text,
    jwks_uri                  text,
    id_token_alg              text NOT NULL,
    access_token_format       text NOT NULL,
    skip_consent              boolean NOT NULL DEFAULT false,
    disabled                  boolean NOT NULL DEFAULT false,
    logo_uri                  text,
    policy_uri                text,
    tos_uri                   text,
    client_uri                text,
    metadata                  jsonb,
    version                   bigint NOT NULL DEFAULT 1,
    created_at                timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at                timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT oauth_clients_org_id_client_id_key UNIQUE (org_id, client_id)
);

-- private_jwk is sealed under the master key, with the organization and the row as associated data.
CREATE TABLE signing_keys (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id       uuid NOT NULL REFERENCES organizations (id),
    kid          text NOT NULL,
    alg          text NOT NULL,
    private_jwk  bytea NOT NULL,
    public_jwk   text NOT NULL,
    activates_at timestamp NOT NULL,
    retires_at   timestamp,
    expires_at   timestamp,
    revoked_at   timestamp,
    created_at   timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT signing_keys_org_id_kid_key UNIQUE (org_id, kid)
);
