"""What `status` shows: the clusters of `up`, their processes, and which of them are still there."""

from __future__ import annotations

from collections.abc import Sequence

from devenv.homes import Record
from devenv.network import Network
from devenv.processes import ProcessRecord, is_alive, uptime_s
from devenv.remains import NodeRecord, containers

_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60


def state_of(record: Record) -> str:
    """`up`, `starting`, `broken` (some processes are gone), `dead` (all are), or `not ours` (no process is)."""
    if record.owner is not None:
        return "starting" if is_alive(record.owner) else "broken"
    if not record.components:
        return "up" if record.kind_cluster else "not ours"
    alive = sum(is_alive(each) for each in record.components)
    if alive == len(record.components):
        return "up"
    return "broken" if alive else "dead"


def render_status(records: Sequence[Record]) -> str:
    if not records:
        return "nothing is up; `make up` starts a cluster"
    blocks = []
    for record in records:
        state = state_of(record)
        lines = [f"{record.name}: {state}, {record.provider}, {record.server or 'no server yet'}"]
        lines += [_line(each) for each in record.components]
        if record.node is not None:
            lines.append(_node_line(record.node))
        if state in ("broken", "dead"):
            lines.append(f"  `make down ARGS='--name {record.name}'` removes what is left; `make up` starts afresh")
        blocks.append("\n".join(lines))
    return "\n".join(blocks)


def _line(each: ProcessRecord) -> str:
    alive = is_alive(each)
    port = f"port {each.port}" if each.port else ""
    up = f"up {duration(uptime_s(each))}" if alive else "gone"
    return f"  {each.name:<24} pid {each.pid:<8} {port:<11} {up:<10} {each.log}"


def _node_line(node: NodeRecord) -> str:
    network = Network(number=node.network)
    count = len(containers(node))
    return f"  {'pods':<24} {count} on bridge {network.bridge}, {network.pods}; {node.folder}"


def duration(seconds: float) -> str:
    """The two largest units: `3m12s`, `2d5h`."""
    whole = int(seconds)
    if whole >= _DAY_S:
        return f"{whole // _DAY_S}d{whole % _DAY_S // _HOUR_S}h"
    if whole >= _HOUR_S:
        return f"{whole // _HOUR_S}h{whole % _HOUR_S // _MINUTE_S}m"
    return f"{whole // _MINUTE_S}m{whole % _MINUTE_S}s" if whole >= _MINUTE_S else f"{whole}s"
