-- name: list_worn_days(first_day, last_day)
-- Spans in which a device counts for its wearer, cut by the wearer's local days, as microseconds since the epoch.
SELECT device_id, participant_id, local_day,
       (extract(epoch FROM from_time) * 1000000)::bigint AS from_us,
       (extract(epoch FROM to_time) * 1000000)::bigint AS to_us
FROM platform.counted_days(:first_day, :last_day, 'activity')
ORDER BY device_id, from_time;
