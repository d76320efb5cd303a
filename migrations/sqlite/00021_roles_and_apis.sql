-- +goose Up
-- Every organization has the system roles, and what they allow as rows like any other. Whoever operated an organization owns it
-- now. A role or permission of an organization's own that was called as one of these stays, under a name that cannot be mistaken.

UPDATE roles SET name = name || '-' || substr(CAST(id AS text), 1, 8)
    WHERE lower(name) IN ('owner', 'admin', 'auditor', 'member', 'operator') AND (is_system_role IS NULL OR is_system_role = FALSE);
UPDATE permissions SET name = 'own-' || name WHERE lower(name) LIKE 'keizer:%';
UPDATE roles SET name = 'owner', description = 'May do everything in this organization.'
    WHERE name = 'operator' AND is_system_role = TRUE;

INSERT INTO roles (org_id, name, description, is_system_role)
    SELECT o.id, r.name, r.description, TRUE FROM organizations o CROSS JOIN (
        SELECT 'owner' AS name, 'May do everything in this organization.' AS description
        UNION ALL SELECT 'admin', 'May do everything in this organization but suspend or delete it.'
        UNION ALL SELECT 'auditor', 'May see everything in this organization and change nothing.'
        UNION ALL SELECT 'member', 'Belongs to this organization.'
    ) r WHERE NOT EXISTS (SELECT 1 FROM roles x WHERE x.org_id = o.id AND x.name = r.name);

INSERT INTO permissions (org_id, name, description, resource, action)
    SELECT o.id, p.resource || ':' || p.action, p.description, p.resource, p.action FROM organizations o CROSS JOIN (
        SELECT 'keizer:organization' AS resource, 'read' AS action, 'See the organization''s name, settings and hosts.' AS description
        UNION ALL SELECT 'keizer:organization', 'write', 'Change the organization''s name, settings and hosts.'
        UNION ALL SELECT 'keizer:organization', 'delete', 'Suspend and delete the organization.'
        UNION ALL SELECT 'keizer:users', 'read', 'See people and their profiles.'
        UNION ALL SELECT 'keizer:users', 'write', 'Make, change, disable and delete people, and reset how they sign in.'
        UNION ALL SELECT 'keizer:invitations', 'read', 'See who is invited.'
        UNION ALL SELECT 'keizer:invitations', 'write', 'Invite people, and take invitations back.'
        UNION ALL SELECT 'keizer:sessions', 'read', 'See who is signed in, and where.'
        UNION ALL SELECT 'keizer:sessions', 'write', 'Sign people out.'
        UNION ALL SELECT 'keizer:grants', 'read', 'See which applications people have let in.'
        UNION ALL SELECT 'keizer:grants', 'write', 'End what applications were let in to.'
        UNION ALL SELECT 'keizer:roles', 'read', 'See roles, permissions and who has them.'
        UNION ALL SELECT 'keizer:roles', 'write', 'Make and change roles and permissions, and give roles to people.'
        UNION ALL SELECT 'keizer:clients', 'read', 'See registered applications.'
        UNION ALL SELECT 'keizer:clients', 'write', 'Register, change and delete applications, and make their secrets anew.'
        UNION ALL SELECT 'keizer:apis', 'read', 'See registered APIs and their scopes.'
        UNION ALL SELECT 'keizer:apis', 'write', 'Register, change and delete APIs and their scopes.'
        UNION ALL SELECT 'keizer:providers', 'read', 'See upstream providers.'
        UNION ALL SELECT 'keizer:providers', 'write', 'Add, change and delete upstream providers.'
        UNION ALL SELECT 'keizer:keys', 'read', 'See signing keys.'
        UNION ALL SELECT 'keizer:keys', 'write', 'Rotate and retire signing keys.'
        UNION ALL SELECT 'keizer:audit', 'read', 'Read the audit.'
        UNION ALL SELECT 'keizer:organizations', 'read', 'See every organization of this server and what is in it.'
        UNION ALL SELECT 'keizer:organizations', 'write', 'Make organizations, and change every organization of this server and what is in it.'
    ) p;

-- What an organization permits in applications of its own is everybody's who may do, or see, everything.
INSERT INTO role_permissions (role_id, permission_id)
    SELECT r.id, p.id FROM roles r JOIN permissions p ON p.org_id = r.org_id
    WHERE r.is_system_role = TRUE AND (r.name = 'owner'
        OR r.name = 'admin' AND p.name NOT IN ('keizer:organization:delete', 'keizer:organizations:read', 'keizer:organizations:write')
        OR r.name = 'auditor' AND p.action = 'read' AND p.name <> 'keizer:organizations:read')
    ON CONFLICT DO NOTHING;

-- Names that only differ in their spelling are one: an application may compare them in another way than we do.
ALTER TABLE roles ADD COLUMN name_canonical TEXT;
ALTER TABLE permissions ADD COLUMN name_canonical TEXT;
CREATE UNIQUE INDEX roles_org_id_name_canonical_idx ON roles (org_id, name_canonical);
CREATE UNIQUE INDEX permissions_org_id_name_canonical_idx ON permissions (org_id, name_canonical);

-- The APIs that tokens are for (RFC 8707), and what may be asked of each. A scope may be tied to a permission, which cannot go as
-- long as it is: without it the scope would be everybody's.
CREATE TABLE apis (
    id         TEXT PRIMARY KEY NOT NULL DEFAULT (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-' || substr('89ab', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    org_id     TEXT NOT NULL REFERENCES organizations (id),
    identifier TEXT NOT NULL,
    name       TEXT NOT NULL,
    client_id  TEXT,
    version    INTEGER NOT NULL DEFAULT 1,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT apis_org_id_identifier_key UNIQUE (org_id, identifier)
);

CREATE TABLE api_scopes (
    api_id        TEXT NOT NULL REFERENCES apis (id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    org_id        TEXT NOT NULL,
    description   TEXT NOT NULL DEFAULT '',
    permission_id TEXT REFERENCES permissions (id),
    PRIMARY KEY (api_id, name)
);
CREATE INDEX api_scopes_permission_id_idx ON api_scopes (permission_id);
