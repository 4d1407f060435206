-- All that the operator's role needs: log in and read the table. LISTEN and advisory locks need no privilege.
-- Replace the password; put it into the Secret that spec.source.postgres.secretRef names.
CREATE ROLE fingerv7_reader LOGIN PASSWORD 'replace me';
GRANT SELECT ON streams TO fingerv7_reader;
-- For a table in a schema other than public:
-- GRANT USAGE ON SCHEMA radio TO fingerv7_reader;
