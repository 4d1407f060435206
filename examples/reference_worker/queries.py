"""The checker's SQL: one pass of window functions over the journal, so that an hour of a fleet is judged in a second.

Parameter $1 is always `since`: what ended before it is left out; NULL judges everything.
"""

from __future__ import annotations

# Intervals of no length never processed anything: killed between sending a start row and its commit.
# The end of everything before, not of the interval before: a short interval may lie within a long one.
_ORDERED = """
    SELECT *,
           max(ended_at) OVER before AS covered_until
    FROM journal.spans
    WHERE ended_at > started_at
    WINDOW before AS (
        PARTITION BY stream ORDER BY started_at, interval_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
"""

OVERLAPS = f"""
    WITH ordered AS MATERIALIZED ({_ORDERED})
    SELECT b.stream, a.worker AS first_worker, b.worker AS second_worker,
           a.token AS first_token, b.token AS second_token,
           b.started_at AS started, least(a.ended_at, b.ended_at) AS ended
    FROM ordered AS b JOIN ordered AS a ON a.stream = b.stream
         AND (a.started_at, a.interval_id) < (b.started_at, b.interval_id) AND a.ended_at > b.started_at
    WHERE b.covered_until > b.started_at
      AND ($1::timestamptz IS NULL OR least(a.ended_at, b.ended_at) > $1)
    ORDER BY b.started_at, b.stream
"""  # noqa: S608 - constants only

_ALL_GAPS = f"""
    SELECT stream, worker, covered_until AS started, started_at AS ended,
           extract(epoch FROM started_at - covered_until)::float8 AS seconds
    FROM ({_ORDERED}) AS ordered
    WHERE started_at > covered_until AND ($1::timestamptz IS NULL OR started_at > $1)
"""  # noqa: S608

LONGEST_GAP = f"SELECT coalesce(max(seconds), 0) FROM ({_ALL_GAPS}) AS gap"  # noqa: S608

# Who was last before the gap is looked up for the long ones only: planned moves leave thousands of short ones.
GAPS = f"""
    SELECT gap.stream, before.worker AS first_worker, gap.worker AS second_worker, gap.started, gap.ended, gap.seconds
    FROM ({_ALL_GAPS}) AS gap CROSS JOIN LATERAL (
        SELECT s.worker FROM journal.spans AS s
        WHERE s.stream = gap.stream AND s.started_at < gap.ended AND s.ended_at = gap.started LIMIT 1
    ) AS before
    WHERE gap.seconds > $2
    ORDER BY gap.seconds DESC, gap.stream
"""  # noqa: S608

FIGURES = f"""
    SELECT count(*) AS count, max(seconds) AS max,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS p50,
           percentile_cont(0.99) WITHIN GROUP (ORDER BY seconds) AS p99
    FROM ({_ALL_GAPS}) AS gap WHERE $2::timestamptz IS NULL OR ended <= $2
"""  # noqa: S608

RUNNING = (
    "SELECT DISTINCT ON (stream) stream, worker FROM journal.spans WHERE running ORDER BY stream, started_at DESC"
)

REFUSALS = """
    SELECT stream, worker, token, seen, at FROM journal.refusals
    WHERE $1::timestamptz IS NULL OR at > $1 ORDER BY at
"""
