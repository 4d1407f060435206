"""The command line, with kubectl's names for what kubectl has too."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser
from typing import Any

from fingerv7.cli.planning.arguments import add_plan


def parser(prog: str) -> ArgumentParser:
    """`prog` is how the user called us: `fingerv7` or `kubectl fingerv7`."""
    root = ArgumentParser(
        prog=prog, description="Look at a fleet of FingerV7 workers, plan with it, and remove it.", allow_abbrev=False
    )
    _access(root, default=None)
    shared = ArgumentParser(add_help=False)
    _access(shared, default=SUPPRESS)  # given after the command, they must not hide those given before it
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    text = "Tell which worker has a stream and why, or why nobody has it."
    why = commands.add_parser(
        "why",
        parents=[shared],
        help=text,
        description=text,
        allow_abbrev=False,
        epilog="Exit code: 0 when it is on exactly one worker and confirmed, 1 when not, 2 when it cannot be told.",
    )
    why.add_argument("stream", metavar="STREAM", help="the stream's id")
    why.add_argument("--pool", metavar="NAME", help="the StreamPool, where several have a stream of this id")
    why.add_argument("-o", "--output", choices=("text", "json"), default="text", help="text unless told otherwise")

    add_plan(commands, shared)

    text = "Take the finalizers off StreamPools and FingerWorkers when the operator is gone for good."
    uninstall = commands.add_parser(
        "uninstall",
        parents=[shared],
        help=text,
        description=text,
        allow_abbrev=False,
        epilog="Exit code: 0 when it is done, 1 when it was refused or declined, 2 when it could not be tried.",
    )
    uninstall.add_argument("-A", "--all-namespaces", action="store_true", help="instead of one namespace")
    uninstall.add_argument("-y", "--yes", action="store_true", help="do not ask")
    uninstall.add_argument("--force", action="store_true", help="even though an operator is running")
    uninstall.add_argument(
        "--operator-namespace", metavar="NAME", help="where the operator's Lease is; all are looked through otherwise"
    )
    return root


def _access(to: ArgumentParser, *, default: Any) -> None:
    group = to.add_argument_group("cluster")
    group.add_argument("-n", "--namespace", metavar="NAME", default=default, help="instead of the context's")
    group.add_argument("--context", metavar="NAME", default=default, help="of the kubeconfig")
    group.add_argument("--kubeconfig", metavar="FILE", default=default, help="instead of $KUBECONFIG")
