-- Messages on their way to receivers.

-- name: list_addressees(positions, device_ids, started, kinds, severities, announced)
-- Who is to be told of which of the given events: position, webhook, participant_id, study_id. An event is of the study of
-- whoever wore the device when it began. A receiver is told nothing that was announced before it was added.
SELECT e.position, w.name AS webhook, a.participant_id, a.study_id
FROM unnest(:positions::int[], :device_ids::text[], :started::timestamptz[], :kinds::text[], :severities::text[],
            :announced::timestamptz[]) AS e (position, device_id, started_at, kind, severity, announced_at)
LEFT JOIN analytics.assignments_v1 a
    ON a.device_id = e.device_id AND e.started_at >= a.valid_from AND e.started_at < a.valid_to
JOIN registry.webhooks w
    ON w.removed_at IS NULL AND w.disabled_at IS NULL
    AND date_trunc('milliseconds', w.created_at) <= e.announced_at  -- the log's clock counts milliseconds
    AND (w.studies IS NULL OR a.study_id = ANY (w.studies))
    AND (w.kinds IS NULL OR e.kind = ANY (w.kinds))
    AND array_position(ARRAY['info', 'warning', 'critical'], e.severity)
        >= array_position(ARRAY['info', 'warning', 'critical'], w.least_severity)
ORDER BY e.position, w.name;

-- name: add_deliveries(message_ids, webhooks, bodies, now, give_up_at)!
-- Put messages in line; one that was ever there is not added again.
INSERT INTO registry.webhook_deliveries (message_id, webhook, body, created_at, next_attempt_at, give_up_at)
SELECT m.message_id, m.webhook, m.body, :now, :now, :give_up_at
FROM unnest(:message_ids::text[], :webhooks::text[], :bodies::text[]) AS m (message_id, webhook, body)
ON CONFLICT (message_id) DO NOTHING;

-- name: list_due_webhooks(now)
-- Receivers for which something is to be sent now: webhook.
SELECT DISTINCT d.webhook
FROM registry.webhook_deliveries d JOIN registry.webhooks w ON w.name = d.webhook
WHERE d.state = 'waiting' AND d.next_attempt_at <= :now AND w.disabled_at IS NULL AND w.removed_at IS NULL;

-- name: take_delivery(webhook, now, taken_until)
-- Take the message of a receiver that has waited longest: message_id, body, attempts (this one included), give_up_at, url,
-- secret. Whoever takes it has it until :taken_until; if it is not heard of again by then, it is sent again.
UPDATE registry.webhook_deliveries d
SET attempts = d.attempts + 1, next_attempt_at = :taken_until
FROM registry.webhooks w
WHERE w.name = d.webhook AND d.message_id = (
    SELECT n.message_id FROM registry.webhook_deliveries n
    JOIN registry.webhooks v ON v.name = n.webhook AND v.disabled_at IS NULL AND v.removed_at IS NULL
    WHERE n.webhook = :webhook AND n.state = 'waiting' AND n.next_attempt_at <= :now
    ORDER BY n.next_attempt_at, n.created_at, n.message_id
    LIMIT 1
    FOR UPDATE OF n SKIP LOCKED
)
RETURNING d.message_id, d.body, d.attempts, d.give_up_at, w.url, w.secret;

-- name: end_delivery(message_id, state, result, now)!
-- A message is delivered, or given up.
UPDATE registry.webhook_deliveries SET state = :state, ended_at = :now, last_result = :result
WHERE message_id = :message_id AND state = 'waiting';

-- name: delay_delivery(message_id, result, next_attempt_at)!
-- A message is tried again later.
UPDATE registry.webhook_deliveries SET next_attempt_at = :next_attempt_at, last_result = :result
WHERE message_id = :message_id AND state = 'waiting';

-- name: disable_webhook(webhook, now)!
-- A receiver said that it is gone: nothing more is sent to it until the operator says otherwise.
UPDATE registry.webhooks SET disabled_at = coalesce(disabled_at, :now) WHERE name = :webhook;

-- name: give_up_deliveries(webhook, result, now)!
-- Everything that waits for a receiver is given up.
UPDATE registry.webhook_deliveries SET state = 'dead', ended_at = :now, last_result = :result
WHERE webhook = :webhook AND state = 'waiting';

-- name: drop_old_deliveries(before)!
-- Forget messages that ended and whose events the log no longer holds.
DELETE FROM registry.webhook_deliveries WHERE state <> 'waiting' AND created_at < :before;
