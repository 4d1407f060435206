"""A template that is nested deeper than anybody needs concerns its own pool only, and can be got rid of."""

from __future__ import annotations

import pytest

from devenv.fleet_api import fingerv7

from .conftest import Crew, StartCrew

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240, func_only=True)]


def make_deep(crew: Crew, depth: int) -> None:
    """With a body that is written here, because no parser of ours gets through it."""
    deep = '{"a":' * depth + "1" + "}" * depth
    patch = f'{{"spec":{{"workers":{{"template":{{"spec":{{"foo":{deep}}}}}}}}}}}'
    named = ("-n", crew.namespace, "patch", "streampool", crew.fleet.pool, "-o", "name")
    crew.fleet.cluster.kubectl(*named, "--type=merge", "--patch-file=/dev/stdin", input=patch)
    (event,) = crew.wait(lambda: crew.events("InvalidSpec"), "an Event says what is accepted")
    assert "spec.workers.template.spec.foo" in event
    assert "at most 64 levels are accepted" in event


@pytest.mark.parametrize("depth", [300, pytest.param(4_900, marks=pytest.mark.long)])
def test_a_pool_that_no_parser_gets_through_stops_no_operator(start_crew: StartCrew, depth: int) -> None:
    crew = start_crew(hollow=True, replicas=1)
    crew.wait(lambda: len(crew.pods()) == 1, "the pool's pod")
    other = crew.fleet.stream_pool()
    other = {**other, "metadata": {"name": "other"}, "spec": {**other["spec"], "paused": True}}
    pools = fingerv7(crew.namespace, "streampools")
    make_deep(crew, depth)
    # A new process lists what the old one watched.
    (first,) = crew.fleet.operators.values()
    assert first.alive
    first.stop_gracefully()
    second = crew.fleet.start_operator()
    crew.api.create(pools, other)
    seen = lambda: crew.api.get(f"{pools}/other").get("status", {}).get("conditions")  # noqa: E731
    crew.wait(seen, "another pool is looked after")
    assert second.alive
    crew.patch(template={"spec": {"foo": None}})
    crew.wait(lambda: crew.condition()[0] in {"Starting", "AsWanted"}, "the pool goes on when it is mended")


@pytest.mark.long
@pytest.mark.parametrize("by_another_leader", [False, True])
def test_it_can_be_deleted(start_crew: StartCrew, by_another_leader: bool) -> None:
    crew = start_crew(hollow=True, replicas=1)
    crew.wait(lambda: len(crew.pods()) == 1, "the pool's pod")
    make_deep(crew, 4_900)
    if by_another_leader:
        (first,) = crew.fleet.operators.values()
        first.stop_gracefully()
        crew.fleet.start_operator()
    kubectl = crew.fleet.cluster.kubectl
    named = ("-n", crew.namespace, "streampool", crew.fleet.pool)
    kubectl("delete", *named, "--wait=false")
    shown = ("get", *named, "-o", "name", "--ignore-not-found")
    crew.fleet.wait_for(lambda: not kubectl(*shown), 60, "the pool is gone")
    crew.fleet.wait_for(lambda: not crew.names() and not crew.pods(), 60, "and its worker")
