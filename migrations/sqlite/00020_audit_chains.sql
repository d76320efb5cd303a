-- +goose Up
-- The audit of each organization becomes a chain: an event carries its number and a MAC over itself and all before it, and the chain's
-- row what the next one is linked to. Events from before have the number 0 and stand outside.

ALTER TABLE audit_events ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0;
ALTER TABLE audit_events ADD COLUMN mac TEXT NOT NULL DEFAULT '';
CREATE INDEX audit_events_org_id_sequence_created_at_idx ON audit_events (org_id, sequence, created_at);
CREATE INDEX audit_events_org_id_action_created_at_idx ON audit_events (org_id, action, created_at);

CREATE TABLE audit_chains (
    org_id           TEXT PRIMARY KEY NOT NULL REFERENCES organizations (id),
    sequence         INTEGER NOT NULL,
    mac              TEXT NOT NULL,
    link             TEXT NOT NULL,
    sealed_key       BLOB NOT NULL,
    unchained        INTEGER NOT NULL,
    checked_sequence INTEGER NOT NULL,
    checked_at       TIMESTAMP NOT NULL,
    created_at       TIMESTAMP NOT NULL
);

-- Where a chain stood at some time. They are logged as well, for they are worth something where they cannot be taken away.
CREATE TABLE audit_checkpoints (
    org_id     TEXT NOT NULL REFERENCES organizations (id),
    sequence   INTEGER NOT NULL,
    mac        TEXT NOT NULL,
    signature  TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (org_id, sequence)
);
