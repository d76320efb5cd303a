-- +goose Up
-- A person sees what they did, and what was done to their account, without anybody reading through all the rest.

CREATE INDEX audit_events_org_id_actor_created_at_idx ON audit_events (org_id, actor, created_at);
CREATE INDEX audit_events_org_id_target_created_at_idx ON audit_events (org_id, target, created_at);
