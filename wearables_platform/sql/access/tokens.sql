-- Tokens of the query API: who has one, for what, until when.

-- name: list_missing_studies(studies)
-- Of :studies those that do not exist: study_id.
SELECT study_id FROM unnest(:studies::text[]) AS wanted (study_id)
WHERE NOT EXISTS (SELECT FROM registry.studies s WHERE s.study_id = wanted.study_id)
ORDER BY study_id;

-- name: add_access_token(name, token_sha256, studies, role, requests_per_minute, created_at, expires_at)!
-- Add a token; one whose name was ever used is not added.
INSERT INTO registry.access_tokens
    (name, token_sha256, studies, role, requests_per_minute, created_at, expires_at)
VALUES (:name, :token_sha256, :studies, :role, :requests_per_minute, :created_at, :expires_at)
ON CONFLICT (name) DO NOTHING;

-- name: revoke_access_token(name, revoked_at)!
-- Refuse a token from now on; one that was revoked before keeps its time.
UPDATE registry.access_tokens SET revoked_at = coalesce(revoked_at, :revoked_at) WHERE name = :name;

-- name: list_access_tokens()
-- Every token but what it proves itself with, oldest first.
SELECT name, studies, role, requests_per_minute, created_at, expires_at, revoked_at
FROM registry.access_tokens
ORDER BY created_at, name;
