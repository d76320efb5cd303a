-- +goose Up
-- Sign-ins that have begun and are not complete: the first factor was given, the second was not. Nothing but the pages of the
-- second factor knows of them; a session is made when they are complete.

CREATE TABLE sign_ins (
    digest             text PRIMARY KEY,
    org_id             uuid NOT NULL,
    browser_digest     text NOT NULL,
    user_id            uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    interaction_digest text NOT NULL DEFAULT '',
    return_to          text NOT NULL DEFAULT '',
    amr                jsonb NOT NULL,
    proven_at          timestamp NOT NULL,
    expires_at         timestamp NOT NULL,
    spent_at           timestamp,
    created_at         timestamp NOT NULL
);
CREATE INDEX sign_ins_expires_at_idx ON sign_ins (expires_at);
CREATE INDEX sign_ins_user_id_idx ON sign_ins (user_id);

-- What may be used once and is not stored before: challenges that a browser carries sealed.
CREATE TABLE spent_challenges (
    org_id     uuid NOT NULL,
    digest     text NOT NULL,
    expires_at timestamp NOT NULL,
    PRIMARY KEY (org_id, digest)
);
CREATE INDEX spent_challenges_expires_at_idx ON spent_challenges (expires_at);
