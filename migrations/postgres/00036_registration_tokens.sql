-- +goose Up
-- What a client can be registered with (RFC 7591 §3, the initial access token): how often, until when. digest is all that is kept of it;
-- max_uses of 0 is no bound.

CREATE TABLE registration_tokens (
    id           uuid PRIMARY KEY,
    org_id       uuid NOT NULL REFERENCES organizations (id),
    digest       text NOT NULL,
    name         text NOT NULL,
    max_uses     integer NOT NULL DEFAULT 0,
    uses         integer NOT NULL DEFAULT 0,
    expires_at   timestamp NOT NULL,
    created_at   timestamp NOT NULL,
    last_used_at timestamp,
    CONSTRAINT registration_tokens_digest_key UNIQUE (digest)
);
CREATE INDEX registration_tokens_org_id_created_at_id_idx ON registration_tokens (org_id, created_at, id);
CREATE INDEX registration_tokens_expires_at_idx ON registration_tokens (expires_at);
