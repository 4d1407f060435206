"""`fingerv7 why STREAM`: gather what the API server has on one stream, and print the verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from fingerv7.cli import reading
from fingerv7.cli.access import FINGERWORKERS, LEASES, STREAMPOOLS, Cluster
from fingerv7.cli.errors import CliError, NotFoundError
from fingerv7.cli.facts import Holder, Pool
from fingerv7.cli.verdict import State, Verdict, decide
from fingerv7.cli.wording import as_json, sentences

_LOOKS: Final = 3
"""A Lease is read after its FingerWorker, and may be a step ahead of it."""


def why(cluster: Cluster, *, namespace: str, stream: str, pool: str | None, output: str) -> int:
    """0 when it is on exactly one worker that confirmed it, else 1. Raises CliError."""
    verdict = _look(cluster, namespace, stream, pool)
    if output == "json":
        print(json.dumps(as_json(verdict), indent=2, ensure_ascii=False), flush=True)
    else:
        answer, *details = sentences(verdict)
        print(answer, *(f"  {line}" for line in details), sep="\n", flush=True)
    return 0 if verdict.state is State.RUNNING else 1


def _look(cluster: Cluster, namespace: str, stream: str, named: str | None) -> Verdict:
    for _ in range(_LOOKS):
        pools = {p.name: p for p in (reading.pool(raw) for raw, _ in cluster.list(STREAMPOOLS, namespace))}
        holders: dict[str, list[Holder]] = {}
        for pool, holder in _holders(cluster, namespace, stream):
            holders.setdefault(pool, []).extend([holder] if holder else [])
        chosen = choose(stream, namespace, pools, holders, named)
        found = holders.get(chosen.name, [])
        if all((holder.claimed_epoch or 0) <= holder.epoch for holder in found):
            break
    return decide(stream, namespace, chosen, found)


def _holders(cluster: Cluster, namespace: str, stream: str) -> Iterator[tuple[str, Holder | None]]:
    """The pool of every worker, and the worker where it holds the stream."""
    for raw, _ in cluster.list(FINGERWORKERS, namespace):
        lease = None
        if reading.holder(raw, stream, None):
            try:
                lease = reading.sidecar(*cluster.get(LEASES, namespace, raw["metadata"]["name"]))
            except NotFoundError:
                lease = None
        yield raw["spec"]["poolRef"]["name"], reading.holder(raw, stream, lease)


def choose(
    stream: str,
    namespace: str,
    pools: Mapping[str, Pool],
    holders: Mapping[str, Sequence[Holder]],
    named: str | None,
) -> Pool:
    """The pool that is meant; `holders` has a key for every pool that a worker refers to. Raises CliError."""
    known = {name: pools.get(name) or Pool(name, exists=False) for name in sorted({*pools, *holders})}
    if named is not None:
        if named not in known:
            have = f"there are {', '.join(known)}" if known else "there is none at all"
            raise CliError(f"there is no StreamPool {named} in namespace {namespace}; {have}")
        return known[named]
    if not known:
        raise CliError(f"there is no StreamPool in namespace {namespace}; name another namespace with -n")
    examples = {name: [*p.unassigned.values(), *p.quarantined.values()] for name, p in known.items()}
    traces = [name for name in known if holders.get(name) or any(stream in ids for ids in examples[name])]
    if len(traces or known) > 1:
        which = "is in" if traces else "may belong to"
        raise CliError(f"stream {stream} {which} the pools {', '.join(traces or known)}; name one with --pool")
    return known[(traces or list(known))[0]]
