-- +goose Up
-- The pictures that organizations show on their pages.

CREATE TABLE logos (
    org_id       uuid PRIMARY KEY REFERENCES organizations (id),
    digest       text NOT NULL,
    content_type text NOT NULL,
    image        bytea NOT NULL,
    created_at   timestamp NOT NULL
);
