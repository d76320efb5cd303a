-- +goose Up
-- Mail that has left, and mail that was given up, is found when its time is over without looking at the rest.

CREATE INDEX outbox_delivered_at_idx ON outbox (delivered_at) WHERE delivered_at IS NOT NULL;
CREATE INDEX outbox_abandoned_at_idx ON outbox (abandoned_at) WHERE abandoned_at IS NOT NULL;
