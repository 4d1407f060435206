from __future__ import annotations

import json

import pytest

from fingerv7.cli.errors import CliError
from fingerv7.cli.planning.documents import read_objects
from fingerv7.cli.planning.scenario import read_scenario


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "file.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize(
    "text",
    [
        "kind: A\n---\nkind: B\n",
        "---\nkind: A\n---\n---\nkind: B\n",
        "apiVersion: v1\nkind: List\nitems:\n- kind: A\n- kind: B\n",
        json.dumps({"kind": "List", "items": [{"kind": "A"}, {"kind": "B"}]}),
        "{kind: List, items: [{kind: A}, {kind: B}]}",
    ],
)
def test_what_kubectl_prints_and_people_write(written, text):
    assert [each["kind"] for each in read_objects(written(text))] == ["A", "B"]


def test_broken_files_say_where(written):
    with pytest.raises(CliError, match=r"file\.yaml cannot be read at line 2: .*; check the indentation and quotes"):
        list(read_objects(written("a: 1\n b: 2\n")))
    with pytest.raises(CliError, match="has a document that is no object; write FingerWorkers"):
        list(read_objects(written("- 1\n")))


def test_a_scenario(written):
    text = "until: 2h\nevents:\n- {at: 5m, do: lose w1}\n- {at: 0, do: [drain w2, add 5 streams]}\n"
    scenario = read_scenario(written(text))
    assert [(e.at_ms, e.text) for e in scenario.events] == [
        (300_000, "lose w1"),
        (0, "drain w2"),
        (0, "add 5 streams"),
    ]
    assert scenario.until_ms == 7_200_000
    assert len(read_scenario(written("- {at: 5m, do: lose w1}\n")).events) == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is no scenario; write `events: [{at: 5m, do: lose fingerv7-003}]`"),
        ("events: {}\n", "is no scenario"),
        ("event: []\nevents: []\n", "the key event means nothing here; known are events and until"),
        ("- {at: 5m}\n", "event 1 has not just the keys at and do"),
        ("- {at: soon, do: lose w1}\n", "event 1: 'soon' is not a duration; write whole numbers with units"),
        ("- {at: 5m, do: 7}\n", "event 1: what it does is no text"),
        ("- {at: 5m, do: lose w1}\n- {at: 6m, do: loose w2}\n", "event 2: 'loose w2' is no change; did you mean"),
        ("until: late\nevents: []\n", "until: 'late' is not a duration"),
    ],
)
def test_a_file_that_is_no_scenario_says_why(written, text, sentence):
    with pytest.raises(CliError) as error:
        read_scenario(written(text))
    assert sentence in str(error.value)
