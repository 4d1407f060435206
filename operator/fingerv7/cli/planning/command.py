"""`fingerv7 plan`: gather streams, workers and rules, ask `core`, and print."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fingerv7.api.balancing import Balancing
from fingerv7.cli.errors import CliError
from fingerv7.cli.planning import chart, data, history, text
from fingerv7.cli.planning.database import SCHEMES, read_database
from fingerv7.cli.planning.documents import Json, read_objects
from fingerv7.cli.planning.fleet import Fleet, Pool, read_fleet
from fingerv7.cli.planning.outcome import Given, Outcome, changed, placed, predict
from fingerv7.cli.planning.rules import Rules, from_balancing, with_options
from fingerv7.cli.planning.scenario import read_scenario
from fingerv7.cli.planning.table_file import KNOWN, read_csv
from fingerv7.core.catalog import Snapshot, read_rows
from fingerv7.core.simulation import ChangeError, World, replay
from fingerv7.core.simulation.changes import did_you_mean

if TYPE_CHECKING:
    from fingerv7.cli.access import Cluster


def plan(given: Namespace, connect: Callable[[], tuple[Cluster, str]]) -> int:
    """0 when every stream has a worker, else 1. Raises CliError.

    `connect` answers the cluster and the namespace, and is called only where the cluster is asked.
    """
    _check(given)
    fleet = _fleet(given, connect)
    columns = _columns(given.columns)
    snapshot, origin, notes = _streams(given, fleet, columns)
    rules = with_options(from_balancing(fleet.pool.balancing if fleet.pool else Balancing()), given)
    world = World(snapshot.streams, fleet.workers, fleet.owners)
    notes = [*notes, *fleet.notes]
    if given.change and not world.owners:
        world = placed(world, rules.policy)
        notes.append("no worker holds anything yet: every stream was placed first, and then the changes were made")
    where = Given(origin, _workers_from(given), snapshot, notes)
    try:
        if given.scenario:
            return _scenario(given, world, rules, where)
        return _plan(given, predict(world, given.change, rules.policy), rules, where)
    except ChangeError as error:
        raise CliError(str(error)) from None


def _plan(given: Namespace, outcome: Outcome, rules: Rules, where: Given) -> int:
    explanations = [outcome.explain(_known(stream, outcome, where)) for stream in given.explain]
    if given.output == "table":
        lines = text.render(outcome, where, explanations, moves=given.moves, cooldown_ms=rules.cooldown_ms)
        print(*lines, sep="\n", flush=True)
    else:
        print(data.dump(data.plan_data(outcome, where, rules, explanations), given.output), flush=True)
    return 1 if outcome.plan.unplaced else 0


def _scenario(given: Namespace, world: World, rules: Rules, where: Given) -> int:
    scenario = read_scenario(given.scenario)
    world = changed(world, given.change)
    steps = list(
        replay(world, scenario.events, rules.policy, cooldown_ms=rules.cooldown_ms, until_ms=scenario.until_ms)
    )
    if given.output == "table":
        print(*history.render(steps, where, given.change), sep="\n", flush=True)
    else:
        print(data.dump(data.replay_data(steps, where, rules, given.change), given.output), flush=True)
    if given.chart:
        size = f"{text.count(steps[0].streams, 'stream')} on {text.count(len(steps[0].loads), 'worker')}"
        title = f"{Path(given.scenario).stem}: {size}, strategy {rules.policy.strategy}"
        chart.draw(steps, given.chart, title=title, until_ms=scenario.until_ms)
        if given.output == "table":
            print(f"The chart is in {given.chart}.", flush=True)
    return 1 if steps[-1].unplaced else 0


def _check(given: Namespace) -> None:
    """What has to be said together, and what may not. Raises CliError."""
    if bool(given.workers) == given.from_cluster:
        both = "not both" if given.workers else "either"
        raise CliError(
            f"where the workers are has to be said, by --workers FILE.yaml or by --from-cluster, and {both}"
            if given.workers
            else "where the workers are has to be said: give --workers FILE.yaml or --from-cluster"
        )
    if given.streams == given.workers == "-":
        raise CliError("only one of --streams and --workers can be standard input")
    if given.chart and not given.scenario:
        raise CliError("--chart draws a scenario over time; give --scenario FILE.yaml as well")
    if given.explain and given.scenario:
        raise CliError("--explain speaks of one plan; leave --scenario out and give its changes with --change")
    if given.table and not _is_dsn(given.streams):
        raise CliError("--table names a table of a database; give --streams postgresql://USER@HOST/DATABASE as well")
    if given.columns and not given.streams:
        raise CliError("--columns says what the columns of a table or CSV are called; give --streams as well")
    if given.chart:
        chart.check(given.chart)


# --- where things come from -------------------------------------------------------------------------------


def _fleet(given: Namespace, connect: Callable[[], tuple[Cluster, str]]) -> Fleet:
    if given.workers:
        objects: Sequence[Json] = list(read_objects(given.workers))
        where = "standard input" if given.workers == "-" else given.workers
        return read_fleet(objects, pool=given.pool, assume_ready=given.assume_ready, where=where)
    from fingerv7.cli.access import FINGERWORKERS, STREAMPOOLS

    cluster, namespace = connect()
    objects = [
        # The items of a list come without their kind from some servers.
        {**answer.body, "kind": kind}
        for kind, resource in (("StreamPool", STREAMPOOLS), ("FingerWorker", FINGERWORKERS))
        for answer in cluster.list(resource, namespace)
    ]
    if not objects:
        raise CliError(f"there is no FingerWorker in namespace {namespace}; name another namespace with -n")
    where = f"namespace {namespace}"
    return read_fleet(objects, pool=given.pool, assume_ready=given.assume_ready, where=where)


def _workers_from(given: Namespace) -> str:
    if given.workers:
        return "standard input" if given.workers == "-" else str(given.workers)
    return "the cluster"


def _streams(given: Namespace, fleet: Fleet, columns: Mapping[str, str]) -> tuple[Snapshot, str, list[str]]:
    """The streams, where they are from, and notes."""
    pool = fleet.pool
    if given.streams is None:
        if not fleet.held:
            raise CliError(
                "no worker holds a stream yet, so the streams have to be given: --streams FILE.csv, or "
                "--streams postgresql://USER@HOST/DATABASE"
            )
        snapshot = read_rows(fleet.held, identity="assignments")
        return snapshot, "what the workers hold now", list(_unheld(snapshot, pool))
    if _is_dsn(given.streams):
        table = given.table or (pool.table if pool else None)
        if not table:
            raise CliError("which table to read has to be said: give --table NAME, or a StreamPool with --workers")
        named: dict[str, str | None] = {**(pool.columns if pool and not given.table else {}), **columns}
        snapshot = read_database(given.streams, table=table, columns=named, chosen=frozenset(columns))
        return snapshot, f"table {table}", []
    snapshot, notes = read_csv(given.streams, columns)
    return snapshot, "standard input" if given.streams == "-" else given.streams, notes


def _unheld(snapshot: Snapshot, pool: Pool | None) -> list[str]:
    if pool is None or pool.streams is None or pool.streams <= len(snapshot.streams):
        return []
    missing = pool.streams - len(snapshot.streams)
    return [f"the pool has {pool.streams} streams; the {missing} that nobody holds are not known here, see --streams"]


def _is_dsn(streams: str | None) -> bool:
    return streams is not None and streams.startswith(SCHEMES)


def _columns(text_: str | None) -> dict[str, str]:
    columns = {}
    for pair in (text_ or "").split(","):
        if not pair.strip():
            continue
        logical, separator, name = (part.strip() for part in pair.partition("="))
        if not separator or not name or logical not in KNOWN:
            near = did_you_mean(logical, KNOWN) or f"; known are {', '.join(KNOWN)}"
            wrong = (
                f"{logical} is no column" if separator and name else f"{pair.strip()} is no pair such as id=stream_id"
            )
            raise CliError(f"--columns: {wrong}{near if separator and name else ''}")
        columns[logical] = name
    return columns


def _known(stream: str, outcome: Outcome, where: Given) -> str:
    if stream in outcome.after.streams:
        return stream
    if stream in outcome.before.streams:
        raise CliError(f"--explain {stream}: a change removes that stream")
    for row in where.snapshot.quarantined:
        if row.id == stream:
            raise CliError(f"--explain {stream}: its row is not served ({row.reason}): {row.message}")
    raise CliError(f"--explain {stream}: there is no such stream{did_you_mean(stream, outcome.after.streams)}")
