-- +goose Up
-- When a person chose the account with which they answer an authorization request (prompt=select_account, OpenID Connect Core 1.0 §3.1.2.1).

ALTER TABLE interactions ADD COLUMN selected_at timestamp;
