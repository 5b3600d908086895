-- name: list_visible_spans(studies, device_id)
-- When a device was worn by people of :studies: valid_from, valid_to (NULL while it lasts), in the order of time. What is
-- read from elsewhere than SQL is cut to these.
SELECT valid_from, nullif(valid_to, 'infinity') AS valid_to
FROM analytics.assignments_v1
WHERE device_id = :device_id AND study_id = ANY (:studies::text[])
ORDER BY valid_from;
