-- +goose Up
-- Organizations, the people in them, what they may do, and how they are signed in. SQLite has no uuid, jsonb or inet: they
-- are text here, a uuid in its lower-case form, and a default that makes one of version 4. A time is text too, UTC without
-- a zone, in a form that sorts as it reads.

CREATE TABLE organizations (
    id           TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    name         TEXT NOT NULL,
    slug         TEXT NOT NULL,
    settings     TEXT,
    created_at   TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at   TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    suspended_at TIMESTAMP,
    CONSTRAINT organizations_slug_key UNIQUE (slug)
);

-- The canonical columns are what a login is looked up by. A row without them can be seen and never signed in with.
CREATE TABLE users (
    id                 TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    org_id             TEXT NOT NULL REFERENCES organizations (id),
    email              TEXT NOT NULL,
    username           TEXT,
    password_hash      TEXT NOT NULL,
    full_name          TEXT,
    is_active          BOOLEAN DEFAULT true,
    is_verified        BOOLEAN DEFAULT false,
    metadata           TEXT,
    created_at         TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at         TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    last_login         TIMESTAMP,
    email_canonical    TEXT,
    username_canonical TEXT,
    CONSTRAINT users_org_id_email_key UNIQUE (org_id, email),
    CONSTRAINT users_org_id_username_key UNIQUE (org_id, username),
    CONSTRAINT users_org_id_email_canonical_key UNIQUE (org_id, email_canonical),
    CONSTRAINT users_org_id_username_canonical_key UNIQUE (org_id, username_canonical)
);
CREATE INDEX users_org_id_id_idx ON users (org_id, id);

CREATE TABLE roles (
    id             TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    org_id         TEXT NOT NULL REFERENCES organizations (id),
    name           TEXT NOT NULL,
    description    TEXT,
    is_system_role BOOLEAN DEFAULT false,
    created_at     TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT roles_org_id_name_key UNIQUE (org_id, name)
);

CREATE TABLE user_roles (
    user_id    TEXT NOT NULL REFERENCES users (id),
    role_id    TEXT NOT NULL REFERENCES roles (id),
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (user_id, role_id)
);
CREATE INDEX user_roles_role_id_idx ON user_roles (role_id);

CREATE TABLE permissions (
    id          TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    org_id      TEXT NOT NULL REFERENCES organizations (id),
    name        TEXT NOT NULL,
    description TEXT,
    resource    TEXT NOT NULL,
    action      TEXT NOT NULL,
    created_at  TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT permissions_org_id_name_key UNIQUE (org_id, name)
);

CREATE TABLE role_permissions (
    role_id       TEXT NOT NULL REFERENCES roles (id),
    permission_id TEXT NOT NULL REFERENCES permissions (id),
    created_at    TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (role_id, permission_id)
);
CREATE INDEX role_permissions_permission_id_idx ON role_permissions (permission_id);

-- A session without an organization is invisible to every scoped query.
CREATE TABLE sessions (
    id           TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    user_id      TEXT REFERENCES users (id),
    token        TEXT NOT NULL,
    ip_address   TEXT,
    user_agent   TEXT,
    is_valid     BOOLEAN DEFAULT true,
    expires_at   TIMESTAMP NOT NULL,
    created_at   TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    last_used_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    org_id       TEXT REFERENCES organizations (id),
    auth_time    TIMESTAMP,
    acr          TEXT,
    amr          TEXT,
    CONSTRAINT sessions_token_key UNIQUE (token)
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

CREATE TABLE verification_tokens (
    id         TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    org_id     TEXT REFERENCES organizations (id),
    user_id    TEXT REFERENCES users (id),
    token      TEXT NOT NULL,
    type       TEXT NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    used_at    TIMESTAMP,
    CONSTRAINT verification_tokens_token_key UNIQUE (token)
);
CREATE INDEX verification_tokens_user_id_idx ON verification_tokens (user_id);
CREATE INDEX verification_tokens_type_idx ON verification_tokens (type);
CREATE INDEX verification_tokens_expires_at_idx ON verification_tokens (expires_at);

CREATE TABLE oauth_providers (
    id            TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    org_id        TEXT REFERENCES organizations (id),
    name          TEXT NOT NULL,
    client_id     TEXT NOT NULL,
    client_secret TEXT NOT NULL,
    settings      TEXT,
    created_at    TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT oauth_providers_org_id_name_key UNIQUE (org_id, name)
);

CREATE TABLE oauth_accounts (
    id               TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    user_id          TEXT REFERENCES users (id),
    provider_id      TEXT REFERENCES oauth_providers (id),
    provider_user_id TEXT NOT NULL,
    access_token     TEXT,
    refresh_token    TEXT,
    expires_at       TIMESTAMP,
    created_at       TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    org_id           TEXT REFERENCES organizations (id),
    CONSTRAINT oauth_accounts_provider_id_provider_user_id_key UNIQUE (provider_id, provider_user_id)
);
CREATE INDEX oauth_accounts_user_id_idx ON oauth_accounts (user_id);
