"""What people do to the streams table, its database and its Secret by mistake, and that it costs no stream.

In each case the StreamPool says what is wrong and what would be right, the last good assignment stays, and mending
the mistake is enough: nobody has to restart anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from devenv.fleet_api import fingerv7
from devenv.streams import Row, invent

pytestmark = pytest.mark.integration

CONFIRM = "fingerv7.io/confirm-source"


# --- the table cannot be read -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Mistake:
    name: str
    make: Callable[..., object]
    reason: str
    words: tuple[str, ...]
    mend: Callable[..., object] = lambda system: system.restore_secret()


def _sql(statement: str) -> Callable[..., object]:
    return lambda system: system.fleet.table.script(statement)


def _secret(**values: str | None) -> Callable[..., object]:
    return lambda system: system.edit_secret(**values)


MISTAKES = (
    Mistake(
        "wrong password",
        _secret(password="wrong-Horse-battery"),
        "AuthenticationFailed",
        ("refused the credentials in the Secret", "correct user and password"),
    ),
    Mistake(
        "unknown user",
        _secret(user="nobody_of_this_name"),
        "AuthenticationFailed",
        ("nobody_of_this_name", "correct user and password"),
    ),
    Mistake(
        "missing Secret",
        lambda system: system.delete_secret(),
        "SecretNotFound",
        ("Secret streams-db does not exist in namespace", "create it"),
    ),
    Mistake(
        "missing key",
        _secret(password=None),
        "SecretKeyMissing",
        ("no value under password", "accepted are the keys uri, or host, port, database, user and password"),
    ),
    Mistake(
        "garbled uri",
        _secret(uri="postgresql://radio:p@ss/wrong-Horse-battery@db.example/streams"),
        "SecretInvalid",
        ("uri cannot be read", "percent-encoded"),
        lambda system: (system.edit_secret(uri=None), system.restore_secret()),
    ),
    Mistake(
        "closed port",
        _secret(port="1"),
        "Unreachable",
        ("cannot be reached", "check host, port and the server"),
    ),
    Mistake(
        "unknown host",
        _secret(host="database.invalid"),
        "Unreachable",
        ("database.invalid", "cannot be resolved", "correct the host in the Secret"),
    ),
    Mistake(
        "unknown database",
        _secret(database="no_such_database"),
        "DatabaseMissing",
        ("no_such_database", "correct the database in the Secret or create it"),
    ),
    Mistake(
        "certificate of another authority",
        lambda system: system.edit_secret(**{"ca.crt": system.fleet.cluster.ca_file.read_text()}),
        "TlsFailed",
        ("the certificate of", "is not accepted", "ca.crt has to be the certificate of its authority"),
    ),
    Mistake(
        "no certificate at all",
        _secret(**{"ca.crt": "not a certificate"}),
        "SecretInvalid",
        ("ca.crt is not a certificate in PEM format",),
    ),
    Mistake(
        "missing table",
        _sql("ALTER TABLE streams RENAME TO stations"),
        "TableMissing",
        ("streams does not exist in this database", "correct spec.source.postgres.table"),
        _sql("ALTER TABLE stations RENAME TO streams"),
    ),
    Mistake(
        "missing column",
        _sql("ALTER TABLE streams RENAME url TO address"),
        "ColumnMissing",
        ("no column url (columns.url)", "it has active, address, id", "Correct spec.source.postgres.columns"),
        _sql("ALTER TABLE streams RENAME address TO url"),
    ),
    Mistake(
        "no permission",
        lambda system: system.fleet.table.script(f'REVOKE SELECT ON streams FROM "{system.secret("user")}"'),
        "PermissionDenied",
        ("permission denied for table streams", "SELECT on streams"),
        lambda system: system.fleet.table.script(f'GRANT SELECT ON streams TO "{system.secret("user")}"'),
    ),
)


@pytest.fixture(scope="module")
def system(start_shared_system):
    """A fleet whose source is read every 300 ms, and which believes a shrunk table only when somebody confirms it."""
    rows = invent(58)
    rows.append(Row("paid-1", "Paid 1", "https://listener:hunter2-userinfo@paid.radio.example.org/live"))
    rows.append(Row("paid-2", "Paid 2", "https://paid.radio.example.org/live?key=hunter2-query"))
    started = start_shared_system(rows=rows, source={"shrinkConfirmations": 100})
    started.secrets |= {"hunter2", "wrong-Horse-battery"}
    return started


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_source_that_cannot_be_read_is_explained_and_costs_no_stream(system, mistake):
    with system.untouched():
        mistake.make(system)
        try:
            system.await_pool("SourceReachable", False, mistake.reason, *mistake.words)
            system.await_event("StreamPool", "radio", mistake.reason, *mistake.words)
            system.await_pool("Ready", True, "Serving")
        finally:
            mistake.mend(system)
        system.await_pool("SourceReachable", True, "Reachable")
        system.await_polls(2)


def test_a_table_that_is_not_read_yet_is_why_the_pool_is_not_ready(start_system):
    system = start_system(workers=0, before=lambda s: s.edit_secret(password="wrong-Horse-battery"))
    system.secrets.add("wrong-Horse-battery")
    system.fleet.start_worker("fingerv7-000", 80)
    system.await_pool("Ready", False, "SourceNotRead", "refused the credentials in the Secret")
    system.restore_secret()
    system.await_ready()


# --- rows that nobody can use -----------------------------------------------------------------------------


def test_bad_rows_are_named_one_by_one_and_the_others_are_served(system):
    table = system.fleet.table
    table.script(
        "ALTER TABLE streams DROP CONSTRAINT streams_pkey; ALTER TABLE streams ALTER id DROP NOT NULL, "
        "ALTER url DROP NOT NULL, ALTER metadata TYPE json"
    )
    good = "'https://good.radio.example.org/live?key=hunter2'"
    before = set(system.fleet.running())
    with system.untouched():
        table.script(
            "INSERT INTO streams (id, url, name, metadata, weight) VALUES "
            f"('million', 'https://radio.example.org/hunter2/' || repeat('x', 1000000), '', '{{}}', 1),"
            f"('line-break', E'https://radio.example.org/hunter2\\n', '', '{{}}', 1),"
            f"('bell', {good}, E'\\007', '{{}}', 1),"
            f"""('nul', {good}, '', '{{"note": "hunter2\\u0000"}}', 1),"""
            f"""('half', {good}, '', '{{"note": "\\ud800"}}', 1),"""
            f"""('nested', {good}, '', '{{"note": {{"deep": 1}}}}', 1),"""
            f"('no-url', NULL, '', '{{}}', 1),"
            f"('ftp', 'ftp://listener:hunter2@radio.example.org/live', '', '{{}}', 1),"
            f"(NULL, {good}, '', '{{}}', 1),"
            f"('heavy', {good}, '', '{{}}', 5000),"
            f"('stream-00001', 'https://zzz.radio.example.org/hunter2', '', '{{}}', 1)"
        )
        reasons = system.fleet.wait_for(
            lambda: (
                (status := system.fleet.stream_pool()["status"]).get("quarantined") == 11
                and status["quarantinedReasons"]
            ),
            20,
            "eleven rows are quarantined",
        )
        assert reasons == {
            "ControlCharacters": 3,
            "DuplicateId": 1,
            "EmptyUrl": 1,
            "InvalidMetadata": 1,
            "InvalidText": 1,
            "InvalidUrl": 1,
            "InvalidWeight": 1,
            "NoId": 1,
            "TooLarge": 1,
        }
        told = system.await_event
        told("StreamPool", "radio", "QuarantinedTooLarge", "'million'", "url is so long", "1024 bytes")
        told("StreamPool", "radio", "QuarantinedControlCharacters", "contains a NUL or another control character")
        told("StreamPool", "radio", "QuarantinedDuplicateId", "'stream-00001'", "ids have to be unique")
        told("StreamPool", "radio", "QuarantinedEmptyUrl", "'no-url'", "write http:// or https:// with a host")
        told("StreamPool", "radio", "QuarantinedInvalidUrl", "'ftp'", "http:// or https://")
        told("StreamPool", "radio", "QuarantinedInvalidText", "'half'", "metadata is not valid Unicode")
        told(
            "StreamPool", "radio", "QuarantinedInvalidMetadata", "'nested'", "texts, numbers or booleans is accepted"
        )
        told("StreamPool", "radio", "QuarantinedInvalidWeight", "'heavy'", "a whole number from 1 to 1000")
        told("StreamPool", "radio", "QuarantinedNoId", "every active row needs one")
        examples = system.fleet.stream_pool()["status"]["quarantinedExamples"]
        assert examples["ControlCharacters"] == ["bell", "line-break", "nul"]

    table.insert(invent(1, first=900))
    system.fleet.wait_for(
        lambda: set(system.fleet.running()) == before | {"stream-00900"}, 10, "a good row beside bad ones is served"
    )
    table.script("DELETE FROM streams WHERE ctid NOT IN (SELECT min(ctid) FROM streams GROUP BY id)")
    table.script("DELETE FROM streams WHERE id IS NULL OR id IN ('million', 'line-break', 'bell', 'nul', 'half')")
    table.script("DELETE FROM streams WHERE id IN ('nested', 'no-url', 'ftp', 'heavy', 'stream-00900')")
    table.script("ALTER TABLE streams ADD PRIMARY KEY (id)")
    system.await_ready()


def test_a_database_that_is_not_utf8_is_served_but_for_its_broken_rows(start_system):
    def use_another_database(system):
        name, table = system.other_database(
            "ascii", "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        )
        table.insert(invent(20))
        table.script(
            "INSERT INTO streams (id, url, name) VALUES ('utf8', 'https://radio.example.org/u', E'caf\\303\\251'), "
            "('latin1', 'https://radio.example.org/l', E'caf\\351'), (E'b\\377d', 'https://radio.example.org/b', '')"
        )
        system.edit_secret(database=name)

    system = start_system(workers=0, before=use_another_database)
    system.fleet.start_worker("fingerv7-000", 80)
    expected = {row.id for row in invent(20)} | {"utf8"}
    system.fleet.wait_for(lambda: set(system.fleet.running()) == expected, 20, "all good rows are served")
    system.await_pool("SourceReachable", True, "Reachable")
    assert system.fleet.stream_pool()["status"]["quarantinedReasons"] == {"InvalidText": 2}
    system.await_event("StreamPool", "radio", "QuarantinedInvalidText", "is not valid UTF-8 at byte")


# --- the table changes too much at once -------------------------------------------------------------------


def test_a_table_emptied_by_accident_costs_nothing(system):
    fleet = system.fleet
    fleet.table.script("CREATE TABLE backup AS TABLE streams")
    held = ("60 of 60 assigned streams (100 %)", "Nothing is revoked until", f"the annotation {CONFIRM}=")
    with system.untouched():
        fleet.table.script("TRUNCATE streams")
        system.await_pool("SourceChanged", True, "Shrunk", *held)
        system.await_event("StreamPool", "radio", "Shrunk", *held)
        system.await_polls(3)
        fleet.table.script("INSERT INTO streams SELECT * FROM backup; DROP TABLE backup")
        system.await_pool("SourceChanged", False, "Unchanged")
    system.await_ready()


def test_a_table_emptied_while_the_operator_restarts_costs_nothing(system):
    fleet = system.fleet
    fleet.table.script("CREATE TABLE backup AS TABLE streams")
    operator = fleet.operators["operator-1"]
    leader = fleet.stream_pool()["status"]["leaderEpoch"]
    with system.untouched():
        operator.kill()
        fleet.table.script("TRUNCATE streams")
        operator.start()
        fleet.wait_for(
            lambda: fleet.stream_pool()["status"]["leaderEpoch"] > leader, 20, "the restarted operator is in office"
        )
        system.await_pool("SourceChanged", True, "Shrunk", "60 of 60 assigned streams (100 %)")
        system.await_polls(3)
        fleet.table.script("INSERT INTO streams SELECT * FROM backup; DROP TABLE backup")
        system.await_pool("SourceChanged", False, "Unchanged")
    system.await_ready()


def test_a_secret_that_points_at_another_database_waits_for_confirmation(start_system):
    system = start_system(rows=40, source={"shrinkConfirmations": 100})
    fleet = system.fleet
    other, table = system.other_database("other")
    table.insert(invent(30, first=1001))
    pool = fingerv7(fleet.namespace, "streampools", "radio")
    annotate = lambda value: fleet.api.merge(pool, {"metadata": {"annotations": {CONFIRM: value}}})  # noqa: E731
    begun = fleet.now()
    with system.untouched():
        system.edit_secret(database=other)
        told = system.await_pool(
            "SourceChanged",
            True,
            "DatabaseChanged",
            "The source is now database",
            other,
            f"the annotation {CONFIRM}=",
        )
        assert system.secret("database") in told.partition("no longer")[2], "it says which one was left"
        system.await_event("StreamPool", "radio", "DatabaseChanged", other, CONFIRM)
        system.await_polls(3, database=other)

        operator = fleet.operators["operator-1"]
        operator.stop_gracefully()
        operator.start()
        system.await_polls(3, database=other)
        told = system.await_pool("SourceChanged", True, "DatabaseChanged", other)

        annotate("yes")
        system.await_polls(3, database=other)

    annotate(told.partition(f"{CONFIRM}=")[2].split()[0])
    expected = {row.id for row in invent(30, first=1001)}
    fleet.wait_for(lambda: set(fleet.running()) == expected, 20, "the other database's streams are processed")
    system.await_pool("SourceChanged", False, "Unchanged")
    verdict = fleet.check(allowed_gap_s=1, since=begun, expected=expected)
    assert verdict.ok, verdict


def test_a_shrunk_table_is_believed_after_the_configured_number_of_polls(start_system):
    system = start_system(workers=1, rows=20, source={"shrinkConfirmations": 5})
    ids = sorted(system.fleet.running())
    system.fleet.table.delete(ids[:15])
    system.await_event("StreamPool", "radio", "Shrunk", "15 of 20 assigned streams (75 %)", "15 vanished")
    system.fleet.wait_for(lambda: sorted(system.fleet.running()) == ids[15:], 20, "five polls confirm it")
    assert system.fleet.check(allowed_gap_s=1, expected=ids[15:]).ok
