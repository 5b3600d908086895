-- depends: 0011_poison_windows
-- A person's local days, cut by who wore what: one function, so that every sum per person and day means the same day.

CREATE FUNCTION platform.worn_days(first_day date, last_day date)
    RETURNS TABLE (participant_id text, time_zone text, local_day date, begins timestamptz, ends timestamptz,
                   device_id text, from_time timestamptz, to_time timestamptz)
    LANGUAGE sql STABLE
    ROWS 1000
    AS $$
        SELECT d.participant_id, d.time_zone, d.local_day, d.begins, d.ends, a.device_id,
               greatest(d.begins, a.valid_from), least(d.ends, a.valid_to)
        FROM (SELECT p.participant_id, p.time_zone, day::date AS local_day,
                     day AT TIME ZONE p.time_zone AS begins,
                     (day + interval '1 day') AT TIME ZONE p.time_zone AS ends
              FROM registry.participants p
              CROSS JOIN generate_series(first_day::timestamp, last_day::timestamp, interval '1 day') AS day) d
        JOIN registry.assignments a
          ON a.participant_id = d.participant_id AND a.valid_from < d.ends AND a.valid_to > d.begins
    $$;
COMMENT ON FUNCTION platform.worn_days(date, date) IS
    'Local days [first_day, last_day] of every participant, one row per device assigned within the day: begins and ends bound the day (23 or 25 hours where clocks change), from_time and to_time bound the part in which that device was assigned; ends are exclusive.';
