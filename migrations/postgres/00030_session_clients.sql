-- +goose Up
-- Which clients people were signed in to in a session, of those that are to hear of its end (OpenID Connect Back-Channel Logout 1.0). A
-- row of a session that has ended is a message that is to be delivered: ended_at is set in the transaction that ends the session.

CREATE TABLE session_clients (
    session_id      uuid NOT NULL,
    client_id       text NOT NULL,
    org_id          uuid NOT NULL REFERENCES organizations (id),
    user_id         uuid NOT NULL,
    created_at      timestamp NOT NULL,
    expires_at      timestamp NOT NULL,
    ended_at        timestamp,
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamp,
    claimed_until   timestamp,
    last_error      text,
    PRIMARY KEY (session_id, client_id)
);
CREATE INDEX session_clients_user_id_idx ON session_clients (user_id) WHERE ended_at IS NULL;
CREATE INDEX session_clients_org_id_idx ON session_clients (org_id);
CREATE INDEX session_clients_expires_at_idx ON session_clients (expires_at);
CREATE INDEX session_clients_next_attempt_at_idx ON session_clients (next_attempt_at) WHERE next_attempt_at IS NOT NULL;
