-- depends: 0019_model_loop
-- Of a person's devices one counts at a time: one function that every sum per person and day is taken over.

DROP FUNCTION platform.worn_days(date, date);
CREATE FUNCTION platform.worn_days(first_day date, last_day date)
    RETURNS TABLE (participant_id text, time_zone text, local_day date, begins timestamptz, ends timestamptz,
                   device_id text, from_time timestamptz, to_time timestamptz, given_at timestamptz)
    LANGUAGE sql STABLE
    ROWS 1000
    AS $$
        SELECT d.participant_id, d.time_zone, d.local_day, d.begins, d.ends, a.device_id,
               greatest(d.begins, lower(a.span)), least(d.ends, upper(a.span)), a.valid_from
        FROM (SELECT p.participant_id, p.time_zone, day::date AS local_day,
                     day AT TIME ZONE p.time_zone AS begins,
                     (day + interval '1 day') AT TIME ZONE p.time_zone AS ends
              FROM registry.participants p
              CROSS JOIN generate_series(first_day::timestamp, last_day::timestamp, interval '1 day') AS day) d
        JOIN (SELECT b.device_id, b.participant_id, b.valid_from,
                     unnest(tstzmultirange(tstzrange(b.valid_from, b.valid_to)) - coalesce(
                         (SELECT range_agg(tstzrange(l.valid_from, l.valid_to)) FROM registry.assignments l
                          WHERE l.device_id = b.device_id AND l.valid_from > b.valid_from), '{}')) AS span
              FROM registry.assignments b) a
          ON a.participant_id = d.participant_id AND lower(a.span) < d.ends AND upper(a.span) > d.begins
    $$;
COMMENT ON FUNCTION platform.worn_days(date, date) IS
    'Local days [first_day, last_day] of every participant, one row per device assigned within the day: begins and ends bound the day (23 or 25 hours where clocks change), from_time and to_time bound the part in which that device was assigned; ends are exclusive. A device is of one person at a time: of two, of whom it was given to last. given_at is when the assignment began.';

CREATE FUNCTION platform.measured_hours(quantity text, device text, since timestamptz, until timestamptz)
    RETURNS tstzmultirange
    LANGUAGE sql STABLE
    AS $$
        SELECT coalesce(range_agg(tstzrange(greatest(hour, since), least(hour + interval '1 hour', until))), '{}')
        FROM generate_series(date_trunc('hour', since, 'UTC'), until - interval '1 microsecond', interval '1 hour') AS hour
        WHERE CASE quantity
            WHEN 'heart_rate' THEN EXISTS (
                SELECT FROM telemetry.heart_rate r
                WHERE r.device_id = device AND r.time >= greatest(hour, since)
                  AND r.time < least(hour + interval '1 hour', until))
            WHEN 'steps' THEN EXISTS (  -- a span is at most a day long
                SELECT FROM telemetry.steps r
                WHERE r.device_id = device AND r.start_time >= hour - interval '24 hours'
                  AND r.start_time < least(hour + interval '1 hour', until) AND r.end_time > greatest(hour, since))
            WHEN 'activity' THEN EXISTS (
                SELECT FROM telemetry.hourly_activity r WHERE r.device_id = device AND r.hour_start = hour)
                OR EXISTS (
                SELECT FROM telemetry.window_features r
                WHERE r.device_id = device AND r.window_start >= greatest(hour, since)
                  AND r.window_start < least(hour + interval '1 hour', until))
            ELSE EXISTS (
                SELECT FROM telemetry.sensor_readings r
                WHERE r.sensor = quantity AND r.device_id = device AND r.time >= greatest(hour, since)
                  AND r.time < least(hour + interval '1 hour', until))
        END
    $$;
COMMENT ON FUNCTION platform.measured_hours(text, text, timestamptz, timestamptz) IS
    'The UTC hours, cut to [since, until), in which a device has data of a quantity: heart_rate, steps (whose spans count for every hour they touch), activity (windows, or hours made of them), or a declared sensor type.';

CREATE FUNCTION platform.counted_days(first_day date, last_day date, quantity text)
    RETURNS TABLE (participant_id text, time_zone text, local_day date, begins timestamptz, ends timestamptz,
                   device_id text, from_time timestamptz, to_time timestamptz, taken tstzmultirange)
    LANGUAGE sql STABLE
    ROWS 1000
    AS $$
        WITH worn AS (
            SELECT w.*, count(*) OVER (PARTITION BY w.participant_id, w.local_day) > 1 AS shared
            FROM platform.worn_days(first_day, last_day) w
        ),
        measured AS (
            SELECT w.*, CASE WHEN shared THEN platform.measured_hours(quantity, w.device_id, w.from_time, w.to_time)
                             ELSE '{}' END AS hours
            FROM worn w
        ),
        ranked AS (
            SELECT m.*, coalesce(range_agg(hours) OVER (
                       PARTITION BY m.participant_id, m.local_day ORDER BY m.given_at DESC, m.device_id DESC, m.from_time
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), '{}') AS taken
            FROM measured m
        )
        SELECT r.participant_id, r.time_zone, r.local_day, r.begins, r.ends, r.device_id, lower(span), upper(span), r.taken
        FROM ranked r
        CROSS JOIN LATERAL unnest(tstzmultirange(tstzrange(r.from_time, r.to_time)) - r.taken) AS span
    $$;
COMMENT ON FUNCTION platform.counted_days(date, date, text) IS
    'Local days as platform.worn_days, of each device the parts that count for a quantity (as in platform.measured_hours): in a UTC hour in which several devices of a person have data, the one given last counts (of two given at once the greater id), and only it. taken are the hours of that day which devices before this one have: what lasts, such as a span of steps, must not reach into them.';
