-- +goose Up
-- Whoever renews the tokens of an account at a provider has until then to do it; nobody else asks for it meanwhile.

ALTER TABLE oauth_accounts ADD COLUMN renewing_until TIMESTAMP;
