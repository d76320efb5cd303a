-- +goose Up
-- What a link or code is for, beyond its type: the address that it proves, the roles of an invitation. And how often a code was
-- guessed at.

ALTER TABLE verification_tokens ADD COLUMN data jsonb;
ALTER TABLE verification_tokens ADD COLUMN attempts integer NOT NULL DEFAULT 0;
