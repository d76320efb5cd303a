-- +goose Up
-- The pictures that organizations show on their pages.

CREATE TABLE logos (
    org_id       TEXT PRIMARY KEY NOT NULL REFERENCES organizations (id),
    digest       TEXT NOT NULL,
    content_type TEXT NOT NULL,
    image        BLOB NOT NULL,
    created_at   TIMESTAMP NOT NULL
);
