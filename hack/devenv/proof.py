"""The proof that a fleet kept its promise: the journal's verdict, and logs without a traceback.

Everything that looks at a fleet from outside ends with it, so that "it went well" means the same in every test.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime

from devenv.fleet import Fleet
from reference_worker.verdict import Verdict, Window

_TRACEBACK = "Traceback (most recent call last)"
_SHOWN = 3000


class BrokenPromiseError(AssertionError):
    """Says what was found, and where the logs are."""


def prove(
    fleet: Fleet,
    *,
    allowed_gap_s: float,
    since: datetime | None = None,
    windows: Sequence[Window] = (),
    expected: Iterable[str] | None = None,
    settle_s: float = 30.0,
) -> Verdict:
    """Wait until exactly the expected streams (all active rows by default) are processed, then judge everything.

    Raises DeadlineError when that does not happen in time, BrokenPromiseError for an overlap, a gap longer than
    allowed, a refusal of the sink or a traceback in a log.
    """
    wanted = fleet.table.active_ids() if expected is None else set(expected)
    fleet.wait_for(lambda: fleet.running().keys() == wanted, settle_s, f"exactly {len(wanted)} streams are processed")
    verdict = fleet.check(allowed_gap_s=allowed_gap_s, since=since, windows=windows, expected=wanted)
    print(
        f"longest gap {verdict.longest_gap_s:.3f} s, {len(verdict.overlaps)} overlaps, {verdict.intervals} intervals"
    )
    if not verdict.ok:
        raise BrokenPromiseError(f"{json.dumps(verdict.as_dict(), indent=2)}\n{fleet.describe()}")
    if found := tracebacks(fleet):
        raise BrokenPromiseError("\n".join(found))
    return verdict


def tracebacks(fleet: Fleet) -> list[str]:
    """The first traceback of each log."""
    found = []
    for log in sorted(fleet.folder.rglob("*.log")):
        text = log.read_text(encoding="utf-8", errors="replace")
        at = text.find(_TRACEBACK)
        if at >= 0:
            found.append(f"{log}:\n{text[max(0, at - 300) : at + _SHOWN]}")
    return found
