-- +goose Up
-- Mail waits in the outbox until a replica has delivered it or given it up. claimed_until keeps two replicas from delivering the
-- same at once.

ALTER TABLE outbox ADD COLUMN claimed_until timestamp;
ALTER TABLE outbox ADD COLUMN abandoned_at timestamp;
ALTER TABLE outbox ADD COLUMN last_error text;
ALTER TABLE outbox ADD COLUMN user_id uuid;
