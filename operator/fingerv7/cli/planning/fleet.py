"""Workers and what they hold now, from objects as kubectl prints them or from a short form.

The short form is for fleets that do not exist yet:

    workers:
    - {name: fingerv7, replicas: 8, maxStreams: 300, location: berlin}
    balancing: {strategy: Location}

Both give the same candidates that the operator would plan with. Whether a worker may be given anything is taken from
its status, where it has one; without a status it is a plan, and counts as ready.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from pydantic import ValidationError

from fingerv7.api.balancing import Balancing, Mode
from fingerv7.api.fingerworker import FingerWorkerSpec
from fingerv7.api.source import Columns
from fingerv7.cli.errors import CliError
from fingerv7.contract import FINGERPRINTING
from fingerv7.core.model import Token
from fingerv7.core.planner import Candidate
from fingerv7.core.simulation.changes import did_you_mean

Json = Mapping[str, Any]

_SHORT: Final = ("workers", "balancing")
_SHORT_WORKER: Final = (
    "name",
    "replicas",
    "maxStreams",
    "capabilities",
    "location",
    "performanceScorePercent",
    "drain",
    "streams",
)
_MAX_REPLICAS: Final = 100_000
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Pool:
    """What of a StreamPool a plan depends on."""

    name: str
    balancing: Balancing
    table: str | None = None
    columns: Mapping[str, str | None] = field(default_factory=dict)
    paused: bool = False
    streams: int | None = None
    """Active streams in the source, as the operator saw them last."""


@dataclass(frozen=True, slots=True)
class Fleet:
    workers: Mapping[str, Candidate]
    owners: Mapping[str, str]
    """Stream → worker, as it is now."""
    held: Sequence[Mapping[str, Any]]
    """The streams in the workers' assignments, as rows by logical column name."""
    pool: Pool | None
    notes: Sequence[str] = ()


def read_fleet(objects: Iterable[Json], *, pool: str | None, assume_ready: bool, where: str) -> Fleet:
    """`where` names the origin in messages. Raises CliError."""
    workers: list[_Worker] = []
    pools: dict[str, Pool] = {}
    for each in objects:
        kind = each.get("kind")
        if kind == "FingerWorker":
            workers.append(_from_manifest(each, where, assume_ready=assume_ready))
        elif kind == "StreamPool":
            found = _pool(each, where)
            pools[found.name] = found
        elif kind is None and "workers" in each:
            short = _short_form(each, where)
            workers += short.workers
            if short.balancing:
                pools.setdefault("", Pool("", short.balancing))
        elif kind is None:
            raise CliError(
                f"{where} has a document that is neither a FingerWorker nor a StreamPool nor has the key workers; "
                "write `workers: [{name: fingerv7-001, maxStreams: 50}]`, or what kubectl get fw -o yaml prints"
            )
    name = _choose({w.pool for w in workers} | pools.keys(), pool, where)
    chosen = [w for w in workers if w.pool in (name, "")]
    if not chosen and pool is not None:
        raise CliError(f"{where} has no FingerWorker of pool {pool}")
    return _together(chosen, pools.get(name) or pools.get(""), where)


def _choose(pools: set[str], named: str | None, where: str) -> str:
    known = sorted(pools - {""})
    if named is not None:
        if known and named not in known:
            raise CliError(f"{where} has nothing of pool {named}; it has {', '.join(known)}")
        return named
    if len(known) > 1:
        raise CliError(f"{where} has workers of the pools {', '.join(known)}; name one with --pool")
    return known[0] if known else ""


# --- one worker -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Worker:
    pool: str
    candidate: Candidate
    gone: bool = False
    """Taken over or released: what it held needs another place."""
    streams: Sequence[Json] = ()
    revoking: Sequence[str] = ()
    state: str = ""
    """Why it is no ordinary candidate, in a word."""


