-- Receivers of events, as the operator keeps them.

-- name: add_webhook(name, url, secret, studies, kinds, least_severity, created_at)!
-- Add a receiver; one whose name was ever used is not added.
INSERT INTO registry.webhooks (name, url, secret, studies, kinds, least_severity, created_at)
VALUES (:name, :url, :secret, :studies, :kinds, :least_severity, :created_at)
ON CONFLICT (name) DO NOTHING;

-- name: remove_webhook(name, removed_at)!
-- Send a receiver nothing more.
UPDATE registry.webhooks SET removed_at = :removed_at WHERE name = :name AND removed_at IS NULL;

-- name: forget_waiting(name)!
-- Drop what a receiver was still to be sent.
DELETE FROM registry.webhook_deliveries WHERE webhook = :name AND state = 'waiting';

-- name: find_webhook(name)
-- One receiver that was not removed: name, url, secret.
SELECT name, url, secret FROM registry.webhooks WHERE name = :name AND removed_at IS NULL;

-- name: list_webhooks()
-- Every receiver that was not removed, with how many messages are in which state, oldest first.
SELECT w.name, w.url, w.secret, w.studies, w.kinds, w.least_severity, w.created_at, w.disabled_at,
       count(*) FILTER (WHERE d.state = 'waiting') AS waiting,
       count(*) FILTER (WHERE d.state = 'delivered') AS delivered,
       count(*) FILTER (WHERE d.state = 'dead') AS dead
FROM registry.webhooks w
LEFT JOIN registry.webhook_deliveries d ON d.webhook = w.name
WHERE w.removed_at IS NULL
GROUP BY w.name
ORDER BY w.created_at, w.name;

-- name: list_dead_deliveries(webhook)
-- What was given up, of one receiver or of all (:webhook NULL), oldest first.
SELECT message_id, webhook, attempts, created_at, ended_at, last_result
FROM registry.webhook_deliveries
WHERE state = 'dead' AND (:webhook::text IS NULL OR webhook = :webhook::text)
ORDER BY created_at, message_id;

-- name: revive_webhook(webhook)!
-- Let a receiver that said it was gone be sent messages again.
UPDATE registry.webhooks SET disabled_at = NULL WHERE name = :webhook AND removed_at IS NULL;

-- name: revive_dead_deliveries(webhook, now, give_up_at)!
-- Try again what was given up of one receiver, under the same ids.
UPDATE registry.webhook_deliveries
SET state = 'waiting', attempts = 0, next_attempt_at = :now, give_up_at = :give_up_at, ended_at = NULL
WHERE state = 'dead' AND webhook = :webhook;
