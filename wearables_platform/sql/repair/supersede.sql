-- Rows on their way out of the tables of derived rows: named in staging.superseded, copied to the history, deleted.

-- name: find_columns(table_schema, table_name)
-- The columns of a table, in order.
SELECT column_name FROM information_schema.columns
WHERE table_schema = :table_schema AND table_name = :table_name
ORDER BY ordinal_position;

-- name: forget_superseded(load_id)!
-- Empty the list.
DELETE FROM staging.superseded WHERE load_id = :load_id;
