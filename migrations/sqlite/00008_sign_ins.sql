-- +goose Up
-- Sign-ins that have begun and are not complete: the first factor was given, the second was not. Nothing but the pages of the
-- second factor knows of them; a session is made when they are complete.

CREATE TABLE sign_ins (
    digest             TEXT PRIMARY KEY NOT NULL,
    org_id             TEXT NOT NULL,
    browser_digest     TEXT NOT NULL,
    user_id            TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    interaction_digest TEXT NOT NULL DEFAULT '',
    return_to          TEXT NOT NULL DEFAULT '',
    amr                TEXT NOT NULL,
    proven_at          TIMESTAMP NOT NULL,
    expires_at         TIMESTAMP NOT NULL,
    spent_at           TIMESTAMP,
    created_at         TIMESTAMP NOT NULL
);
CREATE INDEX sign_ins_expires_at_idx ON sign_ins (expires_at);
CREATE INDEX sign_ins_user_id_idx ON sign_ins (user_id);

-- What may be used once and is not stored before: challenges that a browser carries sealed.
CREATE TABLE spent_challenges (
    org_id     TEXT NOT NULL,
    digest     TEXT NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    PRIMARY KEY (org_id, digest)
);
CREATE INDEX spent_challenges_expires_at_idx ON spent_challenges (expires_at);
