"""A database that is away, hangs, resets, crawls or lies: nothing moves because of it, and deaths are still replaced.

That each such mistake is named, and costs nothing while nothing else happens, is in
tests/integration/system/test_bad_input_source.py; here a worker dies meanwhile. Each trouble has a pool of its own,
all at the same time, and one operator looks after all: what hangs in one pool delays no other.
"""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from devenv.cluster import Cluster
from devenv.fleet import Fleet
from devenv.fleet_api import core
from devenv.fleet_objects import SECRET
from devenv.ports import ReservedPort
from devenv.postgres import Postgres
from devenv.streams import StreamsTable, invent

from .seen import (
    PROMISED_GAP_S,
    SOON_S,
    await_condition,
    await_ready,
    gaps,
    holds,
    judge,
    metric,
    serves_new_row,
    worker_name,
)
from .wire import State, Wire

ROWS = 20
WORKERS = 2
DYING = worker_name(1)
POLL = "1s"


@dataclass(frozen=True)
class Source:
    """A pool whose operator reaches its database over a cable; the workers' journal has another way."""

    fleet: Fleet
    wire: Wire
    postgres: Postgres
    metrics_port: int

    @property
    def name(self) -> str:
        """Of the database."""
        return str(self.fleet.table.query("SELECT current_database() AS name")[0]["name"])

    def point_at_another(self) -> None:
        """The same table elsewhere, with other rows."""
        other = f"{self.name}_other"
        self.postgres.create_database(other)
        table = StreamsTable(self.postgres.dsn(other))
        table.create(invent(ROWS, first=1001))
        found = self.fleet.api.get(core(self.fleet.namespace, "secrets", SECRET))["data"]
        table.script(f'GRANT SELECT ON streams TO "{base64.b64decode(found["user"]).decode()}"')
        self._edit(database=other)

    def point_back(self) -> None:
        self._edit(database=self.name)

    def drop_other(self) -> None:
        self.postgres.execute(f'DROP DATABASE IF EXISTS "{self.name}_other" WITH (FORCE)')

    def come_in_over_the_wire(self) -> None:
        self._edit(port=str(self.wire.port))

    def await_shown(self, kind: str, status: bool, *words: str) -> str:
        """By the pool's condition and by its metric; what the condition says."""
        told = await_condition(self.fleet, kind, status, *words)
        labels = (f'namespace="{self.fleet.namespace}"', f'type="{kind}"')
        self.fleet.wait_for(
            lambda: metric(self.metrics_port, "fingerv7_pool_condition", *labels) == status,
            SOON_S,
            f"the metric says that {kind} is {status}",
        )
        return told

    def _edit(self, **values: str) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        self.fleet.api.merge(core(self.fleet.namespace, "secrets", SECRET), {"data": data})
        self.wire.reset()  # the Secret is read when the operator connects


def _set(state: State) -> Callable[[Source], None]:
    return lambda source: setattr(source.wire, "state", state)


def _script(sql: str) -> Callable[[Source], None]:
    return lambda source: source.fleet.table.script(sql)


def _slow(delay_s: float) -> Callable[[Source], None]:
    return lambda source: setattr(source.wire, "delay_s", delay_s)


@dataclass(frozen=True)
class Trouble:
    name: str
    make: Callable[[Source], None]
    mend: Callable[[Source], None]
    condition: str = "SourceReachable"
    status: bool = False
    words: tuple[str, ...] = ()


