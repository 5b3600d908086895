-- depends: 0024_access_tokens
-- Who wore which device when, for readers who may know it.

CREATE VIEW analytics.assignments_v1 WITH (security_barrier) AS
SELECT a.device_id, a.participant_id, p.study_id, a.valid_from, nullif(a.valid_to, 'infinity') AS valid_to
FROM registry.assignments a
JOIN registry.participants p USING (participant_id);
COMMENT ON VIEW analytics.assignments_v1 IS 'Who wore which device from when to when.';
COMMENT ON COLUMN analytics.assignments_v1.device_id IS 'Device, by its enrolled id; no unit.';
COMMENT ON COLUMN analytics.assignments_v1.participant_id IS 'Pseudonym of who wore it; no unit.';
COMMENT ON COLUMN analytics.assignments_v1.study_id IS 'Study of that participant; no unit.';
COMMENT ON COLUMN analytics.assignments_v1.valid_from IS 'From when on; UTC instant.';
COMMENT ON COLUMN analytics.assignments_v1.valid_to IS 'Until when, exclusive, NULL while it lasts; UTC instant.';
