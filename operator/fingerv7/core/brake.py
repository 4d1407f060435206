"""The brake on a source that shrinks too fast or is suddenly another database.

An emptied table, a restore that went wrong or a Secret edited to point elsewhere looks like an ordinary change, and
acting on it would stop the whole fleet. So what the workers hold now is the baseline: when too much of it would be
revoked at once, nothing is, until several polls in a row show the same change or somebody confirms it (design
section 6). The baseline lives in the FingerWorkers, so this works on the first poll after a restart too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from fingerv7.contract import CONFIRM_SOURCE
from fingerv7.core.catalog import Snapshot
from fingerv7.core.columns import Catalog
from fingerv7.core.model import Stream

UNCHANGED: Final = "Unchanged"
SHRUNK: Final = "Shrunk"
DATABASE_CHANGED: Final = "DatabaseChanged"
CONFIRMED: Final = "Confirmed"


@dataclass(frozen=True, slots=True)
class BrakeState:
    """What `judge` remembers from call to call.

    Losing it costs the confirmations that were counted, and new rows that workers hold by then count as any others.
    """

    started: bool = False
    """Whether `judge` was called before, so that `previous` says something."""
    identity: str = ""
    """The database that is accepted. The caller stores it, and gives it back as `held_identity` after a restart."""
    change_id: str = ""
    """The change that waits for confirmation; empty when none does."""
    seen: int = 0
    """Polls in a row that showed it."""
    affected: frozenset[str] = frozenset()
    """The ids that it would revoke. They stay in the baseline while their worker changes."""
    base: frozenset[str] = frozenset()
    """The ids of which it would revoke too many. New rows, served meanwhile, must not make the share smaller."""
    spent: str = ""
    """The annotation that confirmed a change. It stays on the object, and must not confirm the next accident."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is in force, and whether something is held back."""

    catalog: Mapping[str, Stream]
    held: bool
    reason: str
    """Unchanged, Shrunk, DatabaseChanged or Confirmed: the reasons of the condition `SourceChanged`."""
    message: str
    change_id: str
    """The value that the annotation needs to confirm the change; empty when nothing is held back."""
    state: BrakeState


def judge(
    snapshot: Snapshot,
    *,
    held: Mapping[str, Stream],
    held_identity: str,
    max_shrink_percent: int,
    confirmations: int,
    confirmed: str,
    state: BrakeState,
    previous: Mapping[str, Stream],
    counts: bool = True,
) -> Verdict:
    """Decide which catalog is in force.

    `held`: the streams in the assignments of the pool's FingerWorkers. `held_identity`: the stored identity, which
    counts until `state` has one. `confirmed`: the annotation's value. `previous`: the catalog of the last verdict,
    ignored on the first call. `counts`: whether the snapshot comes from a scheduled poll; a burst of notifications
    shows a change as well, but does not confirm it. `max_shrink_percent` 100 allows any shrinking.
    """
    in_force = previous if state.started else held
    # Held and not in force: its end is accepted already and only not published yet.
    baseline = held.keys() & in_force.keys()
    ids = baseline | (state.affected & in_force.keys()) if state.affected else baseline
    vanished, changed = _compare(in_force, snapshot.streams, ids)
    accepted = state.identity or held_identity
    swapped = bool(ids) and bool(accepted) and accepted != snapshot.identity
    affected = vanished | changed
    # Several, because neither a worker that dies while the brake holds nor one that is given new rows must tip the
    # scales.
    bases = (state.base & in_force.keys(), ids, baseline)
    shrunk = next((base for base in bases if len(affected & base) * 100 > max_shrink_percent * len(base)), None)
    calm = BrakeState(started=True, identity=snapshot.identity, spent=state.spent)
    if not swapped and shrunk is None:
        return Verdict(snapshot.streams, held=False, reason=UNCHANGED, message="", change_id="", state=calm)

    change_id = _digest(snapshot, vanished, changed)
    seen = (state.seen if change_id == state.change_id else 0) + counts
    what = _describe(len(ids), len(vanished), len(changed), accepted if swapped else "", snapshot.identity)
    if confirmed == change_id != state.spent:
        calm = replace(calm, spent=confirmed)
        message = f"{what} It was confirmed by the annotation {CONFIRM_SOURCE}."
        return Verdict(snapshot.streams, held=False, reason=CONFIRMED, message=message, change_id="", state=calm)
    if seen >= confirmations:
        message = f"{what} It was confirmed by {seen} polls in a row."
        return Verdict(snapshot.streams, held=False, reason=CONFIRMED, message=message, change_id="", state=calm)

    left = confirmations - seen
    message = (
        f"{what} Nothing is revoked until {left} more {'poll shows' if left == 1 else 'polls show'} the same, or the "
        f"annotation {CONFIRM_SOURCE}={change_id} confirms it."
    )
    return Verdict(
        # Another database's rows are as doubtful as the gaps it leaves; a shrunk table's new rows are not.
        in_force if swapped else MappingProxyType({**snapshot.streams, **in_force}),
        held=True,
        reason=DATABASE_CHANGED if swapped else SHRUNK,
        message=message,
        change_id=change_id,
        state=BrakeState(
            started=True,
            identity=accepted or snapshot.identity,
            change_id=change_id,
            seen=seen,
            affected=frozenset(affected),
            base=frozenset(ids if shrunk is None else shrunk),
            spent=state.spent,
        ),
    )


def _compare(before: Mapping[str, Stream], now: Mapping[str, Stream], ids: set[str]) -> tuple[set[str], set[str]]:
    """Which of the ids, all of them in `before`, have vanished, and which have another URL."""
    if now is before:
        return set(), set()
    present = now.keys()
    left = [i for i in before.keys() if i in ids and i in present]  # noqa: SIM118 - a view's loop is faster
    urls = zip(left, _urls(before, left), _urls(now, left), strict=True)
    return ids.difference(left), {stream_id for stream_id, old, new in urls if old != new}


def _urls(streams: Mapping[str, Stream], ids: Sequence[str]) -> list[bytes]:
    if isinstance(streams, Catalog):
        return streams.urls(ids)
    return [streams[i].url.encode("utf-8", "surrogatepass") for i in ids]


def _digest(snapshot: Snapshot, vanished: Iterable[str], changed: Iterable[str]) -> str:
    """Names the change: the same rows gone, the same new URLs, the same database."""
    change = [snapshot.identity, sorted(vanished), sorted((i, snapshot.streams[i].url) for i in changed)]
    return hashlib.sha256(json.dumps(change).encode()).hexdigest()[:12]


def _describe(total: int, vanished: int, changed: int, accepted: str, identity: str) -> str:
    affected = vanished + changed
    share = f"{affected} of {total} assigned streams ({affected * 100 // total} %)"
    details = f"{share} vanished from the table or changed URL at once ({vanished} vanished, {changed} changed)."
    if not accepted:
        return details
    return f"The source is now database {identity}, no longer {accepted}. {details}"
