"""Runs all benchmarks, or the named ones, each in a process of its own: `python -m benchmarks [--quick] [name…]`.

A benchmark is a module or a package of this folder that prints JSON lines when it is run. `--quick` asks those that
know it for a short form, which tries the code and proves nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    packages = (path.parent.name for path in HERE.glob("*/__main__.py"))
    names = sorted([*packages, *(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))])
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*names, []], metavar="name", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="a short form of those that have one")
    options = parser.parse_args()
    root = HERE.parent
    paths = [str(root), *(str(root / folder) for folder in ("hack", "examples"))]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [*paths, os.environ.get("PYTHONPATH")])),
        **({"FINGERV7_BENCHMARKS": "quick"} if options.quick else {}),
    }
    failed = []
    for name in options.names or names:
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], env=environment, cwd=root, check=False)
        failed += [name] if done.returncode else []
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
