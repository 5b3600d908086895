-- name: list_stage_counts()
-- How many log positions each consumer has read per topic and outcome: consumer, topic, outcome, messages.
SELECT consumer, topic, outcome, messages
FROM analytics.stage_counts_v1
ORDER BY consumer, topic, outcome;
