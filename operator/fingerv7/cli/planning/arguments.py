"""The command line of `fingerv7 plan`."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from argparse import _SubParsersAction

ALL: Final = -1
"""Of `--moves`."""

_CHANGES: Final = """\
changes, one a --change, made in their order:
  lose WORKER…          drain WORKER…         undrain WORKER…
  join NAME [maxStreams=50] [location=…] [capabilities=a,b] [score=100]
  join 5 [like WORKER] [maxStreams=50] …
  capacity WORKER… 30   (or +10, or -10%)     score WORKER… 60
  add 100 streams [location=…] [capabilities=a,b] [weight=1]
  remove STREAM…        remove 100 streams    remove 10% streams
WORKER is a name, a pattern such as fingerv7-00*, or location=NAME.

Exit code: 0 when every stream has a worker, 1 when not, 2 when it cannot be told.
"""


def add_plan(commands: _SubParsersAction[ArgumentParser], shared: ArgumentParser) -> None:
    text = "Tell which streams would move and why, without touching anything."
    plan = commands.add_parser(
        "plan",
        parents=[shared],
        help=text,
        description=text,
        allow_abbrev=False,
        formatter_class=RawDescriptionHelpFormatter,
        epilog=_CHANGES,
    )
    streams = plan.add_argument_group("streams")
    streams.add_argument(
        "--streams",
        metavar="FILE.csv|DSN",
        help="a CSV file (- is standard input) or postgresql://…; the streams that workers hold where it is absent",
    )
    streams.add_argument("--table", metavar="NAME", help="in that database, instead of the StreamPool's")
    streams.add_argument("--columns", metavar="id=…,url=…", help="which column holds what, of the table or the CSV")

    workers = plan.add_argument_group("workers")
    workers.add_argument(
        "--workers",
        metavar="FILE.yaml",
        help="FingerWorkers and a StreamPool as kubectl prints them, or a short form",
    )
    workers.add_argument("--from-cluster", action="store_true", help="those of the namespace")
    workers.add_argument("--pool", metavar="NAME", help="the StreamPool, where there are several")
    workers.add_argument(
        "--assume-ready", action="store_true", help="count workers that are not ready as if they were"
    )

    what = plan.add_argument_group("what happens")
    what.add_argument("--change", metavar="CHANGE", action="append", default=[], help="see below; may be repeated")
    what.add_argument("--scenario", metavar="FILE.yaml", help="replay timed changes, round by round")

    rules = plan.add_argument_group("balancing, instead of the StreamPool's")
    rules.add_argument("--strategy", choices=("Capacity", "Performance", "Location"))
    rules.add_argument("--imbalance-threshold-percent", type=_between(0, 100), metavar="N")
    rules.add_argument("--max-stream-difference", type=_between(0, 1000), metavar="N")
    rules.add_argument("--max-moves-per-round-percent", type=_between(1, 100), metavar="N")
    rules.add_argument("--target-load-percent", type=_between(1, 100), metavar="N")
    rules.add_argument("--cooldown", metavar="TIME", help="between two balancing rounds, such as 300s")
    rules.add_argument(
        "--perfect",
        action="store_true",
        help="no tolerance, and as many moves a round as it takes unless said otherwise",
    )

    output = plan.add_argument_group("output")
    output.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table")
    output.add_argument(
        "--moves", type=_moves, default=10, metavar="N|all", help="how many moves the table lists (default 10)"
    )
    output.add_argument(
        "--explain", metavar="STREAM", action="append", default=[], help="why there, and why not elsewhere"
    )
    output.add_argument("--chart", metavar="FILE.svg|.png", help="draw the loads over a scenario's time")


def _between(low: int, high: int):  # type: ignore[no-untyped-def] # noqa: ANN202 - argparse calls it
    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise ArgumentTypeError(f"{text} is not a whole number from {low} to {high}")
        return int(text)

    return number


def _moves(text: str) -> int:
    if text == "all":
        return ALL
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"{text} is neither a whole number nor all")
    return int(text)
