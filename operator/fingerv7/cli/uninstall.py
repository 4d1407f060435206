"""`fingerv7 uninstall`: take our finalizers off when the operator that would do it is gone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from fingerv7.cli.access import FINGERWORKERS, LEASES, STREAMPOOLS, Cluster, Resource
from fingerv7.cli.errors import ConflictError, NotFoundError
from fingerv7.cli.removal import (
    ELECTION,
    Held,
    Operator,
    Plan,
    explain,
    held,
    last_words,
    operator,
    refusal,
    renewal,
    waiting,
    without_finalizer,
)

_TRIES: Final = 5
_LOOK_S: Final = 0.5
_RESOURCES: Final = {"StreamPool": STREAMPOOLS, "FingerWorker": FINGERWORKERS}


def uninstall(
    cluster: Cluster,
    *,
    namespace: str | None,
    operator_namespace: str | None,
    yes: bool,
    force: bool,
    ask: Callable[[str], str] = input,
) -> int:
    """0 when nothing is left to do, 1 when it was refused or declined. Raises CliError.

    `namespace` None means all. Without `operator_namespace`, an operator is looked for everywhere.
    """
    scope = "in all namespaces" if namespace is None else f"in namespace {namespace}"
    found = [each for resource in _RESOURCES.values() for each in _list(cluster, resource, namespace)]
    if not found:
        print(f"Nothing to do: no StreamPool or FingerWorker {scope} carries our finalizer.")
        return 0
    operators = _operators(cluster, operator_namespace)
    if not force and (last := last_words(operators)):
        print(waiting(last), flush=True)
        operators, running = _watched(cluster, operator_namespace, operators, last.left_s)
        if running:
            print(f"refused: {refusal(running)}", file=sys.stderr)
            return 1
    plan = Plan(scope, found, operators)
    print(*explain(plan), sep="\n", flush=True)
    if not yes and not _agreed(ask):
        print("Nothing was changed.", file=sys.stderr)
        return 1
    for each in plan.held:
        if _strip(cluster, each):
            print(f"{each.kind} {each.namespace}/{each.name}: finalizer removed", flush=True)
    return 0


def _list(cluster: Cluster, resource: Resource, namespace: str | None) -> Iterator[Held]:
    for raw, _ in cluster.list(resource, namespace):
        if found := held(raw):
            yield found


def _operators(cluster: Cluster, namespace: str | None) -> list[Operator]:
    return [operator(*answer) for answer in cluster.list(LEASES, namespace, name=ELECTION)]


def _watched(
    cluster: Cluster, namespace: str | None, first: list[Operator], at_most_s: float
) -> tuple[list[Operator], Operator | None]:
    """The Leases at last, and one that was renewed meanwhile. None: all that wrote them are gone."""
    now, end = first, time.monotonic() + at_most_s
    while last_words(now) and time.monotonic() < end:
        time.sleep(_LOOK_S)
        now = _operators(cluster, namespace)
        if running := renewal(now, first):
            return now, running
    return now, None


def _agreed(ask: Callable[[str], str]) -> bool:
    try:
        return ask("Go on? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        print("nobody is there to ask; give --yes", file=sys.stderr)
        return False


def _strip(cluster: Cluster, target: Held) -> bool:
    """Whether the finalizer was there to be taken off. Raises ConflictError when the object never holds still."""
    resource = _RESOURCES[target.kind]
    for tries_left in reversed(range(_TRIES)):
        try:
            raw = cluster.get(resource, target.namespace, target.name).body
            present = held(raw)
            if present is None or present.uid != target.uid:
                return False
            cluster.merge_patch(resource, target.namespace, target.name, without_finalizer(raw))
        except NotFoundError:
            return False
        except ConflictError:
            if not tries_left:
                raise
        else:
            return True
    return False
