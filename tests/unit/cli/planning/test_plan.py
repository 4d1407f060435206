"""The command as a user runs it, on files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fingerv7.cli.main import main
from fingerv7.cli.planning import chart

EXAMPLES = Path(__file__).parents[4] / "examples" / "planning"
URL = "https://user:hidden@radio.example/live?key=hidden"


@pytest.fixture
def files(tmp_path):
    rows = "".join(f"s{n:03},{URL},{'vpn' if n % 10 == 0 else ''}\n" for n in range(120))
    (tmp_path / "streams.csv").write_text("id,url,capabilities\n" + rows + "bad,ftp://x,\n")
    workers = [{"name": f"w{n}", "maxStreams": 50} for n in (1, 2, 3)] + [
        {"name": "v1", "maxStreams": 50, "capabilities": ["vpn"], "location": "berlin"}
    ]
    (tmp_path / "fleet.yaml").write_text(yaml.safe_dump({"workers": workers}))
    scenario = {"events": [{"at": "5m", "do": "lose w1"}, {"at": "10m", "do": ["join w4", "join w5"]}]}
    (tmp_path / "scenario.yaml").write_text(yaml.safe_dump(scenario))
    return tmp_path


@pytest.fixture
def run(files, capsys, monkeypatch):
    """`run("--change", "lose w1")`: the exit code, what was printed, and what was complained of."""
    monkeypatch.chdir(files)

    def call(*args, streams="streams.csv", workers="fleet.yaml"):
        given = ["plan", *(["--streams", streams] if streams else []), *(["--workers", workers] if workers else [])]
        code = main([*given, *args])
        printed = capsys.readouterr()
        assert "hidden" not in printed.out + printed.err
        return code, printed.out, printed.err

    return call


def test_a_fleet_that_holds_nothing_yet(run):
    code, out, _ = run()
    assert code == 0
    assert "120 streams, 1 row not served (InvalidUrl 1), 119 with the URL of another; from streams.csv" in out
    assert "4 workers; from fleet.yaml" in out
    assert "Moves      120: NewStream 120\n" in out
    assert "… and 110 more moves (--moves all)" in out


def test_a_lost_worker(run):
    code, out, _ = run("--change", "lose w1", "--moves", "2")
    assert code == 0
    assert "every stream was placed first, and then the changes were made" in out
    (lost,) = [line.split() for line in out.splitlines() if line.endswith(" lost")]
    assert lost == ["w1", "50", "30", "-30", "60", "lost"]
    assert "Moves      30: WorkerLost 30\n" in out
    assert "w1 is gone" in out
    assert "… and 28 more moves (--moves all)" in out


def test_changes_are_made_in_their_order(run):
    _, out, _ = run("--change", "join w4 maxStreams=10", "--change", "capacity w4 +100%", "-o", "json")
    (joined,) = [each for each in json.loads(out)["workers"] if each["name"] == "w4"]
    assert (joined["state"], joined["capacityBefore"], joined["capacity"]) == ("joined", None, 20)


def test_what_finds_no_place_makes_the_exit_code(run):
    code, out, _ = run("--change", "lose v1")
    assert code == 1
    assert "Unplaced   12: NoCapableWorker 12\n           NoCapableWorker: s000, s010, s020" in out


def test_programs_get_everything(run):
    code, out, _ = run("--change", "lose w1", "--explain", "s001", "--output", "json")
    shown = json.loads(out)
    assert code == 0
    assert shown["streams"]["quarantined"] == {"InvalidUrl": 1}
    assert shown["totals"]["moves"] == len(shown["moves"]) == 30
    assert shown["totals"]["triggers"] == {"WorkerLost": 30}
    assert shown["moves"][0].keys() == {"stream", "from", "to", "trigger", "reason"}
    assert shown["explanations"][0]["stream"] == "s001"
    assert shown["balancing"]["strategy"] == "Capacity"
    _, out, _ = run("--change", "lose w1", "--explain", "s001", "-o", "yaml")
    assert yaml.safe_load(out) == shown


def test_a_plan_fed_back_moves_nothing(run, files):
    _, out, _ = run("-o", "json")
    targets = {}
    for move in json.loads(out)["moves"]:
        targets.setdefault(move["to"], []).append(move["stream"])
    fleet = yaml.safe_load((files / "fleet.yaml").read_text())
    for worker in fleet["workers"]:
        worker["streams"] = targets[worker["name"]]
    (files / "held.yaml").write_text(yaml.safe_dump(fleet))
    _, out, _ = run(workers="held.yaml")
    assert "Moves      none\n" in out


def test_a_stream_is_explained(run):
    _, out, _ = run("--explain", "s000")
    assert "Stream s000 on v1: nobody had it; here: the only worker with vpn\n" in out
    assert "  not w1, w2, w3: lacks vpn\n" in out


def test_rounds_that_follow_are_told(run):
    _, out, _ = run("--change", "join w4 maxStreams=50", "--max-stream-difference", "0")
    assert "Then       " in out
    assert "of balancing, 5m apart, with" in out
    _, out, _ = run("--change", "join w4 maxStreams=50", "--perfect")
    assert "Then       " not in out
    assert "NewWorker 24\n           24 away from a live worker; at least 24 are needed\n" in out


def test_streams_that_nobody_wants_any_more_are_counted(run, files):
    fleet = {"workers": [{"name": "w1", "maxStreams": 200, "capabilities": ["vpn"], "streams": ["s001", "old"]}]}
    (files / "held.yaml").write_text(yaml.safe_dump(fleet))
    _, out, _ = run(workers="held.yaml")
    assert "Stopped    1 stream that workers hold and that are not wanted any more" in out


def test_a_large_fleet_shows_what_changes_most(run, files):
    fleet = {"workers": [{"name": "w", "replicas": 100, "maxStreams": 5, "capabilities": ["vpn"]}]}
    (files / "many.yaml").write_text(yaml.safe_dump(fleet))
    _, out, _ = run("--change", "lose w-050", workers="many.yaml")
    assert "w-050 " in out
    assert "… and 80 others, loads 20 to 40 %, " in out


def test_a_scenario_is_replayed(run):
    code, out, _ = run("--scenario", "scenario.yaml")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert [line[0] for line in lines if line and line[0] in {"0s", "5m", "10m"}] == ["0s", "5m", "10m"]
    assert "WorkerLost 30" in out
    assert "In the end every one of 120 streams has a worker." in out
    code, out, _ = run("--scenario", "scenario.yaml", "--cooldown", "1m", "-o", "json")
    steps = json.loads(out)["steps"]
    assert [step["at"] for step in steps[:3]] == ["0s", "5m", "10m"]
    assert all(step["totals"]["moves"] == len(step["moves"]) for step in steps)
    assert sorted(steps[-1]["loadPercent"]) == ["v1", "w2", "w3", "w4", "w5"]


@pytest.mark.parametrize("name", ["loads.svg", "loads.png"])
def test_a_chart_is_drawn(run, files, name):
    code, out, _ = run("--scenario", "scenario.yaml", "--chart", name)
    assert (code, f"The chart is in {name}." in out) == (0, True)
    drawn = (files / name).read_bytes()
    if name.endswith(".png"):
        assert drawn.startswith(b"\x89PNG")
    else:
        assert b"lose w1" in drawn
        assert b"load of a worker" in drawn


def test_a_chart_without_matplotlib(monkeypatch, run):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = run("--scenario", "scenario.yaml", "--chart", "loads.svg")
    assert code == 2
    assert "matplotlib is not installed, which --chart needs; install it with pip install" in err


def test_a_chart_of_many_workers_and_events(tmp_path):
    from fingerv7.core.model import Stream
    from fingerv7.core.planner import Candidate, Policy
    from fingerv7.core.simulation import World, replay, timeline

    workers = {f"w{n:02}": Candidate(f"w{n:02}", 10, frozenset()) for n in range(40)}
    world = World({f"s{n}": Stream(f"s{n}", "http://a") for n in range(200)}, workers, {})
    events = [event for n in range(20) for event in timeline(n * 60_000, f"lose w{n:02}")]
    steps = list(replay(world, events, Policy(), cooldown_ms=300_000))
    chart.draw(steps, str(tmp_path / "many.svg"), title="many", until_ms=None)
    drawn = (tmp_path / "many.svg").read_text()
    assert "half of the workers" in drawn
    assert "lose w05" not in drawn


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--change", "loose w1"], "'loose w1' is no change; did you mean lose WORKER…?"),
        (["--change", "lose w9"], "'lose w9': there is no worker w9; there are v1, w1, w2, w3"),
        (["--explain", "s0001"], "--explain s0001: there is no such stream; did you mean s0"),
        (["--explain", "bad"], "--explain bad: its row is not served (InvalidUrl): "),
        (["--change", "remove s001", "--explain", "s001"], "--explain s001: a change removes that stream"),
        (["--chart", "x.svg"], "--chart draws a scenario over time; give --scenario FILE.yaml as well"),
        (["--scenario", "scenario.yaml", "--chart", "x.gif"], "--chart x.gif ends neither in .svg nor in .png"),
        (["--scenario", "scenario.yaml", "--chart", "no/x.svg"], "there is no directory"),
        (["--scenario", "scenario.yaml", "--explain", "s001"], "--explain speaks of one plan; leave --scenario out"),
        (["--from-cluster"], "by --workers FILE.yaml or by --from-cluster, and not both"),
        (["--table", "streams"], "--table names a table of a database; give --streams postgresql://"),
        (["--columns", "idd=x"], "--columns: idd is no column; did you mean id?"),
        (["--columns", "id"], "--columns: id is no pair such as id=stream_id"),
        (["--cooldown", "soon"], "--cooldown soon is no duration"),
        (["--scenario", "nowhere.yaml"], "nowhere.yaml cannot be read: No such file or directory"),
    ],
)
def test_wrong_usage_is_one_sentence(run, options, sentence):
    code, out, err = run(*options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert sentence in err


def test_what_is_missing_is_asked_for(run):
    assert "give --workers FILE.yaml or --from-cluster" in run(workers=None)[2]
    assert "no worker holds a stream yet, so the streams have to be given" in run(streams=None)[2]
    assert "give --table NAME" in run(streams="postgresql://u:hidden@h/db")[2]


def test_streams_that_workers_hold_are_enough(run, files):
    entries = [{"id": f"s{n}", "url": URL, "token": "1-1"} for n in range(10)]
    spec = {"poolRef": {"name": "radio"}, "maxStreams": 20, "capabilities": ["audio_fingerprinting"]}
    workers = [
        {"kind": "FingerWorker", "metadata": {"name": "w1"}, "spec": spec},
        {
            "kind": "FingerWorker",
            "metadata": {"name": "w2"},
            "spec": spec,
            "status": {"assignment": {"streams": entries}},
        },
        {"kind": "StreamPool", "metadata": {"name": "radio"}, "spec": {}, "status": {"streams": 12}},
    ]
    (files / "workers.json").write_text(json.dumps({"kind": "List", "items": workers}))
    code, out, _ = run("--change", "drain w2", streams=None, workers="workers.json")
    assert code == 0
    assert "10 streams, 9 with the URL of another; from what the workers hold now" in out
    assert "the pool has 12 streams; the 2 that nobody holds are not known here" in out
    assert "WorkerIneligible 10" in out
    assert "w2 is draining" in out


@pytest.mark.parametrize("options", [["--moves", "few"], ["--target-load-percent", "0"], ["--strategy", "Fair"]])
def test_options_have_their_limits(run, options):
    with pytest.raises(SystemExit) as left:
        run(*options)
    assert left.value.code == 2


def test_the_examples_of_the_documentation(run):
    given = {"streams": str(EXAMPLES / "streams.csv"), "workers": str(EXAMPLES / "fleet.yaml")}
    code, out, _ = run("--change", "lose berlin-003", **given)
    assert (code, "172 streams, 2 rows not served (EmptyUrl 1, InvalidUrl 1), 6 inactive" in out) == (0, True)
    assert run("--scenario", str(EXAMPLES / "bad-evening.yaml"), **given)[0] == 0


def test_a_plan_from_files_waits_for_no_library_that_it_does_not_need():
    code = "import sys, fingerv7.cli.main, fingerv7.cli.planning.command; print(*(m for m in sys.argv[1:] if m in sys.modules))"
    found = subprocess.check_output([sys.executable, "-c", code, "kubernetes", "matplotlib", "kopf"], text=True)
    assert found.strip() == ""
