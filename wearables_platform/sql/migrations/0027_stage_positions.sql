-- depends: 0026_feature_aggregates
-- Whether a consumer's account of the log adds up, for people who may not read the ledger. An account is whole when its
-- outcomes share no position and leave none out between the first and the last.
CREATE VIEW analytics.stage_positions_v1 WITH (security_barrier) AS
SELECT a.consumer, a.topic, a.partition_number, lower(a.taken) AS first_position, upper(a.taken) AS next_position,
    (SELECT coalesce(sum(upper(run) - lower(run)), 0)::bigint FROM unnest(a.taken) AS run) AS positions,
    (SELECT upper(a.taken) - lower(a.taken) - sum(upper(run) - lower(run))::bigint FROM unnest(a.taken) AS run) AS missing,
    a.counted - (SELECT sum(upper(run) - lower(run))::bigint FROM unnest(a.taken) AS run) AS counted_twice
FROM (
    SELECT l.consumer, l.topic, l.partition_number, range_agg(run) AS taken, sum(upper(run) - lower(run))::bigint AS counted
    FROM quality.ledger l
    CROSS JOIN LATERAL unnest(l.positions) AS run
    GROUP BY l.consumer, l.topic, l.partition_number
) a;
COMMENT ON VIEW analytics.stage_positions_v1 IS 'Whether each consumer that keeps the ledger accounts for every position of a partition it has read, once.';
COMMENT ON COLUMN analytics.stage_positions_v1.consumer IS 'Which consumer read them: stream (the archive''s account is its own documents); no unit.';
COMMENT ON COLUMN analytics.stage_positions_v1.topic IS 'Topic of the log; no unit.';
COMMENT ON COLUMN analytics.stage_positions_v1.partition_number IS 'Partition of the topic, from 0; no unit.';
COMMENT ON COLUMN analytics.stage_positions_v1.first_position IS 'First position accounted for; log position.';
COMMENT ON COLUMN analytics.stage_positions_v1.next_position IS 'One past the last position accounted for; log position.';
COMMENT ON COLUMN analytics.stage_positions_v1.positions IS 'Positions accounted for; count.';
COMMENT ON COLUMN analytics.stage_positions_v1.missing IS 'Positions between first and next with no outcome, must be 0; count.';
COMMENT ON COLUMN analytics.stage_positions_v1.counted_twice IS 'Positions with more than one outcome, must be 0; count.';
GRANT SELECT ON analytics.stage_positions_v1 TO analyst;
