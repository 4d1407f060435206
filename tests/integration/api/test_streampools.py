"""The StreamPool on a real API server: only that proves that a schema is structural and its rules affordable.

Every rule is tried with what it accepts and with what it refuses, and the sentence it answers is part of the test:
it is what somebody reads who made the mistake.
"""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from devenv.fleet_api import ApiError
from fingerv7.api.liveness import Liveness

from .objects import POOL

pytestmark = pytest.mark.integration

IDENTIFIER = "write an SQL identifier as it is spelled in the database: a letter or underscore"
TABLE = "write table or schema.table, each an SQL identifier"
DURATION = "as whole numbers with units, such as 500ms, 30s or 1h30m"
SAFETY = "(fenceAfter + stopTime) * 1.05 must be at most takeoverAfter * 0.95"
LIVENESS = "renewInterval + 2 * requestTimeout must be at most fenceAfter"
POSITIVE = "every time must be greater than zero"
WARNING = "warningAfter must be less than takeoverAfter"


# --- defaults ---------------------------------------------------------------------------------------------


def test_a_short_pool_gets_every_default(api, pool):
    spec = api.create(pool())["spec"]
    assert spec == {
        "source": {
            "postgres": {
                "secretRef": {"name": "streams-db"},
                "table": "streams",
                "columns": {
                    "id": "id",
                    "url": "url",
                    "name": "name",
                    "active": "active",
                    "updatedAt": "updated_at",
                    "metadata": "metadata",
                },
                "pollInterval": "30s",
                "maxShrinkPercent": 50,
                "shrinkConfirmations": 3,
                "statementTimeout": "10s",
                "connectTimeout": "10s",
            }
        },
        "registration": "Declared",
        "balancing": {
            "strategy": "Capacity",
            "mode": "Auto",
            "imbalanceThresholdPercent": 15,
            "maxStreamDifference": 3,
            "cooldown": "300s",
            "maxMovesPerRoundPercent": 10,
        },
        "liveness": {
            "takeoverAfter": "20s",
            "removeAfter": "24h",
            "massFailure": {"thresholdPercent": 50, "maxHold": "60s"},
        },
        "drainTimeout": "10m",
        "statusRefreshInterval": "30s",
        "paused": False,
    }


def test_half_a_pool_gets_the_other_half_of_its_defaults(api, pool):
    spec = api.create(
        pool(
            postgres={"columns": {"id": "station_id", "weight": "listeners"}},
            liveness={"takeoverAfter": "10s", "massFailure": {"thresholdPercent": 30}},
            balancing={"cooldown": "0s"},
        )
    )["spec"]
    columns = spec["source"]["postgres"]["columns"]
    assert (columns["id"], columns["url"], columns["weight"]) == ("station_id", "url", "listeners")
    assert "location" not in columns
    assert spec["liveness"]["massFailure"] == {"thresholdPercent": 30, "maxHold": "60s"}
    assert spec["balancing"]["maxStreamDifference"] == 3


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "field", "sentence"),
    [
        ({"table": "streams; DROP TABLE x"}, "table", TABLE),
        ({"table": 'public."Streams"'}, "table", TABLE),
        ({"table": "a.b.c"}, "table", TABLE),
        ({"table": "t" * 64}, "table", TABLE),
        ({"table": ""}, "table", TABLE),
        ({"columns": {"id": "station id"}}, "columns.id", IDENTIFIER),
        ({"columns": {"updatedAt": "1st"}}, "columns.updatedAt", IDENTIFIER),
        ({"columns": {"weight": "w.x"}}, "columns.weight", IDENTIFIER),
        ({"notifyChannel": "streams-changed"}, "notifyChannel", IDENTIFIER),
        ({"pollInterval": "-60s"}, "pollInterval", DURATION),
        ({"pollInterval": "1 day"}, "pollInterval", DURATION),
        ({"pollInterval": "0s"}, "pollInterval", "write a duration from 100ms"),
        ({"statementTimeout": "1.5s"}, "statementTimeout", DURATION),
        ({"connectTimeout": "9000h"}, "connectTimeout", "to 8760h"),
        ({"secretRef": {"name": "Streams_DB"}}, "secretRef.name", "write the name of a Kubernetes object"),
        ({"maxShrinkPercent": 101}, "maxShrinkPercent", "less than or equal to 100"),
        ({"shrinkConfirmations": 0}, "shrinkConfirmations", "greater than or equal to 1"),
    ],
)
def test_a_source_is_refused_where_it_is_wrong(api, pool, source, field, sentence):
    refusal = api.refusal(pool(postgres=source))
    assert f"spec.source.postgres.{field}" in refusal
    assert sentence in refusal


