"""What watches the fence inside of the worker's container, where no kubelet does.

A kubelet ends its probes as soon as a pod terminates, and does not begin them before a container has started up, so
that neither a worker in its grace nor one that was restarted beside a dead sidecar would be stopped. The guard is
process 1 of the container: it starts the command once the fence holds, looks every second, and ends when it does not
hold, whereupon the kernel kills everything in the container.
"""

from __future__ import annotations

from collections.abc import Sequence

from fingerv7.core.managed.template import CONFIG_DIR

FENCE_PROBE = (
    f"read s d b <{CONFIG_DIR}/fence && read u _ </proc/uptime && read i </proc/sys/kernel/random/boot_id && "
    '[ "$b" = "$i" ] && a=$((${u%.*} - ${s%.*})) && [ $a -ge 0 ] && [ $a -lt ${d%.*} ]'
)
"""Fails when the fence expires; docs/workers.md explains it."""

GUARD = f"""\
holds() ( {FENCE_PROBE} ) 2>/dev/null
trap 'exit 143' TERM INT QUIT
until holds; do sleep 1 & wait $!; done
"$@" & c=$!
trap 'kill -TERM $c' TERM INT QUIT
exec >/dev/null 2>&1
while [ -d /proc/$c ]; do
  holds || {{ kill -KILL $c; exit 99; }}
  sleep 1 & wait $!
done
wait $c
"""
"""POSIX sh. In a subshell because an arithmetic error ends a shell. Its output is closed because a log that nobody
reads must not hold it up. /proc instead of `kill -0`, which also fails for a child with another user. Kubernetes
would replace `$$` and `$(NAME)`; neither is in it.
"""


def guarded(command: Sequence[str]) -> list[str]:
    """`command` behind the guard; a container's `args` follow it as before."""
    return ["sh", "-c", GUARD, "guard", *command]