TROUBLES = (
    Trouble("resetting every connection", _set(State.RESETTING), _set(State.OPEN), words=("Unreachable",)),
    Trouble("down", _set(State.DOWN), _set(State.OPEN), words=("Unreachable",)),
    Trouble("hung", _set(State.SILENT), _set(State.OPEN)),
    Trouble("slow", _slow(0.3), _slow(0.0), status=True),
    Trouble(
        "emptied",
        _script("CREATE TABLE backup AS TABLE streams; TRUNCATE streams"),
        _script("INSERT INTO streams SELECT * FROM backup; DROP TABLE backup"),
        "SourceChanged",
        True,
        ("Shrunk", "100 %"),
    ),
    Trouble(
        "60 % smaller",
        _script(
            "CREATE TABLE backup AS SELECT * FROM streams ORDER BY id LIMIT 12; "
            "DELETE FROM streams WHERE id IN (SELECT id FROM backup)"
        ),
        _script("INSERT INTO streams SELECT * FROM backup; DROP TABLE backup"),
        "SourceChanged",
        True,
        ("Shrunk", "60 %"),
    ),
    Trouble(
        "with a renamed column",
        _script("ALTER TABLE streams RENAME url TO address"),
        _script("ALTER TABLE streams RENAME address TO url"),
        words=("ColumnMissing",),
    ),
    Trouble(
        "replaced by another",
        Source.point_at_another,
        Source.point_back,
        "SourceChanged",
        True,
        ("DatabaseChanged",),
    ),
)


@pytest.fixture
def sources(
    cluster: Cluster, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Trouble, Source]]:
    """A pool for each trouble."""
    port = ReservedPort()
    with contextlib.ExitStack() as stack:
        stack.callback(port.release)
        found: dict[Trouble, Source] = {}
        for trouble in TROUBLES:
            wire = stack.enter_context(Wire(postgres.host, postgres.port))
            fleet = Fleet(
                cluster,
                postgres,
                rows=ROWS,
                poll_interval=POLL,
                notify=False,
                folder=tmp_path_factory.mktemp("source"),
            )
            stack.enter_context(fleet)
            fleet.patch_pool({"source": {"postgres": {"shrinkConfirmations": 100}}})
            found[trouble] = source = Source(fleet, wire, postgres, port.number)
            stack.callback(source.drop_other)
            source.come_in_over_the_wire()
            for number in range(1, WORKERS + 1):
                fleet.start_worker(worker_name(number), 2 * ROWS)
        fleets = [source.fleet for source in found.values()]
        fleets[0].start_operator(
            FINGERV7_KUBECONFIG=str(cluster.kubeconfig),
            FINGERV7_LISTEN=f"127.0.0.1:{port.number}",
            FINGERV7_NAMESPACES=",".join(fleet.namespace for fleet in fleets),
        )
        for fleet in fleets:
            fleet.wait_all_running(120)
            await_ready(fleet, *fleet.workers)
        yield found


@pytest.mark.long
@pytest.mark.timeout(400, func_only=True)
def test_nothing_moves_because_of_a_database_and_the_dead_are_replaced(sources: dict[Trouble, Source]) -> None:
    known = {trouble: source.fleet.table.active_ids() for trouble, source in sources.items()}
    before = {trouble: source.fleet.assigned() for trouble, source in sources.items()}
    since = next(iter(sources.values())).fleet.now()
    for trouble, source in sources.items():
        trouble.make(source)
    for trouble, source in sources.items():
        print(trouble.name, source.await_shown(trouble.condition, trouble.status, *trouble.words))
    killed_at = time.monotonic()
    for trouble, source in sources.items():
        assert source.fleet.assigned() == before[trouble], trouble.name
        assert gaps(source.fleet, since) == [], f"database {trouble.name}: a stream was stopped"
        source.fleet.workers[DYING].kill()
    print(f"killed {len(sources)} workers within {time.monotonic() - killed_at:.1f} s")
    for trouble, source in sources.items():
        fleet, fault = source.fleet, f"database {trouble.name}, and a worker killed"
        fleet.wait_for(lambda f=fleet: holds(f, DYING) == 0, SOON_S, f"{DYING} was taken over")
        judge(fleet, fault, since=since, allowed_gap_s=PROMISED_GAP_S, expected=known[trouble])
    for trouble, source in sources.items():
        trouble.mend(source)
    for source in sources.values():
        source.await_shown("SourceReachable", True)
        source.await_shown("SourceChanged", False)
        serves_new_row(source.fleet, 7001)
        judge(source.fleet, "database mended", since=since, allowed_gap_s=PROMISED_GAP_S)
