"""Whatever stands between the operator and the table: the state says what, and the last catalog stays."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Self

import pytest
import trustme

from fingerv7.adapters.postgres import Reason, SecretError

pytestmark = pytest.mark.integration

DEADLINE_S = 30.0


class Listener:
    """Accepts connections, notes what it is sent, answers `reply` to it once and then says nothing."""

    def __init__(self, reply: bytes = b"") -> None:
        self.heard: list[bytes] = []
        self._reply = reply
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> bytes:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return str(self._server.sockets[0].getsockname()[1]).encode()

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(ConnectionError):
            self.heard.append(await reader.read(1000))
            writer.write(self._reply)
            while data := await reader.read(1000):
                self.heard.append(data)


@pytest.fixture
def free_port() -> bytes:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return str(sock.getsockname()[1]).encode()


class TestConnecting:
    async def test_wrong_password(self, observe):
        state = await (await observe({"password": b"hunter2"})).state(Reason.AUTHENTICATION_FAILED)
        assert "password authentication failed" in state.message
        assert "correct user and password" in state.message

    async def test_unknown_user(self, observe):
        await (await observe({"user": b"nobody"})).state(Reason.AUTHENTICATION_FAILED)

    async def test_unknown_database(self, observe):
        state = await (await observe({"database": b"nowhere"})).state(Reason.DATABASE_MISSING)
        assert '"nowhere" does not exist' in state.message

    async def test_nobody_listens(self, observe, free_port):
        state = await (await observe({"port": free_port})).state(Reason.UNREACHABLE)
        assert f"127.0.0.1:{free_port.decode()} cannot be reached" in state.message

    async def test_unknown_host(self, observe):
        state = await (await observe({"host": b"no-such-host.invalid"})).state(Reason.UNREACHABLE)
        assert "cannot be resolved" in state.message

    async def test_a_server_that_accepts_and_says_nothing(self, observe):
        async with Listener() as port:
            state = await (await observe({"port": port}, connect_timeout_s=0.2)).state(Reason.TIMEOUT)
        assert "did not answer within 0.2 s" in state.message

    async def test_something_that_is_not_postgresql(self, observe):
        async with Listener(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
            state = await (await observe({"port": port}, connect_timeout_s=1)).state(
                Reason.TLS_FAILED, Reason.UNREACHABLE
            )
        assert not state.reachable


class TestTls:
    async def test_a_certificate_of_another_authority(self, streams, observe):
        stranger = trustme.CA().cert_pem.bytes()
        observed = await observe({"ca.crt": stranger})
        state = await observed.state(Reason.TLS_FAILED)
        assert "ca.crt" in state.message
        assert not observed.snapshots

    async def test_a_certificate_for_another_host(self, database, streams, observe):
        if database.server.host != "127.0.0.1":
            pytest.skip("needs a server of our own")
        state = await (await observe({"host": b"127.0.0.2"})).state(Reason.TLS_FAILED, Reason.UNREACHABLE)
        assert "127.0.0.2" in state.message

    async def test_the_password_is_never_sent_in_plain_text_to_a_server_without_tls(self, observe):
        listener = Listener(b"N")
        async with listener as port:
            state = await (await observe({"port": port})).state(Reason.TLS_FAILED)
        assert "does not offer TLS" in state.message
        assert {len(packet) for packet in listener.heard} == {8}, "only the question for TLS"

    @pytest.mark.parametrize("mode", [b"require", b"verify-full"])
    async def test_nor_where_the_mode_asks_for_it(self, mode, observe):
        async with Listener(b"N") as port:
            await (await observe({"port": port, "ca.crt": None, "sslmode": mode})).state(Reason.TLS_FAILED)

    async def test_without_a_word_about_tls_a_server_without_it_is_accepted(self, observe):
        listener = Listener(b"N")
        async with listener as port:
            observed = await observe({"port": port, "ca.crt": None}, connect_timeout_s=0.3)
            await observed.state(Reason.TIMEOUT)
        assert any(b"fingerv7-operator" in packet for packet in listener.heard), "a start in plain text was sent"

    @pytest.mark.parametrize("mode", [None, b"require", b"prefer"])
    async def test_without_a_ca_the_connection_is_encrypted_where_it_can_be(self, mode, streams, observe):
        observed = await observe({"ca.crt": None, "sslmode": mode})
        await observed.snapshot()
        assert "unencrypted" not in (await observed.state(Reason.REACHABLE)).message
        assert await streams.fetchval(
            "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
            " WHERE application_name = 'fingerv7-operator' AND datname = current_database()"
        )

    async def test_a_ca_that_is_none(self, observe):
        state = await (await observe({"ca.crt": b"hunter2"})).state(Reason.SECRET_INVALID)
        assert "ca.crt" in state.message


class TestSecret:
    @pytest.mark.parametrize("key", ["host", "database", "user", "password"])
    async def test_a_missing_key_is_named(self, key, observe):
        state = await (await observe({key: None})).state(Reason.SECRET_KEY_MISSING)
        assert f"no value under {key}" in state.message

    async def test_a_missing_secret_is_what_its_reader_says(self, streams, observe, secret):
        observed = await observe()
        await observed.snapshot()
        observed.secret = SecretError(Reason.SECRET_NOT_FOUND, "Secret streams-db does not exist")
        await drop_connections(streams)
        state = await observed.state(Reason.SECRET_NOT_FOUND)
        assert state.message == "Secret streams-db does not exist"
        observed.secret = secret
        await observed.state(Reason.REACHABLE)

    async def test_a_reader_that_fails_is_tried_again(self, streams, observe, secret):
        observed = await observe({"host": b"no-such-host.invalid"})
        observed.secret = RuntimeError("hunter2")
        await observed.state(Reason.UNREACHABLE)
        observed.secret = secret
        await observed.snapshot()

    async def test_a_uri_does_as_well(self, database, streams, observe, secret):
        uri = database.dsn.partition("?")[0].encode()
        only = {**dict.fromkeys(secret), "uri": uri, "ca.crt": secret["ca.crt"]}
        assert len((await (await observe(only)).snapshot()).streams) == 3

    async def test_an_edited_one_is_used_from_the_next_poll_on(self, database, streams, observe, secret):
        observed = await observe(poll_interval_s=0.1)
        first = await observed.snapshot()
        observed.secret = {**secret, "database": b"postgres"}
        await observed.state(Reason.TABLE_MISSING)
        observed.secret = secret
        assert (await observed.snapshot(lambda s: s is not first)).identity == first.identity

    async def test_another_database_has_another_identity(self, database, streams, observe):
        other = f"{database.name}_other"
        database.server.execute(f'CREATE DATABASE "{other}" TEMPLATE postgres')
        database.server.execute("CREATE TABLE streams (id int, url text, active bool)", database=other)
        first = await (await observe()).snapshot()
        second = await (await observe({"database": other.encode()})).snapshot()
        assert first.identity != second.identity
        assert database.name in first.identity


async def drop_connections(owner) -> None:
    await owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'fingerv7-operator' AND datname = current_database()"
    )


class TestOutages:
    async def test_a_connection_killed_in_the_middle_is_replaced_at_once(self, streams, observe):
        observed = await observe()
        await observed.snapshot()
        await streams.execute("DELETE FROM streams WHERE id = '1'")
        await drop_connections(streams)
        await observed.snapshot(lambda s: len(s.streams) == 2)
        assert Reason.UNREACHABLE in {state.reason for state in observed.states}

    async def test_a_server_that_stops_changes_nothing_and_is_found_again(self, database, secret, streams, observe):
        if not database.server.can_stop:
            pytest.skip("needs a server of our own")
        observed = await observe(poll_interval_s=0.2)
        await observed.snapshot()
        database.server.stop()
        try:
            state = await observed.state(Reason.UNREACHABLE)
            assert state.last_success is not None
            read = len(observed.snapshots)
            await observed.until(lambda: sum(not s.reachable for s in observed.states) > 3)
            assert len(observed.snapshots) == read
            assert all(len(snapshot.streams) == 3 for snapshot, _ in observed.snapshots)
        finally:
            await asyncio.to_thread(database.server.start)
        await observed.state(Reason.REACHABLE)

    async def test_a_locked_table_times_out_and_the_next_attempt_reads_it(self, streams, observe):
        async with streams.transaction():
            await streams.execute("LOCK TABLE streams IN ACCESS EXCLUSIVE MODE")
            observed = await observe(statement_timeout_s=0.2)
            state = await observed.state(Reason.TIMEOUT)
            assert "reading streams took longer than 0.2 s" in state.message
        await observed.snapshot()

    async def test_a_table_that_is_altered_while_it_is_read_is_looked_at_once_more(self, streams, observe):
        blocked = "SELECT count(*) FROM pg_locks WHERE relation = 'streams'::regclass AND NOT granted"
        async with streams.transaction():
            await streams.execute("ALTER TABLE streams RENAME url TO address")
            observed = await observe()
            async with asyncio.timeout(DEADLINE_S):
                while not await streams.fetchval(blocked):
                    pass  # until it has seen the old columns, and waits to read them
        await observed.state(Reason.COLUMN_MISSING)
        assert {each.reason for each in observed.states} == {Reason.COLUMN_MISSING}
        assert all("no column url (columns.url); it has active, address" in each.message for each in observed.states)

    async def test_a_server_that_hangs_in_the_middle_times_out(self, secret, streams, observe):
        async with Proxy(secret) as proxy:
            observed = await observe(
                {"port": proxy.port}, poll_interval_s=0.1, statement_timeout_s=0.2, connect_timeout_s=0.5
            )
            await observed.snapshot()
            proxy.flowing.clear()
            await observed.state(Reason.TIMEOUT)
            proxy.flowing.set()
            await observed.state(Reason.REACHABLE)


class Proxy:
    """In front of the server; when it stops flowing, both sides wait."""

    def __init__(self, secret: dict[str, bytes]) -> None:
        self._to = (secret["host"].decode(), int(secret["port"]))
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = str(self._server.sockets[0].getsockname()[1]).encode()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        far_reader, far_writer = await asyncio.open_connection(*self._to)
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self.flowing.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


async def test_a_cancelled_source_leaves_no_session_behind(streams, secret, observe):
    observed = await observe()
    await observed.snapshot()
    observed.task.cancel()
    async with asyncio.timeout(20):
        while await streams.fetchval(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'fingerv7-operator' AND datname = current_database()"
        ):
            await streams.execute("SELECT pg_sleep(0.01)")  # the server sends no event when a session ends
