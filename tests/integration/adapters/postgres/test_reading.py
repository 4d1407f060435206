"""What the source makes of tables as people have them."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from fingerv7.adapters.postgres import Reason

pytestmark = pytest.mark.integration


async def test_a_table_becomes_a_snapshot(streams, observe):
    await streams.execute("""UPDATE streams SET metadata = '{"country": "Taiwan", "bitrate": 128}' WHERE id = '1'""")
    await streams.execute("UPDATE streams SET active = false WHERE id = '2'")
    observed = await observe()
    snapshot = await observed.snapshot()
    assert sorted(snapshot.streams) == ["1", "3"]
    assert snapshot.streams["1"].metadata == {"country": "Taiwan", "bitrate": "128"}
    assert (snapshot.streams["3"].url, snapshot.streams["3"].name) == ("http://radio.example/3", "Radio 3")
    assert (snapshot.inactive, snapshot.quarantined) == (1, ())
    state = await observed.state(Reason.REACHABLE)
    assert (state.reachable, state.shared) == (True, False)
    assert state.last_success is not None


async def test_every_column_may_have_another_name_and_type(owner, observe):
    await owner.execute("""
        CREATE SCHEMA "Radio";
        CREATE DOMAIN flag AS boolean;
        CREATE TABLE "Radio"."Sender" ("Key" uuid, href varchar(99), label name, aktiv flag, state text, dc char(4),
                                       needs text[], load numeric(4,1), extra json, changed timestamptz);
        INSERT INTO "Radio"."Sender" VALUES
            ('00000000-0000-0000-0000-000000000001', 'https://a/', 'A', true, 'ACTIVE', 'de', '{hls,aac}', 2.0, '{"a":true}'),
            ('00000000-0000-0000-0000-000000000002', 'https://b/', 'B', true, 'deleted', 'de', '{}', 1, '{}'),
            ('00000000-0000-0000-0000-000000000003', 'https://c/', NULL, true, 'active', NULL, NULL, NULL, NULL);
    """)
    columns = {
        "id": "Key", "url": "href", "name": "label", "active": "aktiv", "status": "state", "location": "dc",
        "capabilities": "needs", "weight": "load", "metadata": "extra", "updated_at": "changed",
    }  # fmt: skip
    snapshot = await (await observe(table="Radio.Sender", columns=columns)).snapshot()
    assert (len(snapshot.streams), snapshot.inactive, snapshot.quarantined) == (2, 1, ())
    stream = snapshot.streams["00000000-0000-0000-0000-000000000001"]
    assert (stream.weight, stream.location, stream.capabilities) == (2, "de", {"hls", "aac"})
    assert (stream.name, stream.metadata) == ("A", {"a": "true"})
    assert snapshot.identity.endswith("/Radio.Sender")


@pytest.mark.parametrize("id_type", ["smallint", "integer", "bigint", "numeric", "text", "varchar(9)"])
async def test_ids_of_many_types_read_the_same(id_type, owner, observe):
    await owner.execute(f"CREATE TABLE streams (id {id_type}, url text, active integer)")
    await owner.execute("INSERT INTO streams VALUES (42, 'http://a/', 1), (43, 'http://b/', 0)")
    snapshot = await (await observe()).snapshot()
    assert list(snapshot.streams) == ["42"]
    assert snapshot.inactive == 1


async def test_metadata_may_be_an_hstore(owner, observe):
    if not await owner.fetchval("SELECT count(*) FROM pg_available_extensions WHERE name = 'hstore'"):
        pytest.skip("this PostgreSQL comes without the extension hstore")
    await owner.execute("CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext")
    await owner.execute("CREATE TABLE streams (id int, url text, active bool, metadata ext.hstore)")
    await owner.execute("""INSERT INTO streams VALUES (1, 'http://a/', true, 'a=>"x y", b=>NULL'::ext.hstore)""")
    assert (await (await observe()).snapshot()).streams["1"].metadata == {"a": "x y"}


async def test_a_view_will_do(streams, observe):
    await streams.execute("CREATE VIEW chosen AS SELECT id, url, true AS active FROM streams WHERE id <> '2'")
    assert sorted((await (await observe(table="chosen")).snapshot()).streams) == ["1", "3"]


async def test_an_empty_table_is_an_empty_snapshot(streams, observe):
    await streams.execute("TRUNCATE streams")
    assert not (await (await observe()).snapshot()).streams


async def test_default_columns_that_nobody_chose_may_be_absent(owner, observe):
    await owner.execute("CREATE TABLE streams (id int, url text, active bool)")
    await owner.execute("INSERT INTO streams VALUES (1, 'http://a/', true)")
    stream = (await (await observe()).snapshot()).streams["1"]
    assert (stream.name, stream.metadata) == ("", {})


class TestBadRows:
    async def test_a_million_characters_are_not_even_fetched(self, streams, observe):
        await streams.execute(
            "UPDATE streams SET url = 'http://radio.example/' || repeat('x', 1000000) WHERE id = '2'"
        )
        snapshot = await (await observe()).snapshot()
        assert sorted(snapshot.streams) == ["1", "3"]
        assert [(q.id, q.reason) for q in snapshot.quarantined] == [("2", "TooLarge")]

    async def test_duplicates_and_missing_ids(self, streams, observe):
        await streams.execute("INSERT INTO streams VALUES ('1', 'http://z/'), (NULL, 'http://z/'), ('', 'http://z/')")
        snapshot = await (await observe()).snapshot()
        assert snapshot.streams["1"].url == "http://radio.example/1"
        assert sorted(q.reason for q in snapshot.quarantined) == ["DuplicateId", "NoId", "NoId"]

    async def test_a_nul_can_hide_in_json(self, streams, observe):
        await streams.execute("ALTER TABLE streams ALTER metadata TYPE json USING metadata::json")
        await streams.execute(r"""UPDATE streams SET metadata = '{"a": "\u0000"}' WHERE id = '1'""")
        snapshot = await (await observe()).snapshot()
        assert [(q.id, q.reason) for q in snapshot.quarantined] == [("1", "ControlCharacters")]

    async def test_control_characters(self, streams, observe):
        await streams.execute(r"UPDATE streams SET url = E'http://radio.example/\x01' WHERE id = '1'")
        await streams.execute(r"UPDATE streams SET name = E'a\nb' WHERE id = '2'")
        snapshot = await (await observe()).snapshot()
        assert {q.reason for q in snapshot.quarantined} == {"ControlCharacters"}
        assert list(snapshot.streams) == ["3"]


class TestEncodings:
    async def test_a_database_without_encoding_may_hold_anything(self, database, observe):
        name = f"{database.name}_ascii"
        create(database.server, name, "SQL_ASCII")
        connection = await asyncpg.connect(database.server.dsn(name))
        try:
            await connection.execute("CREATE TABLE streams (id text, url text, name text, active bool)")
            await connection.execute("""
                INSERT INTO streams VALUES
                    ('1', 'http://a/', convert_from('\\x636166c3a9', 'SQL_ASCII'), true),
                    ('2', 'http://b/', convert_from('\\x636166e9', 'SQL_ASCII'), true),
                    (convert_from('\\xff', 'SQL_ASCII'), 'http://c/', 'c', true)
            """)
            snapshot = await (await observe({"database": name.encode()})).snapshot()
        finally:
            await connection.close()
        assert {i: s.name for i, s in snapshot.streams.items()} == {"1": "café"}
        assert [(q.id, q.reason) for q in snapshot.quarantined] == [("2", "InvalidText"), ("\ufffd", "InvalidText")]

    async def test_a_latin1_database_is_understood(self, database, observe):
        name = f"{database.name}_latin1"
        create(database.server, name, "LATIN1")
        connection = await asyncpg.connect(database.server.dsn(name))
        try:
            await connection.execute("CREATE TABLE streams (id text, url text, name text, active bool)")
            await connection.execute("INSERT INTO streams VALUES ('é', 'http://a/', 'café', true)")
            snapshot = await (await observe({"database": name.encode()})).snapshot()
        finally:
            await connection.close()
        assert {i: s.name for i, s in snapshot.streams.items()} == {"é": "café"}

    async def test_one_damaged_row_of_a_utf8_database_does_not_hide_the_others(self, streams, observe):
        await streams.execute("CREATE CAST (bytea AS text) WITHOUT FUNCTION")
        await streams.execute(r"UPDATE streams SET name = '\x61ff62'::bytea::text WHERE id = '2'")
        snapshot = await (await observe()).snapshot()
        assert sorted(snapshot.streams) == ["1", "3"]
        assert [(q.id, q.reason) for q in snapshot.quarantined] == [("2", "InvalidText")]


def create(server: Any, name: str, encoding: str) -> None:
    server.execute(f"CREATE DATABASE \"{name}\" ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")


class TestMissing:
    async def test_table(self, streams, observe):
        state = await (await observe(table="strems")).state(Reason.TABLE_MISSING)
        assert "strems does not exist" in state.message

    async def test_table_in_other_letters(self, streams, observe):
        state = await (await observe(table="Streams")).state(Reason.TABLE_MISSING)
        assert "upper and lower case matter" in state.message

    async def test_something_that_is_no_table(self, streams, observe):
        await streams.execute("CREATE SEQUENCE numbers")
        state = await (await observe(table="numbers")).state(Reason.TABLE_MISSING)
        assert "neither a table nor a view" in state.message

    async def test_needed_column(self, streams, observe):
        state = await (await observe(columns={"url": "address"})).state(Reason.COLUMN_MISSING)
        assert "streams has no column address (columns.url); it has active, id, metadata, name, url" in state.message

    async def test_chosen_column(self, streams, observe):
        state = await (await observe(required=frozenset({"updated_at"}))).state(Reason.COLUMN_MISSING)
        assert "updated_at (columns.updatedAt)" in state.message

    async def test_a_table_that_appears_is_read(self, owner, observe):
        observed = await observe()
        await observed.state(Reason.TABLE_MISSING)
        assert not observed.snapshots
        await owner.execute("CREATE TABLE streams (id int, url text, active bool)")
        await observed.snapshot()


class TestRoles:
    @pytest.fixture
    async def role(self, database, streams):
        name = f"role_{database.name}"
        await streams.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'hunter2'")
        yield name
        await streams.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")

    async def test_one_that_may_only_read_is_enough(self, role, streams, observe):
        await streams.execute(f"GRANT SELECT ON streams TO {role}")
        observed = await observe({"user": role.encode(), "password": b"hunter2"}, notify_channel="streams_changed")
        assert len((await observed.snapshot()).streams) == 3
        state = await observed.state(Reason.REACHABLE)
        assert (state.shared, "notification on streams_changed" in state.message) == (False, True)

    async def test_one_that_may_read_the_needed_columns_is_enough(self, role, streams, observe):
        await streams.execute("ALTER TABLE streams ADD secret text")
        await streams.execute(f"GRANT SELECT (id, url, name, active, metadata) ON streams TO {role}")
        observed = await observe({"user": role.encode(), "password": b"hunter2"})
        assert len((await observed.snapshot()).streams) == 3

    async def test_one_that_may_not_read_is_told(self, role, observe):
        observed = await observe({"user": role.encode(), "password": b"hunter2"})
        state = await observed.state(Reason.PERMISSION_DENIED)
        assert "permission denied for table streams" in state.message
        assert "SELECT on streams" in state.message

    async def test_one_that_may_not_enter_the_schema_is_told(self, role, streams, observe):
        await streams.execute("CREATE SCHEMA hidden; ALTER TABLE streams SET SCHEMA hidden")
        observed = await observe({"user": role.encode(), "password": b"hunter2"}, table="hidden.streams")
        assert "USAGE on the schema" in (await observed.state(Reason.PERMISSION_DENIED)).message

    async def test_nothing_can_be_written_through_it(self, streams, observe):
        await streams.execute("""
            CREATE FUNCTION spoil() RETURNS text LANGUAGE plpgsql AS
                $$ BEGIN DELETE FROM streams; RETURN 'x'; END $$;
            CREATE VIEW trap AS SELECT id, url, active, spoil() AS name FROM streams;
        """)
        await (await observe(table="trap")).state(Reason.QUERY_FAILED)
        assert await streams.fetchval("SELECT count(*) FROM streams") == 3


async def test_values_are_not_repeated_when_they_cannot_be_converted(streams, observe):
    await streams.execute("""
        CREATE VIEW broken AS SELECT id, ('hunter2' || url)::integer::text AS url, active FROM streams;
    """)
    state = await (await observe(table="broken")).state(Reason.INVALID_DATA)
    assert "broken cannot be converted" in state.message


async def test_the_event_loop_goes_on_while_a_large_table_is_read(streams, observe):
    await streams.execute("INSERT INTO streams SELECT 'n' || i, 'http://n/' || i FROM generate_series(1, 20000) i")
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    snapshot = await (await observe()).snapshot()
    counting.cancel()
    assert len(snapshot.streams) == 20_003
    assert turns > 40
