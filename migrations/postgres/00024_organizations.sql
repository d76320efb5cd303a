-- +goose Up
-- The hosts that organizations have, and what becomes of organizations. An organization's issuer is its host since the moment that was
-- announced: issuer_host until issuer_host_next_at, issuer_host_next from then on; NULL is the address below the base. Nobody has to do
-- anything at that moment. former_hosts are those of issuers before, so that what was issued under them is known.
--
-- deleted_at is a tombstone: from its commit on the organization is nowhere to be found, and its slug and hosts are free. Its rows go in
-- batches until erased_at; its own row stays, for the audit that refers to it.

ALTER TABLE organizations ADD COLUMN issuer_host text;
ALTER TABLE organizations ADD COLUMN issuer_host_next text;
ALTER TABLE organizations ADD COLUMN issuer_host_next_at timestamp;
ALTER TABLE organizations ADD COLUMN former_hosts jsonb;
ALTER TABLE organizations ADD COLUMN deleted_at timestamp;
ALTER TABLE organizations ADD COLUMN erased_at timestamp;
CREATE INDEX organizations_deleted_at_idx ON organizations (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX organizations_issuer_host_next_at_idx ON organizations (issuer_host_next_at) WHERE issuer_host_next_at IS NOT NULL;

-- Anybody may claim a host; who has proven it has it, and nobody else.
CREATE TABLE organization_hosts (
    org_id      uuid NOT NULL REFERENCES organizations (id),
    host        text NOT NULL,
    token       text NOT NULL,
    verified_at timestamp,
    verified_by text,
    created_at  timestamp NOT NULL,
    PRIMARY KEY (org_id, host)
);
CREATE UNIQUE INDEX organization_hosts_host_idx ON organization_hosts (host) WHERE verified_at IS NOT NULL;
