-- +goose Up
-- What a provider tells of claims that others vouch for (OpenID Connect Core 1.0 §5.6.2), sealed: there may be access tokens in it.

ALTER TABLE oauth_accounts ADD COLUMN claim_sources TEXT;
CREATE INDEX oauth_accounts_claim_sources_idx ON oauth_accounts (org_id, user_id) WHERE claim_sources IS NOT NULL;
