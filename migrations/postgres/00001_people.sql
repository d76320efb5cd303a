-- +goose Up
-- Organizations, the people in them, what they may do, and how they are signed in. Times are wall clock in UTC: the
-- application writes them, and the defaults hold because every connection sets its time zone to UTC.

CREATE TABLE organizations (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name         varchar NOT NULL,
    slug         varchar NOT NULL,
    settings     jsonb,
    created_at   timestamp DEFAULT CURRENT_TIMESTAMP,
    updated_at   timestamp DEFAULT CURRENT_TIMESTAMP,
    suspended_at timestamp,
    CONSTRAINT organizations_slug_key UNIQUE (slug)
);

-- The canonical columns are what a login is looked up by. A row without them can be seen and never signed in with.
CREATE TABLE users (
    id                 uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id             uuid NOT NULL REFERENCES organizations (id),
    email              varchar NOT NULL,
    username           varchar,
    password_hash      varchar NOT NULL,
    full_name          varchar,
    is_active          boolean DEFAULT true,
    is_verified        boolean DEFAULT false,
    metadata           jsonb,
    created_at         timestamp DEFAULT CURRENT_TIMESTAMP,
    updated_at         timestamp DEFAULT CURRENT_TIMESTAMP,
    last_login         timestamp,
    email_canonical    varchar,
    username_canonical varchar,
    CONSTRAINT users_org_id_email_key UNIQUE (org_id, email),
    CONSTRAINT users_org_id_username_key UNIQUE (org_id, username),
    CONSTRAINT users_org_id_email_canonical_key UNIQUE (org_id, email_canonical),
    CONSTRAINT users_org_id_username_canonical_key UNIQUE (org_id, username_canonical)
);
CREATE INDEX users_org_id_id_idx ON users (org_id, id);

CREATE TABLE roles (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id         uuid NOT NULL REFERENCES organizations (id),
    name           varchar NOT NULL,
    description    text,
    is_system_role boolean DEFAULT false,
    created_at     timestamp DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT roles_org_id_name_key UNIQUE (org_id, name)
);

CREATE TABLE user_roles (
    user_id    uuid NOT NULL REFERENCES users (id),
    role_id    uuid NOT NULL REFERENCES roles (id),
    created_at timestamp DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (user_id, role_id)
);
CREATE INDEX user_roles_role_id_idx ON user_roles (role_id);

CREATE TABLE permissions (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id      uuid NOT NULL REFERENCES organizations (id),
    name        varchar NOT NULL,
    description text,
    resource    varchar NOT NULL,
    action      varchar NOT NULL,
    created_at  timestamp DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT permissions_org_id_name_key UNIQUE (org_id, name)
);

CREATE TABLE role_permissions (
    role_id       uuid NOT NULL REFERENCES roles (id),
    permission_id uuid NOT NULL REFERENCES permissions (id),
    created_at    timestamp DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (role_id, permission_id)
);
CREATE INDEX role_permissions_permission_id_idx ON role_permissions (permission_id);

-- A session without an organization is invisible to every scoped query.
CREATE TABLE sessions (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id      uuid REFERENCES users (id),
    token        varchar NOT NULL,
    ip_address   inet,
    user_agent   text,
    is_valid     boolean DEFAULT true,
    expires_at   timestamp NOT NULL,
    created_at   timestamp DEFAULT CURRENT_TIMESTAMP,
    last_used_at timestamp DEFAULT CURRENT_TIMESTAMP,
    org_id       uuid REFERENCES organizations (id),
    auth_time    timestamp,
    acr          varchar,
    amr          jsonb,
    CONSTRAINT sessions_token_key UNIQUE (token)
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

CREATE TABLE verification_tokens (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id     uuid REFERENCES organizations (id),
    user_id    uuid REFERENCES users (id),
    token      varchar NOT NULL,
    type       varchar NOT NULL,
    expires_at timestamp NOT NULL,
    created_at timestamp DEFAULT CURRENT_TIMESTAMP,
    used_at    timestamp,
    CONSTRAINT verification_tokens_token_key UNIQUE (token)
);
CREATE INDEX verification_tokens_user_id_idx ON verification_tokens (user_id);
CREATE INDEX verification_tokens_type_idx ON verification_tokens (type);
CREATE INDEX verification_tokens_expires_at_idx ON verification_tokens (expires_at);

CREATE TABLE oauth_providers (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id        uuid REFERENCES organizations (id),
    name          varchar NOT NULL,
    client_id     varchar NOT NULL,
    client_secret varchar NOT NULL,
    settings      jsonb,
    created_at    timestamp DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT oauth_providers_org_id_name_key UNIQUE (org_id, name)
);

CREATE TABLE oauth_accounts (
    id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id          uuid REFERENCES users (id),
    provider_id      uuid REFERENCES oauth_providers (id),
    provider_user_id varchar NOT NULL,
    access_token     text,
    refresh_token    text,
    expires_at       timestamp,
    created_at       timestamp DEFAULT CURRENT_TIMESTAMP,
    org_id           uuid REFERENCES organizations (id),
    CONSTRAINT oauth_accounts_provider_id_provider_user_id_key UNIQUE (provider_id, provider_user_id)
);
CREATE INDEX oauth_accounts_user_id_idx ON oauth_accounts (user_id);
