-- +goose Up
-- The audit of each organization becomes a chain: an event carries its number and a MAC over itself and all before it, and the chain's
-- row what the next one is linked to. Events from before have the number 0 and stand outside.

ALTER TABLE audit_events ADD COLUMN sequence bigint NOT NULL DEFAULT 0;
ALTER TABLE audit_events ADD COLUMN mac text NOT NULL DEFAULT '';
CREATE INDEX audit_events_org_id_sequence_created_at_idx ON audit_events (org_id, sequence, created_at);
CREATE INDEX audit_events_org_id_action_created_at_idx ON audit_events (org_id, action, created_at);

CREATE TABLE audit_chains (
    org_id           uuid PRIMARY KEY REFERENCES organizations (id),
    sequence         bigint NOT NULL,
    mac              text NOT NULL,
    link             text NOT NULL,
    sealed_key       bytea NOT NULL,
    unchained        bigint NOT NULL,
    checked_sequence bigint NOT NULL,
    checked_at       timestamp NOT NULL,
    created_at       timestamp NOT NULL
);

-- Where a chain stood at some time. They are logged as well, for they are worth something where they cannot be taken away.
CREATE TABLE audit_checkpoints (
    org_id     uuid NOT NULL REFERENCES organizations (id),
    sequence   bigint NOT NULL,
    mac        text NOT NULL,
    signature  text NOT NULL,
    created_at timestamp NOT NULL,
    PRIMARY KEY (org_id, sequence)
);
