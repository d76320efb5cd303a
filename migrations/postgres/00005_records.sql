-- +goose Up
-- Who did what, what is yet to be delivered, and what this installation knows of itself.

CREATE TABLE audit_events (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id     uuid NOT NULL REFERENCES organizations (id),
    actor      text NOT NULL,
    action     text NOT NULL,
    target     text NOT NULL DEFAULT '',
    ip_address inet,
    request_id text NOT NULL DEFAULT '',
    details    jsonb,
    created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX audit_events_org_id_created_at_idx ON audit_events (org_id, created_at);

CREATE TABLE outbox (
    id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id          uuid NOT NULL REFERENCES organizations (id),
    kind            text NOT NULL,
    payload         bytea NOT NULL,
    attempts        integer NOT NULL DEFAULT 0,
    next_attempt_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
    delivered_at    timestamp,
    created_at      timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
);
CREATE INDEX outbox_next_attempt_at_idx ON outbox (next_attempt_at) WHERE delivered_at IS NULL;

-- One row: a value sealed under the master key, by which a wrong master key is told before it does harm.
CREATE TABLE instance (
    id         integer PRIMARY KEY CHECK (id = 1),
    canary     bytea NOT NULL,
    created_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
);
