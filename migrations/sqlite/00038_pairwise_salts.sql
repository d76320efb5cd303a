-- +goose Up
-- What pairwise subject identifiers of an organization are made with (OpenID Connect Core 1.0 §8.1): a random secret, sealed. It is made
-- once, and never changed, for with it everybody would be somebody else to the applications.

CREATE TABLE pairwise_salts (
    org_id     TEXT NOT NULL PRIMARY KEY REFERENCES organizations (id),
    salt       BLOB NOT NULL,
    created_at TIMESTAMP NOT NULL
);
