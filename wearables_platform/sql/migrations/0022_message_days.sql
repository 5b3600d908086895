-- depends: 0020_counted_days
-- Every clean or rejected reading says in which day of the lake its message lies, so that what has left the lake can be told
-- and removed. NULL in rows cleaned before there was this column, until their day is built again. Rows come in about the
-- order of their days, so a block range index finds a day's, and weighs next to nothing.
ALTER TABLE telemetry.heart_rate ADD COLUMN message_day date;
ALTER TABLE telemetry.steps ADD COLUMN message_day date;
ALTER TABLE telemetry.sensor_readings ADD COLUMN message_day date;
ALTER TABLE quality.rejected_readings ADD COLUMN message_day date;
CREATE INDEX heart_rate_by_message_day ON telemetry.heart_rate USING brin (message_day);
CREATE INDEX steps_by_message_day ON telemetry.steps USING brin (message_day);
CREATE INDEX sensor_readings_by_message_day ON telemetry.sensor_readings USING brin (message_day);
CREATE INDEX rejected_readings_by_message_day ON quality.rejected_readings (quantity, message_day);

-- Staging holds nothing between loads: a reading there always comes with its day.
DELETE FROM staging.heart_rate;
DELETE FROM staging.steps;
DELETE FROM staging.sensor_readings;
ALTER TABLE staging.heart_rate ADD COLUMN message_day date NOT NULL;
ALTER TABLE staging.steps ADD COLUMN message_day date NOT NULL;
ALTER TABLE staging.sensor_readings ADD COLUMN message_day date NOT NULL;