@pytest.mark.parametrize(
    "source",
    [
        {"table": "public.streams"},
        {"table": f"{'s' * 63}.{'t' * 63}"},
        {"table": "_Streams$1"},
        {"columns": {"id": "c" * 63, "location": "Ort"}},
        {"notifyChannel": "streams_changed"},
        {"pollInterval": "1h30m"},
        {"statementTimeout": "500ms"},
        {"secretRef": {"name": "streams-db.v2"}},
        {"maxShrinkPercent": 0, "shrinkConfirmations": 100},
    ],
)
def test_a_source_is_accepted(api, pool, source):
    stored = api.create(pool(postgres=source))["spec"]["source"]["postgres"]
    for key, value in source.items():
        assert stored[key] == value if not isinstance(value, dict) else stored[key].items() >= value.items()


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"registration": "Closed"}, 'supported values: "Declared", "Open"'),
        ({"balancing": {"strategy": "Random"}}, 'supported values: "Capacity", "Performance", "Location"'),
        ({"balancing": {"mode": "Sometimes"}}, 'supported values: "Auto", "Advisory", "Manual"'),
        ({"balancing": {"imbalanceThresholdPercent": 101}}, "less than or equal to 100"),
        ({"balancing": {"maxMovesPerRoundPercent": 0}}, "greater than or equal to 1"),
        ({"balancing": {"cooldown": "soon"}}, DURATION),
        ({"balancing": {"targetLoadPercent": 0}}, "greater than or equal to 1"),
        ({"balancing": {"targetLoadPercent": 101}}, "less than or equal to 100"),
        ({"balancing": {"rotation": {}}}, "spec.balancing.rotation.every: Required value"),
        ({"balancing": {"rotation": {"every": "9m59s"}}}, "write a duration from 10m to 8760h"),
        ({"balancing": {"rotation": {"every": "daily"}}}, DURATION),
        ({"balancing": {"pins": [{"stream": "s1"}]}}, "spec.balancing.pins[0].worker: Required value"),
        ({"balancing": {"pins": [{"stream": "s1", "worker": "W1"}]}}, "write the name of a Kubernetes object"),
        (
            {"balancing": {"pins": [{"stream": "s1", "worker": "a"}, {"stream": "s1", "worker": "b"}]}},
            'spec.balancing.pins[1]: Duplicate value: {"stream":"s1"}',
        ),
        ({"balancing": {"pins": [{"stream": f"s{n}", "worker": "a"} for n in range(257)]}}, "at most 256 items"),
        (
            {"balancing": {"exclusions": [{}]}},
            "name a stream (nobody may have it), a worker (it is given nothing new)",
        ),
        ({"balancing": {"exclusions": [{"stream": ""}]}}, "should be at least 1 chars long"),
        ({"balancing": {"exclusions": [{"worker": "a b"}]}}, "write the name of a Kubernetes object"),
        ({"balancing": {"exclusions": [{"stream": "s1"}] * 257}}, "at most 256 items"),
        ({"drainTimeout": "-1m"}, DURATION),
        ({"liveness": {"massFailure": {"maxHold": "1d"}}}, DURATION),
        ({"liveness": {"massFailure": {"thresholdPercent": 0}}}, "greater than or equal to 1"),
    ],
)
def test_policy_is_refused_where_it_is_wrong(api, pool, spec, sentence):
    assert sentence in api.refusal(pool(**spec))


@pytest.mark.parametrize(
    "balancing",
    [
        {"strategy": "Performance", "mode": "Advisory", "targetLoadPercent": 80},
        {"strategy": "Location", "mode": "Manual", "rotation": {"every": "10m"}},
        {"pins": [{"stream": "s1", "worker": "a"}, {"stream": "s2", "worker": "a"}]},
        {"exclusions": [{"stream": "s1"}, {"worker": "a"}, {"stream": "s1", "worker": "a"}]},
        # As long as everything may be: the rules have to be affordable for these too.
        {
            "pins": [{"stream": f"{n:0253}", "worker": f"{n:0253}"} for n in range(256)],
            "exclusions": [{"stream": f"{n:0253}", "worker": f"{n:0253}"} for n in range(256)],
        },
    ],
    ids=",".join,
)
def test_balancing_is_accepted(api, pool, balancing):
    assert api.create(pool(balancing=balancing))["spec"]["balancing"].items() >= balancing.items()


