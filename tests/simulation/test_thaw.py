"""A machine that stood still while its streams went to others, and thaws with a worker that listens to nobody."""

from __future__ import annotations

import pytest

from .scenario import staged

SETTLED_S = 10.0


@pytest.mark.parametrize("seed", range(5))
def test_a_worker_that_hangs_is_stopped_within_k_of_the_thaw(seed: int) -> None:
    """Although its sidecar renews in milliseconds, and the probe looks only now and then."""
    with staged(seed) as (world, _):
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


@pytest.mark.parametrize("seed", range(5))
def test_a_sink_tells_a_pod_from_its_successor_of_the_same_name(seed: int) -> None:
    """Without an operator to take anything over: both run what was granted to their name."""
    with staged(seed) as (world, _):
        world.start()
        world.loop.run_until(SETTLED_S)
        for replica in world.replicas:
            assert replica.process
            replica.process.pause()
        old = next(pod for pod in world.pods.values() if pod.worker and pod.worker.running)
        worker = old.worker
        assert worker
        worker.hung = True
        old.freeze()
        new = world.replace_pod(old.name)
        world.loop.run_until(SETTLED_S + 2 * world.t_s)
        old.thaw()
        assert new.worker
        assert worker.running
        assert worker.running.keys() == new.worker.running.keys()
        assert all(token < new.worker.running[stream] for stream, token in worker.running.items())
        world.loop.run_until(old.frozen_until + world.t_s)
        assert not world.defects
