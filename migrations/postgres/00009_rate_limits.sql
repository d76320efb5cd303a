-- +goose Up
-- How much of each limit is used up (a leaky bucket): level, in thousandths, is what was used when it was last looked at, at changed_at, and it
-- drains from there.

CREATE TABLE rate_limits (
    org_id     uuid NOT NULL,
    subject    text NOT NULL,
    level      bigint NOT NULL,
    changed_at timestamp NOT NULL,
    expires_at timestamp NOT NULL,
    PRIMARY KEY (org_id, subject)
);
CREATE INDEX rate_limits_expires_at_idx ON rate_limits (expires_at);
