"""A template that is nested deeper than anybody needs concerns its own pool only."""

from __future__ import annotations

import pytest

from devenv.fleet_api import fingerv7

from .conftest import StartCrew

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240, func_only=True)]


@pytest.mark.parametrize("depth", [300, 4_900])
def test_a_pool_that_no_parser_gets_through_stops_no_operator(start_crew: StartCrew, depth: int) -> None:
    crew = start_crew(hollow=True, replicas=1)
    crew.wait(lambda: len(crew.pods()) == 1, "the pool's pod")
    other = crew.fleet.stream_pool()
    other = {**other, "metadata": {"name": "other"}, "spec": {**other["spec"], "paused": True}}
    pools = fingerv7(crew.namespace, "streampools")
    deep = '{"a":' * depth + "1" + "}" * depth
    body = f'{{"spec":{{"workers":{{"template":{{"spec":{{"foo":{deep}}}}}}}}}}}'
    connection = crew.api._connection()
    headers = {"Authorization": f"Bearer {crew.api._token}", "Content-Type": "application/merge-patch+json"}
    connection.request("PATCH", crew.api._prefix + f"{pools}/{crew.fleet.pool}", body, headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()[:500]
    (event,) = crew.wait(lambda: crew.events("InvalidSpec"), "an Event says what is accepted")
    assert "spec.workers.template.spec.foo" in event
    assert "at most 64 levels are accepted" in event
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