def test_a_pool_without_its_table_or_secret_is_refused(api, pool):
    body = pool()
    body["spec"]["source"]["postgres"] = {}
    refusal = api.refusal(body)
    assert "spec.source.postgres.table: Required value" in refusal
    assert "spec.source.postgres.secretRef: Required value" in refusal


def test_a_pool_name_has_to_fit_into_a_label(api, pool):
    api.create(pool(name="r" * 63))
    assert "at most 63 characters, because workers carry it as a label" in api.refusal(pool(name="r" * 64))


# --- times ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "sentences"),
    [
        # accepted
        ({}, []),
        ({"takeoverAfter": "1s"}, []),
        ({"takeoverAfter": "1001ms"}, []),
        ({"takeoverAfter": "10s"}, []),
        ({"takeoverAfter": "180s"}, []),
        ({"takeoverAfter": "8760h"}, []),
        ({"takeoverAfter": "180s", "renewInterval": "60s", "requestTimeout": "10s"}, []),
        (
            {
                "takeoverAfter": "10s",
                "renewInterval": "1s",
                "requestTimeout": "1s",
                "fenceAfter": "5s",
                "stopTime": "3s",
            },
            [],
        ),
        (
            {
                "takeoverAfter": "20s",
                "renewInterval": "5s",
                "requestTimeout": "2s",
                "warningAfter": "10s",
                "fenceAfter": "12s",
                "stopTime": "6s",
            },
            [],
        ),
        ({"stopTime": "9s"}, []),
        ({"fenceAfter": "12s"}, []),
        ({"renewInterval": "8s"}, []),
        ({"requestTimeout": "3500ms"}, []),
        ({"warningAfter": "19999ms"}, []),
        # the last millisecond that is safe, and the first that is not
        ({"fenceAfter": "12095ms"}, []),
        ({"fenceAfter": "12096ms"}, [SAFETY]),
        ({"renewInterval": "8001ms"}, [LIVENESS]),
        ({"requestTimeout": "3501ms"}, [LIVENESS]),
        ({"warningAfter": "20s"}, [WARNING]),
        # one broken by what is derived from the others
        ({"takeoverAfter": "10s", "fenceAfter": "8s"}, [SAFETY]),
        ({"takeoverAfter": "10s", "renewInterval": "5s"}, [LIVENESS]),
        ({"stopTime": "15s", "renewInterval": "2s", "requestTimeout": "1s"}, [LIVENESS]),
        ({"stopTime": "18050ms"}, [POSITIVE]),
        ({"stopTime": "19s"}, [POSITIVE, SAFETY]),
        ({"takeoverAfter": "5s", "warningAfter": "10s"}, [WARNING]),
        (
            {"takeoverAfter": "10s", "fenceAfter": "9s", "renewInterval": "9s", "warningAfter": "10s"},
            [SAFETY, LIVENESS, WARNING],
        ),
    ],
    ids=str,
)
def test_the_api_server_and_the_models_judge_times_alike(api, pool, times, sentences):
    every = {SAFETY, LIVENESS, POSITIVE, WARNING}
    try:
        Liveness.parse(times)
        offline = ""
    except ValidationError as error:
        offline = str(error)
    try:
        api.create(pool(liveness=times))
        online = ""
    except ApiError as error:
        online = str(error)
    assert {sentence for sentence in every if sentence in online} == set(sentences)
    assert {sentence for sentence in every if sentence in offline} == set(sentences)
    assert bool(online) == bool(sentences)


@pytest.mark.parametrize(
    "times",
    [
        {"takeoverAfter": "999ms"},
        {"takeoverAfter": "-60s"},
        {"takeoverAfter": "twenty seconds"},
        {"stopTime": "6"},
        {"renewInterval": "0s"},
        {"removeAfter": "1 day"},
        {"warningAfter": "99999999999h"},
    ],
    ids=str,
)
def test_a_wrongly_spelled_time_is_named_and_nothing_else_complains(api, pool, times):
    (field,) = times
    refusal = api.refusal(pool(liveness=times))
    assert f"spec.liveness.{field}: Invalid value" in refusal
    assert DURATION in refusal
    assert "evaluating rule" not in refusal


def test_a_pool_keeps_the_newest_leader(api, pool):
    api.create(pool(), dry_run=False)
    api.patch(POOL, "radio", {"status": {"leaderEpoch": 1200, "streams": 3}})
    api.patch(POOL, "radio", {"status": {"leaderEpoch": 1300}})
    for patch in ({"status": {"leaderEpoch": 1299}}, {"status": {"leaderEpoch": None}}, {"status": None}):
        assert "status.leaderEpoch never decreases and cannot be removed" in api.patch_refusal(POOL, "radio", patch)
