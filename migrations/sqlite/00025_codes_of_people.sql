-- +goose Up
-- Codes that were not redeemed yet are found by whose they are, to end them along with what they were issued for.

CREATE INDEX oauth_codes_user_id_idx ON oauth_codes (user_id) WHERE used_at IS NULL;
