"""The development fleet's operator has the chart's rights, so that every test on a real API server is one of them."""

from __future__ import annotations

import re
from typing import Any

import yaml

from chartgen.__main__ import CHART
from devenv.fleet_objects import operator_rules


def rights(rules: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_the_development_fleet_gives_its_operator_what_the_chart_gives() -> None:
    """With every switch on: what stands in the template, without its conditions."""
    template = (CHART / "templates" / "_rules.tpl").read_text()
    plain = re.sub(r"\{\{.*?\}\}", "", template, flags=re.DOTALL)
    rules = yaml.safe_load(plain.replace("resourceNames:", "").replace("\n  \n", "\n"))
    assert rights(operator_rules()) == rights(rules)
