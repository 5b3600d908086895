-- name: list_cohort_heart_rates(studies, first_day, last_day, age_groups, min_group_size)
-- The mean of per-person mean heart rates, one row for each of :age_groups in that order: age_group, hidden, n_people,
-- heart_rate_mean_bpm. People count once however much they send. A group of fewer than :min_group_size people is hidden
-- and leaves the database without its values; an empty group looks the same as a small one. :first_day and :last_day
-- (local days, both included) are NULL together for all time.
WITH person AS (
    SELECT p.participant_id,
           platform.age_band(extract(year FROM h.time AT TIME ZONE p.time_zone)::integer - p.birth_year) AS age_group,
           avg(h.heart_rate_bpm::double precision) AS mean_bpm
    FROM analytics.heart_rate_v1 h
    JOIN analytics.participants_v1 p USING (participant_id)
    WHERE (:studies::text[] IS NULL OR p.study_id = ANY (:studies::text[]))
      -- No zone is more than a day from UTC: these bounds only spare reading other months.
      AND (:first_day::date IS NULL OR (h.time >= :first_day::date - interval '1 day'
                                        AND h.time < :last_day::date + interval '2 days'
                                        AND (h.time AT TIME ZONE p.time_zone)::date BETWEEN :first_day AND :last_day))
    GROUP BY 1, 2
),
groups AS (
    SELECT age_group, count(*) AS n_people, avg(mean_bpm) AS heart_rate_mean_bpm FROM person GROUP BY age_group
)
SELECT wanted.age_group,
       coalesce(g.n_people, 0) < :min_group_size AS hidden,
       CASE WHEN g.n_people >= :min_group_size THEN g.n_people END AS n_people,
       CASE WHEN g.n_people >= :min_group_size THEN g.heart_rate_mean_bpm END AS heart_rate_mean_bpm
FROM unnest(:age_groups::text[]) WITH ORDINALITY AS wanted (age_group, place)
LEFT JOIN groups g USING (age_group)
ORDER BY wanted.place;
