"""A machine that stood still while its streams went to others, and thaws with a worker that listens to nobody."""

from __future__ import annotations

import pytest

from .install import installed
from .world import World

SETTLED_S = 10.0


@pytest.mark.parametrize("seed", range(5))
def test_a_worker_that_hangs_is_stopped_within_k_of_the_thaw(seed: int) -> None:
    """Although its sidecar renews in milliseconds, and the probe looks only now and then."""
    with installed() as hooks:
        world = World(seed)
        hooks.connect(world)
        try:
            world.start()
            world.loop.run_until(SETTLED_S)
            pod = next(pod for pod in world.pods.values() if pod.worker and pod.worker.running)
            worker = pod.worker
            assert worker
            worker.hung = True
            pod.freeze()
            world.loop.run_until(SETTLED_S + 2 * world.t_s)
            assert world.judge.excused, "others have its streams"
            pod.thaw()
            world.loop.run_until(pod.frozen_until)
            assert not worker.running
            world.loop.run_until(pod.frozen_until + 2 * world.t_s)
            assert not world.defects
            assert not world.judge.misplaced()
        finally:
            world.loop.close()
