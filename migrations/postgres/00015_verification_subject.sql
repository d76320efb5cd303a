-- +goose Up
-- Whom or what a link or code is about, where a newer one of its type ends it: a person, or a browser that signs up.

ALTER TABLE verification_tokens ADD COLUMN subject text;
CREATE INDEX verification_tokens_subject_idx ON verification_tokens (subject, type);