def _from_manifest(raw: Json, where: str, *, assume_ready: bool) -> _Worker:
    metadata, status = raw.get("metadata") or {}, raw.get("status") or {}
    name = str(metadata.get("name") or "")
    if not name:
        raise CliError(f"{where} has a FingerWorker without metadata.name")
    try:
        spec = FingerWorkerSpec.parse(raw.get("spec") or {})
    except ValidationError as error:
        raise CliError(f"{where}: FingerWorker {name}: {_problems(error)}") from None
    state = _state(metadata, spec, status)
    if assume_ready and state not in {"", "Draining"}:
        state = ""
    assignment = status.get("assignment") or {}
    return _Worker(
        pool=spec.pool_ref.name,
        candidate=_candidate(name, spec, state),
        gone=state == "Inactive",
        streams=tuple(s for s in assignment.get("streams") or () if isinstance(s, dict) and "id" in s),
        revoking=tuple(str(r["id"]) for r in assignment.get("revoking") or () if isinstance(r, dict) and "id" in r),
        state=state,
    )


def _candidate(name: str, spec: FingerWorkerSpec, state: str) -> Candidate:
    return Candidate(
        name=name,
        max_streams=spec.max_streams,
        capabilities=frozenset(spec.capabilities),
        location=spec.location or "",
        eligible=not state,
        keeps=state != "Draining",
        score_percent=100 if spec.performance_score_percent is None else spec.performance_score_percent,
    )


def _state(metadata: Json, spec: FingerWorkerSpec, status: Json) -> str:
    """Empty for a worker that may be given streams."""
    phase = str(status.get("phase") or "")
    if phase == "Inactive":
        return phase
    if spec.drain or metadata.get("deletionTimestamp") or phase in {"Draining", "Drained"}:
        return "Draining"
    for condition in status.get("conditions") or ():
        if condition.get("type") == "Ready" and condition.get("status") == "False":
            return str(condition.get("reason") or "NotReady")
    return "Pending" if phase == "Pending" else ""


# --- the short form ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Short:
    workers: list[_Worker]
    balancing: Balancing | None


def _short_form(raw: Json, where: str) -> _Short:
    _known(raw, _SHORT, where)
    listed = raw["workers"]
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise CliError(f"{where}: workers is no list; write `workers: [{{name: fingerv7-001, maxStreams: 50}}]`")
    workers = [worker for each in listed for worker in _short_workers(each, where)]
    return _Short(workers, _balancing(raw["balancing"], where) if raw.get("balancing") else None)


def _short_workers(raw: Json, where: str) -> Iterator[_Worker]:
    _known(raw, _SHORT_WORKER, f"{where}: worker {raw.get('name', '')}".rstrip())
    name, replicas = raw.get("name"), raw.get("replicas", 1)
    if not isinstance(name, str) or not name:
        raise CliError(f"{where}: a worker has no name; write {{name: fingerv7-001, maxStreams: 50}}")
    if not isinstance(replicas, int) or not 0 <= replicas <= _MAX_REPLICAS:
        raise CliError(f"{where}: worker {name}: replicas is not a whole number from 0 to {_MAX_REPLICAS}")
    capabilities = raw.get("capabilities") or []
    if not isinstance(capabilities, list):
        raise CliError(f"{where}: worker {name}: capabilities is no list; write [vpn, hd]")
    given = {key: raw[key] for key in ("maxStreams", "location", "performanceScorePercent", "drain") if key in raw}
    # What every worker has to be capable of need not be said.
    given["capabilities"] = list(dict.fromkeys([FINGERPRINTING, *capabilities]))
    try:
        spec = FingerWorkerSpec.parse({"poolRef": {"name": "short"}, **given})
    except ValidationError as error:
        raise CliError(f"{where}: worker {name}: {_problems(error)}") from None
    holds = tuple({"id": str(each)} for each in raw.get("streams") or ())
    if holds and "replicas" in raw:
        raise CliError(f"{where}: worker {name} has streams and replicas; list workers that hold streams one by one")
    state = "Draining" if spec.drain else ""
    width = max(3, len(str(replicas)))
    names = [f"{name}-{n:0{width}}" for n in range(1, replicas + 1)] if "replicas" in raw else [name]
    for each in names:
        yield _Worker("", _candidate(each, spec, state), streams=holds, state=state)


def _known(raw: Json, known: Sequence[str], where: str) -> None:
    for key in raw:
        if key not in known:
            near = did_you_mean(str(key), known) or f"; known are {', '.join(known)}"
            raise CliError(f"{where}: the key {key} means nothing here{near}")


# --- the pool ---------------------------------------------------------------------------------------------


