"""The everyday share of the simulation, and that a seed says the same thing each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .scenario import run

SEEDS = 1000
PORTION = 25
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("first", range(0, SEEDS, PORTION))
def test_nothing_runs_twice_and_nothing_is_lost(first: int) -> None:
    broken = {seed: result.defects for seed in range(first, first + PORTION) if (result := run(seed)).defects}
    assert not broken, f"replay one with `make simulate SEED={min(broken)}`: {broken}"


def test_a_seed_is_the_same_whatever_python_hashes() -> None:
    script = "from tests.simulation.scenario import run; print([run(seed).trace for seed in (3, 4, 5)])"
    traces = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2", "3")
    }
    here = str([run(seed).trace for seed in (3, 4, 5)])
    assert {trace.strip() for trace in traces} == {here}
