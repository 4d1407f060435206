"""`python -m devenv up|down|status|prepare|images`: a cluster and a PostgreSQL that stay until told to go."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from devenv import gobuild
from devenv.cluster import Cluster, prepare, start_cluster_in
from devenv.discovery import CONTEXT_VARIABLE, KUBECONFIG_VARIABLE
from devenv.errors import DevenvError
from devenv.homes import detached_home, load_record, tear_down
from devenv.images import build_images
from devenv.node import load_archive
from devenv.pods import prepare_pods, start_pods_in
from devenv.postgres import start_postgres_in
from devenv.postgres_server import Reach
from devenv.private_files import write_private
from devenv.processes import is_alive
from devenv.progress import print_progress
from devenv.status import render_status, state_of
from devenv.surroundings import Surroundings

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_INTERRUPTED = 130
_DEFAULT_NAME = "dev"
_DSN_FILE = "postgres.dsn"


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    # A terminated `up` cleans up as an interrupted one does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return int(options.run(options, _surroundings(options)))
    except DevenvError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; what was started is stopped", file=sys.stderr)
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m devenv", description=__doc__)
    commands = parser.add_subparsers(required=True)

    up = commands.add_parser("up", help="start a cluster (and PostgreSQL), and say how to use them")
    up.add_argument(
        "--name", type=_name, default=_DEFAULT_NAME, help="several names stand side by side (default: dev)"
    )
    postgres = up.add_mutually_exclusive_group()
    postgres.add_argument("--with-postgres", dest="postgres", action="store_true", default=True, help="(default)")
    postgres.add_argument("--no-postgres", dest="postgres", action="store_false")
    up.add_argument("--context", help=f"use this context instead of a cluster of our own (or {CONTEXT_VARIABLE})")
    up.add_argument("--kubeconfig", help=f"use this kubeconfig (or {KUBECONFIG_VARIABLE})")
    up.add_argument("--node", action="store_true", help="with a node, so that pods run (as root, or with kind)")
    up.set_defaults(run=_up)

    down = commands.add_parser("down", help="stop it and remove everything of it")
    which = down.add_mutually_exclusive_group()
    which.add_argument("--name", type=_name, default=_DEFAULT_NAME)
    which.add_argument("--all", action="store_true")
    down.set_defaults(run=_down)

    commands.add_parser("status", help="what is up").set_defaults(run=_status)
    images = commands.add_parser("images", help="build the images whose sources have changed, and say where they are")
    images.add_argument("--load", type=_name, metavar="NAME", help="put them on the node of this `up --node` too")
    images.set_defaults(run=_images)

    ready = commands.add_parser("prepare", help="find or build what `up` and the tests need")
    ready.add_argument("--node", action="store_true", help="also what `up --node` needs")
    ready.set_defaults(run=_prepare)
    return parser


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: lower-case letters, digits and dashes, at most 40")
    return text


def _surroundings(options: argparse.Namespace) -> Surroundings:
    given = {
        CONTEXT_VARIABLE: getattr(options, "context", None),
        KUBECONFIG_VARIABLE: getattr(options, "kubeconfig", None),
    }
    return Surroundings(env={**os.environ, **{key: value for key, value in given.items() if value}})


def _folders(around: Surroundings) -> list[Path]:
    return sorted(path.parent for path in _clusters(around).glob("*/record.json"))


def _clusters(around: Surroundings) -> Path:
    return around.state_folder / "clusters"


def _up(options: argparse.Namespace, around: Surroundings) -> int:
    path = _clusters(around) / options.name
    if (record := load_record(path)) is not None:
        if record.owner is not None and is_alive(record.owner):
            raise DevenvError(f"{options.name} is being started by process {record.owner.pid}; wait for it")
        if state_of(record) in ("up", "not ours"):
            print(f"{options.name} is up already")
            print(_usage(options.name, path))
            return 0
        # Left by a start that was killed, or by a reboot.
        tear_down(path, record)
    try:
        home = detached_home(path, options.name)
    except FileExistsError:
        raise DevenvError(f"{path} is in the way; another start has just made it, or else remove it") from None
    reach: Reach | None = None
    if options.node:
        pods = start_pods_in(home, around, print_progress)
        cluster, reach = pods.cluster, pods.reach
    else:
        cluster = start_cluster_in(home, around, print_progress)
    if options.postgres:
        dsn = start_postgres_in(home, around, print_progress, reach).dsn()
        write_private(path / _DSN_FILE, dsn + "\n")
    home.settled()
    print(f"{options.name} is up: Kubernetes {_version(cluster)} at {cluster.server}")
    print(_usage(options.name, path))
    if options.postgres and reach is not None:
        print(f"  From pods, PostgreSQL is at {reach.address}, on the same port and with the same certificate.")
    return 0


def _version(cluster: Cluster) -> str:
    found = re.search(r"Server Version: (\S+)", cluster.kubectl("version"))
    return found[1] if found else "of unknown version"


def _usage(name: str, path: Path) -> str:
    lines = [f"  export KUBECONFIG={path / 'kubeconfig'}"]
    if (path / _DSN_FILE).exists():
        # Not the DSN itself: terminals and CI logs keep what they show.
        lines.append(f'  psql "$(cat {path / _DSN_FILE})"   # the DSN, with its password, is in that file')
    stop = "make down" if name == _DEFAULT_NAME else f"make down ARGS='--name {name}'"
    lines.append(f"  {stop:<60} # stops it and removes everything of it")
    return "\n".join(lines)


def _down(options: argparse.Namespace, around: Surroundings) -> int:
    folders = _folders(around) if options.all else [_clusters(around) / options.name]
    records = [(folder, record) for folder in folders if (record := load_record(folder)) is not None]
    for folder, record in records:
        if record.owner is not None and is_alive(record.owner):
            raise DevenvError(f"{record.name} is being started by process {record.owner.pid}; interrupt that first")
        tear_down(folder, record)
        print(f"{record.name} is down")
    if not records:
        print("nothing is up" if options.all else f"{options.name} is not up")
    return 0


def _status(_options: argparse.Namespace, around: Surroundings) -> int:
    records = [record for folder in _folders(around) if (record := load_record(folder)) is not None]
    print(render_status(records))
    return 0


def _images(options: argparse.Namespace, around: Surroundings) -> int:
    record = load_record(_clusters(around) / options.load) if options.load else None
    if options.load and (record is None or record.node is None):
        raise DevenvError(f"{options.load} is no cluster with a node of ours; `make up ARGS='--node'` starts one")
    for image in build_images(around, print_progress).values():
        added = image.added_mb()
        size = "" if added is None else f"  {added:.1f} MB above its base"
        print(f"{image.name}  {image.archive}{size}")
        if record is not None and record.node is not None:
            load_archive(gobuild.build(["ctr"], around, print_progress)["ctr"], record.node, image.archive)
    return 0


def _prepare(options: argparse.Namespace, around: Surroundings) -> int:
    print(prepare(around, print_progress))
    if options.node:
        print(prepare_pods(around, print_progress))
    return 0