def _pool(raw: Json, where: str) -> Pool:
    name = str((raw.get("metadata") or {}).get("name") or "")
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    postgres = (spec.get("source") or {}).get("postgres") or {}
    try:
        columns = Columns.parse(postgres.get("columns") or {}).model_dump(by_alias=False)
    except ValidationError as error:
        raise CliError(f"{where}: StreamPool {name}: spec.source.postgres.columns: {_problems(error)}") from None
    return Pool(
        name=name,
        balancing=_balancing(spec.get("balancing") or {}, f"{where}: StreamPool {name}"),
        table=postgres.get("table"),
        columns=columns,
        paused=bool(spec.get("paused")),
        streams=status.get("streams"),
    )


def _balancing(raw: object, where: str) -> Balancing:
    if isinstance(raw, dict):
        known = [info.alias or name for name, info in Balancing.model_fields.items()]
        for key in raw:
            # The API server drops what it does not know; here a misspelt rule would plan with the default unnoticed.
            if key not in known:
                near = did_you_mean(str(key), known) or f"; known are {', '.join(known)}"
                raise CliError(f"{where}: the key balancing.{key} means nothing here{near}")
    try:
        return Balancing.parse(raw)
    except ValidationError as error:
        raise CliError(f"{where}: balancing: {_problems(error)}") from None


def _problems(error: ValidationError) -> str:
    found = (f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors())
    return "; ".join(found)


# --- all of them ------------------------------------------------------------------------------------------


def _together(workers: Sequence[_Worker], pool: Pool | None, where: str) -> Fleet:
    workers = sorted(workers, key=lambda w: w.candidate.name)
    for one, other in pairwise(workers):
        if one.candidate.name == other.candidate.name:
            raise CliError(f"{where} has two workers {one.candidate.name}; every name may be there once")
    owners: dict[str, str] = {}
    newest: dict[str, tuple[Token, Json]] = {}
    for worker in workers:
        name = worker.candidate.name
        for entry in worker.streams:
            stream_id, token = str(entry["id"]), _token(entry)
            if stream_id not in newest or token > newest[stream_id][0]:
                newest[stream_id] = (token, entry)
                owners[stream_id] = name
    for worker in workers:
        if not worker.gone:
            for stream_id in worker.revoking:
                owners.setdefault(stream_id, worker.candidate.name)
    return Fleet(
        workers={worker.candidate.name: worker.candidate for worker in workers if not worker.gone},
        owners=owners,
        held=[_row(entry) for _, entry in newest.values() if "url" in entry],
        pool=pool,
        notes=[*_standing_notes(workers), *_pool_notes(pool)],
    )


def _token(entry: Json) -> Token:
    try:
        return Token.parse(str(entry.get("token") or ""))
    except ValueError:
        return Token(0, 0)


def _row(entry: Json) -> dict[str, Any]:
    columns = ("id", "url", "name", "weight", "location", "capabilities", "metadata")
    return {"active": True, **{column: entry.get(column) for column in columns}}


def _standing_notes(workers: Sequence[_Worker]) -> Iterator[str]:
    by_state: dict[str, list[str]] = {}
    for worker in workers:
        if worker.state:
            by_state.setdefault(worker.state, []).append(worker.candidate.name)
    for state, names in sorted(by_state.items()):
        shown = ", ".join(sorted(names)[:_SHOWN]) + (
            f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        )
        if state == "Inactive":
            what = "counted as lost; --assume-ready counts on them nevertheless"
        elif state == "Draining":
            what = "not given anything, and relieved of what they have"
        else:
            what = "not given anything new; --assume-ready counts on them nevertheless"
        yield f"{state}: {shown}: {what}"


def _pool_notes(pool: Pool | None) -> Iterator[str]:
    if pool is None:
        return
    if pool.paused:
        yield f"pool {pool.name} is paused: nothing of this would happen before that ends"
    if pool.balancing.mode is Mode.ADVISORY:
        yield "the pool's mode is Advisory: moves for balance would only be proposed"
    if pool.balancing.mode is Mode.MANUAL:
        yield "the pool's mode is Manual: moves for balance would wait for an approval"
    if pool.balancing.rotation:
        yield "the pool rotates streams; rotation depends on times and is left out here"
