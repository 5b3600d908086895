-- What must hold of a declared sensor type's rows. Each returns rows that break it, at most 20, and in all_rows how many there are.

-- name: find_implausible_readings(sensor, first, last, channels, low, high, unit)
-- Clean readings outside the declared range, of no declared channel, or in another unit.
SELECT CASE WHEN unit <> :unit THEN 'another unit' WHEN NOT channel = ANY(:channels) THEN 'no declared channel'
            ELSE 'outside the range' END AS fault,
       device_id, channel, time, value, unit, message_id, message_day::text AS message_day, count(*) OVER () AS all_rows
FROM telemetry.sensor_readings
WHERE sensor = :sensor AND time >= :first AND time < :last
  AND (value = 'NaN' OR value < :low OR value > :high OR unit <> :unit OR NOT channel = ANY(:channels))
ORDER BY time
LIMIT 20;

-- name: find_repeated_readings(sensor, first, last)
-- Instants of a channel and device with more than one clean reading.
SELECT 'more than one reading' AS fault, device_id, channel, time, count(*) AS times, count(*) OVER () AS all_rows
FROM telemetry.sensor_readings
WHERE sensor = :sensor AND time >= :first AND time < :last
GROUP BY channel, device_id, time
HAVING count(*) > 1
ORDER BY time, device_id, channel
LIMIT 20;

-- name: count_readings(sensor, first, last)$
-- How many clean readings there are.
SELECT count(*) FROM telemetry.sensor_readings WHERE sensor = :sensor AND time >= :first AND time < :last;

-- name: count_readings_of_load(load_id)
-- How many readings of a load became what: by rule, '' for those that are clean.
SELECT coalesce(q.rule, '') AS rule, count(*) AS readings
FROM staging.sensor_readings s
LEFT JOIN quality.rejected_readings q
  ON q.quantity = s.sensor AND q.message_id = s.message_id AND q.reading_number = s.reading_number
WHERE s.load_id = :load_id
GROUP BY 1
ORDER BY 1;

-- name: find_rejected_of_load(load_id)
-- Who sent what rules have set aside of a load: by device, channel and rule, the most first; repeats are no fault of a sensor.
SELECT q.rule AS fault, s.device_id, s.channel, count(*) AS readings, min(s.value) AS least, max(s.value) AS greatest,
       min(s.time) AS first_time, max(s.time) AS last_time, min(s.message_id) AS a_message,
       (sum(count(*)) OVER ())::bigint AS all_rows
FROM staging.sensor_readings s
JOIN quality.rejected_readings q
  ON q.quantity = s.sensor AND q.message_id = s.message_id AND q.reading_number = s.reading_number
WHERE s.load_id = :load_id AND q.rule <> 'duplicate_reading'
GROUP BY q.rule, s.device_id, s.channel
ORDER BY count(*) DESC, s.device_id, q.rule
LIMIT 20;

-- name: find_hours_that_do_not_add_up(sensor, first, last)
-- Hours that count other readings than there are, by channel and device.
SELECT 'other readings than there are' AS fault, coalesce(h.channel, r.channel) AS channel, coalesce(h.device_id, r.device_id) AS device_id,
       coalesce(h.hour_start, r.hour_start) AS hour_start,
       h.readings AS in_hours, r.readings AS clean,
       count(*) OVER () AS all_rows
FROM (
    SELECT channel, device_id, hour_start, readings
    FROM telemetry.sensor_hours
    WHERE sensor = :sensor AND hour_start >= :first AND hour_start < :last
) AS h
FULL JOIN (
    SELECT channel, device_id, date_trunc('hour', time, 'UTC') AS hour_start, count(*) AS readings
    FROM telemetry.sensor_readings
    WHERE sensor = :sensor AND time >= :first AND time < :last
    GROUP BY 1, 2, 3
) AS r ON r.channel = h.channel AND r.device_id = h.device_id AND r.hour_start = h.hour_start
WHERE h.readings IS DISTINCT FROM r.readings
ORDER BY 4, 3, 2
LIMIT 20;

-- name: find_days_that_do_not_add_up(sensor, first_day, last_day)
-- Local days that count other readings than there are of the devices that count for the person, by channel.
SELECT 'other readings than there are' AS fault, coalesce(d.participant_id, r.participant_id) AS participant_id,
       coalesce(d.local_day, r.local_day) AS local_day,
       coalesce(d.channel, r.channel) AS channel,
       d.readings AS in_days, r.readings AS clean, r.devices, count(*) OVER () AS all_rows
FROM (
    SELECT participant_id, local_day, channel, readings
    FROM telemetry.sensor_days
    WHERE sensor = :sensor AND local_day BETWEEN :first_day AND :last_day
) AS d
FULL JOIN (
    SELECT w.participant_id, w.local_day, r.channel, count(*) AS readings, string_agg(DISTINCT r.device_id, ', ') AS devices
    FROM platform.counted_days(:first_day, :last_day, :sensor) w
    JOIN telemetry.sensor_readings r
      ON r.sensor = :sensor AND r.device_id = w.device_id AND r.time >= w.from_time AND r.time < w.to_time
    GROUP BY 1, 2, 3
) AS r ON r.participant_id = d.participant_id AND r.local_day = d.local_day AND r.channel = d.channel
WHERE d.readings IS DISTINCT FROM r.readings
ORDER BY 3, 2, 4
LIMIT 20;

-- name: list_fleet_hours(sensor, first, last)
-- Per hour over all devices: least, mean and greatest, as far as the type asks for them.
SELECT hour_start, min(value_min) AS least, avg(value_mean) AS mean, max(value_max) AS greatest
FROM telemetry.sensor_hours
WHERE sensor = :sensor AND hour_start >= :first AND hour_start < :last
GROUP BY hour_start
ORDER BY hour_start;
