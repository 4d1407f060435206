"""`make demo`: the main job on this machine, from nothing to a verdict, then yours to play with until Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import signal
import sys
import threading
from pathlib import Path

from devenv.cluster import start_cluster
from devenv.demo_screen import Screen
from devenv.demo_story import Story
from devenv.errors import DevenvError
from devenv.fleet import FAST, Fleet
from devenv.postgres import start_postgres
from devenv.streams import Row, invent, read_csv

_ROWS = 847
_NAMESPACE = "fingerv7-demo"

_INTRODUCTION = """\
FingerV7 demo: a table of radio streams is shared among a fleet of workers, every stream on exactly one of them.
Everything is real and on this machine: a Kubernetes API server, a PostgreSQL, the operator, eight workers as local
processes. Nothing connects to the streams themselves. The first start may compile Kubernetes for some minutes."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end by itself, with one JSON object as the last line")
    parser.add_argument("--streams", type=Path, metavar="FILE", help="a CSV with the columns id, name, url")
    options = parser.parse_args()
    # One way to end, whoever asks for it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        rows = read_csv(options.streams) if options.streams else invent(_ROWS)
        print(_INTRODUCTION, flush=True)
        return _run(rows, once=options.once)
    except DevenvError as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nEverything is stopped, nothing is left running.")
        return 130 if options.once else 0


def _run(rows: list[Row], *, once: bool) -> int:
    with (
        start_cluster(name="demo") as cluster,
        start_postgres() as postgres,
        Fleet(cluster, postgres, rows=rows, namespace=_NAMESPACE, liveness=FAST) as fleet,
        _Interruptible(),
    ):

        def tables() -> str:
            names = ("fingerworkers", "streampools")
            return "\n".join(cluster.kubectl("get", name, "-n", fleet.namespace, check=False) for name in names)

        with Screen(tables) as screen:
            story = Story(fleet, screen)
            result = {
                "firstAssignment": story.share(),
                "killedWorker": story.kill(),
                "drainedWorker": story.drain(),
                "addedStreams": story.add(),
            }
            verdict = story.judge()
            if not verdict.ok:
                fleet.keep_folder = True
                screen.say(f"The logs of every process are kept in {fleet.folder}")
            if not once:
                _invite(screen, fleet)
                threading.Event().wait()
        machine = {"cpus": os.cpu_count(), "python": platform.python_version(), "load1m": os.getloadavg()[0]}
        print(json.dumps({"ok": verdict.ok, "machine": machine, **result, "verdict": verdict.as_dict()}))
        return 0 if verdict.ok else 1


def _invite(screen: Screen, fleet: Fleet) -> None:
    names = sorted(name for name, worker in fleet.workers.items() if worker.alive)
    pid = fleet.workers[names[0]].worker.process.pid
    screen.headline("All of it stays up until you press Ctrl-C. In another terminal:")
    for line in (
        f"export KUBECONFIG={shlex.quote(str(fleet.cluster.kubeconfig))}",
        f"kubectl config set-context --current --namespace {fleet.namespace}",
        "kubectl get fingerworkers --watch",
        f"kubectl describe fingerworker {names[0]}",
        f"kill -9 {pid}     # the worker process of {names[0]}; the played kubelet restarts it",
        f"psql {shlex.quote(fleet.databases.streams_dsn)}     # try TABLE streams LIMIT 5;",
        f"ls {fleet.folder}     # the logs of every process",
    ):
        screen.command(line)


class _Interruptible:
    """From the first Ctrl-C on, further ones are ignored: they would interrupt the cleaning up."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            print("\nStopping everything …", flush=True)


if __name__ == "__main__":
    sys.exit(main())
