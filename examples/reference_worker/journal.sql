-- Who processed which stream from when to when, by the clock of this database and no other.
--
-- An interval ends at its stop row; without one, at the last beat of its run + 100 ms. A run without a beat for one
-- second has lapsed for good: a process that was frozen for longer cannot lengthen its intervals when it thaws, it
-- has to open a new run. This file may be applied again and again.

CREATE SCHEMA IF NOT EXISTS journal;

CREATE TABLE IF NOT EXISTS journal.runs (
    run_id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    worker     text        NOT NULL,
    last_beat  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Set when its worker gave it up: no late beat may lengthen its intervals.
    closed     boolean     NOT NULL DEFAULT false
) WITH (fillfactor = 50); -- room for the beats' updates on the same page

-- No foreign key to runs: it would lock the row that is updated ten times a second.
CREATE TABLE IF NOT EXISTS journal.intervals (
    interval_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id      bigint      NOT NULL,
    worker      text        NOT NULL,
    stream      text        NOT NULL,
    token       text        COLLATE "C" NOT NULL,
    started_at  timestamptz NOT NULL,
    stopped_at  timestamptz
);
CREATE INDEX IF NOT EXISTS intervals_open ON journal.intervals (run_id, stream) WHERE stopped_at IS NULL;
CREATE INDEX IF NOT EXISTS intervals_of_stream ON journal.intervals (stream, started_at);

-- The sink's memory: the highest token seen of each stream. Tokens have a fixed width, so they order as text.
CREATE TABLE IF NOT EXISTS journal.newest (
    stream text PRIMARY KEY,
    token  text COLLATE "C" NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE IF NOT EXISTS journal.refusals (
    stream text        NOT NULL,
    worker text        NOT NULL,
    token  text        COLLATE "C" NOT NULL,
    seen   text        COLLATE "C" NOT NULL,
    at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE OR REPLACE FUNCTION journal.alive(last_beat timestamptz, closed boolean) RETURNS boolean
LANGUAGE sql VOLATILE AS
$$ SELECT NOT closed AND last_beat > clock_timestamp() - interval '1 second' $$;

-- Open intervals of a live run grow with its beats. "Now" is the start of the reader's transaction, which is also the
-- moment of a repeatable-read snapshot: a slow reader must not take beats that it cannot see for beats that did not come.
CREATE OR REPLACE VIEW journal.spans AS
SELECT i.interval_id, i.run_id, i.worker, i.stream, i.token, i.started_at,
       coalesce(i.stopped_at, r.last_beat + interval '100 milliseconds') AS ended_at,
       i.stopped_at IS NULL AND NOT r.closed AND r.last_beat > now() - interval '1 second' AS running
FROM journal.intervals AS i JOIN journal.runs AS r USING (run_id);
