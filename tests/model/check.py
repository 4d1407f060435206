"""Checks `handover.pml` with Spin: what must hold holds, and with any one rule switched off it does not.

`python check.py [proofs|sabotage|long] [--trails]`; needs `spin` and `gcc` on the PATH. Exit status 1 when a property fails
or a rule that is switched off goes unnoticed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MODEL = Path(__file__).with_name("handover.pml")
MEMORY_MB = 8000
SMALL = {"FAULTS": 1, "HANDOVERS": 1}
LONG_FENCE = {"D_TICKS": 3, "T_TICKS": 8}
"""So long that an answer can come after T, of a request that was sent before D."""
COARSE = {"D_TICKS": 1, "T_TICKS": 4, "DRIFT": 3}
"""Fewer ticks, so that more faults fit into the same memory."""


@dataclass(frozen=True)
class Case:
    name: str
    says: str
    """What is checked, or which rule is switched off."""
    bounds: dict[str, int]
    flags: tuple[str, ...] = ()
    live: bool = False
    breadth_first: bool = False
    """Shortest counterexamples, more memory."""


@dataclass(frozen=True)
class Result:
    holds: bool
    states: int
    seconds: float
    memory_mb: float
    trail: tuple[str, ...]


PROOFS = (
    Case("hand-over", "one fault, two hand-overs", {"FAULTS": 1, "HANDOVERS": 2}, ("CHECK_OBJECTS",)),
    Case(
        "release",
        "workers that are provably gone, incarnations",
        SMALL,
        ("CHECK_OBJECTS", "RELEASES", "INCARNATIONS"),
    ),
    Case("slow answers", "answers that come after the write was stored", SMALL, ("CHECK_OBJECTS", "SLOW_ANSWERS")),
    Case("long fence", "answers that come after T", {**SMALL, **LONG_FENCE}, ("CHECK_OBJECTS",)),
    Case(
        "liveness", "at last one worker runs it, and goes on", {"FAULTS": 1, "HANDOVERS": 0}, ("LIVENESS",), live=True
    ),
)

LONG = (
    Case("two faults", "two faults, coarse time", {"FAULTS": 2, "HANDOVERS": 1, **COARSE}, ("CHECK_OBJECTS",)),
    Case(
        "acknowledgement of anybody",
        "the incarnation in an acknowledgement is a second bolt: nothing depends on it alone",
        {**SMALL, **COARSE},
        ("STATEMENT_OF_ANYBODY", "INCARNATIONS", "KEEPS_STATEMENTS"),
    ),
)


def _off(flag: str, says: str, *more: str, bounds: dict[str, int] | None = None) -> Case:
    live, shortest = "LIVENESS" in more, bounds is not LONG_FENCE
    return Case(flag, says, {**SMALL, **(bounds or {})}, (flag, *more), live, breadth_first=shortest and not live)


SABOTAGE = (
    _off("NO_ACK_WAIT", "cleared without acknowledgement, release or takeover"),
    _off("ACK_BEFORE_CONFIRMED", "acknowledged when the config is written, not when the worker confirmed it"),
    _off("HASH_WITHOUT_EPOCH", "a confirmation counts for any config of the same content", bounds={"HANDOVERS": 2}),
    _off("NEW_INCARNATION_IS_RELEASE", "another incarnation in the Lease counts as a release", "INCARNATIONS"),
    _off(
        "STATEMENT_OF_ANYBODY",
        "a predecessor's release counts, and acquiring leaves it there",
        "INCARNATIONS",
        "KEEPS_STATEMENTS",
        "RELEASES",
    ),
    _off("LEASE_READ_BEFORE_REVOKE", "the Lease is read before the revoke is stored"),
    _off("TRUST_THE_WATCH", "silence is believed without reading the Lease"),
    _off("TAKEOVER_TOO_EARLY", "T is a tick shorter than the inequality asks for"),
    _off("FENCE_TOO_LATE", "D is a tick longer than the inequality allows"),
    _off("CLOCKS_TOO_FAR_APART", "clocks differ by more than the inequality allows", bounds={"DRIFT": 2}),
    _off("PROOF_FROM_THE_ANSWER", "D counts from the answer, not from the send", "SLOW_ANSWERS"),
    _off("LATE_ANSWER_RENEWS", "an answer after D is heard before the fence", bounds=LONG_FENCE),
    _off("WORKER_IGNORES_FENCE", "the worker starts without looking at the fence file"),
    _off("KEEPS_CONFIG_AT_FENCE", "the fence does not empty the config"),
    _off("READS_BEFORE_RENEWAL", "the FingerWorker is read before the Lease was acknowledged"),
    _off("NO_RESOURCE_VERSION", "writes carry no resourceVersion"),
    _off("UNKNOWN_IS_FAILED", "a write without an answer counts as refused"),
    _off("WRITES_NOTHING_ANEW", "an unanswered write is overtaken by one that changes nothing"),
    _off("NO_BARRIER", "a new leader acts before all are stamped"),
    _off("NO_TAKEOVER", "silence proves nothing, for the liveness", "LIVENESS", bounds={"HANDOVERS": 0}),
)


def check(case: Case, folder: Path) -> Result:
    """Compile the model for one case and search all of its states."""
    shutil.copy(MODEL, folder / MODEL.name)
    defines = [f"-D{flag}" for flag in case.flags] + [f"-D{name}={value}" for name, value in case.bounds.items()]
    kind = ["-DNFAIR=5"] if case.live else ["-DSAFETY", "-DNOFAIR"] + (["-DBFS"] if case.breadth_first else [])
    search = ["-a", "-f"] if case.live else []
    _run([_tool("spin"), "-a", *defines, MODEL.name], folder)
    _run([_tool("gcc"), "-O2", "-w", "-DVECTORSZ=512", f"-DMEMLIM={MEMORY_MB}", *kind, "-o", "pan", "pan.c"], folder)
    began = time.monotonic()
    report = _run(["./pan", "-n", "-m4000000", "-w25", *search], folder)
    seconds = time.monotonic() - began
    errors, states = re.search(r"errors: (\d+)", report), re.search(r"(\d+) states, stored", report)
    memory = re.search(r"([\d.]+)\s+total actual memory", report)
    ended = not re.search(r"Search not completed|max search depth|out of memory", report)
    if not (errors and states and memory) or (errors[1] == "0" and not ended):
        sys.exit(f"the search for {case.name} did not end:\n{report[-2000:]}")
    trail = () if errors[1] == "0" else _trail(folder)
    return Result(errors[1] == "0", int(states[1]), seconds, float(memory[1]), trail)


def _trail(folder: Path) -> tuple[str, ...]:
    """The counterexample in words: what the model prints when Spin replays it."""
    lines = _run(["./pan", "-r"], folder, fails=True).splitlines()
    return tuple(x for x in lines if re.match(r"(operator|sidecar|worker|Lease|FingerWorker|nothing|--) ?", x))


def _run(command: list[str], folder: Path, *, fails: bool = False) -> str:
    done = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)
    if done.returncode and not fails and command[0] != "./pan":
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def _tool(name: str) -> str:
    found = shutil.which(name)
    if not found:
        sys.exit(
            f"make model needs spin and gcc, and {name} is missing. On Debian and Ubuntu: apt-get install spin gcc libc6-dev"
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=("proofs", "sabotage", "long"), help="left out: proofs and sabotage"
    )
    parser.add_argument("--trails", action="store_true", help="tell every counterexample in words")
    arguments = parser.parse_args()
    failed = 0
    tables = {"proofs": (PROOFS, True), "sabotage": (SABOTAGE, False), "long": (LONG, True)}
    for what in [arguments.what] if arguments.what else ["proofs", "sabotage"]:
        cases, holds = tables[what]
        title = "must hold" if holds else "rule switched off"
        print(f"\n{title:<27}{'result':<18}{'states':>12}{'seconds':>9}{'MiB':>7}", flush=True)
        for case in cases:
            with tempfile.TemporaryDirectory() as folder:
                result = check(case, Path(folder))
            steps = f"caught, {len(result.trail)} steps"
            word = ("holds" if result.holds else "VIOLATED") if holds else ("NOT CAUGHT" if result.holds else steps)
            row = f"{case.name:<27}{word:<18}{result.states:>12,}{result.seconds:>9.1f}{result.memory_mb:>7.0f}"
            print(f"{row}  {case.says}", flush=True)
            failed += result.holds is not holds
            if (holds or arguments.trails) and result.trail:
                print("".join(f"    {line}\n" for line in result.trail), flush=True)
    print(f"\n{'all as it must be' if not failed else f'{failed} not as they must be'}")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
