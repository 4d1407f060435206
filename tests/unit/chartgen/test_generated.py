"""What is generated is what is committed, and the chart's parts that nobody generates agree with each other."""

from __future__ import annotations

import json
import tomllib

import yaml

from chartgen.__main__ import CHART, ROOT, generated


def test_generated_files_are_up_to_date() -> None:
    stale = [str(path.relative_to(ROOT)) for path, text in generated().items() if path.read_text() != text]
    assert stale == [], "run `make charts`"


def test_every_crd_has_a_template_and_no_template_is_left_over() -> None:
    manifests = {path.name for path in (ROOT / "crds").glob("*.yaml")}
    assert {path.name for path in (CHART / "templates" / "crds").iterdir()} == manifests


def test_every_value_is_in_the_schema_and_every_key_of_the_schema_is_a_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    differences = []

    def compare(where: str, value: object, rules: dict) -> None:
        if rules.get("type") != "object" or "properties" not in rules or where.startswith(".resources"):
            return
        assert rules["additionalProperties"] is False, f"{where} accepts anything"
        keys, known = set(value), set(rules["properties"]) - {"global"}
        differences.extend(f"{where}.{key}" for key in keys ^ known)
        for key in keys & known:
            compare(f"{where}.{key}", value[key], rules["properties"][key])

    compare("", values, schema)
    assert differences == []


def test_the_chart_installs_the_version_that_stands_beside_it() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]


def test_what_artifact_hub_shows_are_the_kinds_that_exist() -> None:
    annotations = yaml.safe_load((CHART / "Chart.yaml").read_text())["annotations"]
    shown = {(each["name"], each["kind"]) for each in yaml.safe_load(annotations["artifacthub.io/crds"])}
    crds = [yaml.safe_load(path.read_text()) for path in (ROOT / "crds").glob("*.yaml")]
    assert shown == {(crd["metadata"]["name"], crd["spec"]["names"]["kind"]) for crd in crds}
