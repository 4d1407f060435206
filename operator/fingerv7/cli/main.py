"""The entry point of `fingerv7` and of the kubectl plugin `kubectl fingerv7`.

Exit codes: 0 all is well, 1 it is not (or was refused), 2 the question could not be answered.
"""

from __future__ import annotations

import logging
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fingerv7.cli.arguments import parser
from fingerv7.cli.errors import CliError

if TYPE_CHECKING:
    from fingerv7.cli.access import Cluster


def main(arguments: Sequence[str] | None = None) -> int:
    """Never a traceback for what a user can cause: one sentence on standard error that says what to do."""
    prog = program(sys.argv[0])
    given = parser(prog).parse_args(arguments)
    # The `kubernetes` package logs why an exec plugin failed, and goes on without credentials.
    logging.basicConfig(format=f"{prog}: %(message)s", level=logging.ERROR)
    try:
        # Imported only where they are needed: usage, --help and plans from files should not wait for them.
        if given.command == "plan":
            from fingerv7.cli.planning.command import plan

            return plan(given, lambda: _connect(given))
        from fingerv7.cli.uninstall import uninstall
        from fingerv7.cli.why import why

        cluster, namespace = _connect(given)
        if given.command == "why":
            return why(cluster, namespace=namespace, stream=given.stream, pool=given.pool, output=given.output)
        return uninstall(
            cluster,
            namespace=None if given.all_namespaces else namespace,
            operator_namespace=given.operator_namespace,
            yes=given.yes,
            force=given.force,
        )
    except CliError as error:
        print(f"{prog}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output went away; the interpreter should not complain about it on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _connect(given: Namespace) -> tuple[Cluster, str]:
    """The cluster and the namespace that the user means. Raises CliError."""
    from fingerv7.cli import kubeconfig
    from fingerv7.cli.access import Cluster

    cluster = Cluster(kubeconfig.load(file=given.kubeconfig, context=given.context))
    return cluster, given.namespace or cluster.namespace


def program(started_as: str) -> str:
    """How the user called us: kubectl finds a plugin by the name of its file."""
    return "kubectl fingerv7" if Path(started_as).name.startswith("kubectl-") else "fingerv7"


if __name__ == "__main__":
    sys.exit(main())
