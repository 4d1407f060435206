"""Plans from a real database and a real API server."""

from __future__ import annotations

import asyncio
import json

import asyncpg
import pytest

pytestmark = pytest.mark.integration

ROWS = """
CREATE TABLE stations (station text, address text, place text, on_air boolean DEFAULT true, needs text[], load int);
INSERT INTO stations SELECT 's' || i, 'https://u:hidden@radio.example/' || i || '?key=hidden', 'berlin', true,
  CASE WHEN i % 10 = 0 THEN ARRAY['vpn'] END, 1 + i % 2 FROM generate_series(1, 60) i;
INSERT INTO stations VALUES ('bad', 'ftp://radio.example', '', true), ('off', 'http://radio.example', '', false);
"""
COLUMNS = "id=station,url=address,active=on_air,location=place,capabilities=needs,weight=load"


@pytest.fixture
def fleet(tmp_path):
    path = tmp_path / "fleet.yaml"
    path.write_text(
        "workers:\n- {name: w, replicas: 3, maxStreams: 50, location: berlin}\n- {name: v, maxStreams: 50, capabilities: [vpn]}\n"
    )
    return str(path)


@pytest.fixture
def stations(database):
    run(database.dsn, ROWS)
    return database


def run(dsn, sql):
    async def execute():
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.execute(sql)
        finally:
            await connection.close()

    return asyncio.run(execute())


@pytest.fixture
def reader(stations):
    """A role that may read the table and do nothing else: not even take the lock by which operators are noticed."""
    role = f"{stations.name}_reader"
    run(
        stations.dsn,
        f"REVOKE EXECUTE ON FUNCTION pg_catalog.pg_try_advisory_lock(bigint) FROM PUBLIC; "
        f"CREATE ROLE {role} LOGIN PASSWORD 'reading-only'; GRANT SELECT ON stations TO {role}",
    )
    yield f"{role}:reading-only"
    run(stations.dsn, f"DROP OWNED BY {role}; DROP ROLE {role}")


def dsn(database, user=None):
    """As a user writes it, with the server's certificate."""
    server = database.server
    return (
        f"postgresql://{user or f'{server.user}:{server.password}'}@{server.host}:{server.port}/"
        f"{database.name}?sslrootcert={server.ca_file}"
    )


def test_streams_come_from_a_table_that_is_left_alone(cli, stations, fleet, reader):
    source = dsn(stations, reader)
    given = ("--streams", source, "--table", "stations", "--columns", COLUMNS, "--workers", fleet)
    done = cli("plan", *given, "--change", "lose w-001", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert shown["streams"]["from"] == "table stations"
    assert (shown["streams"]["served"], shown["streams"]["inactive"]) == (60, 1)
    assert shown["streams"]["quarantined"] == {"InvalidUrl": 1}
    assert shown["totals"]["triggers"].keys() == {"WorkerLost"}
    assert "hidden" not in done.stdout


def test_what_is_wrong_with_a_database_is_one_sentence(cli, stations, fleet):
    def refusal(source, *options):
        done = cli("plan", "--streams", source, "--workers", fleet, *options)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert stations.server.password not in done.stderr
        assert "Secret" not in done.stderr
        return done.stderr

    here = dsn(stations)
    assert "nowhere does not exist in this database; correct --table" in refusal(here, "--table", "nowhere")
    assert "stations has no columns active (columns.active), id (columns.id)" in refusal(here, "--table", "stations")
    assert "refused the credentials" in refusal(dsn(stations, "postgres:wrong-password"), "--table", "stations")


def test_workers_and_streams_come_from_the_cluster(cli, stored, a_stream):
    stored.pool(streams=42)
    for name, first in (("w1", 0), ("w2", 20)):
        stored.worker(name, streams=[a_stream(f"s{n:02}") for n in range(first, first + 20)])
    done = cli("plan", "--from-cluster", "--change", "lose w2", "--explain", "s20")
    assert (done.returncode, done.stderr) == (0, "")
    assert "40 streams, 39 with the URL of another; from what the workers hold now" in done.stdout
    assert "the pool has 42 streams; the 2 that nobody holds are not known here, see --streams" in done.stdout
    assert "Moves      20: WorkerLost 20" in done.stdout
    assert "Stream s20 on w1: w2 is gone; here: the only worker" in done.stdout
    assert "hidden" not in done.stdout
    unchanged = cli("plan", "--from-cluster")
    assert "Moves      none" in unchanged.stdout


def test_what_kubectl_prints_is_a_fleet(cli, stored, a_stream, tmp_path):
    stored.pool()
    stored.worker("w1", streams=[a_stream("s1")])
    stored.worker("w2")
    for output in ("yaml", "json"):
        path = tmp_path / f"workers.{output}"
        path.write_text(stored.kubectl("get", "spool,fw", "-o", output))
        done = cli("plan", "--workers", str(path), "--change", "drain w1", config=tmp_path / "none")
        assert (done.returncode, done.stderr) == (0, "")
        assert "Moves      1: WorkerIneligible 1" in done.stdout


def test_a_namespace_without_workers(cli, namespace):
    done = cli("plan", "--from-cluster")
    assert done.returncode == 2
    assert (
        done.stderr
        == f"fingerv7: there is no FingerWorker in namespace {namespace}; name another namespace with -n\n"
    )
