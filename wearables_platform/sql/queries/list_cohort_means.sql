-- name: list_cohort_means(studies, measure, by, first_day, last_day, members, min_group_size)
-- The mean of per-person means of :measure ('heart_rate', or of days worn long enough 'mvpa', 'steps', 'enmo'), one row
-- for each of :members of :by ('age_group', 'sex', 'device_model') in that order: member, hidden, n_people, mean, and
-- person_means, which the interval is drawn from and which go no further than the API. People count once however much
-- they send; who falls into two groups (a birthday, two models) counts in both.
-- Hidden, and without its values in the answer, is a group of fewer than :min_group_size people; an empty group looks
-- the same. If all the people who are in no group that is shown are fewer than that, the smallest shown is hidden as
-- well: the whole, which another :by may give away, less the groups shown would be those few.
-- :first_day and :last_day (local days, both included) are NULL together for all time.
WITH readings AS (
    SELECT p.participant_id, p.birth_year, p.sex, h.device_id, extract(year FROM h.time AT TIME ZONE p.time_zone) AS year,
           h.heart_rate_bpm::double precision AS value
    FROM analytics.heart_rate_v1 h
    JOIN analytics.participants_v1 p USING (participant_id)
    WHERE :measure::text = 'heart_rate'
      AND (:studies::text[] IS NULL OR p.study_id = ANY (:studies::text[]))
      -- No zone is more than a day from UTC: these bounds only spare reading other months.
      AND (:first_day::date IS NULL OR (h.time >= :first_day::date - interval '1 day'
                                        AND h.time < :last_day::date + interval '2 days'
                                        AND (h.time AT TIME ZONE p.time_zone)::date BETWEEN :first_day AND :last_day))
    UNION ALL
    SELECT p.participant_id, p.birth_year, p.sex, worn.device_id, extract(year FROM d.local_day),
           CASE :measure::text WHEN 'mvpa' THEN d.mvpa_s / 60.0::double precision
                         WHEN 'steps' THEN d.steps
                         WHEN 'enmo' THEN d.enmo_used_mean_mg END
    FROM analytics.daily_activity_v1 d
    JOIN analytics.participants_v1 p USING (participant_id)
    -- A day in which somebody changed devices is one day, but for the models.
    CROSS JOIN LATERAL unnest(CASE :by::text WHEN 'device_model' THEN d.device_ids ELSE ARRAY[d.device_ids[1]] END) AS worn (device_id)
    WHERE :measure::text <> 'heart_rate' AND d.status = 'valid' AND d.final
      AND (:studies::text[] IS NULL OR p.study_id = ANY (:studies::text[]))
      AND (:first_day::date IS NULL OR d.local_day BETWEEN :first_day AND :last_day)
),
person AS (
    SELECT r.participant_id,
           CASE :by::text WHEN 'age_group' THEN platform.age_band(r.year::integer - r.birth_year)
                    WHEN 'sex' THEN r.sex
                    WHEN 'device_model' THEN v.device_model END AS member,
           avg(r.value) AS mean
    FROM readings r
    LEFT JOIN analytics.devices_v1 v USING (device_id)
    WHERE r.value IS NOT NULL
    GROUP BY 1, 2
),
groups AS (
    SELECT member, count(*) AS n_people, avg(mean) AS mean, array_agg(mean ORDER BY participant_id) AS person_means,
           member IS NOT NULL AND count(*) >= :min_group_size AS large
    FROM person
    GROUP BY member
),
ranked AS (
    SELECT *, row_number() OVER (PARTITION BY large ORDER BY n_people, member COLLATE "C") AS place,
           coalesce(sum(n_people) FILTER (WHERE NOT large) OVER (), 0) AS n_left_over
    FROM groups
),
shown AS (
    SELECT member, n_people, mean, person_means
    FROM ranked
    WHERE large AND NOT (place = 1 AND n_left_over BETWEEN 1 AND :min_group_size - 1)
)
SELECT wanted.member, s.member IS NULL AS hidden, s.n_people, s.mean, s.person_means
FROM unnest(:members::text[]) WITH ORDINALITY AS wanted (member, place)
LEFT JOIN shown s USING (member)
ORDER BY wanted.place;
