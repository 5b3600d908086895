-- depends: 0010_late_minutes
-- A record that kills the stream's process is set aside; the windows it would have touched are named with that cause.

ALTER TABLE quality.dirty_windows
    DROP CONSTRAINT dirty_windows_cause_check,
    ADD CONSTRAINT dirty_windows_cause_check
        CHECK (cause IN ('late', 'overlap', 'too_old', 'quarantined', 'clock_step', 'poison'));

COMMENT ON COLUMN analytics.dirty_windows_v1.cause IS 'late, overlap, too_old, quarantined, clock_step or poison; no unit.';
