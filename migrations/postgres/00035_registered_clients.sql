-- +goose Up
-- Clients that were registered by whoever wanted one (RFC 7591), and not by operators: when, by which registration token (NULL where it
-- took none), the digest of what the registration is looked after with (RFC 7592), the statement about the software, as it was shown, and
-- when the client was of use last, to within a day.

ALTER TABLE oauth_clients ADD COLUMN registered_at timestamp;
ALTER TABLE oauth_clients ADD COLUMN registered_by uuid;
ALTER TABLE oauth_clients ADD COLUMN registration_digest text;
ALTER TABLE oauth_clients ADD COLUMN software_statement text;
ALTER TABLE oauth_clients ADD COLUMN last_used_at timestamp;
CREATE INDEX oauth_clients_last_used_at_idx ON oauth_clients (last_used_at) WHERE registered_at IS NOT NULL;
