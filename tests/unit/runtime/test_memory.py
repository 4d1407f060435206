"""A full collection looks at what is new; garbage is found nevertheless. In processes of their own: it is global."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import gc, weakref
from fingerv7.runtime import memory
memory.LOOK_AT_ALL_S = {look_at_all_s}
memory.look_at_each_object_once()

class Node: pass
kept = [Node() for _ in range(1000)]
gc.collect()
assert gc.get_freeze_count() > 1000 and len(gc.get_objects()) < 1000

late, loop = Node(), Node()
late.other, loop.other = loop, late
gone = weakref.ref(late)
if {frozen}:
    gc.collect()
del late, loop
gc.collect()
assert (gone() is None) == {found}
"""


def run(**values) -> None:
    subprocess.run([sys.executable, "-c", SCRIPT.format(**values)], check=True)


def test_what_survived_once_is_not_looked_at_again_and_new_cycles_are_found():
    run(look_at_all_s=86_400.0, frozen=False, found=True)


def test_a_cycle_that_was_set_aside_alive_is_found_when_everything_is_looked_at():
    run(look_at_all_s=86_400.0, frozen=True, found=False)
    run(look_at_all_s=0.0, frozen=True, found=True)
