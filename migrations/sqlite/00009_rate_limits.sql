-- +goose Up
-- How much of each limit is used up: how often it was used, and until when it is busy, in microseconds since 1970. A leaky
-- bucket is empty by then; a limit that tightens lets the next try in.

CREATE TABLE rate_limits (
    org_id     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    tries      INTEGER NOT NULL,
    busy_until INTEGER NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    PRIMARY KEY (org_id, subject)
);
CREATE INDEX rate_limits_expires_at_idx ON rate_limits (expires_at);
