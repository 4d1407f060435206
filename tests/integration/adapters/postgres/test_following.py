"""How the source keeps up: polls, notifications, and others who read the same table."""

from __future__ import annotations

from pathlib import Path

import pytest

from fingerv7.adapters.postgres import Reason

pytestmark = pytest.mark.integration

SQL = Path(__file__).parents[4] / "examples" / "sql"


class TestPolling:
    async def test_every_poll_counts(self, streams, observe):
        observed = await observe(poll_interval_s=0.05)
        await observed.until(lambda: len(observed.snapshots) >= 4)
        assert all(counts for _, counts in observed.snapshots)

    async def test_a_change_is_seen_at_the_next_poll(self, streams, observe):
        observed = await observe(poll_interval_s=0.1)
        await observed.snapshot()
        await streams.execute("UPDATE streams SET url = 'http://moved.example/' WHERE id = '1'")
        await observed.snapshot(lambda s: s.streams["1"].url == "http://moved.example/")

    async def test_what_has_not_changed_is_not_made_anew(self, streams, observe):
        observed = await observe(poll_interval_s=0.1)
        first = await observed.snapshot()
        await streams.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'fingerv7-operator' AND datname = current_database()"
        )
        await observed.until(lambda: len(observed.snapshots) >= 3)
        assert all(snapshot.streams is first.streams for snapshot, _ in observed.snapshots)

    async def test_a_flapping_connection_does_not_count_faster_than_the_interval(self, streams, observe):
        observed = await observe()
        for attempt in range(1, 4):
            await observed.until(lambda attempt=attempt: len(observed.snapshots) == attempt)
            await streams.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'fingerv7-operator' AND datname = current_database()"
            )
        assert [counts for _, counts in observed.snapshots] == [True, False, False]


class TestNotifications:
    @pytest.fixture
    async def table(self, owner):
        await owner.execute((SQL / "streams.sql").read_text())
        await owner.execute((SQL / "notify.sql").read_text())
        await owner.execute((SQL / "notify.sql").read_text())  # can be run again
        return owner

    async def test_each_kind_of_change_is_read_at_once(self, table, observe):
        columns = {"capabilities": "capabilities", "location": "location", "weight": "weight"}
        observed = await observe(notify_channel="streams_changed", columns=columns)
        await observed.snapshot(lambda s: len(s.streams) == 0)
        await table.execute("INSERT INTO streams (id, url) VALUES ('1', 'http://a/'), ('2', 'http://b/')")
        await observed.snapshot(lambda s: len(s.streams) == 2)
        await table.execute("UPDATE streams SET weight = 7 WHERE id = '1'")
        await observed.snapshot(lambda s: s.streams["1"].weight == 7)
        await table.execute("DELETE FROM streams WHERE id = '1'")
        await observed.snapshot(lambda s: sorted(s.streams) == ["2"])
        await table.execute("TRUNCATE streams")
        await observed.snapshot(lambda s: not s.streams)
        assert sum(counts for _, counts in observed.snapshots) == 1, "notifications do not count"

    async def test_a_burst_is_merged_and_its_last_change_is_seen(self, table, observe):
        observed = await observe(notify_channel="streams_changed")
        await observed.snapshot()
        await table.execute("""
            DO $$ BEGIN
                FOR i IN 1..200 LOOP INSERT INTO streams (id, url) VALUES (i, 'http://a/'); COMMIT; END LOOP;
            END $$
        """)
        await observed.snapshot(lambda s: len(s.streams) == 200)
        assert len(observed.snapshots) < 50

    async def test_a_notification_before_the_connection_broke_is_not_lost(self, table, observe):
        observed = await observe(notify_channel="streams_changed")
        await observed.snapshot()
        await table.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'fingerv7-operator' AND datname = current_database()"
        )
        await table.execute("INSERT INTO streams (id, url) VALUES ('1', 'http://a/')")
        await observed.snapshot(lambda s: len(s.streams) == 1)
        await table.execute("INSERT INTO streams (id, url) VALUES ('2', 'http://a/')")
        await observed.snapshot(lambda s: len(s.streams) == 2)


class TestSharing:
    async def test_the_second_reader_of_a_table_is_told_and_served(self, streams, observe):
        first = await observe(poll_interval_s=0.1)
        await first.snapshot()
        second = await observe(poll_interval_s=0.1)
        assert len((await second.snapshot()).streams) == 3
        assert (await second.state(Reason.REACHABLE)).shared
        first.task.cancel()
        await second.until(lambda: not second.states[-1].shared)

    async def test_readers_of_two_tables_do_not_share(self, streams, observe):
        await streams.execute("CREATE TABLE others (LIKE streams)")
        first, second = await observe(), await observe(table="others")
        await first.snapshot()
        await second.snapshot()
        assert not (await first.state(Reason.REACHABLE)).shared
        assert not (await second.state(Reason.REACHABLE)).shared
