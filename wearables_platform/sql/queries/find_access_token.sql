-- name: find_access_token(token_sha256, now)
-- Whom a token stands for, if it is good at :now: name, studies, role, requests_per_minute; one row or none. Every
-- request asks, so that a token that is revoked is refused at once.
SELECT name, studies, role, requests_per_minute
FROM registry.access_tokens
WHERE token_sha256 = :token_sha256 AND revoked_at IS NULL AND expires_at > :now;
