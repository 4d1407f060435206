-- Tells the operator at once that the table streams has changed: set spec.source.postgres.notifyChannel to
-- streams_changed. One notification a statement is enough, because the operator reads the whole table anyway.
-- Can be run again. For another table, replace the name after ON in both places.
CREATE OR REPLACE FUNCTION fingerv7_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify(TG_ARGV[0], '');
    RETURN NULL;
END
$$;

DROP TRIGGER IF EXISTS fingerv7_notify ON streams;
CREATE TRIGGER fingerv7_notify
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON streams
    FOR EACH STATEMENT EXECUTE FUNCTION fingerv7_notify('streams_changed');
